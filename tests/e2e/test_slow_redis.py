"""A Redis that is slow, or emptied, or restarted under people who chat: a delay, and every answer once."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

import sandbox.model.server
import sandbox.telegram.server
from kit.words import words
from tests.e2e.conftest import QUICK
from tests.support.forma import Forma, running
from tests.support.slow_redis import SlowRedis, slowed

DELAY_S = 0.05
STOP_S = 3.0


@pytest.fixture(scope="module")
async def slow(redis_url: str) -> AsyncIterator[tuple[SlowRedis, str]]:
    async with slowed(redis_url, DELAY_S) as made:
        yield made


@pytest.fixture(scope="module")
async def forma(database_url: str, redis: Redis, slow: tuple[SlowRedis, str]) -> AsyncIterator[Forma]:
    tg = await sandbox.telegram.server.start()
    model = await sandbox.model.server.start(**QUICK)
    try:
        async with running(database_url, slow[1], tg, model, house_calls=0) as forma:
            yield forma
    finally:
        await model.close()
        await tg.close()


async def assert_each_answered_once(forma: Forma, asked: dict[Any, str]) -> None:
    for person, mark in asked.items():
        await person.wait_for(mark, timeout_s=60)
    for person, mark in asked.items():
        await forma.quiet(person)
        assert [mark in answer.text for answer in forma.answers(person)] == [True]
    sql = "SELECT count(*) FROM turns WHERE person_id = ANY (CAST(:ids AS bigint[])) AND status = 'done'"
    assert await forma.scalar(sql, ids=[person.id for person in asked]) == len(asked)
    assert await forma.violations() == []


async def test_people_are_answered_over_a_redis_that_takes_a_tenth_of_a_second(forma: Forma) -> None:
    persons = [await forma.person("ru") for _ in range(6)]
    asked = {person: f"question-{person.id}" for person in persons}
    await asyncio.gather(*(person.send(f"[[tokens: 60]] {mark}") for person, mark in asked.items()))
    await assert_each_answered_once(forma, asked)


async def test_stop_works_over_a_slow_redis(forma: Forma) -> None:
    person = await forma.person("ru")
    await person.send("[[tokens: 900]] [[slow]] Расскажи всё о белке")
    await forma.growing(person)
    began = time.monotonic()
    await person.stop()
    note = await person.wait_for("⏹", timeout_s=20)
    assert time.monotonic() - began < STOP_S
    billed = await forma.scalar("SELECT billed_tokens FROM turns WHERE person_id = :id", id=person.id)
    assert note.text == words("ru").say("stopped", tokens=billed)
    assert await forma.violations() == []


async def test_an_answer_that_was_whole_when_the_stop_came_is_charged_for_what_it_took(
    forma: Forma, slow: tuple[SlowRedis, str]
) -> None:
    persons = [await forma.person("ru") for _ in range(10)]
    slow[0].delay_s = 0.3
    try:
        for number, person in enumerate(persons):  # they end one after the other while the stops are on their way
            await person.send(f"[[tokens: {60 + 12 * number}]] [[slow]] Расскажи о беге")
        started = "SELECT count(started_at) = 10 FROM turns WHERE person_id = ANY (CAST(:ids AS bigint[]))"
        await forma.quiet_until(started, ids=[person.id for person in persons])
        await asyncio.gather(*(person.send("/stop") for person in persons))
        for person in persons:
            await forma.quiet(person)
    finally:
        slow[0].delay_s = DELAY_S
    free = """
        SELECT count(*) FROM turns t JOIN messages m ON m.turn_id = t.id AND m.role = 'assistant'
        WHERE t.person_id = ANY (CAST(:ids AS bigint[])) AND t.billed_tokens = 0
    """
    assert await forma.scalar(free, ids=[person.id for person in persons]) == 0
    assert await forma.violations() == []


async def test_a_redis_that_slows_down_in_the_middle_takes_no_lease_away(
    forma: Forma, slow: tuple[SlowRedis, str]
) -> None:
    persons = [await forma.person("en") for _ in range(3)]
    asked = {person: f"slowing-{person.id}" for person in persons}
    for person, mark in asked.items():
        await person.send(f"[[tokens: 150]] [[slow]] {mark}")
    await forma.growing(persons[0])
    slow[0].delay_s = 0.5
    await asyncio.sleep(3.0)
    slow[0].delay_s = DELAY_S
    await assert_each_answered_once(forma, asked)
    sql = "SELECT max(attempts) FROM turns WHERE person_id = ANY (CAST(:ids AS bigint[]))"
    assert await forma.scalar(sql, ids=[person.id for person in persons]) == 1


async def test_a_redis_that_is_emptied_costs_a_delay(forma: Forma, redis: Redis) -> None:
    persons = [await forma.person("ru") for _ in range(4)]
    asked = {person: f"emptied-{person.id}" for person in persons}
    for person, mark in asked.items():
        await person.send(f"[[tokens: 100]] [[slow]] {mark}")
    await forma.growing(persons[0])
    await redis.flushdb()
    await assert_each_answered_once(forma, asked)


async def test_connections_that_are_cut_as_by_a_restart_are_made_again(
    forma: Forma, slow: tuple[SlowRedis, str]
) -> None:
    persons = [await forma.person("ru") for _ in range(4)]
    asked = {person: f"restarted-{person.id}" for person in persons}
    for person, mark in asked.items():
        await person.send(f"[[tokens: 100]] [[slow]] {mark}")
    await forma.growing(persons[0])
    for _ in range(3):
        await slow[0].close()
        await asyncio.sleep(0.3)
    await assert_each_answered_once(forma, asked)
