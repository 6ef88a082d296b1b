"""/openapi.json, /llms.txt and /skill.md as they are served, to anyone and to a token."""

from pathlib import Path

import pytest
from tests.support.raw_http import Api
from tests.support.server import Server, StartSpine
from tests.support.spine_process import REPO, TOKENS

SKILL = (REPO / "services/spine/api/skill.md").read_text(encoding="utf-8")
PART = "## For the token that asked"


def test_the_description_is_the_copy_that_is_kept(server: Server) -> None:
    answer = server.nobody.get("/openapi.json")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.body == (REPO / "docs/reference/openapi.json").read_bytes()


def test_llms_txt_is_text(server: Server) -> None:
    answer = server.nobody.get("/llms.txt")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    assert answer.body.startswith(b"# Spinal Cord\n\n> ")


@pytest.mark.parametrize("path", ["/openapi.json", "/llms.txt", "/skill.md"])
def test_a_document_that_is_known_is_not_sent_again(server: Server, path: str) -> None:
    tag = server.nobody.get(path).headers["etag"]
    again = server.nobody.get(path, {"If-None-Match": tag})
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", tag)
    assert server.nobody.get(path, {"If-None-Match": '"other"'}).status == 200


def test_without_a_token_the_skill_is_as_it_is(server: Server) -> None:
    answer = server.nobody.get("/skill.md")
    assert answer.body.decode() == SKILL
    assert answer.headers["vary"] == "Authorization"
    assert "cache-control" not in answer.headers


def test_a_claw_reads_what_it_holds(server: Server, head: Api, claw: Api, name: str) -> None:
    before = claw.get("/skill.md")
    assert before.headers["content-type"] == "text/markdown; charset=utf-8"
    assert before.headers["vary"] == "Authorization"
    assert before.headers["cache-control"] == "private, no-cache"
    assert f"You are the claw `{name}`." in before.body.decode()
    assert "You hold no job now." in before.body.decode()
    job_id = head.submit(target=name, label="DO-NOT-REPEAT", spec="DO-NOT-REPEAT")["id"]
    claw.claim(job_id)
    after = claw.get("/skill.md", {"If-None-Match": before.headers["etag"]})
    assert after.status == 200
    assert f"| `{job_id}` | 1 | 1 of 5 |" in after.body.decode()
    assert b"DO-NOT-REPEAT" not in after.body
    assert claw.get("/skill.md", {"If-None-Match": after.headers["etag"]}).status == 304
    claw.post(f"/jobs/{job_id}/complete", {"fence": 1})
    assert claw.get("/skill.md").headers["etag"] == before.headers["etag"]


def test_each_asker_gets_a_rendering_of_its_own_and_no_token_stands_in_it(start_spine: StartSpine) -> None:
    started = start_spine(VIEWER_TOKEN="view-token-0001")
    asked = [started.nobody, started.head, started.left, started.right, Api(started.port, "view-token-0001")]
    answers = [api.get("/skill.md") for api in asked]
    assert [answer.status for answer in answers] == [200] * 5
    assert len({answer.headers["etag"] for answer in answers}) == 5
    assert [PART in answer.body.decode() for answer in answers] == [False, True, True, True, True]
    for answer in answers:
        assert not [token for token in (*TOKENS.values(), "view-token-0001") if token.encode() in answer.body]


def test_a_wrong_token_gets_what_anyone_gets(server: Server) -> None:
    answer = Api(server.port, "wrong-token-0001").get("/skill.md")
    assert (answer.status, answer.body) == (200, Api(server.port).get("/skill.md").body)
    assert answer.headers["vary"] == "Authorization"


def test_a_document_of_the_operator_gets_the_part_at_its_end(start_spine: StartSpine, tmp_path: Path) -> None:
    path = tmp_path / "mine.md"
    path.write_text("# Mine\n\n## One\n\nWords.\n")
    started = start_spine(SPINE_SKILL_MD_PATH=str(path))
    assert started.nobody.get("/skill.md").body == b"# Mine\n\n## One\n\nWords.\n"
    rendered = started.left.get("/skill.md").body.decode()
    assert rendered.startswith(f"# Mine\n\n## One\n\nWords.\n\n{PART}\n\nYou are the claw `left-claw`.")
