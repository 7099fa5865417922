"""Previews: what a person sees while an answer is on its way. Lossy; the final answer never depends on them.

    draft   sendMessageDraft in private chats, with Telegram's own stop button. `keep_on_stop` is set once there is
            text, so that pressing stop does not blank the chat in the moment before what there is comes as a message;
            the queue's line is not worth keeping.
    edit    in groups, and where drafts are refused: a message that is edited, and that the final is edited into. An
            edit can be repeated without a double, and where it is refused the final goes as a new message. Its id is
            kept in Redis, so that a restarted bot still finds it.
    off     the chat action "typing", at most every 5 s.

Nothing is shown for the first 3 s; then the place in the queue, refreshed. Text goes at once when it first arrives,
then every max(1.2 s, open streams / 20), and again before a draft would vanish (30 s after its last change).
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, Protocol

import structlog
from aiogram.methods import TelegramMethod as Method
from aiogram.types import Message
from redis.exceptions import RedisError

from bot.budget import Lane
from bot.preview_calls import TYPING, PreviewLimits, Render, Stream, as_edit, call_for
from bot.refusals import Migrated, Refused, Unreachable
from bot.sender import Sender, Superseded
from inference.queue.ticket import Position
from inference.streams import Applied, PreviewDelta, PreviewMeta, PreviewReader
from kit.errors import Unavailable

log = structlog.get_logger(__name__)

PositionOf = Callable[[int], Awaitable[Position | None]]


class Saying(Protocol):
    """What previews need of kit.words.Words."""

    def say(self, key: str, /, **arguments: Any) -> str: ...


class Previews:
    """All open previews of the bot process. `run()` follows the workers; `close()` ends every task."""

    def __init__(
        self,
        sender: Sender,
        reader: PreviewReader,
        *,
        render: Render,
        words: Callable[[str], Saying],
        position: PositionOf,
        limits: PreviewLimits | None = None,
    ) -> None:
        self._sender = sender
        self._reader = reader
        self._render = render
        self._words = words
        self._position = position
        self.limits = limits or PreviewLimits()
        self._streams: dict[int, Stream] = {}
        self._streaming: set[int] = set()
        self._lines: dict[int, int] = {}  # by chat, the turn whose place in the queue is shown there
        self._finished: OrderedDict[int, int | None] = OrderedDict()
        self._drafts_refused: OrderedDict[int, float] = OrderedDict()
        self._catching: set[int] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def open_streams(self) -> int:
        """Previews that show growing text now."""
        return len(self._streaming)

    async def run(self) -> None:
        """Follow the workers' deltas until cancelled."""
        async for batch in self._reader.follow():
            for delta in batch:
                try:
                    self._take(delta)
                except Exception:
                    log.exception("preview_delta_failed", turn=delta.turn_id)

    async def close(self) -> None:
        for stream in self._streams.values():
            self._stop_timer(stream)
        self._streams.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def opened(self, target: PreviewMeta) -> None:
        """A turn was accepted: its preview begins, with nothing for the first seconds. A second call does nothing."""
        if target.draft_id in self._finished or target.draft_id in self._streams:
            return
        stream = self._open(target)
        if stream is not None:
            self._at(stream, 0.0 if stream.mode == "off" else self.limits.quiet_s)

    async def finished(self, turn_id: int) -> int | None:
        """Stop the turn's previews, before anything final of it is sent; none is under way when this returns.

        Answers the id of the message that showed the preview by edits, if there is one to be edited into the final.
        """
        if turn_id in self._finished:
            return self._finished[turn_id]
        self._remember_finished(turn_id, None)
        stream = self._streams.get(turn_id)
        if stream is not None:
            self._drop(stream)
        await self._sender.forget(turn_id)
        message_id = stream.message_id if stream is not None else None
        if stream is None:
            try:
                message_id = await self._reader.message_of(turn_id)
            except (RedisError, OSError) as error:
                log.warning("preview_message_unknown", turn=turn_id, error=type(error).__name__)
        self._remember_finished(turn_id, message_id)
        return message_id

    async def send_final(self, turn_id: int, call: Method[Any], *, lane: Lane, chat_id: int, is_group: bool) -> Any:
        """Send a turn's final through the sender: as an edit of its preview where that is possible, else as it is.

        Only the first message of a turn takes the preview's place. Returns and raises as Sender.send does.
        """
        message_id = await self.finished(turn_id)
        edit = None if message_id is None else as_edit(call, message_id)
        if edit is None:
            return await self._sender.send(call, lane=lane, chat_id=chat_id, is_group=is_group)
        try:
            result = await self._sender.send(edit, lane=lane, chat_id=chat_id, is_group=is_group)
        except Refused as error:
            log.warning("preview_not_edited", turn=turn_id, description=error.description[:200])
            result = await self._sender.send(call, lane=lane, chat_id=chat_id, is_group=is_group)
        self._remember_finished(turn_id, None)
        try:
            await self._reader.forget_message(turn_id)
        except (RedisError, OSError) as error:
            log.warning("preview_message_kept", turn=turn_id, error=type(error).__name__)
        return result

    # -- what comes in

    def _take(self, delta: PreviewDelta) -> None:
        if delta.turn_id in self._finished:
            return
        stream = self._streams.get(delta.turn_id)
        if stream is None:
            if not delta.end:
                self._catch_up(delta.turn_id)
            return
        applied = stream.transcript.apply(delta)
        if applied is Applied.GAP:
            self._catch_up(delta.turn_id)
        elif applied is Applied.GREW:
            self._grew(stream)
        if delta.end and applied is not Applied.STALE:
            self._streaming.discard(delta.turn_id)

    def _catch_up(self, turn_id: int) -> None:
        if turn_id not in self._catching:
            self._catching.add(turn_id)
            self._spawn(self._catch_up_now(turn_id))

    async def _catch_up_now(self, turn_id: int) -> None:
        try:
            caught = await self._reader.catch_up(turn_id)
        except (RedisError, OSError) as error:
            log.warning("preview_not_caught_up", turn=turn_id, error=type(error).__name__)
            return
        finally:
            self._catching.discard(turn_id)
        if caught is None or caught.ended or turn_id in self._finished:
            return
        stream = self._streams.get(turn_id) or self._open(caught.meta)
        if stream is not None and stream.transcript.replace(caught):
            self._grew(stream)

    def _open(self, meta: PreviewMeta) -> Stream | None:
        self._drop_aged()
        if len(self._streams) >= self.limits.streams_max:
            return None
        mode = meta.mode
        if mode == "draft" and (meta.is_group or self._drafts_refused.get(meta.chat_id, 0.0) > time.monotonic()):
            mode = "edit"
        stream = self._streams[meta.draft_id] = Stream(meta, mode, time.monotonic())
        return stream

    def _grew(self, stream: Stream) -> None:
        if not stream.has_text:
            return
        if not stream.transcript.ended:
            self._streaming.add(stream.turn_id)
        if stream.pending:
            if stream.begins and stream.lane is not Lane.FIRST_TEXT:
                self._offer(stream)  # the place in the queue that waits to be shown is of no interest any more
        elif not (stream.timer is not None and stream.text_planned):
            self._plan(stream)

    # -- when something goes out

    def _plan(self, stream: Stream) -> None:
        """Set the timer for what this stream has to show next."""
        limits, now = self.limits, time.monotonic()
        state = stream.state
        stream.text_planned = state[0] == "text" and state != stream.shown
        if state == TYPING:
            due = stream.shown_at + max(limits.typing_s, len(self._streams) / limits.streams_per_s)
        elif stream.text_planned:
            # The first text goes at once, whatever stood there before it.
            due = stream.shown_at + self._interval_s(stream) if stream.shown[:1] == ("text",) else now
        elif state[0] == "queue":
            due = max(stream.shown_at + limits.queue_refresh_s, stream.opened_at + limits.quiet_s)
        elif stream.mode == "draft":
            due = stream.shown_at + limits.heartbeat_s
        else:
            return
        self._at(stream, due - now)

    def _interval_s(self, stream: Stream) -> float:
        limits = self.limits
        base = limits.edit_interval_s if stream.mode == "edit" else limits.interval_s
        if stream.meta.is_group:
            base = max(base, limits.group_interval_s)
        return max(base, len(self._streaming) / limits.streams_per_s)

    def _at(self, stream: Stream, delay_s: float) -> None:
        self._stop_timer(stream)
        if stream.dead or self._streams.get(stream.turn_id) is not stream:
            return
        delay_s = max(delay_s, stream.not_before - time.monotonic())
        if delay_s <= 0:
            self._due(stream)
        else:
            stream.timer = asyncio.get_running_loop().call_later(delay_s, self._due, stream)

    def _due(self, stream: Stream) -> None:
        stream.timer = None
        if stream.pending:
            return
        if stream.mode == "off" or stream.has_text:
            self._offer(stream)
        elif not self._has_line(stream):
            self._at(stream, self.limits.queue_refresh_s)
        elif not stream.placing:
            stream.placing = True
            self._spawn(self._offer_place(stream))

    def _has_line(self, stream: Stream) -> bool:
        """Whether this turn's place is what its chat shows: of several that wait in a chat, one is enough."""
        chat_id = stream.meta.chat_id
        shown = self._streams.get(self._lines.get(chat_id, 0))
        if shown is None or shown.dead or shown.has_text:
            self._lines[chat_id] = stream.turn_id
        return self._lines[chat_id] == stream.turn_id

    async def _offer_place(self, stream: Stream) -> None:
        place: Position | None = None
        try:
            async with asyncio.timeout(self.limits.position_timeout_s):
                place = await self._position(stream.turn_id)
        except (RedisError, OSError, TimeoutError, Unavailable) as error:
            log.warning("preview_place_unknown", turn=stream.turn_id, error=type(error).__name__)
        finally:
            stream.placing = False
        say = self._words(stream.meta.lang).say
        if place is None or place.position <= 0:
            stream.queue_line = say("preview-thinking") if stream.meta.thinking else ""
        elif place.eta_high_s > 0:
            stream.queue_line = say(
                "queue-position", position=place.position, low_s=place.eta_low_s, high_s=place.eta_high_s
            )
        else:
            stream.queue_line = say("queue-position-only", position=place.position)
        if self._streams.get(stream.turn_id) is stream and not stream.pending and not stream.has_text:
            self._offer(stream)

    def _offer(self, stream: Stream) -> None:
        stream.pending = True
        stream.offers += 1
        stream.lane = Lane.FIRST_TEXT if stream.begins else Lane.PREVIEW
        self._sender.preview(
            stream.meta.chat_id,
            stream.turn_id,
            partial(call_for, stream, self._render),
            is_group=stream.meta.is_group,
            lane=stream.lane,
            done=partial(self._done, stream, stream.offers),
        )

    # -- what came of it

    def _done(self, stream: Stream, offer: int, result: Any, problem: Exception | None) -> None:
        if offer != stream.offers:
            return  # it was replaced by a later one, which tells how it ended
        stream.pending = False
        if problem is None:
            stream.failures = 0
            stream.shown, stream.shown_at = stream.asked, time.monotonic()
            if isinstance(result, Message) and stream.message_id is None:
                stream.message_id = result.message_id
                self._spawn(self._remember_message(stream, result.message_id))
            self._plan(stream)
        elif isinstance(problem, Superseded):
            self._pause(stream, self.limits.retry_s)
        elif isinstance(problem, Refused):
            self._refused(stream, problem)
        elif isinstance(problem, Unavailable):
            stream.failures += 1
            if stream.mode == "edit" and stream.message_id is None and stream.asked != TYPING:
                # The message may stand in the chat without our knowing its id; another one would double it.
                stream.mode = "off"
            self._pause(stream, min(self.limits.heartbeat_s, self._interval_s(stream) * 2.0**stream.failures))
        else:
            stream.dead = True
            self._streaming.discard(stream.turn_id)
            if not isinstance(problem, Unreachable | Migrated):
                log.error("preview_given_up", turn=stream.turn_id, error=type(problem).__name__)

    def _refused(self, stream: Stream, refused: Refused) -> None:
        if refused.is_about_entities and not stream.plain:
            stream.plain = True
        elif stream.mode == "draft":
            log.info("drafts_refused", chat=stream.meta.chat_id, description=refused.description[:200])
            _bounded(self._drafts_refused, self.limits.drafts_refused_max)
            self._drafts_refused[stream.meta.chat_id] = time.monotonic() + self.limits.drafts_refused_s
            stream.mode = "edit"
        elif stream.mode == "edit":
            # Deleted by the person, or the group allows no text: they do not want to see it.
            log.info("preview_edit_refused", turn=stream.turn_id, description=refused.description[:200])
            stream.mode, stream.message_id = "off", None
        else:
            stream.dead = True
            return
        self._at(stream, 0.0)

    def _pause(self, stream: Stream, seconds: float) -> None:
        stream.not_before = time.monotonic() + seconds
        self._at(stream, seconds)

    async def _remember_message(self, stream: Stream, message_id: int) -> None:
        try:
            await self._reader.remember_message(stream.turn_id, stream.meta, message_id)
        except (RedisError, OSError) as error:
            log.warning("preview_message_not_kept", turn=stream.turn_id, error=type(error).__name__)

    # -- bookkeeping

    def _drop_aged(self) -> None:
        """Let go of turns that were never finished here; the dict is in order of opening."""
        aged_before = time.monotonic() - self.limits.age_s_max
        while self._streams and (oldest := next(iter(self._streams.values()))).opened_at < aged_before:
            self._drop(oldest)

    def _drop(self, stream: Stream) -> None:
        self._stop_timer(stream)
        self._streams.pop(stream.turn_id, None)
        self._streaming.discard(stream.turn_id)
        if self._lines.get(stream.meta.chat_id) == stream.turn_id:
            del self._lines[stream.meta.chat_id]

    def _remember_finished(self, turn_id: int, message_id: int | None) -> None:
        _bounded(self._finished, self.limits.finished_max)
        self._finished[turn_id] = message_id

    def _stop_timer(self, stream: Stream) -> None:
        if stream.timer is not None:
            stream.timer.cancel()
            stream.timer = None

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _bounded(kept: "OrderedDict[int, Any]", length_max: int) -> None:
    if len(kept) >= length_max:
        kept.popitem(last=False)
