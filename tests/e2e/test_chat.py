"""A chat turn through the front door: what a person sees, in both languages."""

import asyncio

import pytest

from tests.support.forma import Forma


@pytest.mark.parametrize(
    ("language", "question", "sign"), [("ru", "Как лучше спать?", "имуляц"), ("en", "How do I sleep?", "imulat")]
)
async def test_a_question_is_answered_in_the_persons_language(
    forma: Forma, language: str, question: str, sign: str
) -> None:
    person = await forma.person(language)
    await person.send(question)
    answer = await person.wait_for(question)
    assert sign in answer.text
    assert await forma.scalar("SELECT status FROM turns WHERE person_id = :id", id=person.id) == "done"


async def test_the_answer_streams_as_a_draft_with_a_stop_button(forma: Forma) -> None:
    person = await forma.person("ru")
    await person.send("[[tokens: 120]] Расскажи о сне")
    draft = await person.wait_draft()
    assert draft["can_stop"]
    await person.wait_for(lambda seen: seen.sender_id != person.id and "/terms" not in seen.text)
    first = next(call for call in await forma.tg.calls("sendMessageDraft", person.id) if call["params"].get("text"))
    assert first["ok"]


async def test_the_stop_button_keeps_what_is_there_and_charges_only_that(forma: Forma) -> None:
    person = await forma.person("ru")
    await person.send("[[tokens: 900]] Расскажи всё о белке")
    await person.wait_draft("")
    await asyncio.sleep(0.5)
    await person.stop()
    note = await person.wait_for("Остановлено")
    assert note.labels == ["Продолжить", "Заново"]
    row = await forma.scalar(
        "SELECT status || ' ' || (output_tokens BETWEEN 1 AND 899) FROM turns WHERE person_id = :id", id=person.id
    )
    assert row == "stopped true"


async def test_a_message_while_an_answer_runs_is_seen_and_answered_next(forma: Forma) -> None:
    person = await forma.person("ru")
    await person.send("[[tokens: 100]] Первый вопрос")
    await person.wait_draft()
    second = await person.send("[[echo: второй ответ]]")
    await person.wait_for("второй ответ", timeout_s=20)
    reactions = await forma.tg.calls("setMessageReaction", person.id)
    assert [int(call["params"]["message_id"]) for call in reactions] == [second]
    assert await forma.scalar("SELECT count(*) FROM turns WHERE person_id = :id", id=person.id) == 2


async def test_a_long_text_in_eight_parts_is_one_question(forma: Forma) -> None:
    person = await forma.person("ru")
    await person.send("слово " * 5_000)
    await forma.tg.until(lambda: any(m.sender_id != person.id and m.id > 3 for m in person.messages()), timeout_s=20)
    assert await forma.scalar("SELECT count(*) FROM turns WHERE person_id = :id", id=person.id) == 1
    assert (
        await forma.scalar(
            "SELECT count(*) FROM messages m JOIN turns t ON t.id = m.turn_id WHERE person_id = :id AND role = 'user'",
            id=person.id,
        )
        == 8
    )


async def test_the_new_command_forgets_the_dialog(forma: Forma) -> None:
    person = await forma.person("en")
    await person.send("[[echo: one]]")
    await person.wait_for("one")
    await person.send("/new")
    await person.wait_for("new conversation")
    await person.send("[[prompt]] what do you know")
    seen = await person.wait_for("what do you know")
    assert "[[echo: one]]" not in seen.text
