"""What a failing model server does to one question: docs/faults.md has a row for each test here."""

from kit.words import words
from tests.support.forma import Forma

BILLED = "SELECT coalesce(sum(billed_tokens), 0) FROM turns WHERE person_id = :id"


async def test_an_answer_without_text_is_asked_for_again_and_costs_nothing(forma: Forma) -> None:
    person = await forma.person("ru")
    mark = f"empty-{person.id}"
    await forma.llm.fault("empty", match=mark)
    assert await forma.said(person, f"[[echo: ответ]] {mark}") == ["ответ"]
    journal = [one for one in await forma.llm.requests() if mark in str(one["body"])]
    assert [one["outcome"] for one in journal] == ["fault:empty", "stop"]
    counted = await forma.scalar("SELECT output_tokens FROM turns WHERE person_id = :id", id=person.id)
    assert counted == journal[-1]["completion_tokens"]
    assert await forma.violations() == []


async def test_answers_that_stay_without_text_are_told_and_cost_nothing(forma: Forma) -> None:
    person = await forma.person("en")
    (told,) = await forma.said(person, "[[fault: empty]] unlucky")
    code = await forma.scalar("SELECT error_code FROM turns WHERE person_id = :id", id=person.id)
    assert told == words("en").say("error-unavailable", code=code)
    assert await forma.scalar(BILLED, id=person.id) == 0
    assert await forma.violations() == []
