"""Bad days: a model or a Telegram that fails, and a person who blocks the bot. Nothing is lost or charged twice."""

import re

import pytest

from kit.words import words
from tests.support.forma import Forma

both = pytest.mark.parametrize("language", ["ru", "en"])
BILLED = "SELECT coalesce(sum(billed_tokens), 0) FROM turns WHERE person_id = :id"


@both
async def test_a_model_that_is_away_is_told_with_a_code_and_a_retry_that_works(forma: Forma, language: str) -> None:
    say = words(language).say
    person = await forma.person(language)
    mark = f"unlucky-{person.id}"
    await forma.llm.fault("error", count=3, match=mark)
    await person.send(f"[[echo: answer at last]] {mark}")
    failure = await person.wait_for({"ru": "Модель сейчас не отвечает", "en": "The model is not answering"}[language])
    code = await forma.scalar("SELECT error_code FROM turns WHERE person_id = :id", id=person.id)
    assert failure.text == say("error-unavailable", code=code)
    assert failure.labels == [say("button-retry"), say("button-copy-code", code=code)]
    assert failure.buttons[1]["copy_text"] == {"text": code}
    assert await forma.scalar(BILLED, id=person.id) == 0
    pressed = await person.press(failure, 0)
    assert (await person.toast(pressed))["text"] == say("toast-retrying")
    await person.wait_for("answer at last", timeout_s=20)
    await forma.quiet(person)
    again = await person.press(failure, 0)
    assert (await person.toast(again))["text"] == say("toast-already")
    assert await forma.violations() == []


async def test_a_stream_that_breaks_is_written_anew_and_charged_once(forma: Forma) -> None:
    person = await forma.person("ru")
    mark = f"unlucky-{person.id}"
    await forma.llm.fault("reset_after", after_tokens=20, match=mark)
    await person.send(f"[[tokens: 60]] {mark}")
    await person.wait_for(mark, timeout_s=20)
    await forma.quiet(person)
    assert len(forma.answers(person)) == 1
    assert await forma.scalar("SELECT output_tokens FROM turns WHERE person_id = :id", id=person.id) == 60
    assert await forma.violations() == []


@both
async def test_a_stream_that_breaks_every_time_is_told_and_costs_nothing(forma: Forma, language: str) -> None:
    person = await forma.person(language)
    await person.send("[[tokens: 60]] [[fault: reset_after:10]] unlucky")
    failure = await person.wait_for({"ru": "токены не списаны", "en": "no tokens were charged"}[language], timeout_s=30)
    assert re.search(r"[A-Z0-9]{4,}$", failure.text)
    assert await forma.scalar(BILLED, id=person.id) == 0
    assert await forma.violations() == []


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("http_500", {"count": 2}),
        ("rate_limit", {"count": 2, "retry_after_s": 1}),
        ("reset", {"count": 2}),
        ("delay", {"count": 1, "delay_s": 2.0}),
    ],
)
async def test_whatever_telegram_does_to_the_sending_the_answer_comes_once(
    forma: Forma, kind: str, more: dict[str, float]
) -> None:
    person = await forma.person("ru")
    await forma.tg.fault("sendMessage", kind, chat_id=person.id, **more)
    await person.send("[[echo: единственный]]")
    await person.wait_for("единственный", timeout_s=30)
    await forma.quiet(person)
    await forma.tg.clear_faults()
    assert [seen.text for seen in forma.answers(person)] == ["единственный"]


@pytest.mark.parametrize("kind", ["duplicate", "reorder"])
async def test_updates_that_come_twice_or_in_disorder_are_answered_once_and_in_order(forma: Forma, kind: str) -> None:
    person = await forma.person("ru")
    await forma.tg.fault("getUpdates", kind)
    await person.send("[[tokens: 40]] [[slow]] Первый")
    for text in ("Второй", "Третий", "[[prompt]] Четвёртый"):
        await person.send(text)
    await forma.quiet(person)
    await forma.tg.clear_faults()
    texts = await forma.scalar(
        "SELECT string_agg(text, ' ' ORDER BY message_id) = string_agg(text, ' ' ORDER BY id) FROM messages"
        " WHERE chat_id = :id AND role = 'user'",
        id=person.id,
    )
    assert texts
    assert await forma.scalar("SELECT count(*) FROM messages WHERE chat_id = :id AND role = 'user'", id=person.id) == 4
    assert len([seen for seen in forma.answers(person) if "Четвёртый" in seen.text]) == 1


@both
async def test_who_blocked_the_bot_finds_the_answer_when_they_come_back(forma: Forma, language: str) -> None:
    person = await forma.person(language)
    await person.send("[[tokens: 40]] [[slow]] " + {"ru": "Расскажи о сне", "en": "Tell me about sleep"}[language])
    await forma.growing(person)
    await person.block()
    await forma.quiet(person)
    assert forma.answers(person) == []
    assert await forma.scalar("SELECT blocked_at IS NOT NULL FROM persons WHERE id = :id", id=person.id)
    billed = await forma.scalar(BILLED, id=person.id)
    await person.unblock()
    await person.wait_for({"ru": "имуляц", "en": "imulat"}[language])
    await forma.quiet(person)
    assert len(forma.answers(person)) == 1
    assert await forma.scalar(BILLED, id=person.id) == billed
    assert not await forma.scalar("SELECT blocked_at IS NOT NULL FROM persons WHERE id = :id", id=person.id)
    assert await forma.violations() == []


async def test_a_deleted_account_is_not_written_to_again(forma: Forma) -> None:
    person = await forma.person("ru")
    await forma.tg.fault("send*", "refuse", chat_id=person.id, description="Forbidden: user is deactivated")
    await person.send("[[echo: ответ]]")
    await forma.quiet(person)
    await forma.tg.clear_faults()
    assert await forma.scalar("SELECT blocked_at IS NOT NULL FROM persons WHERE id = :id", id=person.id)
    assert await forma.scalar("SELECT error FROM outbox WHERE chat_id = :id AND kind = 'answer'", id=person.id) == (
        "deactivated"
    )


async def test_where_drafts_are_refused_the_answer_grows_by_edits(forma: Forma) -> None:
    person = await forma.person("ru")
    await forma.tg.fault("sendMessageDraft", "refuse", chat_id=person.id, description="Bad Request: DRAFT_FORBIDDEN")
    await person.send("[[tokens: 80]] [[slow]] Расскажи о беге")
    await forma.quiet(person)
    await forma.tg.clear_faults()
    edits = await forma.tg.calls("editMessageText", person.id)
    assert edits
    assert len(forma.answers(person)) == 1


async def test_an_answer_waits_for_a_bot_that_is_away_and_comes_once(forma: Forma) -> None:
    person = await forma.person("ru")
    await person.send("[[tokens: 30]] [[slow]] Расскажи о плавании")
    await forma.growing(person)
    await forma.stop("bot")
    try:
        await person.send("[[echo: и второй]]")
        await forma.quiet_until("SELECT status <> 'open' FROM turns WHERE person_id = :id", id=person.id)
    finally:
        await forma.start("bot")
    await person.wait_for("и второй", timeout_s=30)
    await forma.quiet(person)
    assert len(forma.answers(person)) == 2
