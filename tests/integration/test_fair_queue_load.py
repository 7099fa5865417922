"""The fair queue under many clients at once, its cost when it is long, and what it asks of a Redis."""

import asyncio
import math
import random
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from redis.asyncio import Redis

from inference.queue import scripts
from inference.queue.fair import FairQueue
from inference.queue.ticket import Cancelled, Claim, Limits, QueueConfig, Ticket, Usage
from kit import redis as kit_redis
from kit.errors import QueueFull

LUA = Path(scripts.__file__).parent / "lua"
# Commands and options that Redis 6.2 knows; what is added here has to be looked up first.
KNOWN_TO_REDIS_6_2 = {
    "DEL", "HDEL", "HGET", "HGETALL", "HINCRBY", "HMGET", "HSET", "HSETNX", "PERSIST", "PEXPIRE", "TIME", "ZADD",
    "ZCARD", "ZCOUNT", "ZRANGE", "ZRANGEBYSCORE", "ZRANK", "ZREM", "ZSCORE",
}  # fmt: skip
OPTIONS_OF_6_2 = {"LIMIT", "WITHSCORES", "XX"}


@pytest.fixture
async def clients(redis: Redis, redis_url: str) -> AsyncIterator[list[Redis]]:
    """Clients with pools of their own, as several processes have."""
    await redis.flushdb()
    made = [kit_redis.connect(redis_url) for _ in range(4)]
    yield made
    for client in made:
        await client.aclose()


def ticket(turn: int, person: int, **more: int) -> Ticket:
    sizes = {"weight": 1 + person % 4, "base_cap": 1, "input_tokens": 100, "cached_tokens_est": 0, "output_max": 300}
    return Ticket(turn, person, **{**sizes, **more})


async def test_a_storm_of_claims_by_a_hundred_holders_keeps_every_bound(clients: list[Redis]) -> None:
    config = QueueConfig(slots=16, kv_budget=16 * 350)
    queues = [FairQueue(client, "storm", config) for client in clients]
    await queues[0].configure()
    persons, own, turns = 50, 10, 500
    held: Counter[int] = Counter()
    served: Counter[int] = Counter()
    fences: set[int] = set()
    removed: set[int] = set()
    dice = random.Random(5)

    async def submit(turn: int) -> None:
        queue = queues[turn % len(queues)]
        for _ in range(1 + turn % 2):  # callers that are not sure ask twice
            await queue.submit(ticket(turn, turn % persons, in_flight_max=2))
        if turn % 25 == 0 and await queue.cancel(turn) is Cancelled.REMOVED:
            removed.add(turn)

    async def hold(number: int) -> None:
        queue = queues[number % len(queues)]
        while sum(served.values()) + len(removed) < turns:
            claim = (await queue.claim()).claim
            if claim is None:
                await asyncio.sleep(0.005)
                continue
            assert claim.fence not in fences
            fences.add(claim.fence)
            held[claim.person_id] += 1
            assert held.total() <= config.slots
            assert held[claim.person_id] <= 2
            renewals = await queue.renew_many([(claim, 10)])
            assert renewals[0].alive
            await asyncio.sleep(dice.uniform(0, 0.01))
            held[claim.person_id] -= 1
            if dice.random() < 0.1:
                assert (await queue.requeue(claim)).accepted
            else:
                served[claim.turn_id] += 1
                assert (await queue.finish(claim, Usage(100, 0, 50))).accepted
                assert not (await queue.finish(claim, Usage(100, 0, 50))).accepted

    async with asyncio.timeout(100):
        await asyncio.gather(*(submit(turn) for turn in range(1, turns + 1)), *(hold(number) for number in range(100)))
    assert set(served.values()) == {1}
    assert set(served) | removed == set(range(1, turns + 1))
    assert own * persons == turns
    snapshot = await queues[0].snapshot()
    assert (snapshot.waiting, snapshot.running, snapshot.kv_used, snapshot.persons_waiting) == (0, 0, 0, 0)


