"""`claw run`: the resident claw. APScheduler ticks look after what is held; one thread long-polls and carries on."""

import random
import signal
import threading
import time
from collections.abc import Callable

import structlog
from apscheduler.schedulers.background import BackgroundScheduler

from claw import exits, outcome
from claw.leash import Leash
from claw.runner import launch, outbox
from claw.settings import Settings
from claw.sleep import SleepWatch
from claw.state import Held, Journal
from claw.ticks import hand as hands
from contract.clock import SystemClock
from contract.errors import SpineError, Unauthorized
from contract.latch import Latch
from contract.liveness import Beacon
from contract.retry import RetryPolicy
from contract.sdnotify import Notifier

_TROUBLE_SECONDS = (1.0, 30.0)
_SLEEP_LOOK_SECONDS = 5
_ALIVE_SECONDS = 5
_STOP_SECONDS = 1.0
# The turning thread comes back by itself, so its calls need little patience of their own.
_RETRY = RetryPolicy(attempts=2, total_seconds=5.0)

log = structlog.get_logger()


class Daemon:
    """Owns the state folder while it runs. SIGTERM and SIGINT drain; a second one gives the job back at once.

    SIGHUP hands over: the daemon leaves, and what it holds goes on until the next one takes it up.
    """

    def __init__(self, settings: Settings, journal: Journal, notifier: Notifier | None = None) -> None:
        self._settings, self._journal = settings, journal
        self._notifier, self._status = notifier or Notifier(), ""
        self._stop, self._work = Leash(), Leash()
        self._lost = threading.Event()
        self._drains, self._hurry = Latch(), Latch()  # set in handlers of signals
        self._locked_out = threading.Event()
        self._told = False
        self._kick = threading.Event()
        self._turning = hands.make(settings, journal, self._stop, self._work, _RETRY)
        self._looking = hands.make(settings, journal, self._stop, self._work, _RETRY)
        self._sleep = SleepWatch(SystemClock())
        self._beacon = Beacon(settings.state_dir / "alive", self._notifier)
        self._thread = threading.Thread(target=self._turn_on, name="hand", daemon=True)

    def run(self) -> int:
        """Work until a signal comes, or the spine refuses the token for good; returns the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGHUP, self._on_hangup)
        self._turning.look_after()
        scheduler = self._schedule()
        self._thread.start()
        self._tell_alive()
        scheduler.start()
        self._notifier.ready(self._status)
        log.info("claw.started", machine=self._settings.name, mode=self._settings.mode)
        try:
            while not self._stop.wait(3600):
                pass
            self._kick.set()
            if self._locked_out.is_set():
                self._abandon()
            elif self._drains.is_set() or not self._hand_over():
                self._drain()
        finally:
            scheduler.shutdown(wait=False)
        log.info("claw.stopped", machine=self._settings.name)
        return exits.CONFIG if self._locked_out.is_set() else exits.OK

    def _schedule(self) -> BackgroundScheduler:
        # APScheduler drops a tick that is 1 s late unless told otherwise: on a busy machine ticks would vanish.
        scheduler = BackgroundScheduler(
            timezone="UTC", job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1}
        )
        every = self._settings.tick_seconds
        for name, what, seconds in (
            ("heartbeat", self._reconcile, every),
            ("claim or reconcile", self._mind_thread, every),
            ("advance", self._kick.set, every),
            ("outbox", self._kick.set, every),
            ("facts", self._tell_facts, min(every, self._settings.facts_seconds)),
            ("sleep check", self._sleep_check, min(every, _SLEEP_LOOK_SECONDS)),
            ("alive", self._tell_alive, min(every, _ALIVE_SECONDS)),
        ):
            scheduler.add_job(_logged(name, what), "interval", seconds=seconds, id=name, name=name)
        scheduler.add_job(self._tell_facts, id="first facts", name="first facts")
        return scheduler

    # --- the ticks -------------------------------------------------------------------------------------------------

    def _reconcile(self) -> None:
        """Beat for what is held; the worker beats too, and more often. What is lost is for the hand to end."""
        try:
            if self._looking.ask():
                self._lost.set()
                self._kick.set()
        except Exception:
            log.exception("claw.reconcile_broke")

    def _tell_facts(self) -> None:
        try:
            self._told = self._looking.tell_facts(anyway=not self._told) or self._told
        except Exception:
            log.exception("claw.facts_broke")

    def _mind_thread(self) -> None:
        if not self._thread.is_alive() and not self._stop.pulled():
            log.error("claw.hand_restarted")
            self._thread = threading.Thread(target=self._turn_on, name="hand", daemon=True)
            self._thread.start()

    def _sleep_check(self) -> None:
        slept = self._sleep.slept_ms()
        if slept:
            log.warning("claw.slept", seconds=slept // 1000)
            self._reconcile()
            self._kick.set()

    def _tell_alive(self) -> None:
        """Touch the file that a health check looks at; not when the thread that does the work is gone."""
        if self._thread.is_alive() or self._stop.pulled():
            self._beacon.beat()
        held, _ = self._journal.peek()
        doing = "waits for jobs" if held is None or held.job is None else f"holds job {held.job_id}, fence {held.fence}"
        if doing != self._status and not self._stop.pulled():
            self._status = doing
            self._notifier.status(doing)

    # --- the turning thread ----------------------------------------------------------------------------------------

    def _turn_on(self) -> None:
        trouble = _TROUBLE_SECONDS[0]
        while not self._stop.pulled():
            self._kick.clear()
            begun = time.monotonic()
            try:
                if self._lost.is_set():
                    self._lost.clear()
                    self._turning.look_after()
                turned = self._turning.turn(self._settings.wait_seconds)
            except Unauthorized as e:
                log.error("claw.locked_out", why=e.detail, fix="join again (claw join URL CODE), or correct the token")
                self._locked_out.set()
                self._stop.pull("lost", e.detail)
                return
            except SpineError as e:
                log.warning("claw.spine_trouble", code=e.code, why=e.detail)
                turned = "waiting"
            except Exception:
                log.exception("claw.turn_broke")
                turned = "waiting"
            if turned == "waiting":
                # Jitter, so that a fleet does not come back in step.
                self._kick.wait(trouble * random.uniform(0.5, 1.0))
                trouble = min(trouble * 2, _TROUBLE_SECONDS[1])
                continue
            trouble = _TROUBLE_SECONDS[0]
            if turned == "working":
                self._await_worker()
            elif turned == "idle":
                self._pause(time.monotonic() - begun)

    def _pause(self, waited: float) -> None:
        """Wait before the next claim: a tick when claims do not wait, a moment when one came back at once."""
        if self._settings.wait_seconds == 0:
            self._kick.wait(self._settings.tick_seconds)
        elif waited < 0.5:
            self._kick.wait(random.uniform(0.5, 1.5))

    def _await_worker(self) -> None:
        """Wait until the worker ends, the claw is to stop, or a tick wants a look."""
        held = self._turning.held()
        while held is not None and not self._stop.pulled() and not self._kick.is_set():
            if launch.wait_end(held, 1.0):
                return

    # --- the end ---------------------------------------------------------------------------------------------------

    def _on_stop(self, *_: object) -> None:
        if self._drains.is_set():
            self._hurry.set()
        self._drains.set()
        self._stop.pull("drain", "the claw is stopping")

    def _on_hangup(self, *_: object) -> None:
        self._stop.pull("drain", "the claw hands over")

    def _hand_over(self) -> bool:
        """Leave what is held to the claw that is started next; False when a signal asks for a drain after all.

        A worker goes on by itself. A phase that this process runs is finished first, within the job's own time.
        """
        log.info("claw.handing_over")
        self._thread.join(_STOP_SECONDS)
        while self._thread.is_alive() and self._runs_phases() and not self._drains.wait(0.1):
            pass
        if self._drains.is_set():
            return False
        self._notifier.stopping("hands over")
        return True

    def _drain(self) -> None:
        """Let the job end within the drain time, else give it back; whatever could not be told stays in the journal."""
        log.info("claw.draining", seconds=self._settings.drain_seconds)
        self._notifier.stopping("drains")
        self._thread.join(_STOP_SECONDS)
        deadline = time.monotonic() + self._settings.drain_seconds
        while self._busy() and time.monotonic() < deadline and not self._hurry.is_set():
            self._hurry.wait(0.1)
        self._work.pull("drain", "the claw is stopping")
        held = self._turning.held()
        if held is not None and held.mode == "phases":
            # The turning thread runs the phase itself, and reports.
            self._thread.join(self._settings.kill_grace_seconds + 20)
            held = self._turning.held()
        if held is None or held.job is None:
            return
        if held.outcome is None:
            held = self._give_back(held)
        if held is not None and held.outcome is not None and not launch.running(held):
            outbox.deliver(self._turning.client, self._journal, held)
            launch.tidy(self._settings, held)

    def _abandon(self) -> None:
        """End the work of a claw that the spine does not know any more; a finished result stays in the journal."""
        self._work.pull("lost", "the spine refuses this claw's token")
        held = self._turning.held()
        if held is None or held.job is None:
            return
        launch.end(self._settings, held)
        now = self._turning.held()
        if now is None or now.job is None:
            return
        if now.outcome is None or now.outcome.action in ("release", "drop"):
            self._journal.clear()
            launch.tidy(self._settings, now)
            return
        log.error("claw.result_kept", job_id=now.job_id, fence=now.fence, path=str(self._journal.path))

    def _busy(self) -> bool:
        held = self._turning.held()
        return held is not None and (launch.running(held) or (held.mode == "phases" and held.in_phase))

    def _runs_phases(self) -> bool:
        held = self._turning.held()
        return held is not None and held.job is not None and held.mode == "phases"

    def _give_back(self, held: Held) -> Held | None:
        """End the worker, which gives the job back itself; do it in its place when it could not."""
        launch.end(self._settings, held)
        now = self._turning.held()
        if now is not None and now.job is not None and now.outcome is None:
            outbox.write(self._journal, now, outcome.release("given back: the claw is stopping", count_attempt=False))
        return now


def _logged(name: str, what: Callable[[], None]) -> Callable[[], None]:
    def tick() -> None:
        log.debug("claw.tick", tick=name)
        what()

    return tick


def run(settings: Settings, notifier: Notifier | None = None) -> int:
    """Run the resident claw; exits 0 at once when another process holds the state folder."""
    journal = Journal(settings.state_dir)
    journal.open()
    with journal.lock() as ours:
        if not ours:
            log.warning("claw.already_running", state_dir=str(settings.state_dir))
            return exits.OK
        return Daemon(settings, journal, notifier).run()
