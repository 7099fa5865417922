"""What a failing model server does to one question: docs/faults.md has a row for each test here."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

import sandbox.model.server
import sandbox.telegram.server
from kit.words import words
from tests.e2e.conftest import QUICK
from tests.support.forma import Forma, running
from tests.support.telegram import Person

FIRST_TOKEN_S = SILENCE_S = 1.0
TOKENS = 60
_numbers = itertools.count(1)

PROMPT, ANSWER = 120, TOKENS
USAGES = {
    "zero": {"prompt_tokens": 0, "completion_tokens": 0},
    "negative": {"prompt_tokens": -5, "completion_tokens": ANSWER},
    "absurd": {"prompt_tokens": PROMPT, "completion_tokens": 10**12},
    "smaller than the text": {"prompt_tokens": PROMPT, "completion_tokens": 1},
    "cached above the prompt": {
        "prompt_tokens": PROMPT,
        "completion_tokens": ANSWER,
        "prompt_tokens_details": {"cached_tokens": PROMPT + 1},
    },
    "no object": ["many"],
}
FAULTS: dict[str, tuple[str, dict[str, Any]]] = {
    "reset before a byte": ("reset", {}),
    "500": ("error", {}),
    "429": ("busy", {"retry_after_s": 3}),
    "hanging before the first token": ("hang", {}),
    "hanging in the middle": ("hang", {"after_tokens": 20}),
    "200 and nothing": ("half_stream", {"after_tokens": 0}),
    "half a stream": ("half_stream", {"after_tokens": 20}),
    "reset after the headers": ("reset_after", {"after_tokens": 0}),
    "reset in the middle": ("reset_after", {"after_tokens": 20}),
    "invalid JSON at once": ("invalid_json", {"after_tokens": 0}),
    "invalid JSON in the middle": ("invalid_json", {"after_tokens": 20}),
    "engine killed in the prefill": ("engine_dead", {"after_tokens": 0}),
    "engine killed in the decode": ("engine_dead", {"after_tokens": 20}),
    "no text": ("empty", {}),
    "no usage": ("no_usage", {}),
    **{f"usage {name}": ("wrong_usage", {"usage": usage}) for name, usage in USAGES.items()},
}
named = pytest.mark.parametrize("name", FAULTS)


@pytest.fixture(scope="module")
async def forma(database_url: str, redis_url: str, redis: Redis) -> AsyncIterator[Forma]:
    """Forma that waits a second where it usually waits minutes, and makes no titles meanwhile."""
    tg = await sandbox.telegram.server.start()
    model = await sandbox.model.server.start(**QUICK)
    waits = {"model_first_token_s": FIRST_TOKEN_S, "model_silence_s": SILENCE_S, "house_calls": 0}
    try:
        async with running(database_url, redis_url, tg, model, **waits) as forma:
            yield forma
    finally:
        await model.close()
        await tg.close()


async def served_again(forma: Forma) -> None:
    """Wait until the server is asked again: one that failed for long is probed before it gets a person's question."""
    url = forma.model.base_url
    async with asyncio.timeout(60):
        while (await forma.app.replicas.states([url]))[url].out:
            await asyncio.sleep(0.05)


async def asked(forma: Forma, language: str = "ru") -> tuple[Person, str, str]:
    """A person, a question, and the mark in it that a fault can look for."""
    await served_again(forma)
    person, mark = await forma.person(language), f"question-{next(_numbers)}"
    return person, f"[[tokens: {TOKENS}]] {mark}", mark


