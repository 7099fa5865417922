"""Taking replicas from several workers: slots, homes of dialogs, leases that lapse, servers that fail. A real Redis."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from redis.asyncio import Redis

from inference.errors import Busy, ConnectFailed, ConnectionLost, NoReplica, RequestRefused, ServerFailed
from inference.models import Model, Replica
from inference.replicas import choice
from inference.replicas.choice import Replicas
from inference.replicas.orders import Order

ONE, TWO, THREE = (f"http://{name}:8000" for name in ("one", "two", "three"))


def model(*urls: str, slots: int = 4, **fields: object) -> Model:
    servers = tuple(Replica(url) for url in urls or (ONE, TWO))
    return replace(Model(id="coach", purpose="chat", name="big", replicas=servers, slots=slots), **fields)


@pytest.fixture
async def workers(redis: Redis) -> AsyncIterator[tuple[Replicas, Replicas]]:
    """Two processes' worth; every test begins with servers that nobody knows."""
    await redis.flushdb()
    async with Replicas(redis) as first, Replicas(redis) as second:
        yield first, second


async def hold(workers: Replicas, chosen: Model, stack: contextlib.AsyncExitStack, **how: object) -> str:
    taken = await stack.enter_async_context(workers.take(chosen, **how))
    return taken.base_url


async def fails(replicas: Replicas, chosen: Model, error: Exception, **how: object) -> str:
    """Take a replica for a request that ends with an error; return whose fault it was."""
    with pytest.raises(type(error)):
        async with replicas.take(chosen, **how) as taken:
            raise error
    return taken.base_url


async def test_the_least_loaded_takes_the_next_and_all_workers_together_keep_to_the_slots(workers) -> None:
    coach = model(slots=3)
    async with contextlib.AsyncExitStack() as stack:
        taken = Counter([await hold(workers[n % 2], coach, stack) for n in range(6)])
        assert taken == {ONE: 3, TWO: 3}
        for one in workers:
            with pytest.raises(NoReplica, match="all full"):
                await hold(one, coach, stack, wait_s=0.2)
    assert {state.in_flight for state in (await workers[0].states([ONE, TWO])).values()} == {0}


async def test_a_request_waits_for_a_slot_and_gets_it_when_one_is_free(workers) -> None:
    coach = model(ONE, slots=1)

    async def briefly(n: int) -> None:
        async with workers[n % 2].take(coach):
            state = (await workers[0].states([ONE]))[ONE]
            assert state.in_flight == 1
            await asyncio.sleep(0.01)

    await asyncio.gather(*(briefly(n) for n in range(20)))


async def test_a_dialog_goes_where_its_prefix_is_while_there_is_room(workers) -> None:
    coach = model(ONE, TWO, THREE, slots=2)
    async with contextlib.AsyncExitStack() as stack:
        home = await hold(workers[0], coach, stack, prefer=7)
        # Both others are idle, and yet it comes back.
        assert await hold(workers[1], coach, stack, prefer=7) == home
        # Full: elsewhere, and that is its home from then on.
        other = await hold(workers[0], coach, stack, prefer=7)
        assert other != home
    async with workers[1].take(coach, prefer=7) as taken:
        assert taken.base_url == other


async def test_a_forgotten_home_is_found_again_while_the_servers_are_idle(workers, redis: Redis) -> None:
    coach = model(ONE, TWO, THREE)
    homes = {}
    for dialog in range(1, 40):
        async with workers[0].take(coach, prefer=dialog) as taken:
            homes[dialog] = taken.base_url
    assert set(Counter(homes.values())) == {ONE, TWO, THREE}
    await redis.flushdb()
    for dialog, home in homes.items():
        async with workers[1].take(coach, prefer=dialog) as taken:
            assert taken.base_url == home


async def test_weight_and_drain_steer_what_is_new(workers) -> None:
    coach = model(slots=10)
    for one in workers:
        one.orders = {("coach", ONE): Order(weight=3)}
    async with contextlib.AsyncExitStack() as stack:
        assert Counter([await hold(workers[n % 2], coach, stack) for n in range(8)]) == {ONE: 6, TWO: 2}
        workers[0].orders = {("coach", ONE): Order(drained=True)}
        assert {await hold(workers[0], coach, stack, prefer=1) for _ in range(4)} == {TWO}
        workers[0].orders = {("coach", url): Order(drained=True) for url in (ONE, TWO)}
        with pytest.raises(NoReplica, match="all drained"):
            await hold(workers[0], coach, stack)


async def test_a_refused_connection_takes_a_server_out_for_all_workers(workers) -> None:
    coach = model()
    away = await fails(workers[0], coach, ConnectFailed("refused"))
    async with contextlib.AsyncExitStack() as stack:
        taken = {await hold(one, coach, stack) for one in workers for _ in range(2)}
        assert away not in taken
        state = (await workers[1].states([away]))[away]
        assert state.out
        assert not state.probe_due
        assert 0 < state.back_s <= choice.BACKOFF_MIN_S


