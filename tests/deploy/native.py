"""Laying a native installation on a machine by hand."""

import hashlib
import http.client
import json
from pathlib import Path
from typing import Any

from tests.support.eventually import eventually
from tests.support.raw_http import Api
from tests.support.systemd_host import Host

ROOT = Path(__file__).resolve().parents[2]
RELEASE = "/opt/spinal-cord/releases/0.1.0-test"
BIN = "/opt/spinal-cord/current/venv/bin"
TOKENS = {name: f"token-of-{name}-0123456789" for name in ("head", "left-claw", "right-claw", "chat")}
INSTALL = f"""
set -e
mkdir -p {RELEASE}
python3 -m venv {RELEASE}/venv
export PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels
{RELEASE}/venv/bin/pip install -qq --require-hashes -r /checkout/requirements/run.txt -r /checkout/requirements/chat.txt
{RELEASE}/venv/bin/pip install -qq --no-deps /dist/*.whl
ln -sfnT releases/{RELEASE.rpartition("/")[2]} /opt/spinal-cord/current
install -d -m 0700 /etc/spinal-cord/secrets
id claw >/dev/null 2>&1 || useradd --system --user-group --create-home --home-dir /var/lib/claw --shell /bin/bash claw
cp /checkout/systemd/spinal-* /etc/systemd/system/
"""
SPINE_ENV = "SPINE_TOKEN_DIGESTS=/etc/spinal-cord/tokens.digests\nREAPER_INTERVAL_MS=200\n"
LISTEN = "[Socket]\nListenStream=\nListenStream=0.0.0.0:36725\n"
_TIMES = {"HEARTBEAT": 1, "TICK": 2, "WAIT": 2, "KILL_GRACE": 1, "DRAIN": 2}
QUICK = "".join(f"CLAW_{name}_SECONDS={seconds}\n" for name, seconds in _TIMES.items())
POLICY = 'maxRounds = 3\n[[rules]]\nlabel = "accept-*"\naccept = true\n'


def digests() -> str:
    """Return the file of token digests."""
    return "".join(f"{name} {hashlib.sha256(token.encode()).hexdigest()}\n" for name, token in TOKENS.items())


def install(host: Host) -> None:
    """Lay everything, start nothing."""
    host.run(INSTALL, seconds=240)
    address = f"SPINE_BASE_URL=http://{host.address}:36725\n"
    host.put(
        {
            "/etc/spinal-cord/spine.env": SPINE_ENV,
            "/etc/spinal-cord/tokens.digests": digests(),
            "/etc/spinal-cord/policy.toml": POLICY,
            "/etc/spinal-cord/head.env": address,
            **{f"/etc/spinal-cord/claw-{name}.env": address + QUICK for name in ("left-claw", "right-claw")},
            "/etc/systemd/system/spinal-spine.socket.d/listen.conf": LISTEN,
        }
    )
    host.put({f"/etc/spinal-cord/secrets/{name}.token": f"{token}\n" for name, token in TOKENS.items()}, mode=0o600)
    host.run("chmod 700 /etc/spinal-cord/secrets && systemctl daemon-reload")


class Calls:
    """What a head sees of a machine's spine, from outside."""

    def __init__(self, address: str, port: int = 36725, token: str = TOKENS["head"]) -> None:
        self._api = Api(port, token, host=address)

    def submit(self, **fields: Any) -> str:
        """Submit a job; return its id."""
        return str(self._api.submit(**fields)["id"])

    def job(self, job_id: str) -> dict[str, Any]:
        """Return a job."""
        return self._api.job(job_id)

    def notices(self, job_id: str) -> list[dict[str, Any]]:
        """Return the notices about a job."""
        found: list[dict[str, Any]] = self._api.get(f"/notices?jobId={job_id}").json["notices"]
        return found

    def ready(self) -> bool:
        """Tell whether the spine is ready."""
        try:
            return self._api.get("/ready", timeout=5).status == 200
        except (OSError, http.client.HTTPException):
            return False

    def until(self, job_id: str, *statuses: str, seconds: float = 90.0) -> dict[str, Any]:
        """Wait for a status of a job; a spine that is away meanwhile is waited for."""

        def look() -> dict[str, Any] | None:
            try:
                job = self.job(job_id)
            except (OSError, http.client.HTTPException, json.JSONDecodeError):
                return None
            return job if job["status"] in statuses else None

        return eventually(look, seconds, every=0.1, what=f"{job_id} {' or '.join(statuses)}")
