"""A model server on virtual time in front of the real fair queue: who waits how long, and what everybody gets."""

import heapq
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from redis.asyncio import Redis

from inference.queue.fair import FairQueue
from inference.queue.ticket import Claim, Position, QueueConfig, Ticket, Usage

SECOND = 1_000_000
START = 1_790_000_000 * SECOND
LEASE_S = 10**6  # nobody dies here
RENEW_US = SECOND
PROMPT_TOKENS_S, OUTPUT_TOKENS_S = 4_000, 40
OUTPUT_MAX = 2_000
_TICK, _LOOK = 0, -1


@dataclass(frozen=True)
class Request:
    """What somebody asks at `at` (µs): model tokens in and out, and the time in a slot that follows from them."""

    at: int
    person: int
    input_tokens: int
    output_tokens: int
    weight: int = 1
    cap: int = 1

    @property
    def service_us(self) -> int:
        """A first token after the prompt, then one after the other."""
        return round((self.input_tokens / PROMPT_TOKENS_S + self.output_tokens / OUTPUT_TOKENS_S) * SECOND)

    def output_after(self, us: int) -> int:
        """Return how many tokens are written after so long in a slot."""
        return max(
            0, min(self.output_tokens, int((us / SECOND - self.input_tokens / PROMPT_TOKENS_S) * OUTPUT_TOKENS_S))
        )

    def charge(self) -> float:
        return self.input_tokens + 2 * self.output_tokens


@dataclass(frozen=True)
class Served:
    """One request's fate. `place` is what its person was told when it came."""

    request: Request
    begun: int
    place: Position

    @property
    def wait_s(self) -> float:
        return (self.begun - self.request.at) / SECOND

    @property
    def ended(self) -> int:
        return self.begun + self.request.service_us

    @property
    def expected(self) -> bool:
        """Whether the wait was within what the person was told, and that was no wider than promised."""
        low, high = self.place.eta_low_s, self.place.eta_high_s
        return low <= self.wait_s <= high <= 2 * low + 10


@dataclass
class Seen:
    """What came of it; times in µs."""

    slots: int
    served: list[Served] = field(default_factory=list)
    reserves: list[tuple[int, int]] = field(default_factory=list)
    idle_us: int = 0
    """∫ min(free slots, waiting) dt"""
    queued_us: int = 0
    """How long somebody was waiting."""
    until: int = START

    def waits(self, persons: Iterable[int] | None = None) -> list[float]:
        """Return the waits in seconds of these persons' requests, or of all."""
        wanted = None if persons is None else set(persons)
        return [one.wait_s for one in self.served if wanted is None or one.request.person in wanted]

    def got(self, person: int, since: int, until: int) -> float:
        """Return the charge of what a person was served in a span of time, an answer as it is written."""
        got = 0.0
        for one in self.served:
            if one.request.person == person:
                parts = [min(max(at - one.begun, 0), one.request.service_us) for at in (since, until)]
                got += one.request.charge() * (parts[1] - parts[0]) / one.request.service_us
        return got

    @property
    def idle_share(self) -> float:
        """Return the part of the slots that were free while somebody waited for one."""
        return self.idle_us / max(1, self.slots * self.queued_us)

    @property
    def busy_share(self) -> float:
        """Return the part of all slots that worked."""
        return sum(min(one.ended, self.until) - one.begun for one in self.served) / (self.slots * (self.until - START))


def ticket(turn: int, request: Request) -> Ticket:
    """Return the request as the product submits it."""
    return Ticket(
        turn_id=turn,
        person_id=request.person,
        weight=request.weight,
        base_cap=request.cap,
        input_tokens=request.input_tokens,
        cached_tokens_est=0,
        output_max=OUTPUT_MAX,
    )