async def test_a_server_comes_back_by_one_worker_s_probe_alone(workers) -> None:
    coach = model(ONE)
    await fails(workers[0], coach, ConnectFailed("refused"))
    with pytest.raises(NoReplica, match="all out"):
        async with workers[1].take(coach):
            pass
    await asyncio.sleep(choice.BACKOFF_MIN_S + 0.05)
    assert (await workers[0].states([ONE]))[ONE].probe_due
    # Its time is over, and still nobody is sent there.
    with pytest.raises(NoReplica, match="all out"):
        async with workers[0].take(coach):
            pass
    begun = await asyncio.gather(*(one.begin_probe(ONE, slots=4) for one in workers))
    assert sorted(begun) == [False, True]
    await workers[0].end_probe(ONE, good=False)
    state = (await workers[0].states([ONE]))[ONE]
    assert choice.BACKOFF_MIN_S < state.back_s <= 2 * choice.BACKOFF_MIN_S
    await asyncio.sleep(2 * choice.BACKOFF_MIN_S + 0.05)
    assert await workers[1].begin_probe(ONE, slots=4)
    await workers[1].end_probe(ONE, good=True)
    async with workers[0].take(coach) as taken:
        assert taken.base_url == ONE
    assert (await workers[0].states([ONE]))[ONE].failures == 0


async def test_broken_answers_take_a_server_out_when_they_come_in_a_row(workers) -> None:
    coach = model(ONE)
    for _ in range(choice.FAILURES_MAX - 1):
        await fails(workers[0], coach, ServerFailed(500))
    async with workers[1].take(coach):
        pass  # a good one
    for _ in range(choice.FAILURES_MAX - 1):
        await fails(workers[0], coach, ConnectionLost("reset"))
    assert not (await workers[0].states([ONE]))[ONE].out
    await fails(workers[1], coach, ServerFailed(500))
    assert (await workers[0].states([ONE]))[ONE].out


async def test_a_request_that_no_server_takes_is_no_server_s_fault(workers) -> None:
    coach = model(ONE)
    for _ in range(choice.FAILURES_MAX + 1):
        await fails(workers[0], coach, RequestRefused(400))
    assert not (await workers[0].states([ONE]))[ONE].out


async def test_a_busy_server_gets_nothing_for_as_long_as_it_asks(workers) -> None:
    coach = model(ONE)
    await fails(workers[0], coach, Busy(429, 0.3))
    with pytest.raises(NoReplica):
        async with workers[1].take(coach):
            pass
    await asyncio.sleep(0.35)
    async with workers[1].take(coach) as taken:
        assert taken.base_url == ONE


async def test_who_failed_here_is_sent_elsewhere_if_there_is_an_elsewhere(workers) -> None:
    coach = model()
    failed = await fails(workers[0], coach, ServerFailed(500), prefer=5)
    async with workers[0].take(coach, prefer=5, avoid=[failed]) as taken:
        assert taken.base_url != failed
    async with workers[0].take(coach, avoid=[ONE, TWO]) as taken:
        assert taken.base_url in {ONE, TWO}


async def test_a_dead_worker_s_slots_lapse_and_its_word_counts_no_more(workers, redis, monkeypatch) -> None:
    monkeypatch.setattr(choice, "LEASE_S", 0.3)
    coach = model(ONE, slots=1)

    async def hang_and_wake() -> None:
        async with workers[0].take(coach):
            # No renewal comes. Whoever waits gets the slot.
            async with workers[1].take(coach, wait_s=2.0):
                assert (await workers[1].states([ONE]))[ONE].in_flight == 1
            raise ConnectFailed("what it sees when it wakes")

    with pytest.raises(ConnectFailed):
        await hang_and_wake()
    state = (await workers[1].states([ONE]))[ONE]
    assert (state.in_flight, state.out) == (0, False)


async def test_leases_are_renewed_and_taken_up_again_after_a_loss(workers, redis, monkeypatch) -> None:
    monkeypatch.setattr(choice, "LEASE_S", 0.5)
    monkeypatch.setattr(choice, "RENEW_EVERY_S", 0.1)
    coach = model(ONE, slots=2)
    async with Replicas(redis) as quick, quick.take(coach):
        await asyncio.sleep(0.8)
        assert (await workers[1].states([ONE]))[ONE].in_flight == 1
        await redis.flushdb()
        await asyncio.sleep(0.3)
        assert (await workers[1].states([ONE]))[ONE].in_flight == 1
    assert (await workers[1].states([ONE]))[ONE].in_flight == 0


async def test_whoever_is_cancelled_leaves_no_slot_taken(workers) -> None:
    coach = model(ONE, slots=1)

    async def take_and_stay() -> None:
        async with workers[0].take(coach):
            await asyncio.sleep(60)

    for pause_s in (0.0, 0.0005, 0.001, 0.002, 0.05):
        task = asyncio.create_task(take_and_stay())
        await asyncio.sleep(pause_s)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert (await workers[1].states([ONE]))[ONE].in_flight == 0


async def test_without_redis_each_worker_chooses_by_itself() -> None:
    nowhere = Redis(host="127.0.0.1", port=1)
    coach = model(slots=2)
    async with Replicas(nowhere) as replicas, contextlib.AsyncExitStack() as stack:
        taken = Counter([await hold(replicas, coach, stack, prefer=n) for n in range(4)])
    assert taken == {ONE: 2, TWO: 2}
    await nowhere.aclose()
