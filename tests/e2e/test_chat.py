"""A chat turn through the front door: what a person sees, in both languages."""

import pytest

from kit.words import words
from tests.support import shop
from tests.support.forma import Forma

both = pytest.mark.parametrize("language", ["ru", "en"])
QUESTIONS = {"ru": "Как лучше спать?", "en": "How do I sleep better?"}
LONG = {
    "ru": "[[tokens: 900]] [[slow]] Расскажи всё о белке",
    "en": "[[tokens: 900]] [[slow]] Tell me all about protein",
}


@both
async def test_the_greeting_says_who_speaks_and_its_three_examples_are_answered(forma: Forma, language: str) -> None:
    say = words(language).say
    person = await forma.person(language)
    greeting = person.messages()[-1]
    assert greeting.text == say("start")
    assert "/terms" in greeting.text
    assert "18+" in greeting.text
    names = ("training", "sleep", "protein")
    assert greeting.labels == [
        say("button-example-training"),
        say("button-example-sleep"),
        say("button-example-protein"),
    ]
    for number, name in enumerate(names):
        await person.press(greeting, number)
        question = {
            "training": say("example-training"),
            "sleep": say("example-sleep"),
            "protein": say("example-protein"),
        }[name]
        await person.wait_for(question, timeout_s=20)
    pressed = await person.press(greeting, 0)
    assert (await person.toast(pressed))["text"] == say("toast-already")
    assert await forma.scalar("SELECT count(*) FROM turns WHERE person_id = :id", id=person.id) == 3
    await person.start()
    await person.wait_for(say("start-again"))


@both
async def test_a_question_is_answered_once_in_the_persons_language(forma: Forma, language: str) -> None:
    person = await forma.person(language)
    (answer,) = await forma.said(person, QUESTIONS[language])
    assert QUESTIONS[language] in answer
    row = await forma.scalar(
        "SELECT status || ' ' || (billed_tokens > 0) || ' ' || courtesy_tokens FROM turns WHERE person_id = :id",
        id=person.id,
    )
    assert row == "done true 0"
    assert await forma.violations() == []


async def test_the_answer_grows_as_a_draft_with_a_stop_button_and_then_stands_as_a_message(forma: Forma) -> None:
    person = await forma.person("ru")
    await person.send("[[tokens: 60]] [[slow]] Расскажи о сне")
    assert await forma.growing(person)
    assert person.draft is not None
    assert person.draft["can_stop"]
    final = await person.wait_for(timeout_s=20)
    shown = [str(call["params"].get("text") or "") for call in await forma.tg.calls("sendMessageDraft", person.id)]
    grown = [text for text in shown if text]
    assert grown == sorted(grown, key=len)
    assert final.text.startswith(grown[0].split("\n")[0])
    assert person.draft is None
    await forma.quiet(person)
    assert len(forma.answers(person)) == 1


@both
async def test_stop_keeps_what_is_there_says_what_it_cost_and_goes_on_when_asked(forma: Forma, language: str) -> None:
    say = words(language).say
    person = await forma.person(language)
    await person.send(LONG[language])
    seen = await forma.growing(person)
    await person.stop()
    note = await person.wait_for("⏹")
    billed = await forma.scalar("SELECT billed_tokens FROM turns WHERE person_id = :id", id=person.id)
    assert note.text == say("stopped", tokens=billed)
    assert note.labels == [say("button-continue"), say("button-redo")]
    assert forma.answers(person)[0].text.startswith(seen[:40])
    assert await forma.scalar("SELECT status FROM turns WHERE person_id = :id", id=person.id) == "stopped"
    await person.press(note, say("button-continue"))
    await person.wait_for({"ru": "ответ оборвался", "en": "answer was cut off"}[language], timeout_s=20)
    pressed = await person.press(note, say("button-continue"))
    assert (await person.toast(pressed))["text"] == say("toast-already")
    assert await forma.scalar("SELECT count(*) FROM turns WHERE person_id = :id", id=person.id) == 2
    assert await forma.violations() == []


