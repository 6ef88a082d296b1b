"""Waiting for the ends of jobs and saying them, each once, also over a restart of the front or a spine that is away."""

import asyncio
import time
from collections.abc import Mapping

import structlog

from chat import words
from chat.owed import Book, Owed
from chat.render import Renderer, button
from chat.spine import Spine
from chat.threads import Threads
from chat.transport import CANCEL, CannotSay, Reply, Transport
from contract import wire
from contract.errors import Gone, NotFound, SpineError
from contract.states import TERMINAL

_log = structlog.get_logger()

# What the front was about to create when it was stopped is created later, unless nobody expects it any more.
CREATE_WITHIN_SECONDS = 3600
KEEP_SECONDS = 7 * 86_400
CLOSE_SECONDS = 3.0
_TROUBLE = (1.0, 30.0)


class Waits:
    """One task for each answer that is owed; none of them asks the spine before there is news.

    Args:
        wait_seconds: when it is said that a job is still running.
    """

    def __init__(
        self,
        book: Book,
        spine: Spine,
        renderer: Renderer,
        transports: Mapping[str, Transport],
        wait_seconds: float,
    ) -> None:
        self._book, self._spine, self._renderer, self._transports = book, spine, renderer, transports
        self._wait_seconds = wait_seconds
        self._disk = Threads(1, "disk")  # one: what is written first stands first
        self._tasks: set[asyncio.Task[None]] = set()
        self._saying: set[asyncio.Task[None]] = set()
        self._news: dict[str, set[asyncio.Event]] = {}
        self._follower = spine.follower(self._ended, self._renewed)

    @property
    def following(self) -> bool:
        """Whether ends are heard of, as far as anybody waits for one."""
        return self._follower.connected or not self._news

    async def take_up(self) -> int:
        """Go on with what was owed when the front ended; return how many answers that are.

        Raises:
            OSError: the folder cannot be read.
        """
        found = await self._disk.run(self._book.read)
        for entry in found:
            self.follow(entry)
        return len(found)

    async def owe(self, entry: Owed) -> None:
        """Keep an entry on disk, as new or as it stands by now.

        Raises:
            OSError
        """
        await self._disk.run(self._book.write, entry)

    async def forget(self, entry: Owed) -> None:
        """Owe it no more."""
        await self._disk.run(self._book.remove, entry)

    async def create(self, entry: Owed) -> wire.Job:
        """Submit the entry's job: the same job however often this is called.

        Raises:
            SpineError
        """
        fields = entry.fields or {}
        client = self._spine.client.speaking_for(fields.get("label", ""))
        job = await self._spine.call(client.submit, fields, entry.idempotency_key)
        entry.job_id = job.id
        return job

    def follow(self, entry: Owed) -> None:
        """Say the entry's replies when their time has come, the end of the job last."""
        task = asyncio.create_task(self._carry(entry))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(self._saying.discard)

    async def close(self) -> None:
        """Wait no more; what is owed stays on disk. An end that is being said at this moment may be said to its end."""
        for task in self._tasks - self._saying:
            task.cancel()
        if self._saying:
            await asyncio.wait(self._saying, timeout=CLOSE_SECONDS)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- one answer --------------------------------------------------------------------------------------------------

    async def _carry(self, entry: Owed) -> None:
        try:
            await self._say_all(entry)
            await self.forget(entry)
        except CannotSay as e:
            _log.warning("chat.answer_dropped", job_id=entry.job_id, transport=entry.transport, why=str(e))
            await self.forget(entry)
        except Exception:  # noqa: BLE001 - the outermost turn of the task; the entry stays for the next start
            _log.exception("chat.answer_broke", job_id=entry.job_id)

    async def _say_all(self, entry: Owed) -> None:
        if time.time() - entry.since > KEEP_SECONDS:
            raise CannotSay("it was asked for a week ago", for_good=True)
        if entry.job_id is None and not await self._create_late(entry):
            return
        job_id = entry.job_id or ""
        if not entry.told:
            await self._say(entry, Reply(words.created(entry.prefix, job_id)), "created")
            entry.told = True
            await self._note(entry)
        job = await self._end(entry, job_id)
        self._saying |= {task for task in (asyncio.current_task(),) if task is not None}
        reply = Reply(words.no_such_job(job_id)) if job is None else self._renderer.end(job)
        await self._say(entry, reply, "end")

    async def _create_late(self, entry: Owed) -> bool:
        """Create what a front before was about to create; tell whether there is a job now."""
        trouble = _TROUBLE[0]
        while time.time() - entry.since < CREATE_WITHIN_SECONDS:
            try:
                await self.create(entry)
                return True
            except SpineError as e:
                if not e.retryable:
                    await self._say(entry, Reply(words.refused(self._renderer.one_line(e.detail, 300))), "end")
                    return False
            await asyncio.sleep(trouble)
            trouble = min(trouble * 2, _TROUBLE[1])
        await self._say(entry, Reply(words.NOT_CREATED), "end")
        return False

    async def _end(self, entry: Owed, job_id: str) -> wire.Job | None:
        """Return the job when it has ended, None when it is gone; say on the way that it is still running."""
        news = asyncio.Event()
        self._news.setdefault(job_id, set()).add(news)
        self._follower.begin(job_id)
        trouble = _TROUBLE[0]
        try:
            while True:
                news.clear()
                left = None if entry.late else max(0.0, entry.since + self._wait_seconds - time.time())
                try:
                    job = await self._spine.call(self._spine.client.job, job_id)
                    if job.status in TERMINAL:
                        return job
                    trouble = _TROUBLE[0]
                except (NotFound, Gone):
                    return None
                except SpineError:
                    left = trouble if left is None else min(left, trouble)
                    trouble = min(trouble * 2, _TROUBLE[1])
                    job = None
                try:
                    async with asyncio.timeout(left):
                        await news.wait()
                except TimeoutError:
                    if not entry.late and time.time() - entry.since >= self._wait_seconds:
                        await self._still_running(entry, job_id, job)
        finally:
            others = self._news.get(job_id, set())
            others.discard(news)
            if not others:
                self._news.pop(job_id, None)

    async def _still_running(self, entry: Owed, job_id: str, job: wire.Job | None) -> None:
        buttons = () if job is None else (button(CANCEL, job),)
        await self._say(entry, Reply(words.still_running(job_id), buttons), "late")
        entry.late = True
        await self._note(entry)

    async def _note(self, entry: Owed) -> None:
        """Keep how far it is; what a disk does not take is at worst said again after a restart."""
        try:
            await self.owe(entry)
        except OSError as e:
            _log.error("chat.disk_refused", error=str(e))

    async def _say(self, entry: Owed, reply: Reply, what: str) -> None:
        """Say a reply; a chat service that is away is waited for.

        Raises:
            CannotSay: for good.
        """
        transport = self._transports.get(entry.transport)
        if transport is None:
            raise CannotSay("this transport is not set up any more", for_good=True)
        trouble = _TROUBLE[0]
        while True:
            try:
                await transport.say(entry.channel_id, reply, entry.say_key(what), entry.answers)
                return
            except CannotSay as e:
                if e.for_good:
                    raise
                _log.warning("chat.not_said", transport=entry.transport, why=str(e))
                await asyncio.sleep(max(trouble, e.after))
                trouble = min(trouble * 2, _TROUBLE[1])

    # --- what the stream tells ---------------------------------------------------------------------------------------

    def _ended(self, job_id: str) -> None:
        for news in self._news.get(job_id, ()):
            news.set()

    def _renewed(self) -> None:
        for waiting in self._news.values():
            for news in waiting:
                news.set()
