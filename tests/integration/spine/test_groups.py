"""Task groups on a real server: told by the tick, once, also when the spine was killed meanwhile."""

import json
from pathlib import Path

from tests.support.eventually import eventually
from tests.support.receiver import Receiver
from tests.support.server import StartSpine


def test_a_summary_reaches_a_receiver_once_over_a_kill(start_spine: StartSpine, tmp_path: Path) -> None:
    receiver = Receiver()
    try:
        aliases = tmp_path / "notices.json"
        aliases.touch(mode=0o600)
        aliases.write_text(
            json.dumps({"team": {"channel": "webhook", "url": receiver.url, "secrets": ["whsec_" + "YQ" * 16]}})
        )
        server = start_spine(SPINE_NOTICES_FILE=str(aliases))
        head = server.head
        job = head.submit(target="c0", label="nightly")["id"]
        made = head.post("/groups", {"name": "nightly", "jobIds": [job], "notify": ["team"], "deadlineSeconds": 1})
        assert made.status == 201, made
        server.process.kill9()
        server.process.start()
        path = f"/groups/{made.json['id']}"
        eventually(lambda: head.get(path).json["state"] == "overdue")
        head.post(f"/jobs/{job}/cancel")
        eventually(lambda: head.get(path).json["state"] == "done")
        said = [json.loads(call.body) for call in receiver.calls(2)]
        assert sorted("overdue" in json.dumps(one) for one in said) == [False, True]
        assert head.post(f"{path}/close").json["state"] == "done"
    finally:
        receiver.close()
