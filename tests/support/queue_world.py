"""A model server on virtual time in front of the real fair queue: who waits how long, and what everybody gets."""

import heapq
import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from redis.asyncio import Redis

from inference.queue.fair import FairQueue
from inference.queue.ticket import Claim, QueueConfig, Ticket, Usage

SECOND = 1_000_000
START = 1_790_000_000 * SECOND
LEASE_S = 10**6  # nobody dies here, so nobody needs to renew


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
        """A first token after the prompt at 4,000 tokens/s, then 40 tokens/s."""
        return round((self.input_tokens / 4_000 + self.output_tokens / 40) * SECOND)

    def charge(self) -> float:
        return self.input_tokens + 2 * self.output_tokens


@dataclass
class Seen:
    """What came of it. Waits in seconds, by person; service as (time, charge), by person."""

    waits: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    service: dict[int, list[tuple[int, float]]] = field(default_factory=lambda: defaultdict(list))
    reserves: list[tuple[int, int]] = field(default_factory=list)
    busy_us: int = 0
    until: int = START

    def got(self, person: int, since: int, until: int) -> float:
        """The charge of what a person was served in a span of time."""
        return sum(charge for at, charge in self.service[person] if since < at <= until)


async def run(redis: Redis, config: QueueConfig, requests: list[Request], *, until: int | None = None) -> Seen:
    """Serve the requests in virtual time, a claim for each wake-up, to the end or to `until`."""
    await redis.flushdb()
    queue = FairQueue(redis, "world", config)
    await queue.configure(now_us=START)
    asked = dict(enumerate(sorted(requests, key=lambda r: r.at), start=1))
    events: list[tuple[int, int, int]] = [(request.at, 1, turn) for turn, request in asked.items()]
    heapq.heapify(events)
    held: dict[int, Claim] = {}
    seen = Seen()
    while events and (until is None or events[0][0] <= until):
        now, arrives, turn = heapq.heappop(events)
        request = asked[turn]
        if arrives:
            await queue.submit(_ticket(turn, request), now_us=now)
        else:
            usage = Usage(request.input_tokens, 0, request.output_tokens)
            assert (await queue.finish(held.pop(turn), usage, now_us=now)).accepted
            seen.busy_us += request.service_us
        seen.until = now
        while claim := (await queue.claim(now_us=now)).claim:
            held[claim.turn_id] = claim
            begun = asked[claim.turn_id]
            assert len(held) <= config.slots
            seen.waits[begun.person].append((now - begun.at) / SECOND)
            seen.service[begun.person].append((now + begun.service_us, begun.charge()))
            heapq.heappush(events, (now + begun.service_us, 0, claim.turn_id))
        if arrives:
            seen.reserves.append((now, (await queue.snapshot(now_us=now)).reserve))
    return seen


def _ticket(turn: int, request: Request) -> Ticket:
    return Ticket(
        turn_id=turn,
        person_id=request.person,
        weight=request.weight,
        base_cap=request.cap,
        input_tokens=request.input_tokens,
        cached_tokens_est=0,
        output_max=2_000,
    )


def arrivals(dice: random.Random, every_s: float, until_s: float, *, since_s: float = 0.0) -> Iterator[int]:
    """Times of a Poisson process, in µs."""
    at = since_s + dice.expovariate(1 / every_s)
    while at < until_s:
        yield START + round(at * SECOND)
        at += dice.expovariate(1 / every_s)


def p95(values: list[float]) -> float:
    return sorted(values)[int(0.95 * len(values))]
