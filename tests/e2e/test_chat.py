"""A chat turn through the front door: what a person sees, in both languages."""

from tests.support.forma import Forma


async def test_a_question_is_answered_in_the_persons_language(forma: Forma) -> None:
    person = await forma.person("ru")
    await person.send("Как лучше спать?")
    answer = await person.wait_for("Как лучше спать?")
    assert "имуляц" in answer.text
    status = await forma.scalar("SELECT status FROM turns WHERE person_id = :id", id=person.id)
    assert status == "done"
