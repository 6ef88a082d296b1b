"""The dashboard over HTTP: who is let in and how, what a session may do, what a page says and never lets through."""

import gzip
from urllib.parse import urlencode

import pytest
from tests.support.raw_http import Answer, Api
from tests.support.server import Server, StartSpine
from tests.support.spine_process import TOKENS

PAGES = ("/ui", "/ui/jobs", "/ui/machines", "/ui/schedules", "/ui/notices", "/ui/dead")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'; "
    "trusted-types spine"
)
HEAD = TOKENS["HEAD_TOKEN"]
OURS = {"X-Spine-Page": "1"}


def sign_in(server: Server, token: str, following: str = "", **headers: str) -> Answer:
    form = urlencode({"token": token, "next": following}).encode()
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return Api(server.port).call("POST", "/ui/sign-in", form, sent)


def session(server: Server, token: str = HEAD) -> dict[str, str]:
    answer = sign_in(server, token)
    assert answer.status == 303, answer
    return {"Cookie": answer.headers["set-cookie"].partition(";")[0]}


def page(server: Server, path: str, signed_in: dict[str, str]) -> str:
    answer = server.nobody.get(path, signed_in)
    assert answer.status == 200, answer
    return answer.body.decode()


def test_a_stranger_is_led_to_the_sign_in_and_back(server: Server) -> None:
    answer = server.nobody.get("/ui/jobs?status=dead")
    assert (answer.status, answer.headers["location"]) == (303, "/ui/sign-in?next=%2Fui%2Fjobs%3Fstatus%3Ddead")
    form = server.nobody.get(answer.headers["location"])
    assert form.status == 200
    assert b'value="/ui/jobs?status=dead"' in form.body
    following = sign_in(server, HEAD, "/ui/jobs?status=dead")
    assert (following.status, following.headers["location"]) == (303, "/ui/jobs?status=dead")


def test_the_cookie_is_for_our_pages_alone_and_holds_no_token(server: Server) -> None:
    given = sign_in(server, HEAD).headers["set-cookie"]
    name, *marks = given.split("; ")
    assert sorted(marks) == ["HttpOnly", "Max-Age=604800", "Path=/", "SameSite=Strict"]
    assert name.startswith("spine_session=")
    assert HEAD not in given
    assert "Secure" in sign_in(server, HEAD, X_Forwarded_Proto="https").headers["set-cookie"].split("; ")


@pytest.mark.parametrize(
    "elsewhere", ["https://evil.example.org/", "//evil.example.org", "/\\evil.example.org", "/uix", "/jobs", "/ui\n/x"]
)
def test_nobody_is_led_elsewhere(server: Server, elsewhere: str) -> None:
    assert sign_in(server, HEAD, elsewhere).headers["location"] == "/ui"


@pytest.mark.parametrize(
    ("token", "status", "told"),
    [
        ("", 422, "Paste a token"),
        ("x" * 2000, 422, "Paste a token"),
        ("no-such-token", 401, "This token is not known"),
        (TOKENS["LEFT_CLAW_TOKEN"], 403, "This is the token of the claw left-claw"),
    ],
)
def test_who_is_not_let_in_is_told_why(server: Server, token: str, status: int, told: str) -> None:
    answer = sign_in(server, token)
    assert answer.status == status
    assert told in answer.body.decode()
    assert "set-cookie" not in answer.headers


def test_guessing_is_throttled_and_the_right_token_is_not(start_spine: StartSpine) -> None:
    server = start_spine()
    answers = [sign_in(server, f"guess-{n}").status for n in range(101)]
    assert answers == [401] * 100 + [429]
    assert sign_in(server, HEAD).status == 303


def test_a_form_of_another_page_is_not_taken(server: Server) -> None:
    for headers in ({"Sec_Fetch_Site": "cross-site"}, {"Sec_Fetch_Site": "same-site"}, {"Origin": "http://other:1"}):
        answer = sign_in(server, HEAD, **headers)
        assert (answer.status, "set-cookie" in answer.headers) == (403, False)


def test_a_session_changes_things_from_our_pages_alone(server: Server) -> None:
    signed_in = session(server)
    job = server.head.submit(target="left-claw", spec="a")
    path = f"/jobs/{job['id']}/cancel"
    assert server.nobody.call("POST", path, b"{}", signed_in).error == "unauthorized"
    foreign = signed_in | OURS | {"Sec-Fetch-Site": "same-site"}
    assert server.nobody.call("POST", path, b"{}", foreign).error == "unauthorized"
    assert server.head.job(job["id"])["status"] == "queued"
    ours = signed_in | OURS | {"Sec-Fetch-Site": "same-origin"}
    assert server.nobody.call("POST", path, b"{}", ours).json["status"] == "cancelled"
    assert server.nobody.get(f"/jobs/{job['id']}", signed_in).json["status"] == "cancelled"


