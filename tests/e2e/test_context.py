"""How much of a dialog the model reads: the plan's budget, counted by the model server, with a head that stays."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from kit.words import words
from tests.support.forma import Forma
from tests.support.talkative import talkative
from tests.support.telegram import Person

both = pytest.mark.parametrize("language", ["ru", "en"])
BUDGET = 1_500


@pytest.fixture(scope="module")
async def forma(
    database_url: str, redis_url: str, redis: Redis, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Forma]:
    """Nothing is summarised here: what does not fit is left out."""
    folder = tmp_path_factory.mktemp("context")
    async with talkative(database_url, redis_url, folder, context_tokens=BUDGET) as forma:
        yield forma


async def prompts_of(forma: Forma, person: Person) -> list[dict[str, Any]]:
    """The journal of what the model read for a person."""
    return [one for one in await forma.llm.requests() if one["body"].get("cache_salt") == str(person.id)]


@both
async def test_the_budget_and_its_use_are_shown_as_the_model_server_counts(forma: Forma, language: str) -> None:
    say = words(language).say
    person = await forma.person(language)
    assert await forma.said(person, "/context") == [say("context-none", model="forma-sim", budget=BUDGET)]
    await forma.said(person, "[[tokens: 30]] one")
    await forma.said(person, "[[tokens: 30]] two")
    used = await forma.scalar(
        "SELECT input_tokens + output_tokens FROM turns WHERE person_id = :id ORDER BY id DESC LIMIT 1", id=person.id
    )
    assert await forma.said(person, "/context") == [
        say("context", model="forma-sim", tokens=used, budget=BUDGET, turns=2)
    ]


async def test_what_does_not_fit_goes_by_quarters_so_that_the_head_stays(forma: Forma) -> None:
    person = await forma.person("en")
    for number in range(20):
        await forma.said(person, f"[[tokens: 100]] question-{number}")
    read = await prompts_of(forma, person)
    assert max(one["prompt_tokens"] for one in read) <= BUDGET
    heads = [one["body"]["messages"][1]["content"] for one in read]
    assert len(set(heads)) < 8, heads
    assert heads[0].endswith("question-0")
    # All that fits is read: once it was left out at all, never less than half of the budget.
    assert min(one["prompt_tokens"] for one in read[12:]) > BUDGET // 2
    assert {one["body"]["messages"][1]["role"] for one in read} == {"user"}
    assert read[-1]["cached_tokens"] > 0


async def test_a_server_that_cannot_count_is_answered_by_an_estimate(forma: Forma) -> None:
    person = await forma.person("ru")
    await forma.llm.options(tokenizer=False)
    try:
        for number in range(12):
            said = await forma.said(person, f"[[tokens: 100]] вопрос-{number}")
            assert len(said) == 1
    finally:
        await forma.llm.options(tokenizer=True)
    read = await prompts_of(forma, person)
    assert len(read) == 12
    assert max(one["prompt_tokens"] for one in read) <= BUDGET
    assert len(read[-1]["body"]["messages"]) > 4
    assert await forma.violations() == []


async def test_one_question_that_is_too_long_says_so_and_costs_nothing(forma: Forma) -> None:
    person = await forma.person("en")
    await forma.said(person, "[[tokens: 30]] short")
    (said,) = await forma.said(person, "long " * 1_600)
    assert said.startswith(words("en").say("message-too-long", chars=1, plan=None)[:20])
    assert (
        await forma.scalar(
            "SELECT billed_tokens FROM turns WHERE person_id = :id ORDER BY id DESC LIMIT 1", id=person.id
        )
        == 0
    )
