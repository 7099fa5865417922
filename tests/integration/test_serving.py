"""The serving pools of several worker processes: wake-ups, slots, stops, leases that end. Asked through Telegram."""

import asyncio
import itertools
import os
import signal
import statistics
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from tests.crash.questions import QUICK_LEASE_S, STEADY, all_answered, ask, doubled
from tests.support.model import drive
from tests.support.stack import Stack, stack

PLACES = 2


@pytest.fixture(scope="module")
async def forma(database_url: str, redis_url: str) -> AsyncIterator[Stack]:
    parts = ("bot", "worker", "worker-2")
    async with stack(
        database_url, redis_url, start=parts, model_options=STEADY, lease_s=QUICK_LEASE_S, worker_slots=PLACES
    ) as running:
        yield running


async def answers(forma: Stack) -> list[dict[str, Any]]:
    """The journal of chat requests at the model server."""
    async with drive(forma.model.base_url) as model:
        return [entry for entry in await model.requests() if entry["path"].endswith("/chat/completions")]


def most_at_once(entries: list[dict[str, Any]]) -> int:
    edges = [(entry["first_token_at"], 1) for entry in entries] + [(entry["finished_at"], -1) for entry in entries]
    return max(itertools.accumulate(step for _, step in sorted(edges)))


async def test_an_idle_worker_starts_within_milliseconds(forma: Stack) -> None:
    for person in await forma.persons(15):
        await all_answered(forma, await ask(forma, [person], "idle"))
    waits = await forma.rows("SELECT extract(epoch FROM started_at - created_at)::float8 AS s FROM turns")
    # Usual are 10 ms, the transaction that accepts included; the bound leaves room for a busy machine.
    assert statistics.median(row.s for row in waits) < 0.1, waits


async def test_workers_together_keep_to_the_slots_and_leave_none_empty(forma: Stack) -> None:
    persons = await forma.persons(12)
    queue = forma.queue()
    await queue.configure(replace(queue.config, lease_s=QUICK_LEASE_S, slots=3))
    before = len(await answers(forma))
    asked = await ask(forma, persons, "slots", tokens=20)
    await all_answered(forma, asked)
    entries = (await answers(forma))[before:]
    assert len(entries) == 12
    assert most_at_once(entries) == 3
    # Who waits takes a place within milliseconds of its becoming free, though both workers are full in between.
    begun = sorted(entry["received_at"] for entry in entries)[3:]
    freed = sorted(entry["finished_at"] for entry in entries)[:9]
    assert statistics.median(late - early for early, late in zip(freed, begun, strict=True)) < 0.15
    await queue.configure(replace(queue.config, lease_s=QUICK_LEASE_S))
    await forma.assert_sound()


async def test_a_full_worker_takes_the_next_turn_as_soon_as_one_ends(forma: Stack) -> None:
    """One worker of two places alone, more slots than that: what ends makes room at once."""
    await forma.stop("worker-2")
    persons = await forma.persons(6)
    before = len(await answers(forma))
    await all_answered(forma, await ask(forma, persons, "full", tokens=20))
    await forma.start("worker-2")
    entries = (await answers(forma))[before:]
    assert most_at_once(entries) == PLACES
    begun = sorted(entry["received_at"] for entry in entries)[PLACES:]
    freed = sorted(entry["finished_at"] for entry in entries)[:-PLACES]
    assert statistics.median(late - early for early, late in zip(freed, begun, strict=True)) < 0.15


async def test_a_stop_closes_the_connection_to_the_model_at_once(forma: Stack) -> None:
    took = []
    for number, person in enumerate(await forma.persons(5)):
        await ask(forma, [person], f"stopped{number}", tokens=400)
        await person.wait_draft("word")
        began = time.time()
        await person.stop()
        async with asyncio.timeout(20):
            while (entry := (await answers(forma))[-1])["outcome"] == "open":
                await asyncio.sleep(0.02)
        assert entry["outcome"] == "aborted"
        took.append(entry["finished_at"] - began)
    # From the press of the button, through Telegram and the bot.
    assert statistics.median(took) < 0.3, took
    await forma.assert_sound()


async def test_a_worker_that_hangs_is_replaced_and_changes_nothing_when_it_wakes(forma: Stack) -> None:
    first, second = forma.children["worker"], forma.children["worker-2"]
    (person,) = await forma.persons(1)
    os.kill(second.pid, signal.SIGSTOP)
    asked = await ask(forma, [person], "hung", tokens=150)
    await person.wait_draft("word")
    os.kill(first.pid, signal.SIGSTOP)
    os.kill(second.pid, signal.SIGCONT)
    await all_answered(forma, asked)
    closed = "SELECT fence, attempts, closed_at, billed_tokens FROM turns WHERE person_id = :id"
    (before,) = await forma.rows(closed, id=person.id)
    assert before.attempts == 2
    os.kill(first.pid, signal.SIGCONT)
    async with asyncio.timeout(20):
        # It meets its loss at a renewal, or, if the rest of the answer lay in its buffers, when it closes the turn.
        while "lease_lost" not in (log := forma.log("worker")) and "closed=False" not in log:
            await asyncio.sleep(0.02)
    assert await forma.rows(closed, id=person.id) == [before]
    assert doubled(forma, asked) == 0
    await forma.assert_sound()


async def test_a_worker_that_is_asked_to_stop_hands_its_turns_on_at_once(forma: Stack) -> None:
    os.kill(forma.children["worker-2"].pid, signal.SIGSTOP)
    persons = await forma.persons(2)
    asked = await ask(forma, persons, "handed", tokens=100)
    for person in persons:
        await person.wait_draft("word")
    os.kill(forma.children["worker-2"].pid, signal.SIGCONT)
    took = await forma.stop("worker")
    assert took < 5
    await all_answered(forma, asked, timeout_s=30)
    people = [person.id for person in persons]
    tries = "SELECT array_agg(DISTINCT attempts) FROM turns WHERE person_id = ANY (CAST(:people AS bigint[]))"
    assert await forma.scalar(tries, people=people) == [1]
    assert doubled(forma, asked) == 0
    await forma.start("worker")
    await forma.assert_sound()
