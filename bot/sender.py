"""The sender: everything that Forma sends to a chat goes through this one scheduler of the bot process.

    send()      a chat's queue: finals and notices, first in first out ──┐
    preview()   a chat's slots, one a key: the latest wins ──────────────┼── lane, readiness, budgets ──► Telegram
    send()      a chat's broadcasts ─────────────────────────────────────┘
    answer()    ─────────────────────────────────────────────────────────────────────────────────────► Telegram

One call at a time is under way in a chat, so that order holds and no preview lands behind its final. The scheduler only
grants turns: a call runs in its caller's task, and a caller that is cancelled takes its message with it.

A 429 is obeyed for its chat. Telegram does not say whether it meant the chat or the bot; refusals of
`global_refusals_min` different chats within `global_window_s` are taken as the bot's, and everything waits. The message
stays at the head of its chat's queue. A call that failed on the way is repeated, which may double a message whose
answer was lost; forma_sends_total{outcome="repeated"} counts them.
"""

import asyncio
import random
import time
from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import Any

import structlog
from aiogram import Bot
from aiogram.exceptions import TelegramAPIError, TelegramBadRequest, TelegramRetryAfter
from aiogram.methods import AnswerCallbackQuery, AnswerPreCheckoutQuery, TelegramMethod
from prometheus_client import Counter, Histogram

from bot.budget import Budget, Lane
from bot.lanes import Chat, Done, Lanes, Make, Preview, SenderLimits, Ticket
from bot.refusals import Migrated, Refused, Unreachable, is_passing, typed
from kit.errors import FormaError, Unavailable

log = structlog.get_logger(__name__)

sends_total = Counter("forma_sends_total", "Calls that send something, by lane and outcome.", ["lane", "outcome"])
send_wait_s = Histogram(
    "forma_send_wait_seconds",
    "From asking to the start of the call.",
    ["lane"],
    buckets=(0.001, 0.005, 0.02, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 120),
)
retry_after_s = Histogram(
    "forma_retry_after_seconds",
    "Penalties that Telegram imposed, by what was held back.",
    ["scope"],
    buckets=(1, 2, 5, 10, 30, 60, 120, 300),
)

_AT_ONCE = (AnswerPreCheckoutQuery, AnswerCallbackQuery)
_LANES = tuple(Lane)
_LOSSY = (Lane.FIRST_TEXT, Lane.PREVIEW)
_LANE_NAMES = tuple(lane.name.lower() for lane in Lane)
# Seen to be zero before it is seen to grow.
for _lane in _LANE_NAMES:
    sends_total.labels(_lane, "sent")
    send_wait_s.labels(_lane)


class Superseded(Exception):
    """A preview was not shown: a newer one or the final took its place, or Telegram asked to wait."""


