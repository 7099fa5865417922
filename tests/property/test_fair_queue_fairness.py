"""Who gets what: the bounds of virtual token counters (Sheng et al., OSDI 2024), on virtual time."""

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from bench.queue_world import LEASE_S, SECOND, START, Request, World, arrivals, quantile
from inference.queue.fair import FairQueue
from inference.queue.ticket import Claim, QueueConfig, Ticket, Usage

FLOOD, LIGHT, SLOTS = 1_000, range(1, 41), 30
INPUT_MAX, OUTPUT_MAX = 1_000, 400


def config(slots: int, **more: object) -> QueueConfig:
    """A queue in which nothing but the counters decides, unless said otherwise."""
    chosen: dict[str, object] = {"lag_max": 10**9, "reserve_max": 0, "lease_s": LEASE_S, "idle_s": 10**6, **more}
    return QueueConfig(slots=slots, **chosen)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", [*range(3), *(pytest.param(seed, marks=pytest.mark.fair) for seed in range(3, 20))])
async def test_persons_with_work_waiting_for_a_minute_get_the_same_but_for_two_requests(
    redis: Redis, seed: int
) -> None:
    """Theorem 4.4 of the paper: served ÷ weight of two persons differs by no more than 2·Cmax ÷ the smaller weight."""
    dice = random.Random(seed)
    slots = dice.choice([1, 2, 4])
    weights = [dice.choice([1, 1, 2, 4]) for _ in range(4 * slots)]
    requests = [
        # One sends short ones, another long ones, the third anything.
        Request(START, person, *_size(dice, person % 3), weight=weight)
        for person, weight in enumerate(weights, start=1)
        for _ in range(130 * weight)
    ]
    seen = await World(redis, config(slots)).run(requests, until=START + 240 * SECOND)
    largest = INPUT_MAX + 2 * OUTPUT_MAX
    for since_s, until_s in ((0, 60), (0, 240), (60, 120), (90, 200), (150, 230)):
        got = [
            (seen.got(person, START + since_s * SECOND, START + until_s * SECOND) / weight, weight)
            for person, weight in enumerate(weights, start=1)
        ]
        for (one, its), (other, others) in itertools.combinations(got, 2):
            assert abs(one - other) <= 2 * largest / min(its, others), (slots, since_s, until_s, got)


def _size(dice: random.Random, kind: int) -> tuple[int, int]:
    if kind == 1:
        return 50, dice.randint(5, 40)
    if kind == 2:
        return INPUT_MAX, OUTPUT_MAX
    return dice.randint(1, INPUT_MAX), dice.randint(1, OUTPUT_MAX)


async def test_plans_of_weight_1_2_and_4_get_their_shares_within_five_percent(redis: Redis) -> None:
    dice = random.Random(7)
    persons = {person: (1, 2, 4)[person % 3] for person in range(12)}
    requests = [
        Request(START, person, dice.randint(50, 500), dice.randint(20, 200), weight=weight)
        for person, weight in persons.items()
        for _ in range(60 * weight)
    ]
    until = START + 240 * SECOND
    seen = await World(redis, config(4)).run(requests, until=until)
    got = {
        weight: sum(seen.got(p, START, until) for p, its in persons.items() if its == weight) for weight in (1, 2, 4)
    }
    assert got[2] / got[1] == pytest.approx(2, rel=0.05)
    assert got[4] / got[1] == pytest.approx(4, rel=0.05)


@settings(max_examples=10)
@given(pause_s=st.integers(61, 3_000), slots=st.sampled_from([1, 4]), seed=st.integers(0, 99))
async def test_idling_banks_no_credit(redis: Redis, pause_s: int, slots: int, seed: int) -> None:
    """Who comes back after a pause shares from then on, and gets nothing in return for what others had meanwhile."""
    dice = random.Random(seed)
    back = START + pause_s * SECOND
    requests = [Request(START, 2, 100, 50, cap=slots)]
    requests += [Request(back - 60 * SECOND, 1, 100, 50, cap=slots) for _ in range(150 * slots)]
    requests += [Request(back, 2, dice.randint(50, 150), 50, cap=slots) for _ in range(100 * slots)]
    until = back + 60 * SECOND
    seen = await World(redis, config(slots)).run(requests, until=until)
    first, second = (seen.got(person, back, until) for person in (1, 2))
    assert first + second > 8_000 * slots
    assert abs(second - first) <= 2 * max(150, 2 * 50 * slots) + 300 * slots


async def test_a_flood_of_1500_requests_delays_forty_light_persons_by_seconds_only(redis: Redis) -> None:
    """design.md's prototype: 1.6 s with a base cap of 3 and a reserve of 3, against 807 s first come first served."""
    dice = random.Random(11)
    flood = [Request(START, FLOOD, dice.randint(200, 1_500), dice.randint(100, 500), cap=3) for _ in range(1_500)]
    light = [
        Request(at, person, dice.randint(50, 800), dice.randint(50, 400), cap=3)
        for person in LIGHT
        for at in arrivals(dice, every_s=60, until_s=300)
    ]
    seen = await World(redis, config(SLOTS, lag_max=16_384, reserve_min=3, reserve_max=3)).run(flood + light)
    waits = seen.waits(LIGHT)
    assert quantile(waits, 0.95) < 3, quantile(waits, 0.95)
    assert max(waits) < 15
    # Nobody starves, the flood included, and it gets what the others leave free.
    assert len(seen.served) == len(flood) + len(light)
    assert seen.busy_share > 0.8


