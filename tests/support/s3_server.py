"""A server that speaks S3, as a process: what it keeps is gone when it ends, its address stays."""

import subprocess
import sys
import urllib.error
import urllib.request
import uuid
from typing import Any

from tests.support.eventually import eventually
from tests.support.spine_process import free_port

from contract.env import Secret
from spine.blobs.bucket import Bucket

KEY_ID, SECRET = "a-key-id", "a-secret-key-0001"


class S3Server:
    """A server, and a client of it that is not ours."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.host, self.port = host, free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def start(self, *buckets: str) -> "S3Server":
        """Start it, wait until it answers, make buckets."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", self.host, "-p", str(self.port)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        eventually(self.answers, 30, what="the S3 server")
        for bucket in buckets:
            self.client().create_bucket(Bucket=bucket)
        return self

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/moto-api/", timeout=5) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    def client(self) -> Any:
        """Return boto3's client: another program's view of what is there."""
        import boto3  # type: ignore[import-untyped, unused-ignore]

        return boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=KEY_ID,
            aws_secret_access_key=SECRET,
            region_name="us-east-1",
        )

    def keys(self, bucket: str) -> list[str]:
        """Return the keys in a bucket."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return sorted(one["Key"] for page in pages for one in page.get("Contents", []))

    def settings(self, url: str, of: str = "BACKUP", endpoint: str | None = None) -> dict[str, str]:
        """Return the settings of a spine that keeps its backups here, or its blobs."""
        return {
            f"SPINE_{of}_URL": url,
            f"SPINE_{of}_ENDPOINT": endpoint or self.url,
            f"SPINE_{of}_ACCESS_KEY_ID": KEY_ID,
            f"SPINE_{of}_SECRET_ACCESS_KEY": SECRET,
        }

    def place(self, endpoint: str | None = None) -> Bucket:
        """Return a place in a bucket of its own."""
        bucket = f"b-{uuid.uuid4().hex[:12]}"
        self.client().create_bucket(Bucket=bucket)
        return Bucket(bucket, "fleet/one", endpoint or self.url, "us-east-1", Secret(KEY_ID), Secret(SECRET))

    def unfinished(self, bucket: str) -> int:
        """Return how many uploads in parts were begun and neither completed nor taken back."""
        return len(self.client().list_multipart_uploads(Bucket=bucket).get("Uploads", []))

    def demand_keys(self, demanded: bool = True) -> None:
        """Refuse keys that nobody made here, or take all again; nobody has made one."""
        count = b"0" if demanded else b"inf"
        said = urllib.request.Request(f"{self.url}/moto-api/reset-auth", count, {"Content-Type": "text/plain"})
        urllib.request.urlopen(said, timeout=10).close()

    def stop(self) -> None:
        """End it, with all that it keeps."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None
