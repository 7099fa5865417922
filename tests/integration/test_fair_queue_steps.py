"""A turn of several generations (a tool was called in between) keeps its slot, its fence and its place."""

from redis.asyncio import Redis

from inference.queue.fair import FairQueue
from inference.queue.ticket import Claim, QueueConfig, Ticket, Usage

AGENT, FIRST_OTHER = 1, 2
BEGIN = Usage(input_tokens=100, cached_tokens=0, output_tokens=40)


async def opened(redis: Redis, *, slots: int, kv_budget: int = 0, others: int = 0) -> tuple[FairQueue, Claim]:
    """Return a queue in which AGENT's turn runs and `others` wait, one ticket each."""
    await redis.flushdb()
    queue = FairQueue(redis, "steps", QueueConfig(slots=slots, kv_budget=kv_budget, reserve_max=0))
    await queue.configure()
    await queue.submit(ticket(1, AGENT))
    claim = (await queue.claim()).claim
    assert claim
    for number in range(others):
        await queue.submit(ticket(2 + number, FIRST_OTHER + number))
    return queue, claim


def ticket(turn: int, person: int) -> Ticket:
    return Ticket(turn, person, weight=1, base_cap=1, input_tokens=100, cached_tokens_est=0, output_max=100)


async def counter(redis: Redis) -> float:
    return float(await redis.hget(f"{{fq:steps}}:p:{AGENT}", "v") or 0)


async def test_a_turn_goes_on_in_its_slot_though_others_wait(redis: Redis) -> None:
    queue, claim = await opened(redis, slots=1, others=5)
    for number in range(1, 4):
        stepped = await queue.step(claim, BEGIN, input_tokens=100 + number * 100, cached_tokens_est=100, output_max=100)
        assert stepped.claim
        assert (stepped.claim.fence, stepped.claim.turn_id) == (claim.fence, claim.turn_id)
        assert (stepped.claim.ticket.step, stepped.claim.ticket.input_tokens) == (number, 100 + number * 100)
        claim = stepped.claim
        assert (await queue.claim()).claim is None
        assert (await queue.snapshot()).waiting == 5
        assert (await queue.renew(claim, 20)).alive
    assert (await queue.finish(claim, Usage(400, 300, 40))).accepted
    # Each generation costs its uncached input, a fifth of the cached, and twice the output.
    begun, over = 100 + 2 * 40, 100 + 0.2 * 300 + 2 * 40
    assert await counter(redis) == 3 * begun + over
    served = (await queue.claim()).claim
    assert served
    assert served.person_id == FIRST_OTHER


async def test_a_step_that_is_told_twice_is_charged_once(redis: Redis) -> None:
    queue, claim = await opened(redis, slots=1)
    answers = [await queue.step(claim, BEGIN, input_tokens=300, cached_tokens_est=0, output_max=100) for _ in range(3)]
    assert {answer.claim for answer in answers} == {answers[0].claim}
    assert await counter(redis) == 100 + 2 * 40 + 300


async def test_what_does_not_fit_the_kv_cache_waits_at_the_head_with_its_step(redis: Redis) -> None:
    queue, claim = await opened(redis, slots=4, kv_budget=800, others=3)
    held = [found for _ in range(3) if (found := (await queue.claim()).claim)]
    assert len(held) == 3
    for number in range(10):
        await queue.submit(ticket(20 + number, 20 + number))
    stepped = await queue.step(claim, BEGIN, input_tokens=600, cached_tokens_est=0, output_max=100)
    assert stepped.requeued
    assert not stepped.claim
    assert not (await queue.renew(claim, 1)).alive

    now = claim.lease_until_us - 10_000_000  # 5 s on: from 2 s the queue drains for it
    order = []
    while len(order) < 5:
        found = (await queue.claim(now_us=now)).claim
        if found:
            order.append(found)
            held.append(found)
        else:
            await queue.finish(held.pop(0), Usage(100, 0, 50), now_us=now)
    assert order[0].turn_id == claim.turn_id
    assert (order[0].ticket.step, order[0].ticket.input_tokens, order[0].tries) == (1, 600, 0)
    assert order[0].fence > claim.fence


async def test_a_stop_is_heard_at_the_next_step_and_charges_nothing_more(redis: Redis) -> None:
    queue, claim = await opened(redis, slots=1)
    await queue.cancel(claim.turn_id)
    stepped = await queue.step(claim, BEGIN, input_tokens=900, cached_tokens_est=0, output_max=100)
    assert stepped.cancelled
    assert not stepped.claim
    assert (await queue.finish(claim, BEGIN)).accepted
    assert await counter(redis) == 100 + 2 * 40


async def test_a_holder_whose_lease_redis_has_lost_goes_on_with_its_step(redis: Redis) -> None:
    queue, claim = await opened(redis, slots=1, kv_budget=1_000)
    stepped = await queue.step(claim, BEGIN, input_tokens=500, cached_tokens_est=0, output_max=100)
    assert stepped.claim
    await redis.flushdb()
    assert (await queue.renew(stepped.claim, 10)).alive
    assert (await queue.snapshot()).kv_used == 500 + 100
    again = await queue.step(stepped.claim, BEGIN, input_tokens=700, cached_tokens_est=0, output_max=100)
    assert again.claim
    assert again.claim.ticket.step == 2
    assert (await queue.finish(again.claim, BEGIN)).accepted
    snapshot = await queue.snapshot()
    assert (snapshot.running, snapshot.kv_used) == (0, 0)


async def test_a_holder_that_was_replaced_steps_no_further(redis: Redis) -> None:
    queue, claim = await opened(redis, slots=1)
    later = claim.lease_until_us + 1
    assert [lost.turn_id for lost in (await queue.reap(now_us=later)).requeued] == [claim.turn_id]
    assert (await queue.claim(now_us=later)).claim
    stepped = await queue.step(claim, BEGIN, input_tokens=200, cached_tokens_est=0, output_max=100, now_us=later)
    assert (stepped.claim, stepped.cancelled, stepped.requeued) == (None, False, False)