async def assert_answered_once(forma: Forma, person: Person, mark: str) -> None:
    """One answer, whole, charged by the usage of the request that it came from and by no other."""
    await forma.quiet(person)
    answers = forma.answers(person)
    assert [mark in answer.text for answer in answers] == [True]
    (good,) = [one for one in await forma.llm.requests() if mark in str(one["body"]) and one["outcome"] == "stop"]
    row = "SELECT status, input_tokens, cached_tokens, output_tokens FROM turns WHERE person_id = :id"
    counted = await forma.scalar(f"SELECT row_to_json(t) FROM ({row}) t", id=person.id)
    used = (good["prompt_tokens"], good["cached_tokens"], good["completion_tokens"])
    assert tuple(counted.values()) == ("done", *used)
    sql = "SELECT billed_tokens = ceil((input_tokens - cached_tokens) * 0.25 + cached_tokens * 0.05 + output_tokens)"
    assert await forma.scalar(f"{sql} FROM turns WHERE person_id = :id", id=person.id)
    assert await forma.violations() == []


@named
async def test_a_fault_that_strikes_once_is_not_noticed_and_not_charged(forma: Forma, name: str) -> None:
    kind, rule = FAULTS[name]
    person, question, mark = await asked(forma)
    await forma.llm.fault(kind, match=mark, **rule)
    await person.send(question)
    await person.wait_for(mark, timeout_s=30)
    await assert_answered_once(forma, person, mark)


@named
async def test_a_fault_that_strikes_every_time_is_told_and_costs_nothing(forma: Forma, name: str) -> None:
    kind, rule = FAULTS[name]
    language = "ru" if len(name) % 2 else "en"
    person, question, mark = await asked(forma, language)
    await forma.llm.fault(kind, match=mark, count=None, **rule)
    await person.send(question)
    told = await person.wait_for({"ru": "токены не списаны", "en": "no tokens were charged"}[language], timeout_s=60)
    await forma.quiet(person)
    await forma.llm.clear_faults()
    say = words(language).say
    row = "SELECT status, billed_tokens, error_code FROM turns WHERE person_id = :id"
    turn = await forma.scalar(f"SELECT row_to_json(t) FROM ({row}) t", id=person.id)
    assert (turn["status"], turn["billed_tokens"]) == ("failed", 0)
    assert told.text == say("error-unavailable", code=turn["error_code"])
    assert len(forma.answers(person)) == 1
    assert await forma.scalar("SELECT count(*) FROM holds WHERE status = 'held'") == 0
    assert await forma.violations() == []
    await served_again(forma)
    await person.press(told, say("button-retry"))
    await person.wait_for(mark, timeout_s=30)
    await forma.quiet(person)


async def test_a_kept_connection_that_the_server_dropped_is_not_noticed(forma: Forma) -> None:
    person, question, mark = await asked(forma)
    await forma.llm.fault("drop_keep_alive", match=mark)
    await forma.said(person, question)
    other, question, mark = await asked(forma)
    await forma.said(other, question)
    await assert_answered_once(forma, other, mark)
    assert await forma.scalar("SELECT attempts FROM turns WHERE person_id = :id", id=other.id) == 1


@pytest.mark.parametrize("moment", ["prefill", "decode"])
async def test_a_server_that_is_killed_and_comes_back_answers_after_all(forma: Forma, moment: str) -> None:
    person, question, mark = await asked(forma)
    if moment == "prefill":
        await forma.llm.options(first_token_base_s=0.8)
    await person.send(f"[[slow]] {question}")
    if moment == "prefill":
        async with asyncio.timeout(10):
            while not (await forma.llm.state())["running"]:
                await asyncio.sleep(0.01)
    else:
        await forma.growing(person)
    await forma.llm.die()
    await forma.llm.options(**QUICK)
    await asyncio.sleep(0.2)
    await forma.llm.revive()
    await person.wait_for(mark, timeout_s=30)
    await assert_answered_once(forma, person, mark)


async def test_a_server_that_is_killed_for_good_is_told_and_costs_nothing(forma: Forma) -> None:
    person, question, _ = await asked(forma)
    await person.send(f"[[slow]] {question}")
    await forma.growing(person)
    await forma.llm.die()
    try:
        await person.wait_for("токены не списаны", timeout_s=60)
        await forma.quiet(person)
    finally:
        await forma.llm.revive()
    assert await forma.scalar("SELECT billed_tokens FROM turns WHERE person_id = :id", id=person.id) == 0
    assert await forma.violations() == []
