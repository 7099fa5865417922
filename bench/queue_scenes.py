"""Scenes for the fair queue on virtual time: a flood, ninety-nine who never stop and one who comes, a full house."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from redis.asyncio import Redis

from bench.queue_world import LEASE_S, SECOND, START, Request, Seen, Served, World, arrivals, ticket
from inference.queue.ticket import QueueConfig, Ticket

SLOTS = 30
FLOOD, LIGHT = 1_000, range(1, 41)
LIGHT_EVERY_S = 60.0
BUSY, NEWCOMERS = range(1, 100), 2_000
NEWCOMER_EVERY_S = 10.0
WEIGHTS = (1, 2, 4, 6)
"""Those of plans.toml, by turns."""
OWN_QUEUED = 3
HUNDRED = range(1, 101)


@dataclass(frozen=True)
class Policy:
    """A way to run the same Lua."""

    name: str
    config: QueueConfig
    as_ticket: Callable[[int, Request], Ticket] = ticket


def _one_line(turn: int, request: Request) -> Ticket:
    """First come, first served is a queue of one person's tickets."""
    return replace(ticket(turn, request), person_id=1, weight=1, base_cap=SLOTS)


def _uncapped(turn: int, request: Request) -> Ticket:
    return replace(ticket(turn, request), base_cap=SLOTS)


# The counters of the paper and nothing else: no caps, no reserve, nobody left behind by them.
BARE = QueueConfig(slots=SLOTS, lease_s=LEASE_S, reserve_max=0, lag_max=10**9)
FCFS = Policy("first come, first served", BARE, _one_line)
VTC = Policy("virtual token counters", BARE, _uncapped)
FORMA = Policy("Forma", QueueConfig(slots=SLOTS, lease_s=LEASE_S))


def flood_requests(*, seed: int, requests: int) -> list[Request]:
    """Return one person's flood and what forty persons ask once a minute until the flood is through."""
    dice = random.Random(seed)
    heavy = [Request(START, FLOOD, dice.randint(200, 1_500), dice.randint(100, 500)) for _ in range(requests)]
    until_s = sum(one.service_us for one in heavy) / SLOTS / SECOND
    light = [
        Request(at, person, dice.randint(50, 800), dice.randint(50, 400))
        for person in LIGHT
        for at in arrivals(dice, LIGHT_EVERY_S, until_s)
    ]
    return heavy + light


async def flood(redis: Redis, policy: Policy, *, seed: int, requests: int) -> Seen:
    """Serve a flood among forty light persons to the end."""
    world = World(redis, policy.config, as_ticket=policy.as_ticket)
    return await world.run(flood_requests(seed=seed, requests=requests))


async def newcomers(redis: Redis, policy: Policy, *, seed: int, seconds: int) -> Seen:
    """Keep ninety-nine persons of all plans busy, and let somebody new ask one question every ten seconds."""
    dice = random.Random(seed)

    def ask(person: int, at: int) -> Request:
        weight = WEIGHTS[person % len(WEIGHTS)]
        return Request(at, person, dice.randint(50, 1_000), dice.randint(50, 400), weight=weight)

    until = START + seconds * SECOND
    busy = [ask(person, START) for person in BUSY for _ in range(OWN_QUEUED)]
    new = [
        ask(NEWCOMERS + number, START + round(number * NEWCOMER_EVERY_S * SECOND))
        for number in range(1, int(seconds / NEWCOMER_EVERY_S))
    ]

    def again(served: Served) -> Request | None:
        person = served.request.person
        return ask(person, served.ended) if person in BUSY else None

    return await World(redis, policy.config, again=again, as_ticket=policy.as_ticket).run(busy + new, until=until)


async def hundred(redis: Redis, policy: Policy, *, seed: int, seconds: int, think_s: float) -> Seen:
    """Let a hundred persons talk, each writing again `think_s` after an answer on average."""
    dice = random.Random(seed)

    def ask(person: int, at: int) -> Request:
        thought = dice.expovariate(1 / think_s) if think_s else 0.0
        return Request(at + round(thought * SECOND), person, dice.randint(50, 1_000), dice.randint(50, 400))

    until = START + seconds * SECOND
    first = [ask(person, START + dice.randrange(60 * SECOND)) for person in HUNDRED]

    def again(served: Served) -> Request | None:
        return ask(served.request.person, served.ended)

    return await World(redis, policy.config, again=again, as_ticket=policy.as_ticket).run(first, until=until)


def jain(shares: list[float]) -> float:
    """Return Jain's index of fairness: 1 where all have the same, 1 ÷ n where one has everything."""
    return sum(shares) ** 2 / (len(shares) * sum(share * share for share in shares))
