"""A text as a session on a real OpenClaw gateway: steered, cancelled, sent back, and what it took in the job's record.

One gateway, one claw and one spine serve all of them. What needs no real gateway is in `test_agent_sessions.py`.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from tests.integration.claw.conftest import Claw, Spine, until
from tests.support.mock_model import ANSWER, MockModel
from tests.support.real_gateway import TOKEN, RealGateway, installed

from claw.process import identity
from contract.wire import Job
from dispatch.gateway.client import Gateway
from dispatch.gateway.rows import View
from dispatch.settings import from_env

pytestmark = [pytest.mark.gateway, pytest.mark.timeout(300)]

TURN_SECONDS = 60.0


@pytest.fixture(scope="module")
def model() -> Iterator[MockModel]:
    found = MockModel().start()
    yield found
    found.stop()


@pytest.fixture(scope="module")
def gateway(model: MockModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealGateway]:
    packages = installed()
    if packages is None:
        pytest.skip("no OpenClaw gateway is installed: run `make gateway` (npm is needed)")
    found = RealGateway(packages, tmp_path_factory.mktemp("gateway") / "home", model.url)
    try:
        yield found.start()
    finally:
        found.kill9()


@pytest.fixture(scope="module")
def claw(spine: Spine, gateway: RealGateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Claw]:
    machine = Claw(spine, "claw-199", tmp_path_factory.mktemp("claw") / "machine")
    machine.start(OPENCLAW_GATEWAY_URL=gateway.url, OPENCLAW_GATEWAY_TOKEN=TOKEN)
    yield machine
    machine.kill_all()


@pytest.fixture
def sessions(gateway: RealGateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The gateway's own word on its sessions."""
    environ = {"OPENCLAW_GATEWAY_URL": gateway.url, "OPENCLAW_GATEWAY_TOKEN": TOKEN}
    home = tmp_path_factory.mktemp("looker")
    with Gateway.connect(from_env({**environ, "SPINE_DISPATCH_HOME": str(home)})) as client:
        yield client


def ask(claw: Claw, model: str, text: str, **fields: Any) -> str:
    return claw.submit(text, requires=["agent"], meta={"agent": {"id": "main", "model": f"mock/{model}"}}, **fields)


def session_of(sessions: Gateway, job_id: str) -> View:
    """Return the session of a job: its label is the job's id."""
    (row,) = sessions.sessions(label=job_id)
    return sessions.look(row.key)


def ended(claw: Claw, job_id: str, round_: int = 1) -> Job:
    def look() -> Job | None:
        job = claw.job(job_id)
        return job if job.round == round_ and job.status not in ("queued", "running") else None

    job: Job = until(look, TURN_SECONDS, every=0.05)
    return job


def test_what_it_took_is_in_the_jobs_record_with_every_call_of_the_model(claw: Claw, model: MockModel) -> None:
    job_id = ask(claw, "works", "Work, then say what the answer is.")
    job = ended(claw, job_id)
    assert (job.status, job.result["notes"]) == ("done", ANSWER)
    # Two calls: one asks for a tool, one answers; the mock model counts 100 tokens in and 10 out for each.
    used = {"input": 200, "output": 20, "total": 220, "model": "works", "provider": "mock"}
    assert job.result["usage"] == used
    assert "tool: worked" in model.talks[-1]
    log = claw.spine.head.read_log(job_id).decode()
    assert "total 220" in log
    assert ANSWER in log


def test_what_the_head_says_while_it_runs_reaches_the_agent_and_its_answer_the_result(
    claw: Claw, model: MockModel, sessions: Gateway
) -> None:
    job_id = ask(claw, "sleeps", "Sail to the island.")
    until(lambda: model.asked("Sail to the island."), TURN_SECONDS)
    claw.spine.head.comment(job_id, "Mind the reef in the north.")
    # The turn under way is not cut off: the gateway keeps the message for the next one.
    until(lambda: [m for m in session_of(sessions, job_id).messages if m.pending], TURN_SECONDS)
    model.wake()
    until(lambda: model.asked("Mind the reef in the north."), TURN_SECONDS)
    talk = "\n".join(model.talks[-1])
    assert talk.index("user: ") < talk.index(f"assistant: {ANSWER}") < talk.index("Mind the reef in the north.")
    assert claw.job(job_id).status == "running", "what the agent makes of it belongs to the job"
    model.wake()
    job = ended(claw, job_id)
    assert (job.status, job.result["notes"]) == ("done", f"{ANSWER}\n\n{ANSWER}")
    assert (job.result["usage"]["input"], job.result["usage"]["output"]) == (200, 20)
    assert session_of(sessions, job_id).row.active is False


def test_a_cancel_cuts_the_models_call_off_and_leaves_no_run(claw: Claw, model: MockModel, sessions: Gateway) -> None:
    job_id = ask(claw, "sleeps", "Count all the sand.")
    until(lambda: model.asked("Count all the sand."), TURN_SECONDS)
    claw.spine.head.comment(job_id, "The black sand too.")
    until(lambda: [m for m in session_of(sessions, job_id).messages if m.pending], TURN_SECONDS)
    before = model.hung_up
    claw.spine.head.cancel(job_id)
    until(lambda: model.hung_up == before + 1, TURN_SECONDS)
    until(lambda: not identity.marked({"SPINE_JOB_ID": job_id}), TURN_SECONDS)
    row = session_of(sessions, job_id).row
    assert row is not None
    assert (row.status, row.active, row.active_run_ids) == ("killed", False, ())
    assert model.asked("The black sand too.") == 0, "what waited for its turn went with it"
    assert claw.job(job_id).status == "cancelled"


def test_work_that_is_sent_back_goes_on_in_the_session_that_knows_it(
    claw: Claw, model: MockModel, sessions: Gateway
) -> None:
    job_id = ask(claw, "answers", "Write a letter to the harbour.", needsReview=True)
    first = ended(claw, job_id)
    claw.spine.head.review(job_id, "rework", "Shorter, please.")
    again = ended(claw, job_id, round_=2)
    assert again.result["session"] == first.result["session"]
    assert (again.result["usage"]["input"], again.result["usage"]["total"]) == (100, 110), "each round counts its own"
    assert model.prompts[-1][1].startswith("Write a letter to the harbour.")
    assert "> Shorter, please." in model.prompts[-1][1]
    roles = [message.role for message in session_of(sessions, job_id).messages]
    assert roles == ["user", "assistant", "user", "assistant"]
    # The model is given the whole of it: the first prompt, its answer, and the second prompt.
    told = [line.split(":")[0] for line in model.talks[-1]]
    assert told == ["user", "assistant", "user"]
    assert f"assistant: {ANSWER}" in model.talks[-1]