async def test_a_reserve_that_follows_arrivals_spares_light_persons_nearly_all_waiting(redis: Redis) -> None:
    dice = random.Random(12)
    flood = [Request(START, FLOOD, dice.randint(200, 1_500), dice.randint(100, 500), cap=3) for _ in range(900)]
    light = [
        Request(at, person, dice.randint(50, 800), dice.randint(50, 400), cap=3)
        for person in LIGHT
        for at in arrivals(dice, every_s=60, until_s=200)
    ]
    until = START + 200 * SECOND
    plain = await World(redis, config(SLOTS, lag_max=16_384)).run(flood + light, until=until)
    spared = await World(redis, config(SLOTS, lag_max=16_384, reserve_max=6)).run(flood + light, until=until)
    waits = [seen.waits(LIGHT) for seen in (plain, spared)]
    assert quantile(waits[1], 0.95) <= 1.5, quantile(waits[1], 0.95)
    assert quantile(waits[1], 0.95) < quantile(waits[0], 0.95)


async def test_the_reserve_grows_with_light_arrivals_and_goes_when_they_stop(redis: Redis) -> None:
    dice = random.Random(13)
    light = [
        Request(at, number, 200, 200, cap=1)
        for number, at in enumerate(arrivals(dice, every_s=0.4, until_s=300, since_s=100), start=1)
    ]
    quiet = [Request(START + at * SECOND, 10**6, 100, 40, cap=1) for at in (*range(20, 100, 20), *range(700, 900, 50))]
    seen = await World(redis, config(SLOTS, reserve_max=6)).run(light + quiet)
    before, during, after = (
        [reserve for at, reserve in seen.reserves if since <= (at - START) / SECOND < until]
        for since, until in ((0, 95), (200, 300), (700, 1_000))
    )
    assert set(before) == {0}
    assert min(during) >= 1
    assert min(during) < 6
    assert max(during) <= 6
    assert set(after) == {0}


async def test_the_reserve_survives_a_clock_that_is_set_back(redis: Redis) -> None:
    await redis.flushdb()
    queue = FairQueue(redis, "world", config(SLOTS, reserve_max=6))
    await queue.configure(now_us=START)

    async def one(turn: int, now: int) -> None:
        claim = await _served_next(queue, turn, turn, now)
        await queue.finish(claim, Usage(10, 0, 10), now_us=now - 7_200 * SECOND)

    await one(1, START)
    await one(2, START - 3_600 * SECOND)
    snapshot = await queue.snapshot(now_us=START - 3_600 * SECOND)
    assert snapshot.reserve == 0
    assert snapshot.service_s == 0


async def test_a_person_is_forgotten_after_an_hour_without_tickets_and_not_before(redis: Redis) -> None:
    """Their answers are short, everybody else's are long: it shows in the KV tokens that are kept for the next one."""
    for pause_s, kept in ((3_500, 100 + 50), (3_700, 100 + 400)):
        await redis.flushdb()
        queue = FairQueue(redis, "world", QueueConfig(slots=4, kv_budget=10**6, lease_s=LEASE_S))
        await queue.configure(now_us=START)
        for turn, (person, output) in enumerate([(2, 400)] * 8 + [(1, 50)] * 8, start=1):
            claim = await _served_next(queue, turn, person, START)
            await queue.finish(claim, Usage(100, 0, output), now_us=START + 1)
        await _served_next(queue, 99, 1, START + pause_s * SECOND)
        snapshot = await queue.snapshot(now_us=START + pause_s * SECOND)
        assert snapshot.kv_used == pytest.approx(kept, rel=0.3)


async def _served_next(queue: FairQueue, turn: int, person: int, now: int) -> Claim:
    await queue.submit(Ticket(turn, person, 1, 1, input_tokens=100, cached_tokens_est=0, output_max=500), now_us=now)
    claim = (await queue.claim(now_us=now)).claim
    assert claim
    return claim


async def test_an_expected_wait_follows_the_line_and_the_pace(redis: Redis) -> None:
    """ETA = cost ahead ÷ smoothed rate: with one slot and 4 s an answer, each place is about 4 s more."""
    await redis.flushdb()
    queue = FairQueue(redis, "world", QueueConfig(slots=1, reserve_max=0))
    await queue.configure(now_us=START)
    now = START
    for turn in range(1, 26):
        await queue.submit(Ticket(turn, turn, 1, 1, input_tokens=10, cached_tokens_est=0, output_max=10), now_us=now)
    for _ in range(10):
        claim = (await queue.claim(now_us=now)).claim
        assert claim
        now += 4 * SECOND
        await queue.finish(claim, Usage(10, 0, 10), now_us=now)
    claim = (await queue.claim(now_us=now)).claim
    assert claim
    waiting = [turn for turn in range(1, 26) if turn not in await _gone(queue, now)]
    places = sorted([await queue.position(turn, now_us=now) for turn in waiting], key=lambda p: p.position if p else 0)
    assert [place.position for place in places if place] == list(range(1, len(waiting) + 1))
    for place in places:
        assert place
        assert place.eta_low_s <= 4 * place.position <= place.eta_high_s
        assert place.eta_high_s <= 2 * place.eta_low_s + 10


async def _gone(queue: FairQueue, now: int) -> set[int]:
    """Turns that are served or being served."""
    places = {turn: await queue.position(turn, now_us=now) for turn in range(1, 26)}
    return {turn for turn, place in places.items() if place is None or place.position == 0}
