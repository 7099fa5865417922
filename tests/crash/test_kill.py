"""kill -9 at bad moments: every accepted message is answered, at most one answer is doubled per kill, books balance."""

import time
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from tests.crash.questions import QUICK_LEASE_S, STEADY, all_answered, ask, doubled, streaming
from tests.support.stack import STOP_S, Stack, stack


@pytest.fixture(scope="module")
async def forma(database_url: str, redis_url: str, redis: Redis) -> AsyncIterator[Stack]:
    async with stack(database_url, redis_url, lease_s=QUICK_LEASE_S, model_options=STEADY) as running:
        yield running


async def test_a_killed_workers_answers_are_given_by_the_next(forma: Stack) -> None:
    persons = await forma.persons(4)
    async with streaming(forma, persons, "worker") as asked:
        await forma.kill("worker")
    await forma.start("worker")
    await all_answered(forma, asked)
    assert doubled(forma, asked) <= 1
    assert await forma.scalar("SELECT min(attempts) FROM turns") == 2
    await forma.assert_sound()


async def test_the_bot_is_killed_while_answers_stream(forma: Stack) -> None:
    persons = await forma.persons(4)
    async with streaming(forma, persons, "bot") as asked:
        await forma.kill("bot")
    late = await ask(forma, persons[:2], "late")
    await forma.start("bot")
    await all_answered(forma, asked | late)
    assert doubled(forma, asked | late) <= 1
    await forma.assert_sound()


async def test_an_answer_in_parts_goes_on_behind_the_parts_that_were_sent(forma: Stack) -> None:
    [person] = await forma.persons(1)
    before = len(person.messages())
    await forma.tg.fault("sendMessage", "delay", chat_id=person.id, delay_s=0.4)
    forma.model.server.options.change({"inter_token_s": 0.001})
    try:
        # Longer than the plan allows: the answer, and a message that says so with a button, come apart.
        await person.send("[[tokens: 3000]] parts")
        await forma.tg.until(lambda: forma.shown(person, "parts"), timeout_s=30)
    finally:
        forma.model.server.options.change({"inter_token_s": STEADY["inter_token_s"]})
    await forma.restart("bot")
    await forma.assert_sound()
    await forma.tg.clear_faults()
    answers = [seen.text for seen in person.messages()[before:] if seen.sender_id == forma.tg.bot_id]
    assert len(set(answers)) >= 2
    assert len(answers) <= len(set(answers)) + 1
    assert answers[-1] not in answers[:-2], "the last part came last"


async def test_the_bot_is_killed_between_fetching_an_update_and_storing_it(forma: Stack) -> None:
    persons = await forma.persons(2)
    async with forma.locked("inbox"):
        asked = await ask(forma, persons, "fetched")
        await forma.until_blocked("inbox")
        await forma.kill("bot")
    await forma.start("bot")
    await all_answered(forma, asked)
    assert doubled(forma, asked) <= 1
    await forma.assert_sound()


async def test_the_bot_is_killed_between_storing_an_update_and_handling_it(forma: Stack) -> None:
    persons = await forma.persons(2)
    async with forma.locked("messages"):
        asked = await ask(forma, persons, "stored")
        await forma.until_blocked("messages")
        await forma.kill("bot")
    await forma.start("bot")
    await all_answered(forma, asked)
    assert doubled(forma, asked) <= 1
    await forma.assert_sound()


async def test_the_bot_is_killed_between_accepting_a_turn_and_queueing_it(forma: Stack) -> None:
    [person] = await forma.persons(1)
    async with forma.locked("messages"):
        asked = await ask(forma, [person], "accepted")
        await forma.until_blocked("messages")
        await forma.redis.client_pause(4_000)  # from here on the bot can commit, and cannot queue
    await forma.until("SELECT count(*) FROM turns WHERE person_id = :id", id=person.id)
    await forma.kill("bot")
    await forma.redis.client_unpause()
    await forma.start("bot")
    await all_answered(forma, asked)
    assert doubled(forma, asked) == 0
    await forma.assert_sound()


async def test_everything_is_killed_at_once(forma: Stack) -> None:
    persons = await forma.persons(4)
    async with streaming(forma, persons, "all") as asked:
        await forma.kill()
    late = await ask(forma, persons[:2], "all-late")
    await forma.start()
    await all_answered(forma, asked | late)
    assert doubled(forma, asked | late) <= 2
    await forma.assert_sound()


async def test_a_worker_that_is_asked_to_stop_gives_its_turns_back_unspent(forma: Stack) -> None:
    persons = await forma.persons(3)
    async with streaming(forma, persons, "term") as asked:
        assert await forma.stop("worker") < STOP_S
    snapshot = await forma.queue().snapshot()
    assert (snapshot.running, snapshot.waiting) == (0, 3)
    people = [person.id for person in persons]
    attempts = "SELECT array_agg(DISTINCT attempts) FROM turns WHERE person_id = ANY (CAST(:people AS bigint[]))"
    assert await forma.scalar(attempts, people=people) == [0]
    await forma.start("worker")
    restarted_at = time.monotonic()
    await all_answered(forma, asked)
    assert time.monotonic() - restarted_at < 15, "an unspent turn waits for no lease"
    assert await forma.scalar(attempts, people=people) == [1]
    assert doubled(forma, asked) == 0
    await forma.assert_sound()


async def test_all_parts_end_within_seconds_when_asked_to(forma: Stack) -> None:
    persons = await forma.persons(3)
    async with streaming(forma, persons, "end") as asked:
        await forma.stop()
    assert [child.process.returncode for child in forma.children.values()] == [0, 0]
    await forma.start()
    await all_answered(forma, asked)
    assert doubled(forma, asked) == 0
    await forma.assert_sound()
