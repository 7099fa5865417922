"""Slots are lent at the pace at which a full house frees them: a flood does not take all of a quiet model at once."""

import random
from dataclasses import replace

import pytest
from redis.asyncio import Redis

from bench.queue_scenes import FLOOD, FORMA, LIGHT
from bench.queue_world import SECOND, START, Request, Served, World, quantile
from inference.queue.fair import FairQueue
from inference.queue.ticket import Claim, QueueConfig, Ticket

SLOTS, BURST, SERVICE_S = 20, 3, 10.0
PACE_US = round(SERVICE_S / SLOTS * SECOND)


@pytest.fixture
async def queue(redis: Redis) -> FairQueue:
    """Twenty slots of ten seconds, and one person with a hundred requests."""
    await redis.flushdb()
    config = QueueConfig(slots=SLOTS, lend_burst=BURST, service_s=SERVICE_S, reserve_max=0, lease_s=10**6)
    made = FairQueue(redis, "lending", config)
    await made.configure(now_us=START)
    for turn in range(1, 101):
        await made.submit(Ticket(turn, FLOOD, 1, 1, 500, 0, 400), now_us=START)
    return made


async def claims(queue: FairQueue, now: int) -> tuple[list[Claim], float]:
    """Claim what can be had; return it, and after how many seconds there is more."""
    held: list[Claim] = []
    while (claimed := await queue.claim(now_us=now)).claim:
        held.append(claimed.claim)
    return held, claimed.again_s


async def test_a_flood_takes_its_own_slots_and_a_few_at_once_and_then_one_after_the_other(queue: FairQueue) -> None:
    held, again_s = await claims(queue, START)
    assert len(held) == 1 + BURST
    assert again_s == pytest.approx(PACE_US / SECOND, rel=0.01)
    for number in range(1, SLOTS - BURST):
        now = START + number * PACE_US
        assert len((await claims(queue, now - 1_000))[0]) == 0
        held, again_s = await claims(queue, now + 1_000)
        assert len(held) == 1
    assert again_s == 0, "all slots are taken: the next finish wakes whoever waits"


async def test_a_slot_that_was_freed_is_lent_at_once(queue: FairQueue) -> None:
    held, _ = await claims(queue, START)
    for claim in held[:2]:
        await queue.requeue(claim, now_us=START + 1)
    again, _ = await claims(queue, START + 2)
    assert len(again) == 2


async def test_whoever_comes_by_right_waits_for_no_pace(queue: FairQueue) -> None:
    await claims(queue, START)
    for person in range(1, 11):
        await queue.submit(Ticket(1_000 + person, person, 1, 1, 500, 0, 400), now_us=START)
    held, again_s = await claims(queue, START)
    assert {claim.ticket.person_id for claim in held} == set(range(1, 11))
    assert again_s > 0


async def test_a_clock_that_is_set_back_stops_lending_for_no_longer_than_a_full_burst(queue: FairQueue) -> None:
    await claims(queue, START + 3_600 * SECOND)
    _, again_s = await claims(queue, START)
    assert 0 < again_s <= 2 * BURST * PACE_US / SECOND
    held, _ = await claims(queue, START + 2 * BURST * PACE_US)
    assert held


async def test_whoever_writes_just_after_a_flood_has_no_wave_to_wait_for(redis: Redis) -> None:
    """The flood's answers are equally long: slots that are taken at once come back at once, ten seconds later."""
    waits = {}
    for spread in (0.0, 1.0):
        dice = random.Random(1)

        def again(served: Served, dice: random.Random = dice) -> Request | None:
            one = served.request
            goes_on = one.person in LIGHT and served.ended < START + 60 * SECOND
            at = served.ended + round(dice.expovariate(1 / 20) * SECOND)
            return Request(at, one.person, 500, 200) if goes_on else None

        flood = [Request(START, FLOOD, 1_000, 400) for _ in range(300)]
        light = [Request(START + dice.randrange(10 * SECOND), person, 500, 200) for person in LIGHT]
        seen = await World(redis, replace(FORMA.config, lend_spread=spread), again=again).run(flood + light)
        waits[spread] = quantile(seen.waits(LIGHT), 0.95), seen.until
    assert waits[1.0][0] < 0.5 * waits[0.0][0]
    assert waits[1.0][1] < 1.05 * waits[0.0][1], "and the whole of it takes no longer"
