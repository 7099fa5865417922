"""A plan's limits as a person meets them: which one, when it clears, which plan has more, and nothing lost by it."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

import sandbox.model.server
import sandbox.telegram.server
from kit.words import words
from tests.e2e.conftest import QUICK
from tests.support import shop
from tests.support.forma import Forma, running
from tests.support.telegram import Person

both = pytest.mark.parametrize("language", ["ru", "en"])
TERMS = """
in_flight = 1
queued = 1
"""
# What an answer is expected to take is 925; one of 20 tokens takes about 100.
PLANS = f"""
[free]
kind = "free"
title = {{ ru = "Бесплатный", en = "Free" }}
daily_tokens = 50_000
requests_per_minute = 5
tokens_per_minute = 1_200
weight = 1
context_tokens = 2_000
answer_tokens = 450
{TERMS}
[dear]
kind = "subscription"
title = {{ ru = "Дорогой", en = "Dear" }}
stars = 500
tokens = 500_000
requests_per_minute = 50
weight = 2
context_tokens = 4_000
answer_tokens = 1_000
{TERMS}
[lite]
kind = "subscription"
title = {{ ru = "Лайт", en = "Lite" }}
stars = 300
tokens = 500_000
requests_per_minute = 5
tokens_per_minute = 8_000
tokens_per_day = 1_500
weight = 2
context_tokens = 2_000
answer_tokens = 1_000
{TERMS}
"""
TURNS = "SELECT count(*) FROM turns WHERE person_id = :id"
MINUTE = {
    "ru": r"Слишком много за минуту: на вашем плане в минуту 1200 токенов, ≈ 1 ответ\. Следующий вопрос возьму через"
    r" \d+ с\. Ничего не списано\.\n\nНа плане «Лайт» — 8000 токенов, ≈ 8 ответов в минуту\.",
    "en": r"That is a lot for one minute: your plan allows 1,200 tokens, ≈ 1 answer a minute\. I can take the next"
    r" question in \d+ s\. Nothing was charged\.\n\nWith Lite it is 8,000 tokens, ≈ 8 answers a minute\.",
}
DAY = {
    "ru": r"Дневной предел исчерпан: на вашем плане в день 1500 токенов, ≈ 1 ответ\. Следующий вопрос возьму через"
    r" \d+ ч( \d+ мин)?\. Ничего не списано\.\n\nНа плане «Дорогой» такого предела нет\.",
    "en": r"The day's limit is used up: your plan allows 1,500 tokens, ≈ 1 answer a day\. I can take the next question"
    r" in \d+ h( \d+ min)?\. Nothing was charged\.\n\nWith Dear there is no such limit\.",
}


@pytest.fixture(scope="module")
async def forma(
    database_url: str, redis_url: str, redis: Redis, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Forma]:
    plans: Path = tmp_path_factory.mktemp("plans") / "plans.toml"
    plans.write_text(PLANS, encoding="utf-8")
    tg = await sandbox.telegram.server.start()
    model = await sandbox.model.server.start(**QUICK)
    try:
        async with running(database_url, redis_url, tg, model, plans_file=plans) as forma:
            yield forma
    finally:
        await model.close()
        await tg.close()


async def said(forma: Forma, person: Person, text: str) -> str:
    """What one question brings, with ordinary spaces."""
    return plain((await forma.said(person, text))[-1])


def plain(text: str) -> str:
    return text.replace("\u00a0", " ").replace("\u202f", " ")


async def answered(forma: Forma, person: Person, number: int) -> bool:
    return await said(forma, person, f"[[echo: {number}]]") == str(number)


@both
async def test_tokens_a_minute_are_what_the_answers_took_and_a_better_plan_has_more_at_once(
    forma: Forma, language: str
) -> None:
    person = await forma.person(language)
    assert await answered(forma, person, 1)
    assert await answered(forma, person, 2)  # two that were as long as expected would not both fit
    await forma.said(person, "[[tokens: 400]]")
    before = await forma.scalar(TURNS, id=person.id)
    refusal = await said(forma, person, "[[echo: 3]]")
    assert re.fullmatch(MINUTE[language], refusal), refusal
    assert await forma.scalar(TURNS, id=person.id) == before
    shown = next(seen for seen in reversed(person.messages()) if seen.sender_id == forma.tg.bot_id)
    assert [label.replace("\u00a0", " ") for label in shown.labels] == [
        shop.TONGUES[language].lite,
        words(language).say("button-plans"),
    ]
    await person.press(shown, 0)
    sheet = await person.wait_for(lambda seen: any(b.get("url") for b in seen.buttons), timeout_s=shop.WAIT_S)
    assert (await person.pay(shop.url_of(sheet)))["state"] == "paid"
    await forma.quiet_until("SELECT EXISTS (SELECT FROM subscriptions WHERE person_id = :id)", id=person.id)
    await forma.quiet(person)
    assert await answered(forma, person, 4)


@both
async def test_the_day_has_a_limit_of_its_own(forma: Forma, language: str) -> None:
    person = await forma.person(language)
    assert (await shop.buy(person, shop.TONGUES[language], shop.TONGUES[language].lite))["state"] == "paid"
    await forma.quiet_until("SELECT EXISTS (SELECT FROM subscriptions WHERE person_id = :id)", id=person.id)
    await forma.quiet(person)
    await forma.said(person, "[[tokens: 700]]")
    refusal = await said(forma, person, "[[echo: none]]")
    assert re.fullmatch(DAY[language], refusal), refusal


async def test_an_answer_that_was_stopped_or_failed_gives_its_part_back(forma: Forma) -> None:
    stopper, unlucky = await forma.person("ru"), await forma.person("ru")
    await stopper.send("[[tokens: 300]] [[slow]] Расскажи о беге")
    await forma.growing(stopper)
    await stopper.send("/stop")
    await stopper.wait_for("Остановлено")
    await forma.quiet(stopper)
    assert await answered(forma, stopper, 1)
    await unlucky.send("[[fault: reset_after:10]] [[tokens: 60]]")
    await unlucky.wait_for("токены не списаны", timeout_s=30)
    await forma.quiet(unlucky)
    assert await answered(forma, unlucky, 2)


async def test_a_question_that_waits_is_counted_when_it_is_answered(forma: Forma) -> None:
    person = await forma.person("ru")
    await person.send("[[tokens: 60]] [[slow]] Расскажи о беге")
    await forma.growing(person)
    await person.send("[[tokens: 200]] А о лыжах?")  # beside the first one's expectation this one's has no room
    refusal = await person.wait_for("Слишком много за минуту")
    assert refusal.labels
    await forma.quiet(person)
    await forma.app.redis.flushdb()
    assert await answered(forma, person, 3)


async def test_a_button_is_limited_in_the_same_words(forma: Forma) -> None:
    person = await forma.person("ru")
    await person.send("[[tokens: 60]] [[slow]] Расскажи о беге")
    await forma.growing(person)
    await person.send("/stop")
    note = await person.wait_for("Остановлено")
    await forma.said(person, "[[tokens: 500]]")
    pressed = await person.press(note, "Заново")
    refusal = await person.wait_for("Слишком много за минуту")
    assert "Лайт" in refusal.text
    assert not (await person.toast(pressed)).get("text")
    assert await forma.violations() == []


async def test_a_redis_that_is_lost_forgets_what_was_used_and_nothing_else(forma: Forma) -> None:
    person = await forma.person("ru")
    await forma.said(person, "[[tokens: 500]]")
    assert "Слишком много за минуту" in await said(forma, person, "[[echo: 1]]")
    await forma.app.redis.flushdb()
    assert await answered(forma, person, 2)
    assert await forma.violations() == []


@both
async def test_an_answer_that_is_cut_names_the_plan_with_longer_ones(forma: Forma, language: str) -> None:
    person = await forma.person(language)
    note = (await forma.said(person, "[[tokens: 600]]"))[-1]
    assert (
        note
        == {
            "ru": "Ответ упёрся в предел длины. На плане «Лайт» ответы длиннее: /plans",
            "en": "The answer reached its length limit. With Lite answers are longer: /plans",
        }[language]
    )
    shown = next(seen for seen in reversed(person.messages()) if seen.text == note)
    assert shown.labels[0] == words(language).say("button-continue")


@both
async def test_a_question_that_is_too_long_names_the_plan_that_reads_more(forma: Forma, language: str) -> None:
    person = await forma.person(language)
    for number in range(2):
        await person.send(f"{number} " + "слово " * 640)
    refusal = await person.wait_for({"ru": "Слишком длинно", "en": "Too long"}[language], timeout_s=30)
    ends = {"ru": " На плане «Дорогой» уместится больше.", "en": " With Dear more fits."}[language]
    assert refusal.text.endswith(ends)
    assert len(refusal.labels) == 2
    await forma.quiet(person)
    assert await answered(forma, person, 1)
    assert await forma.violations() == []