class Sender:
    """The scheduler. `start()` and `close()` frame its life; close it before the Bot's session."""

    def __init__(self, bot: Bot, budget: Budget, limits: SenderLimits | None = None) -> None:
        self._bot = bot
        self._budget = budget
        self.limits = limits or SenderLimits()
        self._wake = asyncio.Event()
        self._lanes = Lanes(self.limits, self._wake.set)
        self._in_flight = 0
        self._lossy_in_flight = 0
        self._showing: dict[Hashable, asyncio.Task[None]] = {}
        self._forgotten: OrderedDict[Hashable, None] = OrderedDict()
        self._refusals: deque[tuple[float, int]] = deque()
        self._blocked_until = 0.0
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="sender")

    async def close(self) -> None:
        """Ends at once: whoever still waits gets Unavailable, and the outbox brings the message back later."""
        self._closed = True
        tasks = [task for task in (self._task, *self._showing.values()) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for ticket in self._lanes.clear():
            if not ticket.turn.done():
                ticket.turn.set_exception(_closed())

    def waiting(self, lane: Lane) -> int:
        """How many messages of the lane wait (previews are not counted)."""
        return self._lanes.queued[lane]

    async def send(self, method: TelegramMethod[Any], *, lane: Lane, chat_id: int, is_group: bool = False) -> Any:
        """Waits for the message's turn, sends it and returns Telegram's result (True for an edit that changes nothing).

        Within a chat, finals and notices keep the order of these calls. Raises Unavailable, Unreachable, Migrated or
        Refused (bot.refusals). A 429 is waited out, up to refusals_max times.
        """
        if isinstance(method, _AT_ONCE):
            return await self.answer(method)
        if lane in _LOSSY:
            raise ValueError("previews are lossy: use preview()")
        if self._closed:
            raise _closed()
        chat = self._lanes.chat(chat_id, is_group=is_group)
        ticket = Ticket(lane, asyncio.get_running_loop().create_future(), time.monotonic())
        self._lanes.add(chat, ticket)
        failures = refusals = 0
        while True:
            await self._turn(chat, ticket)
            again_in_s: float | None = None
            try:
                result = await self._call(method, chat_id, self.limits.request_timeout_s)
            except TelegramRetryAfter as error:
                _count(lane, "retry_after")
                wait_s = await self._penalize(chat, error.retry_after)
                refusals += 1
                if refusals >= self.limits.refusals_max:
                    raise Unavailable("telegram", "refused too often") from error
                again_in_s = wait_s
            except Unavailable as error:
                failures += 1
                if failures >= self.limits.attempts_max or not is_passing(error.__cause__):
                    _count(lane, "unavailable")
                    raise
                _count(lane, "repeated")
                again_in_s = self._backoff_s(failures)
            except FormaError as error:
                _count(lane, _outcome(error))
                raise
            else:
                _count(lane, "sent")
                return result
            finally:
                self._release(chat, ticket, again_in_s)

    async def answer(self, method: TelegramMethod[Any]) -> Any:
        """Calls at once, past all queues and budgets: answers to queries, and methods that write into no chat.

        A failure on the way is repeated quickly, since a pre-checkout query waits only 10 s. Raises as send() does, and
        Unavailable for a 429.
        """
        failures = 0
        while True:
            try:
                result = await self._call(method, 0, self.limits.answer_timeout_s)
            except TelegramRetryAfter as error:
                sends_total.labels("answer", "retry_after").inc()
                raise Unavailable("telegram", f"retry after {error.retry_after} s") from error
            except FormaError as error:
                failures += 1
                if failures >= self.limits.answer_attempts_max or not is_passing(error.__cause__):
                    sends_total.labels("answer", _outcome(error)).inc()
                    raise
                await asyncio.sleep(0.1 * failures)
            else:
                sends_total.labels("answer", "sent").inc()
                return result

    def preview(
        self,
        chat_id: int,
        key: Hashable,
        make: Make,
        *,
        is_group: bool = False,
        lane: Lane = Lane.PREVIEW,
        done: Done | None = None,
    ) -> None:
        """Shows something lossy when the budgets allow, in the lane PREVIEW or FIRST_TEXT; never raises, never waits.

        One preview waits per key; a newer one takes its place. `make` is asked at the moment of sending, so that the
        newest text goes; None sends nothing. `done(result, error)` is told once how it ended: the error is Superseded
        when it was not shown, else as send() raises. A key that was forgotten is not shown any more.
        """
        preview = Preview(key, make, done, time.monotonic(), lane)
        if self._closed or key in self._forgotten or not self._lanes.has_room_for_preview(key):
            _superseded(preview)
            return
        replaced = self._lanes.offer(self._lanes.chat(chat_id, is_group=is_group), preview)
        if replaced is not None:
            _superseded(replaced)

    async def forget(self, key: Hashable) -> None:
        """Ends the previews of `key` for ever; returns when none is under way, at most preview_timeout_s later."""
        self._forgotten[key] = None
        if len(self._forgotten) > self.limits.forgotten_max:
            self._forgotten.popitem(last=False)
        dropped = self._lanes.drop(key)
        if dropped is not None:
            _superseded(dropped)
        showing = self._showing.get(key)
        if showing is not None:
            await asyncio.wait((showing,), timeout=self.limits.preview_timeout_s + 1.0)

    # -- turns

    async def _turn(self, chat: Chat, ticket: Ticket) -> None:
        try:
            await ticket.turn
        except asyncio.CancelledError:
            if not self._lanes.withdraw(chat, ticket) and not ticket.turn.cancelled():
                self._release(chat, ticket, None)  # it was granted in the same moment
            raise

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._wake.clear()
            try:
                wait_s = await self._start_next()
            except Exception:
                # A bug here must not silence the bot; the pause keeps it from spinning.
                log.exception("sender_step_failed")
                await asyncio.sleep(1.0)
                continue
            if wait_s == 0:
                continue
            timer = None if wait_s is None else loop.call_later(wait_s, self._wake.set)
            await self._wake.wait()
            if timer is not None:
                timer.cancel()

    async def _start_next(self) -> float | None:
        """Start at most one call. Answer 0 to be asked again, else the seconds until then (None: until a wake)."""
        now = time.monotonic()
        if self._in_flight >= self.limits.in_flight_max:
            return None
        if now < self._blocked_until:
            return self._blocked_until - now
        soonest: float | None = None
        for lane in _LANES:
            if lane >= Lane.FIRST_TEXT and self._lossy_in_flight >= self.limits.lossy_in_flight_max:
                break
            first = self._lanes.first(lane)
            if first is None:
                continue
            ready_at, chat = first
            if ready_at > now:
                soonest = ready_at - now if soonest is None else min(soonest, ready_at - now)
                continue
            grant = await self._budget.reserve(lane, chat.id, is_group=chat.is_group)
            if grant.given:
                self._start(chat)
                return 0
            if grant.chat_wait_s > 0:
                if chat.placed is not None and chat.placed[0] is lane:  # else something better came meanwhile
                    chat.placed = None
                    self._lanes.place(chat, grant.chat_wait_s)
                return 0
            # Later lanes leave more of the whole's budget untouched, so they would wait longer still.
            return grant.all_wait_s if soonest is None else min(soonest, grant.all_wait_s)
        return soonest

    def _start(self, chat: Chat) -> None:
        taken = None if chat.busy else self._lanes.take(chat)
        if taken is None:  # cancelled or forgotten while the budget was asked
            self._lanes.place(chat)
            return
        chat.busy, chat.placed = True, None
        self._in_flight += 1
        if isinstance(taken, Preview):
            self._lossy_in_flight += 1
            send_wait_s.labels(_LANE_NAMES[taken.lane]).observe(time.monotonic() - taken.asked_at)
            self._showing[taken.key] = asyncio.create_task(self._show(chat, taken))
            return
        self._lossy_in_flight += taken.lane is Lane.BROADCAST
        if taken.asked_at:
            send_wait_s.labels(_LANE_NAMES[taken.lane]).observe(time.monotonic() - taken.asked_at)
            taken.asked_at = 0.0
        taken.turn.set_result(None)

    def _release(self, chat: Chat, ticket: Ticket, again_in_s: float | None) -> None:
        """End the call under way in a chat; with `again_in_s` the ticket stands first again, after so long."""
        self._in_flight -= 1
        self._lossy_in_flight -= ticket.lane is Lane.BROADCAST
        chat.busy = False
        if again_in_s is not None:
            ticket.turn = asyncio.get_running_loop().create_future()
            if self._closed:
                ticket.turn.set_exception(_closed())
            else:
                chat.free_at = time.monotonic() + again_in_s
                self._lanes.put_back(chat, ticket)
        self._lanes.place(chat)
        self._wake.set()

    async def _show(self, chat: Chat, preview: Preview) -> None:
        result: Any = None
        problem: Exception | None = None
        try:
            method = preview.make()
            if method is not None:
                result = await self._call(method, chat.id, self.limits.preview_timeout_s)
                _count(preview.lane, "sent")
        except TelegramRetryAfter as error:
            _count(preview.lane, "retry_after")
            chat.free_at = time.monotonic() + await self._penalize(chat, error.retry_after)
            problem = Superseded()
        except FormaError as error:
            _count(preview.lane, _outcome(error))
            problem = error
        except Exception as error:
            log.exception("preview_failed", chat=chat.id)
            problem = error
        finally:
            self._in_flight -= 1
            self._lossy_in_flight -= 1
            chat.busy = False
            del self._showing[preview.key]
            self._lanes.place(chat)
            self._wake.set()
        _finish(preview, result, problem)

    # -- Telegram

    async def _call(self, method: TelegramMethod[Any], chat_id: int, timeout_s: int) -> Any:
        """Call once; raises our errors, and aiogram's TelegramRetryAfter as it is."""
        try:
            return await self._bot(method, request_timeout=timeout_s)
        except TelegramRetryAfter:
            raise
        except Exception as error:
            if isinstance(error, TelegramBadRequest) and "message is not modified" in error.message:
                return True
            if isinstance(error, TelegramAPIError) or is_passing(error):
                raise typed(error, chat_id) from error
            raise

    async def _penalize(self, chat: Chat, seconds: float) -> float:
        """Hold the chat back, or everything; return the seconds that the message still has to wait."""
        now = time.monotonic()
        wait_s = seconds + self.limits.retry_margin_s
        retry_after_s.labels("chat").observe(seconds)
        log.warning("telegram_retry_after", chat=chat.id, seconds=seconds)
        self._refusals.append((now, chat.id))
        while self._refusals[0][0] < now - self.limits.global_window_s:
            self._refusals.popleft()
        if len({chat_id for _, chat_id in self._refusals}) >= self.limits.global_refusals_min:
            self._refusals.clear()
            self._blocked_until = max(self._blocked_until, now + wait_s)
            retry_after_s.labels("all").observe(seconds)
            log.warning("telegram_retry_after_for_all", seconds=seconds)
            await self._budget.penalize(None, wait_s, is_group=False)
        await self._budget.penalize(chat.id, wait_s, is_group=chat.is_group)
        return max(0.0, wait_s - (time.monotonic() - now))

    def _backoff_s(self, failures: int) -> float:
        longest = min(self.limits.backoff_s_max, self.limits.backoff_s_min * 2.0 ** (failures - 1))
        return longest * random.uniform(0.5, 1.0)


def _closed() -> Unavailable:
    return Unavailable("telegram", "the sender is closed")


def _count(lane: Lane, outcome: str) -> None:
    sends_total.labels(_LANE_NAMES[lane], outcome).inc()


def _outcome(error: FormaError) -> str:
    if isinstance(error, Unreachable):
        return "unreachable"
    if isinstance(error, Migrated):
        return "migrated"
    return "refused" if isinstance(error, Refused) else "unavailable"


def _superseded(preview: Preview) -> None:
    _count(preview.lane, "superseded")
    _finish(preview, None, Superseded())


def _finish(preview: Preview, result: Any, problem: Exception | None) -> None:
    if preview.done is None:
        return
    try:
        preview.done(result, problem)
    except Exception:
        log.exception("preview_callback_failed")
