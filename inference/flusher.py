"""The flusher: one a worker, it writes all streams' text, renewals and charges in one pipeline every FLUSH_S.

A stream's first text goes at once, on a pipeline of its own. The answers of the renewals tell which streams were
stopped by their person or belong to another worker now; those streams' tasks are interrupted. Whoever flags a stop
signals it, and all leases are renewed at once.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from inference.queue.fair import FairQueue
from inference.queue.ticket import Claim, Renewal
from inference.streams import PreviewMeta, PreviewWriter
from kit import signals
from kit.errors import Unavailable

log = structlog.get_logger(__name__)

FLUSH_S = 0.15
# A renewal costs a script call. Once a second is often enough for the lease, the charges and a stop whose signal was
# lost.
RENEW_EVERY_S = 1.0
# A person unfolds the beginning of it at most; the rest of a long reasoning is read by nobody.
THOUGHTS_CHARS_MAX = 16_000


@dataclass(eq=False)
class Stream:
    """One answer that grows. Its serving task feeds it; the flusher interrupts that task when it must end."""

    claim: Claim
    queue: FairQueue
    meta: PreviewMeta
    task: "asyncio.Task[Any]"
    parts: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    unsent: list[str] = field(default_factory=list)
    sent_chars: int = 0
    output_tokens: int = 0
    began: bool = False
    opening: bool = False
    cancelled: bool = False
    lost: bool = False
    interruptible: bool = True

    @property
    def text(self) -> str:
        return "".join(self.parts)

    def feed(self, text: str, output_tokens: int) -> None:
        """Take what the model wrote; `output_tokens` is the total so far."""
        if text:
            self.parts.append(text)
            self.unsent.append(text)
        self.output_tokens = max(self.output_tokens, output_tokens)

    def think(self, text: str) -> None:
        """Take what the model thought: kept apart, up to THOUGHTS_CHARS_MAX."""
        if text and (room := THOUGHTS_CHARS_MAX - sum(map(len, self.thoughts))) > 0:
            self.thoughts.append(text[:room])

    def restart(self) -> None:
        """Forget an attempt that failed before anybody could see its text."""
        self.parts.clear()
        self.thoughts.clear()
        self.unsent.clear()
        self.output_tokens = 0

    def interrupt(self) -> None:
        if self.interruptible:
            self.interruptible = False
            self.task.cancel()


class Flusher:
    """Holds the running streams of one worker process."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._streams: dict[int, Stream] = {}
        self._stops = signals.Listener(redis, [signals.STOPS])
        self._renewed_at = 0.0

    @contextlib.contextmanager
    def stream(self, claim: Claim, queue: FairQueue, meta: PreviewMeta) -> Iterator[Stream]:
        """Register a stream for the current task for as long as the block runs."""
        task = asyncio.current_task()
        assert task is not None
        stream = Stream(claim, queue, meta, task)
        self._streams[claim.turn_id] = stream
        try:
            yield stream
        finally:
            stream.interruptible = False
            if self._streams.get(claim.turn_id) is stream:
                del self._streams[claim.turn_id]

    async def run(self) -> None:
        """Flush until cancelled."""
        async with asyncio.TaskGroup() as parts:
            parts.create_task(self._stops.run(), name="stops-listener")
            parts.create_task(self._keep_flushing(), name="flusher")

    async def _keep_flushing(self) -> NoReturn:
        stop = self._stops.events[signals.STOPS]
        while True:
            await signals.wait(stop, FLUSH_S)
            if not self._streams:
                stop.clear()
                continue
            now = asyncio.get_running_loop().time()
            renew = stop.is_set() or now - self._renewed_at >= RENEW_EVERY_S
            stop.clear()
            try:
                await self._flush(list(self._streams.values()), renew=renew)
            except (RedisError, OSError, Unavailable) as error:
                # Text stays in `unsent` and leases live on for some seconds: the next flush brings both.
                log.warning("flush_failed", error=type(error).__name__, streams=len(self._streams))
                await asyncio.sleep(FLUSH_S)
            else:
                if renew:
                    self._renewed_at = now

    async def first(self, stream: Stream) -> None:
        """Write a stream's first text now; a Redis that is away costs the preview only."""
        stream.opening = True
        try:
            async with self._redis.pipeline(transaction=False) as pipe:
                if sent := self._add_text(pipe, stream):
                    await pipe.execute()
                    self._mark_sent(stream, sent)
        except (RedisError, OSError) as error:
            log.warning("first_text_unsent", turn=stream.claim.turn_id, error=type(error).__name__)
        finally:
            stream.opening = False

    async def _flush(self, streams: list[Stream], *, renew: bool) -> None:
        renewing = streams if renew else []
        async with self._redis.pipeline(transaction=False) as pipe:
            for stream in renewing:
                stream.queue.add_renew(pipe, stream.claim, stream.output_tokens)
            # A stream whose first text is on its way must not have it counted twice.
            texts = [
                (stream, sent) for stream in streams if not stream.opening and (sent := self._add_text(pipe, stream))
            ]
            if not renewing and not texts:
                return
            replies = await pipe.execute(raise_on_error=False)
        for stream, sent in texts:
            self._mark_sent(stream, sent)
        for stream, renewal in zip(renewing, await self._read(renewing, replies), strict=True):
            if not renewal.alive:
                stream.lost = True
                stream.interrupt()
            elif renewal.cancelled:
                stream.cancelled = True
                stream.interrupt()

    async def _read(self, renewing: list[Stream], replies: list[Any]) -> list[Renewal]:
        """Read the renewals' replies, each group's by its own queue, in the order of `renewing`."""
        answers: dict[int, Renewal] = {}
        by_queue: dict[FairQueue, list[int]] = {}
        for index, stream in enumerate(renewing):
            by_queue.setdefault(stream.queue, []).append(index)
        for queue, indexes in by_queue.items():
            items = [(renewing[i].claim, renewing[i].output_tokens) for i in indexes]
            renewals = await queue.read_renewals(items, [replies[i] for i in indexes])
            answers |= dict(zip(indexes, renewals, strict=True))
        return [answers[i] for i in range(len(renewing))]

    @staticmethod
    def _add_text(pipe: Any, stream: Stream) -> int:
        """Add what is unsent to the pipeline; return how many pieces, 0 for nothing."""
        if not stream.unsent:
            return 0
        text = "".join(stream.unsent)
        turn_id, fence = stream.claim.turn_id, stream.claim.fence
        if stream.began:
            PreviewWriter.add_delta(pipe, turn_id, fence, stream.sent_chars, text)
        else:
            PreviewWriter.add_first(pipe, turn_id, fence, stream.meta, text)
        return len(stream.unsent)

    @staticmethod
    def _mark_sent(stream: Stream, pieces: int) -> None:
        stream.began = True
        stream.sent_chars += sum(len(piece) for piece in stream.unsent[:pieces])
        del stream.unsent[:pieces]