class World:
    """Serves requests in virtual time, a claim for each wake-up.

    `again` is told of each request that was answered and returns what its person asks next; `as_ticket` decides what
    the queue hears of a request.
    """

    def __init__(
        self,
        redis: Redis,
        config: QueueConfig,
        *,
        again: Callable[[Served], Request | None] | None = None,
        as_ticket: Callable[[int, Request], Ticket] = ticket,
    ) -> None:
        self._redis, self._config = redis, config
        self._again, self._as_ticket = again, as_ticket
        self._queue = FairQueue(redis, "world", config)
        self._events: list[tuple[int, int, int]] = []
        self._asked: dict[int, Request] = {}
        self._places: dict[int, Position] = {}
        self._held: dict[int, tuple[Claim, Served]] = {}
        self._waiting = 0
        self._looks = False

    async def run(self, requests: Sequence[Request], *, until: int | None = None) -> Seen:
        """Serve the requests, and those that follow, to the end or to `until`. The Redis is emptied first."""
        await self._redis.flushdb()
        await self._queue.configure(now_us=START)
        for request in sorted(requests, key=lambda r: r.at):
            self._ask(request)
        heapq.heappush(self._events, (START + RENEW_US, 2, _TICK))
        seen = Seen(self._config.slots)
        while self._events and (until is None or self._events[0][0] <= until):
            now, kind, turn = heapq.heappop(self._events)
            self._pass(seen, now)
            if turn == _TICK:
                await self._renew(now)
                continue
            if turn == _LOOK:
                self._looks = False
            else:
                await (self._arrive if kind else self._finish)(turn, now)
            await self._claim(seen, now)
            if kind == 1:
                seen.reserves.append((now, (await self._queue.snapshot(now_us=now)).reserve))
        return seen

    def _ask(self, request: Request) -> None:
        turn = len(self._asked) + 1
        self._asked[turn] = request
        heapq.heappush(self._events, (request.at, 1, turn))

    def _pass(self, seen: Seen, now: int) -> None:
        if self._waiting:
            seen.queued_us += now - seen.until
            seen.idle_us += min(self._config.slots - len(self._held), self._waiting) * (now - seen.until)
        seen.until = now

    async def _arrive(self, turn: int, now: int) -> None:
        self._waiting += 1
        self._places[turn] = await self._queue.submit(self._as_ticket(turn, self._asked[turn]), now_us=now)

    async def _finish(self, turn: int, now: int) -> None:
        claim, served = self._held.pop(turn)
        usage = Usage(served.request.input_tokens, 0, served.request.output_tokens)
        assert (await self._queue.finish(claim, usage, now_us=now)).accepted
        following = self._again(served) if self._again else None
        if following:
            self._ask(following)

    def _look_again(self, now: int, seconds: float) -> None:
        """Claim when a slot may be lent; one look in the future is enough."""
        if seconds and not self._looks:
            self._looks = True
            heapq.heappush(self._events, (now + max(1, round(seconds * SECOND)), 3, _LOOK))

    async def _claim(self, seen: Seen, now: int) -> None:
        while self._waiting:
            claimed = await self._queue.claim(now_us=now)
            claim = claimed.claim
            if claim is None:
                self._look_again(now, claimed.again_s)
                return
            served = Served(self._asked[claim.turn_id], now, self._places[claim.turn_id])
            self._held[claim.turn_id] = (claim, served)
            self._waiting -= 1
            assert len(self._held) <= self._config.slots
            seen.served.append(served)
            heapq.heappush(self._events, (served.ended, 0, claim.turn_id))

    async def _renew(self, now: int) -> None:
        """Charge what was written so far, as a worker does."""
        items = [(claim, served.request.output_after(now - served.begun)) for claim, served in self._held.values()]
        assert all(renewal.alive for renewal in await self._queue.renew_many(items, now_us=now))
        if self._events:
            heapq.heappush(self._events, (now + RENEW_US, 2, _TICK))


def arrivals(dice: random.Random, every_s: float, until_s: float, *, since_s: float = 0.0) -> Iterator[int]:
    """Yield the times of a Poisson process, in µs."""
    at = since_s + dice.expovariate(1 / every_s)
    while at < until_s:
        yield START + round(at * SECOND)
        at += dice.expovariate(1 / every_s)


def quantile(values: Iterable[float], part: float) -> float:
    """Return the value that `part` of the values do not exceed; 0 where there are none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0
