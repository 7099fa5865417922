"""What changes a chat turn: edits, replies, and the preview that a person chose."""

import pytest

from kit.words import words
from tests.support.forma import Forma

both = pytest.mark.parametrize("language", ["ru", "en"])


@both
async def test_an_edited_question_is_answered_anew_only_when_asked(forma: Forma, language: str) -> None:
    say = words(language).say
    person = await forma.person(language)
    asked = await person.send("[[echo: old answer]]")
    await person.wait_for("old answer")
    await forma.quiet(person)
    await person.edit(asked, "[[echo: new answer]]")
    offer = await person.wait_for(say("edited"))
    billed = await forma.scalar("SELECT billed_tokens FROM turns WHERE person_id = :id", id=person.id)
    assert offer.labels == [say("button-recount", tokens=billed)]
    pressed = await person.press(offer, 0)
    assert (await person.toast(pressed))["text"] == say("toast-recounting")
    await person.wait_for("new answer")
    await forma.quiet(person)
    (prompt,) = await forma.said(person, "[[prompt]]")
    assert "old answer" not in prompt


async def test_a_question_edited_while_it_waits_is_answered_as_edited(forma: Forma) -> None:
    person = await forma.person("ru")
    await forma.stop("worker")
    try:
        asked = await person.send("[[echo: старое]]")
        await forma.quiet_until("SELECT count(*) = 1 FROM turns WHERE person_id = :id", id=person.id)
        await person.edit(asked, "[[echo: новое]] " + "и подробнее " * 200)
        await forma.quiet_until("SELECT text LIKE '%новое%' FROM messages WHERE chat_id = :id", id=person.id)
    finally:
        await forma.start("worker")
    await person.wait_for("новое", timeout_s=20)
    await forma.quiet(person)
    assert len(forma.answers(person)) == 1


async def test_a_question_edited_while_its_answer_runs_is_offered_again_and_taken_after_the_end(forma: Forma) -> None:
    person = await forma.person("ru")
    asked = await person.send("[[tokens: 60]] [[slow]] Первый")
    await forma.growing(person)
    await person.edit(asked, "[[echo: исправленное]]")
    offer = await person.wait_for("Вы изменили вопрос")
    pressed = await person.press(offer, 0)
    assert (await person.toast(pressed))["text"] == words("ru").say("toast-wait")
    await forma.quiet(person)
    await person.press(offer, 0)
    await person.wait_for("исправленное")


async def test_an_answer_of_an_earlier_dialog_is_stopped_like_any_other(forma: Forma) -> None:
    person = await forma.person("ru")
    await person.send("[[tokens: 900]] [[slow]] Расскажи всё")
    await forma.growing(person)
    await person.stop()
    note = await person.wait_for("⏹ Остановлено")
    await forma.said(person, "/new")
    await person.press(note, "Заново")
    await forma.growing(person)
    await person.send("/stop")
    await person.wait_for("⏹ Остановлено")


async def test_a_reply_tells_the_model_what_it_replies_to(forma: Forma) -> None:
    person = await forma.person("ru")
    await forma.said(person, "[[echo: Белка нужно полтора грамма]]")
    quoted = forma.answers(person)[-1]
    await forma.said(person, "[[echo: А воды два литра]]")
    await person.send("[[prompt]] А почему столько?", reply_to_message_id=quoted.id)
    seen = await person.wait_for("> Белка нужно полтора грамма")
    assert "А почему столько?" in seen.text


async def test_previews_come_by_edits_or_not_at_all_as_the_person_chose(forma: Forma) -> None:
    for mode, method in (("edit", "editMessageText"), ("off", "sendChatAction")):
        person = await forma.person("ru")
        await forma.choose(person, "preview", mode)
        await person.send("[[tokens: 60]] [[slow]] Расскажи о беге")
        await forma.quiet(person)
        assert await forma.tg.calls("sendMessageDraft", person.id) == []
        assert [call for call in await forma.tg.calls(method, person.id) if call["ok"]]
        assert len([seen for seen in forma.answers(person) if "имуляц" in seen.text]) == 1
