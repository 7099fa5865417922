"""Waiting: the place in the queue, the limits of a person and of the whole, in words and without a charge."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from inference.dialogs import TURN_MESSAGES_MAX
from kit.words import words
from tests.support.forma import Forma

both = pytest.mark.parametrize("language", ["ru", "en"])
PLACE = {
    "ru": re.compile(r"^(Ваша очередь следующая|Вы 2-й в очереди).*Чат можно закрыть, ответ придёт\.$"),
    "en": re.compile(r"^(You are next|You are number 2 in line).*You can close the chat, the answer will come\.$"),
}


@asynccontextmanager
async def configured(forma: Forma, **changes: Any) -> AsyncIterator[None]:
    """The fair queue with other bounds for a while."""
    (fair,) = forma.app.queues.values()
    before = fair.config
    await fair.configure(replace(before, **changes))
    try:
        yield
    finally:
        await fair.configure(before)


async def test_who_waits_sees_the_place_and_then_the_answer(forma: Forma) -> None:
    first, *others = [await forma.person(language) for language in ("ru", "ru", "en")]
    async with configured(forma, slots=1, reserve_max=0):
        await first.send("[[tokens: 110]] [[slow]] Расскажи о беге")
        await forma.growing(first)
        for person in others:
            await person.send("[[echo: your answer]]")
        for person, language in zip(others, ("ru", "en"), strict=True):
            draft = await person.wait_draft({"ru": "Чат можно закрыть", "en": "You can close the chat"}[language])
            assert PLACE[language].match(draft["text"]), draft["text"]
            assert draft["can_stop"]
        for person in others:
            await person.wait_for("your answer", timeout_s=30)
            assert person.draft is None


async def test_a_short_wait_is_not_spoken_of(forma: Forma) -> None:
    first, second = [await forma.person("ru"), await forma.person("ru")]
    async with configured(forma, slots=1, reserve_max=0):
        await first.send("[[tokens: 20]] [[slow]] Расскажи о беге")
        await forma.growing(first)
        await second.send("[[echo: ответ]]")
        await second.wait_for("ответ", timeout_s=20)
    shown = [call["params"].get("text") or "" for call in await forma.tg.calls("sendMessageDraft", second.id)]
    assert not [text for text in shown if "очеред" in text]


@both
async def test_a_question_that_waits_is_taken_back_at_no_cost(forma: Forma, language: str) -> None:
    say = words(language).say
    first, second = [await forma.person(language), await forma.person(language)]
    async with configured(forma, slots=1, reserve_max=0):
        await first.send("[[tokens: 60]] [[slow]] Расскажи о беге")
        await forma.growing(first)
        await second.send("[[echo: answer]]")
        await forma.quiet_until("SELECT count(*) = 1 FROM turns WHERE person_id = :id", id=second.id)
        await second.send("/stop")
        note = await second.wait_for(say("stopped-in-queue"))
        assert note.labels == [say("button-redo")]
        await second.press(note, 0)
        await second.wait_for("answer", timeout_s=30)
        await forma.quiet(first)
    assert await forma.violations() == []


@both
async def test_questions_that_come_too_fast_are_refused_with_the_time_to_come_back(forma: Forma, language: str) -> None:
    person = await forma.person(language)
    for number in range(4):
        assert await forma.said(person, f"[[echo: {number}]]") == [str(number)]
    (refusal,) = await forma.said(person, "[[echo: 5]]")
    pattern = {
        "ru": r"Слишком много вопросов подряд: на вашем плане 4 в минуту\. Следующий возьму через \d+.с\."
        r" Ничего не списано\.\n\nНа плане «Лайт» — 8 в минуту\.",
        "en": r"Too many questions in a row: your plan allows 4 a minute\. I can take the next one in \d+.s\."
        r" Nothing was charged\.\n\nWith Lite it is 8 a minute\.",
    }[language]
    assert re.fullmatch(pattern, refusal), refusal
    assert await forma.scalar("SELECT count(*) FROM turns WHERE person_id = :id", id=person.id) == 4


@both
async def test_a_full_queue_refuses_in_words_and_charges_nothing(forma: Forma, language: str) -> None:
    first, second, third = [await forma.person(language) for _ in range(3)]
    async with configured(forma, slots=1, reserve_max=0, queued_max=1):
        await first.send("[[tokens: 60]] [[slow]] Расскажи о беге")
        await forma.growing(first)
        await second.send("[[echo: answer]]")
        await forma.quiet_until("SELECT count(*) = 1 FROM turns WHERE person_id = :id", id=second.id)
        await third.send("[[echo: none]]")
        await third.wait_for({"ru": "Сейчас спрашивают очень многие", "en": "Very many people are asking"}[language])
        await second.wait_for("answer", timeout_s=30)
        await forma.quiet(first)
    assert await forma.scalar("SELECT count(*) FROM turns WHERE person_id = :id", id=third.id) == 0
    assert await forma.said(third, "[[echo: now]]") == ["now"]


async def test_a_question_that_waits_takes_so_many_messages_and_no_more(forma: Forma) -> None:
    person = await forma.person("ru")
    await forma.stop("worker")
    for number in range(TURN_MESSAGES_MAX + 1):
        await person.send(f"часть {number}")
    await person.wait_for("У вас уже много вопросов в очереди", timeout_s=30)
    await forma.start("worker")
    await forma.quiet(person)
    kept = "SELECT count(*) FROM messages WHERE role = 'user' AND chat_id = :id"
    assert await forma.scalar(kept, id=person.id) == TURN_MESSAGES_MAX
    assert await forma.scalar("SELECT status FROM turns WHERE person_id = :id", id=person.id) == "done"
    assert await forma.violations() == []