def test_a_session_ends_by_signing_out(server: Server) -> None:
    signed_in = session(server)
    out = server.nobody.call("POST", "/ui/sign-out", b"", signed_in)
    assert (out.status, out.headers["location"]) == (303, "/ui/sign-in")
    assert server.nobody.get("/jobs?limit=1", signed_in).error == "unauthorized"
    assert server.nobody.get("/ui", signed_in).status == 303
    assert server.nobody.get("/ui", signed_in | OURS).error == "unauthorized"


def test_a_session_lives_on_when_the_server_is_started_anew_and_ends_with_its_token(start_spine: StartSpine) -> None:
    server = start_spine()
    signed_in = session(server)
    server.process.kill9()
    again = start_spine(server.process.folder)
    assert page(again, "/ui", signed_in)
    again.process.kill9()
    rotated = start_spine(server.process.folder, HEAD_TOKEN="another-token-0001")
    assert rotated.nobody.get("/ui", signed_in).status == 303
    assert rotated.nobody.get("/jobs?limit=1", signed_in).error == "unauthorized"


def test_a_link_from_elsewhere_leads_on_though_its_cookie_stayed_behind(server: Server) -> None:
    answer = server.nobody.get("/ui/jobs/x", {"Sec-Fetch-Site": "cross-site"})
    assert answer.status == 200
    assert b'<meta http-equiv="refresh" content="0; url=/ui/jobs/x">' in answer.body


def test_a_viewer_sees_all_and_changes_nothing(start_spine: StartSpine) -> None:
    server = start_spine(VIEWER_TOKEN="viewer-token-0001")
    signed_in = session(server, "viewer-token-0001")
    job = server.head.submit(target="left-claw", spec="a", needsApproval=True)
    for path in (*PAGES, f"/ui/jobs/{job['id']}"):
        shown = page(server, path, signed_in)
        assert "data-call=" not in shown
        assert "data-bulk=" not in shown
    assert server.nobody.call("POST", f"/jobs/{job['id']}/approve", b"{}", signed_in | OURS).error == "unauthorized"


@pytest.mark.parametrize("path", [*PAGES, "/ui/sign-in", "/ui/static/main.js", "/ui/nowhere"])
def test_every_answer_has_the_policy(server: Server, path: str) -> None:
    answer = server.nobody.get(path, session(server))
    assert answer.headers["content-security-policy"] == POLICY
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "same-origin"


def test_pages_hold_no_program_and_no_style_of_their_own(server: Server) -> None:
    server.head.submit(target="left-claw", spec={"run": "true"}, needsApproval=True)
    for path in PAGES:
        shown = page(server, path, session(server))
        assert "style=" not in shown
        assert "onclick" not in shown
        assert shown.count("<script") == 2
        assert "http://" not in shown.replace(f"http://127.0.0.1:{server.port}", "")


def test_markup_in_every_text_stays_text(start_spine: StartSpine) -> None:
    server = start_spine()
    evil = "<img src=x onerror=alert(1)>'\"</pre></script>\u202egnp"
    claw = server.claw("c0")
    job = server.head.submit(
        target="c0", spec={"run": evil, "repo": evil}, label=evil, meta={"x": evil}, needsReview=True
    )
    held = claw.claim_next()[0]
    claw.post(f"/jobs/{job['id']}/heartbeat", {"fence": held["fence"], "progress": {"phase": evil, "percent": 10**400}})
    server.head.post(f"/jobs/{job['id']}/comment", {"text": evil})
    running = [page(server, path, session(server)) for path in ("/ui", "/ui/jobs", f"/ui/jobs/{job['id']}")]
    result = {
        "branch": evil,
        "pr": "javascript:alert(1)",
        "url": "data:text/html,x",
        "notes": evil,
        "howToTest": [evil],
    }
    result |= {"artifacts": [{"name": evil, "url": "javascript:alert(1)"}], "phases": [{"name": evil}], evil: evil}
    claw.post(f"/jobs/{job['id']}/complete", {"fence": held["fence"], "result": result})
    other = server.head.submit(target="c0", spec=evil, maxAttempts=1)
    claw.post(f"/jobs/{other['id']}/claim")
    claw.post(f"/jobs/{other['id']}/fail", {"error": evil})
    for path in (*PAGES, f"/ui/jobs/{job['id']}", f"/ui/jobs/{other['id']}", f"/ui/jobs?q={evil[:5]}&label={evil[:5]}"):
        running.append(page(server, path.replace("<", "%3C").replace(" ", "%20"), session(server)))
    for shown in running:
        assert "<img src=x" not in shown
        assert "\u202e" not in shown
        assert 'href="javascript:' not in shown
        assert 'href="data:' not in shown
    assert 'value="100"' in running[0]  # what lies about its progress stays within


