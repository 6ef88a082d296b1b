"""What /llms.txt and the part of /skill.md for a token say."""

import re
from typing import Any

import pytest

from spine.api import openapi
from spine.api.documents import Held, Standing, beat_seconds, built_in_skill, joined, llms_text, part
from spine.api.routes import ROUTES
from spine.queue.access import Principal
from spine.settings import Settings

SETTINGS = Settings(principals={})
CLAW, HEAD, VIEWER = Principal("build-1", "claw"), Principal("head", "head"), Principal("viewer", "viewer")
CHAT = Principal("chat", "chat")


def told(standing: Standing, settings: Settings = SETTINGS) -> str:
    """Return what stands before the tables of calls and limits."""
    return part(settings, standing).partition("\n\n| you may call | |\n")[0]


def callable_by(principal: Principal) -> set[str]:
    """Return the calls that the part lists."""
    return set(re.findall(r"^\| `([A-Z]+ /\S*)` \|", part(SETTINGS, Standing(principal)), re.MULTILINE))


# --- the part for a token --------------------------------------------------------------------------------------------


def test_a_claw_is_told_its_name_its_lease_and_what_it_holds() -> None:
    held = (Held("abc", 7, 2, 5), Held("def", 1, 1, 3))
    assert told(Standing(CLAW, held=held)) == (
        "## For the token that asked\n\n"
        "You are the claw `build-1`. You see and take jobs whose target is `build-1` or `any`.\n\n"
        "A lease lasts 300 s. After `POST /jobs/claim` it lasts 15 s until the first heartbeat or log."
        " Send a heartbeat every 10 s.\n\n"
        "You hold now:\n\n"
        "| job | fence | attempt |\n|---|---|---|\n| `abc` | 7 | 2 of 5 |\n| `def` | 1 | 1 of 3 |"
    )


def test_a_claw_that_holds_nothing_is_told_so() -> None:
    assert told(Standing(CLAW)).endswith("\n\nYou hold no job now.")


def test_a_claw_is_told_that_it_drains_and_what_is_paused() -> None:
    said = told(Standing(CLAW, "draining", ("any", "build-1")))
    assert "This machine is draining: finish what it holds; it is given nothing new." in said
    assert "The target `any` is paused: its jobs stay queued." in said
    assert "The target `build-1` is paused: its jobs stay queued." in said


def test_a_short_lease_is_told_with_a_fitting_heartbeat() -> None:
    said = told(Standing(CLAW), Settings(principals={}, lease_seconds=8))
    assert (
        "A lease lasts 8 s. After `POST /jobs/claim` it lasts 8 s until the first heartbeat or log."
        " Send a heartbeat every 2 s." in said
    )


@pytest.mark.parametrize(("lease", "beat"), [(1, 1), (4, 1), (8, 2), (39, 9), (40, 10), (300, 10)])
def test_a_heartbeat_is_due_four_times_a_lease_but_not_oftener_than_needed(lease: int, beat: int) -> None:
    assert beat_seconds(lease) == beat


def test_a_head_is_told_what_is_open() -> None:
    standing = Standing(
        HEAD,
        paused=("left-claw",),
        open_jobs=(("queued", 3), ("running", 1), ("waiting", 0)),
        fleet=(("active", 2), ("revoked", 1)),
    )
    assert told(standing) == (
        "## For the token that asked\n\n"
        "You are a **head**. You submit jobs, see all of them, decide on them, and look after the machines.\n\n"
        "Jobs that have not ended: 3 queued, 1 running, 0 waiting.\n\n"
        "Machines that have been heard of: 2 active, 1 revoked.\n\n"
        "Paused targets: `left-claw`."
    )


def test_a_viewer_is_told_that_it_changes_nothing() -> None:
    said = told(Standing(VIEWER, open_jobs=(("queued", 0),)))
    assert "You are a **viewer**. You see everything and change nothing" in said
    assert said.endswith("Machines that have been heard of: none.")


