"""Jobs on a real Redis: soon, later, by schedule, and over a Redis that loses them. Signals, and their loss."""

import asyncio
import contextlib
import statistics
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from arq.cron import cron
from redis.asyncio import Redis

from kit import redis as kit_redis
from kit import signals
from kit.errors import Unavailable
from kit.jobs import Jobs, PromptWorker


class Ran:
    """What has run, and when."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.at: dict[Any, float] = {}

    def note(self, *what: Any) -> None:
        self.calls.append(what)
        self.at[what[0]] = time.perf_counter()


@pytest.fixture
async def client(redis: Redis, redis_url: str) -> AsyncIterator[Redis]:
    await redis.flushdb()
    client = kit_redis.connect(redis_url)
    yield client
    await client.aclose()


@contextlib.asynccontextmanager
async def worker(client: Redis, *, schedules: Any = ()) -> AsyncIterator[Ran]:
    ran = Ran()

    async def note(ctx: dict[str, Any], *what: Any) -> None:
        ctx["ran"].note(*what)

    async def fail(ctx: dict[str, Any], *what: Any) -> None:
        ctx["ran"].note(*what)
        raise ValueError("a bug in a job")

    running = asyncio.create_task(PromptWorker(client, [note, fail], schedules=schedules, ctx={"ran": ran}).main())
    try:
        yield ran
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def until(condition: Callable[[], Any], timeout_s: float = 20.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.005)


async def test_a_job_starts_within_milliseconds_though_the_worker_polls_twice_a_second(client: Redis) -> None:
    jobs, took = Jobs(client), []
    async with worker(client) as ran:
        await jobs.enqueue("note", "first")
        await until(lambda: "first" in ran.at)
        for number in range(30):
            began = time.perf_counter()
            await jobs.enqueue("note", number)
            await until(lambda number=number: number in ran.at)
            took.append(ran.at[number] - began)
    assert statistics.median(took) < 0.1, took


async def test_a_job_in_the_future_starts_then_and_not_before(client: Redis) -> None:
    async with worker(client) as ran:
        began = time.perf_counter()
        await Jobs(client).enqueue("note", "later", at=datetime.now(UTC) + timedelta(seconds=1))
        await until(lambda: "later" in ran.at)
        assert ran.at["later"] - began > 0.9


async def test_jobs_that_were_enqueued_while_no_worker_ran_are_done_when_one_starts(client: Redis) -> None:
    for number in range(50):
        await Jobs(client).enqueue("note", number)
    async with worker(client) as ran:
        await until(lambda: len(ran.at) == 50)
    assert sorted(ran.calls) == [(number,) for number in range(50)]


async def test_many_jobs_at_once_are_each_done_once_by_two_workers(client: Redis, redis_url: str) -> None:
    other = kit_redis.connect(redis_url)
    async with worker(client) as one, worker(other) as two:
        await asyncio.gather(*(Jobs(client).enqueue("note", number) for number in range(100)))
        await until(lambda: len(one.calls) + len(two.calls) >= 100)
    assert sorted(one.calls + two.calls) == [(number,) for number in range(100)]
    await other.aclose()


async def test_a_job_that_fails_harms_no_other(client: Redis) -> None:
    async with worker(client) as ran:
        await Jobs(client).enqueue("fail", "bad")
        await Jobs(client).enqueue("note", "good")
        await until(lambda: {"bad", "good"} <= set(ran.at))


async def test_a_schedule_runs_once_over_all_workers(client: Redis, redis_url: str) -> None:
    ticks: list[int] = []

    async def tick(ctx: dict[str, Any]) -> None:
        ticks.append(int(time.time()))

    every_second = [cron(tick, second=set(range(60)), max_tries=1, keep_result=0)]
    other = kit_redis.connect(redis_url)
    async with worker(client, schedules=every_second), worker(other, schedules=list(every_second)):
        await until(lambda: len(ticks) >= 4)
    assert len(ticks) == len(set(ticks))
    await other.aclose()


async def test_a_worker_lives_through_a_redis_that_cuts_all_connections_and_loses_all(
    client: Redis, redis: Redis
) -> None:
    async with worker(client) as ran:
        await Jobs(client).enqueue("note", "before")
        await until(lambda: "before" in ran.at)
        await redis.flushdb()
        await redis.client_kill_filter(_type="normal", skipme=True)
        await redis.client_kill_filter(_type="pubsub")
        await Jobs(client).enqueue("note", "after")
        await until(lambda: "after" in ran.at)


async def test_a_loop_that_is_woken_and_ended_in_the_same_moment_ends() -> None:
    event = asyncio.Event()
    waiting = asyncio.create_task(signals.wait(event, 60))
    await asyncio.sleep(0)  # it waits now
    event.set()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_a_redis_that_is_not_there_is_unavailable() -> None:
    away = kit_redis.connect("redis://127.0.0.1:1/0")
    with pytest.raises(Unavailable):
        await Jobs(away).enqueue("note", 1)
    await signals.send(away, signals.TURNS)  # lossy on purpose
    await away.aclose()


async def test_a_listener_hears_its_channels_only_and_looks_after_a_cut(client: Redis, redis: Redis) -> None:
    listener = signals.Listener(client, [signals.TURNS, signals.STOPS])
    turns, stops = listener.events[signals.TURNS], listener.events[signals.STOPS]
    running = asyncio.create_task(listener.run())
    try:
        # Whatever came before it listened is made good by one look.
        await until(lambda: turns.is_set() and stops.is_set())
        turns.clear()
        stops.clear()
        await signals.send(redis, signals.JOBS)
        await signals.send(redis, signals.STOPS)
        await until(stops.is_set)
        assert not turns.is_set()
        stops.clear()
        await redis.client_kill_filter(_type="pubsub")
        await until(lambda: turns.is_set() and stops.is_set())
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
