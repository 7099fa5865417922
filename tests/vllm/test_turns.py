"""The whole path with a real vLLM behind it: a person writes in Telegram, and what vLLM counted is what is charged."""

import asyncio
import time
from typing import Any

import pytest
import sqlalchemy as sa

from kit.words import words
from tests.support.forma import Forma
from tests.vllm.server import Vllm
from tests.vllm.speaker import LOOP, SAID

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(600)]
both = pytest.mark.parametrize("language", ["ru", "en"])
RUNNING = "vllm:num_requests_running"
ABORT_S = 1.0


async def turns(forma: Forma, person_id: int) -> list[Any]:
    async with forma.app.db.read() as connection:
        sql = sa.text("SELECT * FROM turns WHERE person_id = :id ORDER BY id")
        return list((await connection.execute(sql, {"id": person_id})).all())


def price(turn: Any) -> int:
    """Billed tokens by models.toml's prices, rounded up."""
    uncached = turn.input_tokens - turn.cached_tokens
    return -(-(250 * uncached + 50 * turn.cached_tokens + 1_000 * turn.output_tokens) // 1_000)


@both
async def test_a_question_by_telegram_is_answered_by_vllm_and_charged_by_its_usage(
    forma: Forma, vllm: Vllm, language: str
) -> None:
    person = await forma.person(language)
    before = await vllm.metric("vllm:prompt_tokens_total"), await vllm.metric("vllm:generation_tokens_total")
    (answer,) = await forma.said(person, {"ru": "Как спать?", "en": "How do I sleep?"}[language])
    assert answer.split() == SAID.split()
    (turn,) = await turns(forma, person.id)
    used = await vllm.metric("vllm:prompt_tokens_total"), await vllm.metric("vllm:generation_tokens_total")
    assert (turn.input_tokens, turn.output_tokens) == (used[0] - before[0], used[1] - before[1])
    assert turn.output_tokens == len(SAID.split()) + 1
    assert (turn.status, turn.finish_reason, turn.billed_tokens) == ("done", "stop", price(turn))
    assert await forma.violations() == []


async def test_what_the_prefix_cache_knew_is_counted_apart_and_costs_less(forma: Forma) -> None:
    person = await forma.person("ru")
    for text in ("Расскажи о сне и отдыхе подробнее. " * 8, "А теперь о воде?", "И о беге?"):
        await forma.said(person, text)
    first, *later = await turns(forma, person.id)
    assert first.cached_tokens < later[-1].cached_tokens < later[-1].input_tokens
    assert later[-1].cached_tokens % 128 == 0
    assert [turn.billed_tokens for turn in (first, *later)] == [price(turn) for turn in (first, *later)]
    other = await forma.person("ru")
    await forma.said(other, "Расскажи о сне и отдыхе подробнее. " * 8)
    # Another person's salt: their prompt begins with the same words, and nobody can tell by the time it takes.
    assert [turn.cached_tokens for turn in await turns(forma, other.id)] == [0]
    assert await forma.violations() == []


async def test_an_answer_without_an_end_is_cut_at_its_bound(forma: Forma) -> None:
    person = await forma.person("ru")
    await person.send("loop")
    await person.wait_for(LOOP, timeout_s=120)
    await forma.quiet(person)
    (turn,) = await turns(forma, person.id)
    assert (turn.finish_reason, turn.output_tokens) == ("length", turn.output_max)
    assert turn.billed_tokens == price(turn)
    assert await forma.violations() == []


@both
async def test_stop_ends_the_generation_at_once_and_what_came_is_charged(
    forma: Forma, vllm: Vllm, language: str
) -> None:
    person = await forma.person(language)
    await person.send("loop")
    await forma.growing(person)
    assert await vllm.metric(RUNNING) == 1
    await person.stop()
    stopped_at = time.monotonic()
    while await vllm.metric(RUNNING):
        assert time.monotonic() - stopped_at < ABORT_S
        await asyncio.sleep(0.02)
    note = await person.wait_for("⏹")
    (turn,) = await turns(forma, person.id)
    assert note.text == words(language).say("stopped", tokens=turn.billed_tokens)
    assert turn.status == "stopped"
    assert 0 < turn.output_tokens < turn.output_max
    assert turn.billed_tokens == price(turn)
    generated = await vllm.metric("vllm:generation_tokens_total")
    await asyncio.sleep(0.3)
    assert await vllm.metric("vllm:generation_tokens_total") == generated
    assert await forma.violations() == []


@both
async def test_a_model_that_says_nothing_is_told_and_costs_nothing(forma: Forma, language: str) -> None:
    person = await forma.person(language)
    (told,) = await forma.said(person, "mute")
    (turn,) = await turns(forma, person.id)
    assert told == words(language).say("error-unavailable", code=turn.error_code)
    assert (turn.status, turn.billed_tokens) == ("failed", 0)
    assert await forma.violations() == []


async def test_a_question_that_does_not_fit_is_told_in_characters_and_costs_nothing(forma: Forma) -> None:
    person = await forma.person("ru")
    # Every byte of these is a token, so that the server has to count.
    (told,) = await forma.said(person, "ж⅞" * 1_900)
    assert told.startswith("Слишком длинно")
    assert "знаков" in told
    (turn,) = await turns(forma, person.id)
    assert (turn.status, turn.billed_tokens) == ("failed", 0)
    await forma.said(person, "Как спать?")
    assert (await turns(forma, person.id))[-1].status == "done"
    assert await forma.violations() == []


async def test_thirty_persons_at_once_are_all_answered_and_charged(forma: Forma, vllm: Vllm) -> None:
    persons = [await forma.person("en") for _ in range(30)]
    before = await vllm.metric("vllm:generation_tokens_total")
    await asyncio.gather(*(person.send("Tell me") for person in persons))
    for person in persons:
        await person.wait_for(SAID.split()[0], timeout_s=120)
    await asyncio.gather(*(forma.quiet(person) for person in persons))
    answered = [turn for person in persons for turn in await turns(forma, person.id)]
    assert {turn.status for turn in answered} == {"done"}
    assert len(answered) == 30
    assert sum(turn.output_tokens for turn in answered) == await vllm.metric("vllm:generation_tokens_total") - before
    assert [turn.billed_tokens for turn in answered] == [price(turn) for turn in answered]
    assert await vllm.metric("vllm:num_requests_waiting") == 0
    assert await forma.violations() == []
