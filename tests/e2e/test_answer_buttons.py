"""The buttons under an answer: again, shorter, deeper, continue. Each press is one turn, and leaves no question behind.

The simulated model quotes the last message that it was asked, and `[[prompt]]` shows all of them.
"""

import asyncio

import pytest

from kit.words import words
from tests.support.forma import Forma
from tests.support.telegram import Person, Seen

RU = words("ru").say
ROW = [RU("button-redo"), RU("button-shorter"), RU("button-deeper")]
SHORTER, DEEPER, CUT = "последний ответ короче", "последний ответ подробнее", "ответ оборвался"


async def ask(forma: Forma, person: Person, text: str) -> Seen:
    """Ask, and return the answer's last message once all is done."""
    await forma.said(person, text)
    return forma.answers(person)[-1]


async def pressed(forma: Forma, person: Person, seen: Seen, button: str) -> Seen:
    """Press, and return the newest message once all is done."""
    await person.press(seen, button)
    await forma.quiet_until("SELECT count(*) = 0 FROM turns WHERE person_id = :id AND status = 'open'", id=person.id)
    await forma.quiet(person)
    return forma.answers(person)[-1]


def now(person: Person, seen: Seen) -> Seen:
    return next(other for other in person.messages() if other.id == seen.id)


async def turns_of(forma: Forma, person: Person) -> str:
    sql = "SELECT string_agg(coalesce(instruction, 'question'), ' ' ORDER BY id) FROM turns WHERE person_id = :id"
    return str(await forma.scalar(sql, id=person.id))


async def test_only_the_newest_answer_has_buttons(forma: Forma) -> None:
    person = await forma.person("ru")
    first = await ask(forma, person, "Сколько спать?")
    assert first.labels == ROW
    second = await ask(forma, person, "А днём?")
    assert second.labels == ROW
    await forma.tg.until(lambda: now(person, first).labels == [], what="the older buttons gone")
    assert now(person, first).text == first.text


async def test_shorter_and_deeper_ask_about_the_answer_and_leave_no_question(forma: Forma) -> None:
    person = await forma.person("ru")
    answer = await ask(forma, person, "Как высыпаться?")
    shorter = await pressed(forma, person, answer, RU("button-shorter"))
    assert SHORTER in shorter.text
    assert shorter.labels == ROW
    deeper = await pressed(forma, person, shorter, RU("button-deeper"))
    assert DEEPER in deeper.text
    assert await turns_of(forma, person) == "question shorter deeper"
    holds = "SELECT count(*) FROM holds h JOIN turns t ON t.id = h.turn_id WHERE person_id = :id AND h.amount > 0"
    assert await forma.scalar(holds, id=person.id) == 3
    shown = await ask(forma, person, "[[prompt]] Что дальше?")
    # One question and one answer to it, the newest version, before this question.
    assert shown.text.count('"role": "user"') == 2
    assert shown.text.count('"role": "assistant"') == 1
    assert "Как высыпаться?" in shown.text
    assert DEEPER in shown.text
    assert await forma.violations() == []


async def test_english_instructions_for_english_dialogs(forma: Forma) -> None:
    person = await forma.person("en")
    answer = await ask(forma, person, "How do I sleep better?")
    shorter = await pressed(forma, person, answer, words("en").say("button-shorter"))
    assert "Rewrite your last answer shorter" in shorter.text


async def test_again_asks_the_same_and_takes_the_place_of_the_answer(forma: Forma) -> None:
    person = await forma.person("ru")
    answer = await ask(forma, person, "Сколько пить?")
    again = await pressed(forma, person, answer, RU("button-redo"))
    assert "Сколько пить?" in again.text
    kept = (
        "SELECT count(*) FROM messages m JOIN turns t ON t.id = m.turn_id WHERE person_id = :id AND role = 'assistant'"
    )
    assert await forma.scalar(kept, id=person.id) == 1
    shorter = await pressed(forma, person, again, RU("button-shorter"))
    once_more = await pressed(forma, person, shorter, RU("button-redo"))
    assert SHORTER in once_more.text
    assert await turns_of(forma, person) == "question question shorter shorter"
    assert await forma.scalar(kept, id=person.id) == 2