async def test_admission_by_many_clients_at_once_lets_in_exactly_what_fits(clients: list[Redis]) -> None:
    queues = [FairQueue(client, "door", QueueConfig(slots=1, queued_max=40)) for client in clients]
    await queues[0].configure()

    async def knock(number: int) -> str:
        try:
            # Everybody's request comes twice, as after a lost answer.
            queue = queues[number % len(queues)]
            admission = await queue.admit(f"{number // 2}", number // 2 % 20, Limits(queued_max=3))
        except QueueFull as full:
            return str(full.params["scope"])
        return "new" if admission.fresh else "known"

    answers = Counter(await asyncio.gather(*(knock(number) for number in range(240))))
    assert answers["new"] == 40
    assert (await queues[0].snapshot()).places == 40
    assert answers.total() == 240


async def test_an_operation_costs_no_more_than_the_logarithm_of_the_queues_length(redis: Redis) -> None:
    """µs of Redis' own CPU for an operation, at 200 and at 10,000 tickets."""
    few, many = [await costs(redis, tickets) for tickets in (200, 10_000)]
    growth = math.log2(10_000) / math.log2(200)
    for name, short in few.items():
        assert many[name] <= 2 * growth * short + 20, (name, few, many)


async def costs(redis: Redis, tickets: int) -> dict[str, float]:
    await redis.flushdb()
    queue = FairQueue(redis, "long", QueueConfig(slots=tickets, queued_max=tickets * 2, lend_burst=10**9))
    await queue.configure()
    turns = iter(range(1, tickets * 2))
    # One person has half of the tickets, everybody else five.
    for turn in range(tickets):
        await queue.submit(ticket(next(turns), 0 if turn % 2 else turn // 10 + 1))
    claims: list[Claim] = []

    async def claim() -> None:
        found = (await queue.claim()).claim
        assert found
        claims.append(found)

    async def submit() -> None:
        await queue.submit(ticket(next(turns), random.randrange(tickets)))

    async def renew() -> None:
        await queue.renew(random.choice(claims), random.randint(1, 300))

    async def finish() -> None:
        await queue.finish(claims.pop(), Usage(100, 0, 50))

    async def requeue() -> None:
        await queue.requeue(claims.pop())

    async def admit() -> None:
        turn = next(turns)
        await queue.admit(str(turn), turn, limits(requests=9))

    async def position() -> None:
        await queue.position(random.randint(1, tickets))

    async def cancel() -> None:
        await queue.cancel(random.randint(1, tickets))

    found = {}
    for operation in (admit, submit, claim, renew, position, finish, requeue, cancel, queue.snapshot, queue.reap):
        found[operation.__name__] = min([await _cost(redis, operation) for _ in range(3)])
        while len(claims) < 70:
            await claim()
    return found


async def _cost(redis: Redis, operation: Callable[[], Awaitable[object]], times: int = 20) -> float:
    await redis.config_resetstat()
    for _ in range(times):
        await operation()
    stats = await redis.info("commandstats")
    return float(stats["cmdstat_evalsha"]["usec_per_call"])


def test_the_scripts_use_only_what_redis_6_2_knows() -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in LUA.glob("*.lua"))
    assert set(re.findall(r"call\('(\w+)'", source)) <= KNOWN_TO_REDIS_6_2
    assert set(re.findall(r"'([A-Z]+)'", source)) - KNOWN_TO_REDIS_6_2 <= OPTIONS_OF_6_2
    # A Redis of 6.2 finds scripts by their hash and knows no libraries, and no script asks for another's keys.
    assert "#!lua" not in source
    assert "redis.pcall" not in source


def limits(*, requests: int, tokens: int = 0) -> Limits:
    return Limits.of(requests_per_minute=requests, tokens_per_minute=tokens, tokens_per_day=9 * tokens, queued_max=10)


async def test_all_keys_of_a_queue_share_one_hash_tag(redis: Redis) -> None:
    """But for a person's limits, which hold whichever model answers."""
    await redis.flushdb()
    queue = FairQueue(redis, "tagged", QueueConfig(slots=2, kv_budget=1_000))
    await queue.configure()
    await queue.admit("1:1", 1, limits(requests=3, tokens=100))
    await queue.submit(ticket(1, 1, deadline_us=2**52), key="1:1")
    await queue.submit(ticket(2, 1))
    claim = (await queue.claim()).claim
    assert claim
    await queue.finish(claim, Usage(1, 0, 1))
    await queue.charge(1, 40)
    keys = {key async for key in redis.scan_iter()} - {b"fq:limits:1"}
    assert keys
    assert all(key.startswith(b"{fq:tagged}:") for key in keys)
