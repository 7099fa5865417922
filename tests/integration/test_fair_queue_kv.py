"""The KV budget: what prompts really take of their bound is learned, and borrowers leave room for whoever comes."""

from redis.asyncio import Redis

from inference.queue.fair import FairQueue
from inference.queue.ticket import Claim, QueueConfig, Ticket, Usage

START, SECOND = 1_790_000_000_000_000, 1_000_000
BOUND, PROMPT, ANSWER = 3_000, 500, 100
FLOOD = 1_000


def ticket(turn: int, person: int) -> Ticket:
    return Ticket(
        turn_id=turn,
        person_id=person,
        weight=1,
        base_cap=1,
        input_tokens=BOUND,
        cached_tokens_est=0,
        output_max=ANSWER,
    )


async def claim_all(queue: FairQueue, now: int) -> list[Claim]:
    held: list[Claim] = []
    while claim := (await queue.claim(now_us=now)).claim:
        held.append(claim)
    return held


async def served(queue: FairQueue, held: list[Claim], now: int) -> None:
    for claim in held:
        assert (await queue.finish(claim, Usage(PROMPT, 0, ANSWER), now_us=now)).accepted


async def learned(redis: Redis, **config: int) -> tuple[FairQueue, int]:
    """A queue that has seen some answers of persons who asked one thing each, and the moment it is then."""
    await redis.flushdb()
    queue = FairQueue(redis, "kv", QueueConfig(slots=16, lease_s=10**6, **config))
    await queue.configure(now_us=START)
    now = START
    for turn in range(1, 11):
        await queue.submit(ticket(turn, turn), now_us=now)
    while held := await claim_all(queue, now):
        now += 5 * SECOND
        await served(queue, held, now)
    return queue, now


async def test_a_bound_in_bytes_does_not_leave_the_kv_cache_empty(redis: Redis) -> None:
    await redis.flushdb()
    queue = FairQueue(redis, "kv", QueueConfig(slots=16, kv_budget=10_000, lease_s=10**6))
    await queue.configure(now_us=START)
    for turn in range(1, 41):
        await queue.submit(ticket(turn, turn), now_us=START)
    running = [len(await claim_all(queue, START))]
    assert running == [3], "nothing is known yet, so the bound is what counts"

    queue, now = await learned(redis, kv_budget=10_000)
    for turn in range(101, 141):
        await queue.submit(ticket(turn, turn), now_us=now)
    held = await claim_all(queue, now)
    assert len(held) == 16, "sixteen prompts of 500 tokens and their answers fit into 10,000"
    assert (await queue.snapshot(now_us=now)).kv_used <= 10_000
    await served(queue, held, now + SECOND)


async def test_borrowers_leave_kv_for_those_who_come_by_right(redis: Redis) -> None:
    queue, now = await learned(redis, kv_budget=6_100, reserve_min=2, reserve_max=2, lend_spread=0)
    for turn in range(101, 141):
        await queue.submit(ticket(turn, FLOOD), now_us=now)
    flood = await claim_all(queue, now)
    assert len(flood) == 8, "ten would fit"
    for turn in (201, 202):
        await queue.submit(ticket(turn, turn), now_us=now)
    assert [claim.turn_id for claim in await claim_all(queue, now)] == [201, 202]


async def test_the_budget_is_free_again_when_all_is_served(redis: Redis) -> None:
    queue, now = await learned(redis, kv_budget=6_100)
    for turn in range(101, 121):
        await queue.submit(ticket(turn, FLOOD), now_us=now)
    while held := await claim_all(queue, now):
        for claim in held:
            assert (await queue.renew(claim, ANSWER, now_us=now)).alive
        await served(queue, held, now + SECOND)
        now += SECOND
    seen = await queue.snapshot(now_us=now)
    assert (seen.waiting, seen.running, seen.kv_used) == (0, 0, 0)