async def test_two_presses_are_one_turn(forma: Forma) -> None:
    person = await forma.person("ru")
    answer = await ask(forma, person, "[[tokens: 40]] Сколько ходить?")
    both = await asyncio.gather(*(person.press(answer, RU("button-shorter")) for _ in range(2)))
    toasts = [(await person.toast(one))["text"] for one in both]
    assert RU("toast-shorter") in toasts
    assert {RU("toast-already"), RU("toast-wait")} & set(toasts)
    await forma.quiet(person)
    late = await person.press(
        answer, data=f"shorter:{await forma.scalar('SELECT min(id) FROM turns WHERE person_id = :id', id=person.id)}"
    )
    assert (await person.toast(late))["text"] == RU("toast-already")
    assert await turns_of(forma, person) == "question shorter"


async def test_a_press_while_an_answer_runs_says_to_wait(forma: Forma) -> None:
    person = await forma.person("ru")
    answer = await ask(forma, person, "Сколько сидеть?")
    await person.send("[[tokens: 80]] [[slow]] А стоять?")
    await forma.growing(person)
    one = await person.press(answer, data=answer.buttons[1]["callback_data"])
    assert (await person.toast(one))["text"] == RU("toast-wait")
    await forma.quiet(person)
    assert await turns_of(forma, person) == "question question"


async def test_a_button_of_an_old_answer_works_on_that_answer(forma: Forma) -> None:
    person = await forma.person("ru")
    old = await ask(forma, person, "[[echo: про сон]]")
    await ask(forma, person, "[[echo: про бег]]")
    await person.press(old, data=old.buttons[1]["callback_data"])
    seen = await person.wait_for(SHORTER, timeout_s=20)
    await forma.quiet(person)
    # The prompt was the system message, the old question, its answer and the instruction.
    assert "4" in seen.text.split("\n")[0]
    shown = await ask(forma, person, "[[prompt]] Что я спрашивал?")
    assert shown.text.index(SHORTER) < shown.text.index("[[echo: про бег]]")


async def test_the_answer_of_a_question_that_was_asked_again_says_so(forma: Forma) -> None:
    person = await forma.person("ru")
    old = await ask(forma, person, "Что есть утром?")
    await pressed(forma, person, old, RU("button-redo"))
    late = await person.press(old, data=old.buttons[1]["callback_data"])
    toast = await person.toast(late)
    assert (toast["text"], toast["show_alert"]) == (RU("toast-answer-replaced"), True)


async def test_an_answer_that_was_cut_goes_on_without_repeating(forma: Forma) -> None:
    person = await forma.person("ru")
    await forma.said(person, "[[tokens: 5000]] Всё о беге")
    note = forma.answers(person)[-1]
    assert note.text == RU("answer-cut", plan="Лайт")
    assert note.labels == [RU("button-continue"), *ROW]
    more = await pressed(forma, person, note, RU("button-continue"))
    assert CUT in more.text
    assert RU("button-continue") not in more.labels
    shown = await forma.said(person, "[[prompt]] Дальше?")
    assert "\n".join(shown).count('"role": "assistant"') == 1
    late = await person.press(note, data=note.buttons[0]["callback_data"])
    assert (await person.toast(late))["text"] == RU("toast-already")


@pytest.mark.parametrize("made_up", ["shorter:", "shorter:x", "deeper:999999999", "shorter:99999999999999999999"])
async def test_made_up_buttons_are_told_to_have_expired(forma: Forma, made_up: str) -> None:
    person = await forma.person("ru")
    one = await person.press(person.messages()[-1], data=made_up)
    assert (await person.toast(one))["text"] == RU("toast-expired")


async def test_a_button_of_somebody_else_is_not_theirs(forma: Forma) -> None:
    ada, bob = await forma.person("ru"), await forma.person("ru")
    answer = await ask(forma, ada, "Мой вопрос")
    one = await bob.press(bob.messages()[-1], data=answer.buttons[1]["callback_data"])
    assert (await bob.toast(one))["text"] == RU("toast-other-person")