@both
async def test_a_stopped_answer_is_written_anew_when_asked(forma: Forma, language: str) -> None:
    say = words(language).say
    person = await forma.person(language)
    await person.send(LONG[language].replace("900", "60"))
    await forma.growing(person)
    await person.send("/stop")
    note = await person.wait_for("⏹")
    pressed = await person.press(note, say("button-redo"))
    assert (await person.toast(pressed))["text"] == say("toast-retrying")
    again = await person.press(note, say("button-redo"))
    assert (await person.toast(again))["text"] in {say("toast-already"), say("toast-wait")}
    await person.wait_for("imula" if language == "en" else "имуляц", timeout_s=20)
    await forma.quiet(person)
    statuses = await forma.scalar(
        "SELECT string_agg(status, ' ' ORDER BY id) FROM turns WHERE person_id = :id", id=person.id
    )
    assert statuses == "stopped done"
    kept = "SELECT count(*) FROM messages m JOIN turns t ON t.id = m.turn_id WHERE person_id = :id AND role = :role"
    assert await forma.scalar(kept, id=person.id, role="assistant") == 1
    assert await forma.scalar(kept, id=person.id, role="user") == 1


async def test_messages_while_an_answer_runs_are_seen_and_answered_together_next(forma: Forma) -> None:
    person = await forma.person("ru")
    await person.send("[[tokens: 60]] [[slow]] Первый вопрос")
    await forma.growing(person)
    second = await person.send("Второй вопрос")
    third = await person.send("И третий вопрос")
    await person.wait_for("И третий вопрос", timeout_s=30)
    await forma.quiet(person)
    reactions = {seen.id: seen.reactions for seen in person.messages() if seen.id in {second, third}}
    assert reactions == {second: ["👀"], third: ["👀"]}
    assert "Первый вопрос" in forma.answers(person)[0].text
    assert await forma.scalar("SELECT count(*) FROM turns WHERE person_id = :id", id=person.id) == 2


async def test_messages_that_nobody_has_begun_to_answer_are_one_question(forma: Forma) -> None:
    person = await forma.person("ru")
    await forma.stop("worker")
    try:
        await person.send("У меня два вопроса.")
        await person.send("Сколько спать?")
        await person.send("[[prompt]] Сколько пить?")
        sql = "SELECT count(*) = 3 FROM messages m JOIN turns t ON t.id = m.turn_id WHERE person_id = :id"
        await forma.quiet_until(sql, id=person.id)
    finally:
        await forma.start("worker")
    seen = await person.wait_for("Сколько спать?", timeout_s=20)
    assert "У меня два вопроса." in seen.text
    await forma.quiet(person)
    assert await forma.scalar("SELECT count(*) FROM turns WHERE person_id = :id", id=person.id) == 1


@both
async def test_thirty_thousand_characters_in_eight_parts_are_one_question(forma: Forma, language: str) -> None:
    person = await forma.person(language)
    await shop.subscribe(person, shop.TONGUES[language])  # the free plan reads less
    before = len(forma.answers(person))
    await person.send({"ru": "слово ", "en": "words "}[language] * 5_000)
    await forma.quiet(person)
    assert len(forma.answers(person)) == before + 1
    assert await forma.scalar("SELECT status FROM turns WHERE person_id = :id", id=person.id) == "done"
    parts = "SELECT count(*) FROM messages m JOIN turns t ON t.id = m.turn_id WHERE person_id = :id AND role = 'user'"
    assert await forma.scalar(parts, id=person.id) == 8
    assert not any(seen.reactions for seen in person.messages())
    assert await forma.violations() == []


@both
async def test_the_new_command_forgets_the_dialog(forma: Forma, language: str) -> None:
    person = await forma.person(language)
    await forma.said(person, "[[echo: one]]")
    assert await forma.said(person, "/new") == [words(language).say("new-dialog")]
    (seen,) = await forma.said(person, "[[prompt]] what do you know")
    assert "what do you know" in seen
    assert "[[echo: one]]" not in seen


@both
async def test_the_new_command_stops_an_answer_that_runs(forma: Forma, language: str) -> None:
    person = await forma.person(language)
    await person.send(LONG[language])
    await forma.growing(person)
    await person.send("/new")
    await person.wait_for("⏹")
    await person.wait_for(words(language).say("new-dialog"))


async def test_persons_whose_messages_bear_the_same_number_do_not_disturb_each_other(forma: Forma) -> None:
    persons = [await forma.person("ru") for _ in range(4)]
    for person in persons:
        await person.send("[[tokens: 40]] [[slow]] Первый")
    for person in persons:
        await forma.growing(person)
    seconds = [await person.send("[[echo: второй ответ]]") for person in persons]
    assert len(set(seconds)) == 1
    for person in persons:
        await person.wait_for("второй ответ", timeout_s=20)
        await forma.quiet(person)
        assert len(forma.answers(person)) == 2
