"""Running out of tokens: before an answer, in the middle of one, and the one warning on the way there."""

import pytest

from billing import holds
from kit.words import words
from tests.support.forma import Forma

both = pytest.mark.parametrize("language", ["ru", "en"])
BALANCE = "SELECT posted FROM wallets WHERE person_id = :id"


@both
async def test_without_tokens_a_person_hears_when_more_come_and_what_can_be_bought(forma: Forma, language: str) -> None:
    say = words(language).say
    person = await forma.person(language)
    await forma.said(person, "[[echo: first]]")
    await forma.spend(person, leave=0)
    await person.send("[[echo: second]]")
    refusal = await person.wait_for(
        {"ru": "Токены закончились. Новые", "en": "You have run out of tokens. New"}[language]
    )
    assert refusal.labels == [say("button-trial", days=7), say("button-buy-pack", stars=150), say("button-plans")]
    assert await forma.scalar("SELECT count(*) FROM turns WHERE person_id = :id", id=person.id) == 1
    await person.press(refusal, 1)
    await person.wait_for({"ru": "Оплата внутри Telegram", "en": "You pay inside Telegram"}[language])
    assert await forma.violations() == []


@both
async def test_a_button_that_needs_tokens_says_so_with_the_same_ways_on(forma: Forma, language: str) -> None:
    say = words(language).say
    person = await forma.person(language)
    asked = await person.send("[[echo: first]]")
    await person.wait_for("first")
    await forma.quiet(person)
    await forma.spend(person, leave=20)
    await person.edit(asked, "[[echo: changed]]")
    offer = await person.wait_for(say("edited"))
    await person.press(offer, 0)
    refusal = await person.wait_for({"ru": "Токенов осталось 20", "en": "You have 20 tokens left"}[language])
    assert refusal.labels == [say("button-trial", days=7), say("button-buy-pack", stars=150), say("button-plans")]
    (kept,) = [seen.text for seen in forma.answers(person) if seen.text == "first"]
    assert kept


@both
async def test_an_answer_is_finished_at_the_houses_expense_when_tokens_run_out(forma: Forma, language: str) -> None:
    say = words(language).say
    person = await forma.person(language)
    await forma.said(person, "[[echo: first]]")
    await forma.spend(person, leave=300)
    await person.send("[[tokens: 700]] " + {"ru": "Расскажи о сне", "en": "Tell me about sleep"}[language])
    note = await person.wait_for(
        {"ru": "Дописал за свой счёт. Новые токены через", "en": "on the house. New tokens in"}[language], timeout_s=20
    )
    assert note.labels == [say("button-trial", days=7), say("button-buy-pack", stars=150), say("button-plans")]
    row = await forma.scalar(
        "SELECT status || ' ' || billed_tokens || ' ' || output_tokens || ' ' || (courtesy_tokens > 400) FROM turns"
        " WHERE person_id = :id ORDER BY id DESC LIMIT 1",
        id=person.id,
    )
    assert row == "done 300 700 true"
    assert await forma.violations() == []


@both
async def test_one_warning_comes_when_a_fifth_is_left(forma: Forma, language: str) -> None:
    person = await forma.person(language)
    await forma.said(person, "[[echo: first]]")
    await forma.spend(person, leave=6_050)
    _, warning = await forma.said(person, "[[tokens: 300]] one")
    assert warning.startswith({"ru": "Осталось 19 % токенов", "en": "19 % of your tokens left"}[language])
    assert {"ru": "Новые через", "en": "New ones in"}[language] in warning
    assert len(await forma.said(person, "[[tokens: 300]] two")) == 1


async def test_a_message_that_waits_is_refused_in_the_same_words_when_the_answer_before_took_the_rest(
    forma: Forma,
) -> None:
    person = await forma.person("ru")
    await forma.said(person, "[[echo: первый]]")
    await forma.spend(person, leave=130)
    await person.send("[[tokens: 200]] [[slow]] Второй")
    await forma.growing(person)
    await person.send("Третий")
    refusal = await person.wait_for("Токены закончились. Новые бесплатные через", timeout_s=30)
    assert refusal.labels == ["7 дней бесплатно", "Пакет 150\u00a0⭐", "Планы"]
    assert await forma.violations() == []


async def test_a_question_whose_tokens_another_answer_still_holds_waits_and_is_answered(forma: Forma) -> None:
    person = await forma.person("ru")
    await forma.said(person, "[[echo: первый]]")
    turn_id = await forma.scalar("SELECT id FROM turns WHERE person_id = :id", id=person.id)
    now = forma.app.clock.now()
    async with forma.app.db.transaction() as tx:  # as an answer in another dialog of this person does
        await holds.place(tx, person_id=person.id, turn_id=turn_id, step=1, tokens_min=1, tokens_max=1_000_000, now=now)
    asked = await person.send("[[echo: второй]]")
    await forma.tg.until(lambda: any(seen.id == asked and seen.reactions == ["👀"] for seen in person.messages()))
    assert await forma.scalar("SELECT count(*) FROM turns WHERE person_id = :id", id=person.id) == 1
    async with forma.app.db.transaction() as tx:
        await holds.release(tx, turn_id=turn_id, step=1, now=now)
    await person.wait_for("второй", timeout_s=40)
    await forma.quiet(person)
    assert len(forma.answers(person)) == 2
    assert await forma.violations() == []


async def test_when_free_tokens_were_promised_they_are_there(forma: Forma) -> None:
    person = await forma.person("ru")
    await forma.said(person, "[[echo: первый]]")
    await forma.spend(person, leave=0)
    await forma.said(person, "[[echo: второй]]")
    await forma.advance(days=1)
    assert await forma.said(person, "[[echo: третий]]") == ["третий"]
    assert await forma.violations() == []