def test_a_chat_front_is_told_its_few_calls() -> None:
    said = told(Standing(CHAT, open_jobs=(("queued", 0),)))
    assert "You are a **chat front**. You speak for people: you submit jobs one by one" in said
    assert callable_by(CHAT) == {
        "GET /jobs",
        "POST /jobs",
        "GET /jobs/{job_id}",
        "GET /jobs/{job_id}/why",
        "GET /jobs/{job_id}/attempts",
        "GET /jobs/{job_id}/events",
        "GET /jobs/{job_id}/log",
        "POST /jobs/{job_id}/comment",
        "POST /jobs/{job_id}/cancel",
        "POST /jobs/{job_id}/approve",
        "POST /jobs/{job_id}/reject",
        "POST /jobs/{job_id}/review",
        "GET /events",
        "GET /machines",
        "GET /blobs/{blob_id}",
        "HEAD /blobs/{blob_id}",
    }


def test_each_role_is_told_its_own_verbs() -> None:
    head, claw, viewer = callable_by(HEAD), callable_by(CLAW), callable_by(VIEWER)
    assert {"POST /jobs", "POST /jobs/{job_id}/adopt", "POST /jobs/bulk/cancel", "POST /machines/{name}/revoke"} <= head
    assert {"POST /jobs/claim", "POST /jobs/{job_id}/claim", "POST /machines/{name}/facts"} <= claw
    assert not {"POST /jobs/claim", "POST /machines/{name}/facts"} & head
    assert not {"POST /jobs", "POST /jobs/{job_id}/cancel", "POST /machines/join-codes"} & claw
    assert {call.partition(" ")[0] for call in viewer} == {"GET", "HEAD"}
    assert {"GET /jobs", "GET /events", "GET /jobs/{job_id}/why"} <= viewer <= head | claw


def test_the_limits_are_those_of_the_settings() -> None:
    settings = Settings(principals={}, body_max_bytes=2 * 1024 * 1024, comment_max_bytes=1000, field_max_bytes=1024)
    assert part(settings, Standing(CLAW)).endswith(
        "| at most | |\n|---|---|\n"
        "| body of a call, in JSON | 2 MiB |\n"
        "| spec, meta, result, progress, error | 1 KiB each |\n"
        "| comment | 1000 bytes |\n"
        "| upload | 256 MiB |\n"
        "| log of one attempt | 64 MiB |\n"
        "| jobs in one claim | 100 |\n"
        "| wait of one claim | 30 s |\n"
    )


# --- its place -------------------------------------------------------------------------------------------------------


def test_the_part_stands_in_front_of_the_first_section() -> None:
    text = "---\nname: x\n---\n# Title\n\nWords.\n\n## One\n\n## Two\n"
    assert joined(text, "## Part\n", at_end=False) == (
        "---\nname: x\n---\n# Title\n\nWords.\n\n## Part\n\n## One\n\n## Two\n"
    )


def test_a_document_without_sections_gets_it_at_its_end() -> None:
    assert joined("# Title\nWords.", "## Part\n", at_end=False) == "# Title\nWords.\n\n## Part\n"


def test_a_document_of_the_operator_gets_it_at_its_end() -> None:
    assert joined("# Mine\n\n## One\n\n", "## Part\n", at_end=True) == "# Mine\n\n## One\n\n## Part\n"


def test_the_built_in_document_stays_whole_around_it() -> None:
    text = built_in_skill()
    found = joined(text, "## Part\n", at_end=False)
    assert found.startswith("---\nname: spinal-cord\n")
    assert found.replace("## Part\n\n", "").replace("\n\n## Part\n", "\n").strip() == text.strip()


# --- /llms.txt -------------------------------------------------------------------------------------------------------


def test_llms_txt_has_the_form_that_its_readers_know() -> None:
    lines = llms_text().splitlines()
    assert lines[0] == "# Spinal Cord"
    assert lines[2].startswith("> A job queue for a fleet of agent machines.")
    assert [line for line in lines if line.startswith("#")] == [
        "# Spinal Cord",
        "## Documents",
        "## Main routes",
        "## Optional",
    ]
    assert all(re.fullmatch(r"- \[[^]]+\]\(/\S+\): .+", line) for line in lines if line.startswith("- "))


def test_every_link_of_llms_txt_leads_somewhere() -> None:
    links = re.findall(r"\]\((/[^)#]*)(?:#(/\S*))?\)", llms_text())
    assert {path for path, _ in links} <= {route.path for route in ROUTES}
    assert [path for path, pointer in links if not pointer] == ["/skill.md", "/openapi.json"]
    for _, pointer in links:
        found: Any = openapi.document()
        for step in pointer.split("/")[1:]:
            found = found[step.replace("~1", "/").replace("~0", "~")]
