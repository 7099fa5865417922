"""How much Forma may send: GCRA budgets of a chat, a group and everything, in Redis with an in-process double.

Telegram allows about 1 message a second in a chat, 20 a minute in a group and 30 a second in all
(https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this). A `Rate.window` never lets more than
its count into any window of that length, bursts included.

The double is charged with every send. It answers "wait" without asking Redis, and decides alone while Redis is away, so
that a loss of Redis neither stops an answer nor opens a burst.
"""

import asyncio
import time
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any

import structlog
from prometheus_client import Counter
from redis.asyncio import Redis
from redis.exceptions import RedisError

log = structlog.get_logger(__name__)

_SCRIPT = (Path(__file__).parent / "budget.lua").read_text()
_ALL = "all"
_fallbacks = Counter("forma_send_budget_fallbacks_total", "Times that Redis went away and in-process budgets took over")


class Lane(IntEnum):
    """The order of what is sent; a smaller value goes first."""

    FINAL = 0
    NOTICE = 1
    FIRST_TEXT = 2  # the preview that ends a person's wait for an answer's beginning
    PREVIEW = 3
    BROADCAST = 4


@dataclass(frozen=True, slots=True)
class Rate:
    """One send every `interval_s` on average, `burst` at once after a pause."""

    interval_s: float
    burst: int

    @classmethod
    def window(cls, count: int, window_s: float, burst: int) -> "Rate":
        """At most `count` in any window of `window_s`: `burst` at once and the rest spread evenly over it."""
        return cls(window_s / (count - burst), burst)


@dataclass(frozen=True, slots=True)
class Limits:
    """The budgets. `*_left` is how many sends a lane leaves untouched for the lanes before it (by Lane)."""

    chat: Rate = field(default_factory=lambda: Rate(1.0, burst=3))
    group: Rate = field(default_factory=lambda: Rate.window(20, 60.0, burst=3))
    all: Rate = field(default_factory=lambda: Rate.window(30, 1.0, burst=6))
    chat_left: tuple[int, int, int, int, int] = (0, 0, 1, 1, 1)
    group_left: tuple[int, int, int, int, int] = (0, 0, 2, 2, 2)
    all_left: tuple[int, int, int, int, int] = (0, 1, 2, 3, 4)
    redis_timeout_s: float = 0.25
    redis_retry_s: float = 1.0
    late_s_min: float = 0.05  # a timeout that fires so late says that this process was slow, not Redis
    chats_max: int = 20_000  # chats that the double remembers


@dataclass(frozen=True, slots=True)
class Grant:
    """The answer to a reservation: both zero means reserved, else how long to wait for the chat's and the whole's."""

    chat_wait_s: float
    all_wait_s: float

    @property
    def given(self) -> bool:
        return self.chat_wait_s <= 0 and self.all_wait_s <= 0


GIVEN = Grant(0.0, 0.0)


class Budget:
    """Reserves sends. One call asks for the chat's (or group's) budget and the whole's, and takes both or none."""

    def __init__(self, redis: "Redis | None", limits: Limits | None = None, *, prefix: str = "forma:send:") -> None:
        self.limits = limits or Limits()
        self._prefix = prefix
        self._script = redis.register_script(_SCRIPT) if redis is not None else None
        self._tats: dict[int | str, float] = {}  # monotonic seconds
        self._redis_from = 0.0

    def all_wait_s(self, lane: Lane) -> float:
        """How long the double makes this lane wait for the whole's budget; costs no call."""
        return self._wait_s(_ALL, self.limits.all, self.limits.all_left[lane], time.monotonic())

    async def reserve(self, lane: Lane, chat_id: int, *, is_group: bool) -> Grant:
        """Takes one send from both budgets or none. At most one Redis call; never raises for Redis' sake."""
        limits = self.limits
        rate, left = (limits.group, limits.group_left) if is_group else (limits.chat, limits.chat_left)
        now = time.monotonic()
        chat_wait_s = self._wait_s(chat_id, rate, left[lane], now)
        all_wait_s = self._wait_s(_ALL, limits.all, limits.all_left[lane], now)
        if chat_wait_s > 0 or all_wait_s > 0:
            return Grant(chat_wait_s, all_wait_s)
        waits = await self._call(
            [self._key(chat_id), self._key(_ALL)],
            ["reserve", *_rate(rate), left[lane], *_rate(limits.all), limits.all_left[lane]],
        )
        if waits is not None and (waits[0] or waits[1]):
            return Grant(waits[0] / 1e6, waits[1] / 1e6)
        now = time.monotonic()
        self._charge(chat_id, rate, now)
        self._charge(_ALL, limits.all, now)
        return GIVEN

    async def penalize(self, chat_id: int | None, seconds: float, *, is_group: bool) -> None:
        """Lets nothing pass for `seconds`: of the chat, or of everything when `chat_id` is None. Outlives a restart."""
        rate = self.limits.all if chat_id is None else self.limits.group if is_group else self.limits.chat
        name = _ALL if chat_id is None else chat_id
        blocked_until = time.monotonic() + seconds + (rate.burst - 1) * rate.interval_s
        self._tats[name] = max(self._tats.get(name, 0.0), blocked_until)
        await self._call([self._key(name)], ["penalize", int(seconds * 1e6), *_rate(rate)])

    def _key(self, name: int | str) -> str:
        return f"{self._prefix}{name}"

    async def _call(self, keys: list[str], args: list[Any]) -> list[int] | None:
        if self._script is None or time.monotonic() < self._redis_from:
            return None
        asked_at = time.monotonic()
        try:
            async with asyncio.timeout(self.limits.redis_timeout_s):
                waits: list[int] = await self._script(keys=keys, args=[0, *args])
        except (RedisError, OSError, TimeoutError) as error:
            late_s = time.monotonic() - asked_at - self.limits.redis_timeout_s
            if isinstance(error, TimeoutError) and late_s > self.limits.late_s_min:
                # This process stood still meanwhile, so that Redis may well have answered: the double decides this one.
                log.info("send_budget_late", late_s=round(late_s, 3))
                return None
            if self._redis_from == 0.0:
                log.warning("send_budget_without_redis", error=type(error).__name__)
                _fallbacks.inc()
            self._redis_from = time.monotonic() + self.limits.redis_retry_s
            return None
        if self._redis_from:
            self._redis_from = 0.0
            log.info("send_budget_with_redis_again")
        return waits

    def _wait_s(self, name: int | str, rate: Rate, left: int, now: float) -> float:
        return max(0.0, self._tats.get(name, 0.0) - (rate.burst - 1 - left) * rate.interval_s - now)

    def _charge(self, name: int | str, rate: Rate, now: float) -> None:
        self._tats[name] = max(self._tats.get(name, 0.0), now) + rate.interval_s
        if len(self._tats) > self.limits.chats_max:
            self._tats = {name: tat for name, tat in self._tats.items() if tat > now}


def _rate(rate: Rate) -> tuple[int, int]:
    return int(rate.interval_s * 1e6), rate.burst