def test_the_board_says_what_runs_what_waits_and_why(start_spine: StartSpine) -> None:
    server = start_spine()
    claw = server.claw("c0")
    server.head.submit(target="c0", spec="first")
    claw.claim_next()
    server.head.submit(target="any", spec="second", requires=["windows"])
    server.head.submit(target="c0", spec="third", needsApproval=True)
    shown = page(server, "/ui", session(server))
    assert "no machine for any has all of windows" in shown
    running, needs = shown.index('id="running"'), shown.index('id="needs"')
    assert needs < shown.index(">third<") < running < shown.index(">first<") < shown.index('id="waiting"')
    assert shown.index('id="waiting"') < shown.index(">second<") < shown.index('id="ended"')


def test_a_job_that_is_not_there_is_told_as_a_page(server: Server) -> None:
    answer = server.nobody.get("/ui/jobs/nosuch", session(server))
    assert answer.status == 404
    assert "there is no job nosuch" in answer.body.decode()


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("status=odd", "none of queued, running"),
        ("since=1y", "since: one of 1h, 24h, 7d, 30d"),
        ("cursor=x", "cursor: not one of this store"),
        (f"q={'x' * 201}", "q: at most 200 characters"),
        ("label=%00", "label: a NUL cannot be looked for"),
    ],
)
def test_a_filter_that_cannot_be_used_names_its_fault(server: Server, query: str, told: str) -> None:
    answer = server.nobody.get(f"/ui/jobs?{query}", session(server))
    assert answer.status == 422
    assert told in answer.body.decode()


@pytest.mark.parametrize("path", PAGES)
def test_a_name_that_comes_twice_is_no_fault_of_the_server(server: Server, path: str) -> None:
    query = "&".join(f"{name}=x&{name}=y" for name in ("cursor", "status", "q", "target", "since", "what"))
    assert server.nobody.get(f"{path}?{query}", session(server)).status in (200, 422)


def test_who_sends_a_broken_origin_is_refused(server: Server) -> None:
    for origin in ("http://[x", "null"):
        assert sign_in(server, HEAD, Origin=origin).status == 403


def test_pages_are_small_and_compressed(server: Server) -> None:
    whole = 0
    for path in (
        "/ui",
        *(f"/ui/static/{name}" for name in ("style.css", "theme.js", "main.js", "mark.svg", "live.js")),
    ):
        answer = server.nobody.get(path, session(server) | {"Accept-Encoding": "gzip"})
        assert answer.headers["content-encoding"] == "gzip"
        assert gzip.decompress(answer.body)
        whole += len(answer.body)
    assert whole < 30_000


def test_a_file_is_sent_once(server: Server) -> None:
    first = server.nobody.get("/ui/static/style.css")
    again = server.nobody.get("/ui/static/style.css", {"If-None-Match": first.headers["etag"]})
    assert (first.status, again.status, again.body) == (200, 304, b"")
    assert server.nobody.get("/ui/static/..%2Fsite.py").status == 404


def test_a_dry_run_counts_what_a_bulk_verb_would_take_and_changes_nothing(start_spine: StartSpine) -> None:
    server = start_spine()
    claw = server.claw("c0")
    for n in range(3):
        server.head.submit(target="c0", spec=n, label="x")
    held = claw.claim_next()[0]
    claw.post(f"/jobs/{held['id']}/complete", {"fence": held["fence"], "result": 1})
    ask = {"label": "x", "dryRun": True}
    assert server.head.post("/jobs/bulk/cancel", ask).json == {"matched": 2, "changed": 0, "nextCursor": None}
    assert server.head.post("/jobs/bulk/retry", ask).json["matched"] == 0
    assert server.head.post("/jobs/bulk/cancel", ask | {"status": ["done"]}).json["matched"] == 0
    assert server.head.post("/jobs/bulk/cancel", {"label": "x"}).json["changed"] == 2


def test_an_id_that_is_looked_for_must_fit_the_other_filters_and_the_page_says_when_it_does_not(server: Server) -> None:
    job = server.head.submit(target="c0", label="x")
    line = f'<tr data-key="{job["id"]}">'

    def page(query: str) -> str:
        return server.nobody.get(f"/ui/{query}", session(server)).body.decode()

    for fitting in ("", "&label=x", "&status=queued&target=c0&since=1h"):
        found = page(f"jobs?q={job['id']}{fitting}")
        assert (line in found, "has this id" in found) == (True, False), fitting
    for other in ("&label=y", "&status=done", "&status=queued&target=any", "&machine=c0"):
        found = page(f"jobs?q={job['id']}{other}")
        assert (line in found, "has this id, but does not match the other filters" in found) == (False, True), other
    dead = page(f"dead?q={job['id']}")
    assert "data-resubmit" not in dead
    assert "has this id, but is no dead letter that matches the other filters" in dead
