"""What certificates are checked against when nobody named an authority, and when what was named cannot be read."""

import os
import subprocess
import sys
from pathlib import Path

TRUST = "from contract.outcall import trust; print(len(trust().get_ca_certs()))"
CALL = """
from contract.outcall import NoAnswer, post
try:
    post("https://127.0.0.1:9/", b"", {}, 5)
except NoAnswer as e:
    print(e)
"""


def said(code: str, certificates: Path) -> str:
    environment = {**os.environ, "SSL_CERT_FILE": str(certificates)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.strip()


def test_where_there_is_no_such_file_those_that_come_along_are_trusted(tmp_path: Path) -> None:
    assert int(said(TRUST, tmp_path / "none.pem")) > 50


def test_a_file_that_holds_none_is_a_call_without_an_answer(tmp_path: Path) -> None:
    (tmp_path / "bad.pem").write_text("not a certificate")
    assert said(CALL, tmp_path / "bad.pem").startswith("no answer: ")
