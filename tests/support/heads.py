"""Two heads with one lease on one spine, each behind a network of its own: who acts when the leader is gone."""

import signal
import time
from collections import Counter
from pathlib import Path

import pytest
from tests.support.eventually import eventually
from tests.support.figures import figure
from tests.support.loop_process import LoopProcess
from tests.support.proxy import Proxy
from tests.support.raw_http import Api
from tests.support.reckoning import Count
from tests.support.spine_process import TOKENS, SpineProcess

from contract.client import SpineClient
from contract.errors import NotFound, StaleFence
from contract.head_client import HeadClient
from contract.lease_client import LeaseClient
from contract.retry import ONCE
from contract.wire import NamedLease

NAME = "heads"
LEASE_SECONDS = 2
# From the end of the leader's lease to the first act of the next one.
TAKE_OVER_SECONDS = 2.0
PROMISED_SECONDS = LEASE_SECONDS + TAKE_OVER_SECONDS
KILLED, STOPPED, CUT_OFF = "leader killed", "leader stopped past its lease", "leader's call held back past its lease"
BLOWS = (KILLED, STOPPED, CUT_OFF)
POLICY = {"rules": [{"accept": True}], "notify": ["sh", "-c", "echo $SPINE_JOB_ID >> told"]}


class Heads:
    """Two loops, of which one acts; `close` ends both. They know the other spines of the same database too."""

    def __init__(
        self, folder: Path, spine: SpineProcess, *others: SpineProcess, lease_seconds: int = LEASE_SECONDS
    ) -> None:
        self.spine, self._lease_seconds = spine, lease_seconds
        elsewhere = [other.url for other in others]
        urls = [spine.url, *elsewhere]
        self.client = HeadClient(urls, TOKENS["HEAD_TOKEN"], retry=ONCE)
        self.leases = LeaseClient(urls, TOKENS["HEAD_TOKEN"], retry=ONCE)
        self._claw = SpineClient(urls, TOKENS["LEFT_CLAW_TOKEN"], worker_id="w1")
        self._proxies = [Proxy(spine.port) for _ in range(2)]
        known = [",".join([proxy.url, *elsewhere]) for proxy in self._proxies]
        self.loops = [LoopProcess(folder / f"head-{n}", each, POLICY) for n, each in enumerate(known)]
        for loop in self.loops:
            self.start(loop)

    def start(self, loop: LoopProcess) -> None:
        """Start a loop; it leads, or stands by, when this returns."""
        said = len(loop.said())
        loop.start(HEAD_LEASE_NAME=NAME, HEAD_LEASE_SECONDS=str(self._lease_seconds))
        eventually(lambda: loop.said()[said:], 30, what="a head that leads or stands by")

    def lease(self) -> NamedLease | None:
        """Return the lease; None when nobody has taken it yet."""
        try:
            return self.leases.lease(NAME)
        except NotFound:
            return None

    def _leader(self) -> tuple[LoopProcess, int] | None:
        lease = self.lease()
        if lease is None or lease.holder is None:
            return None
        pid = int(lease.holder.split("-")[-2])
        return next(((x, lease.fence) for x in self.loops if x.process is not None and x.process.pid == pid), None)

    def leader(self) -> tuple[LoopProcess, LoopProcess, int]:
        """Return who leads, who stands by, and the fence."""
        loop, fence = eventually(self._leader, 30, what="a leader")
        (other,) = [each for each in self.loops if each is not loop]
        return loop, other, fence

    def running(self) -> str:
        """Make a job that runs, and is to be reviewed; return its id."""
        job_id = self.client.submit({"target": "left-claw", "spec": "x", "needsReview": True}).id
        self._claw.claim_one(job_id)
        return job_id

    def complete(self, job_id: str) -> None:
        """Let a job be done."""
        self._claw.complete(job_id, 1, {"notes": "done"})

    def accepted(self, job_id: str) -> bool:
        """Tell whether a job has been accepted."""
        review = self.client.job(job_id).review
        return review is not None and review.state == "accepted"

    def reviews(self) -> Counter[str]:
        """How often each job has been reviewed."""
        found: Counter[str] = Counter()
        cursor: str | None = None
        while True:
            page = self.client.events(cursor, limit=1000)
            found.update(event.job_id or "" for event in page.events if event.type == "job.reviewed")
            if not page.events:
                return found
            cursor = page.next_cursor

    def round(self, blow: str) -> Count:
        """Strike the leader while there is something to do; `seconds` runs from the blow to the act of the other."""
        count = Count(blow, jobs=3)
        before, during, after = self.running(), self.running(), self.running()
        self.complete(before)
        eventually(lambda: self.accepted(before), 30, what="a review by the leader")
        leader, _, fence = self.leader()
        begun = time.monotonic()
        if blow == KILLED:
            leader.end(signal.SIGKILL)
            self.complete(during)
        else:
            self._strike(leader, during, blow)
        eventually(lambda: self.accepted(during), 30, every=0.02, what="a review by the other")
        count.seconds = time.monotonic() - begun
        now = self.lease()
        count.reached = now is not None and now.fence == fence + 1
        if blow == KILLED:
            self.start(leader)
        else:
            self._go_on(leader, blow)
        self._refuses(fence, after)
        self.complete(after)
        eventually(lambda: self.accepted(after), 30, what="a review after all")
        reviews = self.reviews()
        count.lost = [f"{job_id} was not reviewed" for job_id in (before, during, after) if not reviews[job_id]]
        count.twice = [f"{job_id} was reviewed {times} times" for job_id, times in reviews.items() if times > 1]
        return count

    def _strike(self, leader: LoopProcess, job_id: str, blow: str) -> None:
        proxy = self._proxies[self.loops.index(leader)]
        assert leader.process is not None
        if blow == CUT_OFF:
            proxy.stall_at(f"POST /jobs/{job_id}/review ")
            self.complete(job_id)
            eventually(lambda: proxy.stalled, 10, every=0.005, what="the call that is held back")
        leader.process.send_signal(signal.SIGSTOP)
        if blow == STOPPED:
            self.complete(job_id)

    def _go_on(self, leader: LoopProcess, blow: str) -> None:
        """Let the old leader, and what it sent last, go on: it is refused, and stands by."""
        assert leader.process is not None
        refused = self.refused()
        self._proxies[self.loops.index(leader)].mend()
        if blow == CUT_OFF:
            # It has not even noticed that time has passed: the spine alone can know.
            eventually(lambda: self.refused() > refused, what="the refusal of the call that was held back")
        leader.process.send_signal(signal.SIGCONT)
        eventually(lambda: leader.said()[-1]["what"] == "standby", 30, what="the old leader stands by")
        assert "deposed" in [line["what"] for line in leader.said()[-3:]]

    def refused(self) -> int:
        """How often a fence was refused by the spine."""
        return int(figure(Api(self.spine.port, TOKENS["HEAD_TOKEN"]), "spine_stale_fence_total"))

    def _refuses(self, fence: int, job_id: str) -> None:
        """See that nothing is changed in the name of a leader that was."""
        old = HeadClient(self.spine.url, TOKENS["HEAD_TOKEN"], retry=ONCE, lease=(NAME, fence))
        version = self.client.job(job_id).version
        for act in (old.cancel, lambda at: old.comment(at, "from the past"), lambda at: old.review(at, "accept")):
            with pytest.raises(StaleFence):
                act(job_id)
        assert self.client.job(job_id).version == version

    def close(self) -> None:
        """End both."""
        for loop in self.loops:
            if loop.process is not None and loop.process.poll() is None:
                loop.process.send_signal(signal.SIGCONT)
                loop.process.kill()
                loop.process.wait(10)
        for proxy in self._proxies:
            proxy.close()
