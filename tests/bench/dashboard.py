"""The dashboard: what a page costs the server with a million jobs, what the first view weighs, what open pages cost."""

import asyncio
import gzip
import re
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from tests.bench.figures import Figure, Gate, Part, percentile
from tests.bench.load import Clients, request
from tests.bench.plan import Plan
from tests.bench.servers import HEAD, Server
from tests.bench.stores import Filling

PAGE = Gate("at most", 100)
# No job has this word: the search goes through as many as it may.
NOWHERE = "nowhere-to-be-found"
TEXT = """A store of {jobs} jobs, of which 19 of 20 have ended within the last day, one in a hundred badly. One browser
asks for each page {looks} times a round; what is told is the time from the request to the whole answer, uncompressed.
The first view is the board with all that it brings along, compressed. Then {open} pages are open and nothing happens:
the CPU time of the serving process ({seconds:g} s a value)."""


async def dashboard(plan: Plan, folder: Path, say: Callable[[str], None]) -> Part:
    """Measure, and return the figures."""
    with ExitStack() as stack:
        say(f"filling a store: {plan.many:,} jobs, most of them ended")
        path = folder / "fill-pages.db"
        filling = Filling(path)
        filling.queued(plan.many)
        filling.end_most()
        filling.close()
        server = Server(folder / "pages", path)
        stack.callback(server.close)
        clients = await Clients.connect(server.port, 1)
        stack.callback(clients.close)
        (body,) = (await clients.drive([request("GET", "/jobs?status=dead&limit=1", HEAD)], 200)).bodies
        found = re.search(rb'"id":"([^"]+)"', body)
        assert found is not None, body[:200]
        pages = {
            "board": "/ui",
            "jobs": "/ui/jobs",
            "jobs that are dead": "/ui/jobs?status=dead",
            "jobs of several states and one target": "/ui/jobs?status=failed,dead,queued&target=left-claw",
            "jobs with a word that none has": f"/ui/jobs?q={NOWHERE}",
            "one job": f"/ui/jobs/{found[1].decode()}",
            "machines": "/ui/machines",
            "dead letters": "/ui/dead",
        }
        taken: dict[str, list[float]] = {name: [] for name in pages}
        for n in range(plan.page_rounds + 1):
            for name, path_of in pages.items():
                asked = [request("GET", path_of, HEAD)] * plan.page_looks
                latencies = (await clients.drive(asked, 200)).latencies
                if n:  # the first round warms up
                    taken[name].append(percentile(latencies, 0.95) * 1e3)
        say(f"pages, p95 in ms: { {name: round(values[-1], 1) for name, values in taken.items()} }")
        weight = await _first_view(server.port)
        share = await _open_pages(plan, server)
        say(f"first view {weight:.1f} kB, {plan.open_pages} open pages {share[-1]:.2f} % of a core")
    jobs = f"{plan.many:,}"
    text = TEXT.format(jobs=jobs, looks=plan.page_looks, open=plan.open_pages, seconds=plan.idle_seconds)
    figures = [Figure(f"page of {name}, p95", values, "ms", PAGE) for name, values in taken.items()]
    figures.append(Figure("first view, compressed", [weight], "kB", Gate("at most", 150)))
    figures.append(Figure(f"{plan.open_pages} open pages, share of a core", share, "%", Gate("at most", 10)))
    return Part("Dashboard", text, figures)


async def _first_view(port: int) -> float:
    """Return the bytes (kB) of the board and of every file that it, and those, bring along."""
    known, left, whole = set[str](), ["/ui"], 0
    while left:
        path = left.pop()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request("GET", path, HEAD, accept_encoding="gzip", connection="close"))
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        assert head.startswith(b"HTTP/1.1 200 "), head
        assert b"content-encoding: gzip" in head, head
        whole += len(body)
        text = gzip.decompress(body).decode()
        named = re.findall(r'(?:href|src)="(/ui/static/[^"]+)"', text)
        named += [
            f"/ui/static/{name}"
            for name in re.findall(r'from "\./([^"]+)"|import "\./([^"]+)"', text)
            for name in name
            if name
        ]
        left += [name for name in named if name not in known]
        known |= set(named)
    return whole / 1000


async def _open_pages(plan: Plan, server: Server) -> list[float]:
    """Return what share of a core (%) goes for streams to which nothing is told."""
    writers = []
    clients = await Clients.connect(server.port, 1)
    (body,) = (await clients.drive([request("GET", "/ui", HEAD)], 200)).bodies
    clients.close()
    cursor = re.search(rb'data-cursor="([^"]+)"', body)
    assert cursor is not None, body[:300]
    asked = request("GET", "/events", HEAD, accept="text/event-stream", last_event_id=cursor[1].decode())
    for _ in range(plan.open_pages):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(asked)
        begun = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
        assert begun.startswith(b"HTTP/1.1 200 "), begun
        writers.append(writer)
    await asyncio.sleep(plan.settle_seconds)
    share = []
    for _ in range(plan.idle_windows):
        before, since = server.cpu(), time.perf_counter()
        await asyncio.sleep(plan.idle_seconds)
        share.append((server.cpu() - before) / (time.perf_counter() - since) * 100)
    for writer in writers:
        writer.close()
    return share
