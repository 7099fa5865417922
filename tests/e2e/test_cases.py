"""/paysupport: a person's words reach the operator's group, the answer comes back, no question is mistaken for one."""

import asyncio
from datetime import timedelta

import pytest
from aiogram.types import Message

from app import cases as app_cases
from billing import cases
from bot.case_marks import case_of
from kit.words import words
from tests.e2e.conftest import ADMIN_GROUP
from tests.support import shop
from tests.support.forma import Forma
from tests.support.invoices import books
from tests.support.shop import WAIT_S
from tests.support.telegram import Group, Person, Seen

CASES = "SELECT count(*) FROM cases WHERE person_id = :id"
SAID = "SELECT count(*) FROM case_messages m JOIN cases c ON c.id = m.case_id WHERE c.person_id = :id"
PROMPTED = "SELECT count(*) FROM case_prompts WHERE person_id = :id"
OTHER = {"ru": "Другой вопрос", "en": "Another question"}
ASK = {"ru": "Напишите одним сообщением", "en": "Tell me in one message"}
TOLD = {"ru": "у оператора. Ответ придёт сюда до", "en": "is with the operator. The answer comes here by"}


@pytest.fixture(scope="module")
async def room(forma: Forma) -> tuple[Group, Person, Person]:
    first = await forma.tg.person(first_name="Оля", language_code="ru")
    second = await forma.tg.person(first_name="Миша", language_code="ru")
    group = await forma.tg.group(
        title="Операторская", id=ADMIN_GROUP, members=[first, second], admins=[first], bot="administrator"
    )
    return group, first, second


async def prompt(person: Person, language: str, button: str = "") -> Seen:
    """/paysupport and a button; the message that asks for words."""
    await person.send("/paysupport")
    offered = await person.wait_for(lambda seen: OTHER[language] in seen.labels, timeout_s=WAIT_S)
    assert "48" in offered.text
    await person.press(offered, button or OTHER[language])
    return await person.wait_for(ASK[language], timeout_s=WAIT_S)


async def said_in_the_room(forma: Forma, text: str) -> None:
    """Wait until the bot has something for the group: it is sent in its turn, 20 a minute at most."""
    mine = "chat_id = :chat AND strpos(payload -> 'data' ->> 'text', :text) > 0"
    await forma.quiet_until(f"SELECT EXISTS (SELECT FROM outbox WHERE {mine})", chat=ADMIN_GROUP, text=text)


async def test_a_case_goes_back_and_forth_until_it_is_closed_once(
    forma: Forma, room: tuple[Group, Person, Person]
) -> None:
    group, operator, other = room
    person = await forma.person("ru", first_name="Ада #7")
    paid = await books(forma).buy(person.id, "pack")
    await prompt(person, "ru", "150 ⭐")
    await person.send("Токены не пришли <b>& всё</b>")
    await person.wait_for(TOLD["ru"], timeout_s=WAIT_S)
    case = await forma.scalar("SELECT id FROM cases WHERE person_id = :id", id=person.id)
    assert await forma.scalar("SELECT payment_id FROM cases WHERE id = :id", id=case) == paid.payment_id
    card = await operator.wait_for(f"Обращение #{case} · Ада #7", chat=group, timeout_s=WAIT_S)
    assert "Токены не пришли <b>& всё</b>" in card.text
    assert f"платёж #{paid.payment_id} · 150 ⭐" in card.text.replace("\u00a0", " ")
    await operator.send("Уже смотрим, { $кодировка }", chat=group, reply_to_message_id=card.id)
    answer = await person.wait_for("Уже смотрим, { $кодировка }", timeout_s=WAIT_S)
    assert answer.text.startswith(f"Обращение #{case}")
    assert await forma.scalar("SELECT status FROM cases WHERE id = :id", id=case) == "answered"
    await person.send("Спасибо, жду", reply_to_message_id=answer.id)
    await person.wait_for(TOLD["ru"], timeout_s=WAIT_S)
    assert await forma.scalar("SELECT count(*) FROM turns WHERE person_id = :id", id=person.id) == 0
    more = await operator.wait_for("Спасибо, жду", chat=group, timeout_s=WAIT_S)
    await person.block()
    await other.send("Начислили", chat=group, reply_to_message_id=more.id)
    await said_in_the_room(forma, "заблокировал бота")
    lost = "SELECT EXISTS (SELECT FROM outbox WHERE chat_id = :id AND status = 'failed' AND error = 'blocked')"
    await forma.quiet_until(lost, id=person.id)
    await person.unblock()
    await person.wait_for("Начислили", timeout_s=WAIT_S)
    presses = [await who.press(card, data=f"case-close:{case}") for who in (operator, other)]
    toasts = [await who.toast(one, timeout_s=WAIT_S) for who, one in zip((operator, other), presses, strict=True)]
    assert ["уже" in str(one["text"]).lower() for one in toasts].count(True) == 1  # whichever came second
    await person.wait_for(f"Обращение #{case} закрыто", timeout_s=WAIT_S, since=0)
    await operator.send("И ещё", chat=group, reply_to_message_id=card.id)
    await said_in_the_room(forma, "ничего не отправлено")
    await person.send("А ещё вопрос", reply_to_message_id=answer.id)
    await person.wait_for("Это обращение закрыто", timeout_s=WAIT_S)
    assert await forma.scalar(SAID, id=person.id) == 4
    audit = "SELECT count(*) FROM audit_log WHERE action = 'case_close' AND subject_id = :id"
    assert await forma.scalar(audit, id=person.id) == 1
    assert len(shop.said(person, "Начислили")) == 1
    assert await forma.violations() == []


async def test_once_a_person_turned_to_something_else_a_message_is_a_question_again(forma: Forma) -> None:
    async def turn(end: str) -> None:
        person = await forma.person("en")
        asked = await prompt(person, "en")
        if end == "button":
            await person.press(asked, "Don't write")
            await person.wait_for("nothing was sent", timeout_s=WAIT_S)
        elif end == "time":
            past = forma.app.clock.now() - cases.PROMPT_LIFE - timedelta(seconds=1)
            sql = "UPDATE case_prompts SET created_at = :at WHERE person_id = :id"
            await books(forma).run(sql, at=past, id=person.id)
        else:
            await person.send(end)
            await person.wait_for("nothing was sent" if end == "/cancel" else "You have", timeout_s=WAIT_S)
        await person.send("How much protein do I need?")
        await forma.quiet(person)
        assert await forma.scalar(CASES, id=person.id) == 0, end
        assert await forma.scalar("SELECT count(*) FROM turns WHERE person_id = :id", id=person.id) == 1, end

    await asyncio.gather(*(turn(end) for end in ("/cancel", "/balance", "button", "time")))


async def test_a_restart_of_the_bot_forgets_no_prompt(forma: Forma) -> None:
    person = await forma.person("en")
    await prompt(person, "en")
    await forma.quiet(person)
    await forma.stop("bot")
    await person.send("I paid twice")
    await forma.start("bot")
    await person.wait_for(TOLD["en"], timeout_s=WAIT_S)
    assert await forma.scalar(PROMPTED, id=person.id) == 0
    # The next one is a question.
    await person.send("And how long should I sleep?")
    await forma.quiet(person)
    assert (await forma.scalar(SAID, id=person.id), await forma.scalar(CASES, id=person.id)) == (1, 1)
    assert await forma.scalar("SELECT count(*) FROM turns WHERE person_id = :id", id=person.id) == 1


async def test_what_is_no_text_or_too_long_is_said_and_may_be_tried_again(forma: Forma) -> None:
    person = await forma.person("ru")
    await prompt(person, "ru")
    await person.attach("sticker")
    await person.wait_for("только текст", timeout_s=WAIT_S)
    # A client cuts this into two parts, and the second one alone would fit.
    await person.send("длинно " * 700)
    await person.wait_for("слишком длинно", timeout_s=WAIT_S)
    await forma.quiet(person)
    assert await forma.scalar(CASES, id=person.id) == 0
    assert await forma.scalar("SELECT count(*) FROM turns WHERE person_id = :id", id=person.id) == 0
    assert len(shop.said(person, "слишком длинно")) == 1
    await books(forma).run(
        "UPDATE case_prompts SET refused_at = refused_at - interval '1 minute' WHERE person_id = :id", id=person.id
    )
    # This is no part of a split text: whatever follows at once is another try.
    await person.send("ещё длинно " * 190)
    await person.send("короче")
    await person.wait_for(TOLD["ru"], timeout_s=WAIT_S)
    assert (
        await forma.scalar(
            "SELECT text FROM case_messages m JOIN cases c ON c.id = m.case_id WHERE c.person_id = :id", id=person.id
        )
        == "короче"
    )


async def test_cases_have_limits_and_belong_to_their_person(forma: Forma) -> None:
    person, other = await forma.person("ru"), await forma.person("en")
    paid = await books(forma).buy(other.id, "pack")
    now = forma.app.clock.now()
    async with forma.app.db.transaction() as tx:
        made = [
            await cases.open_case(tx, person_id=person.id, payment_id=None, text=str(n), now=now)
            for n in range(cases.OPEN_MAX)
        ]
        for n in range(cases.UNANSWERED_MAX - 1):
            await cases.add(tx, case_id=made[0].id, person_id=person.id, text=str(n), now=now)
    await person.send("/paysupport")
    offered = await person.wait_for(lambda seen: OTHER["ru"] in seen.labels, timeout_s=WAIT_S)
    assert offered.text.count("ждёт оператора") == cases.OPEN_MAX
    toast = await person.toast(await person.press(offered, OTHER["ru"]), timeout_s=WAIT_S)
    assert toast["text"] == words("ru").say("error-cases-many")
    await person.press(offered, f"Дополнить #{made[0].id}")
    await person.wait_for(ASK["ru"], timeout_s=WAIT_S)
    await person.send("ещё")
    await person.wait_for("Дождитесь, пожалуйста, ответа", timeout_s=WAIT_S)
    assert await forma.scalar(PROMPTED, id=person.id) == 0
    for stranger, data, told in (
        (other, f"case-add:{made[0].id}", "closed"),
        (person, f"case:{paid.payment_id}", "Такой оплаты у вас нет"),
        (person, "case-add:999999999999999999999", "закрыто"),
    ):
        seen = (stranger.messages())[-1]
        toast = await stranger.toast(await stranger.press(seen, data=data), timeout_s=WAIT_S)
        assert told in toast["text"], data
    assert await forma.scalar(SAID, id=person.id) == cases.OPEN_MAX + cases.UNANSWERED_MAX - 1


async def test_the_operator_is_reminded_of_the_promise_and_lists_what_is_open(
    forma: Forma, room: tuple[Group, Person, Person]
) -> None:
    group, operator, _ = room
    person = await forma.person("en", first_name="Kim")
    now = forma.app.clock.now()
    async with forma.app.db.transaction() as tx:
        case = await cases.open_case(tx, person_id=person.id, payment_id=None, text="hello?", now=now)
    alerts = (
        "SELECT string_agg(payload ->> 'notice', ' ' ORDER BY id) FROM outbox WHERE kind = 'alert'"
        " AND payload ->> 'notice' LIKE 'admin-alert-case%' AND payload -> 'args' ->> 'id' = :id"
    )
    due, late = "admin-alert-case-due", "admin-alert-case-overdue"
    for hours, told in ((41, None), (43, due), (47, due), (49, f"{due} {late}"), (60, f"{due} {late}")):
        for _ in range(2):
            async with forma.app.db.transaction() as tx:
                await app_cases.remind(forma.app, tx, now=now + timedelta(hours=hours), limit=100)
        assert await forma.scalar(alerts, id=str(case.id)) == told, hours
    await operator.send("/cases", chat=group)
    await said_in_the_room(forma, f"#{case.id} · Kim · {person.id} · открыто")
    await operator.send(f"/cases {case.id}", chat=group)
    await said_in_the_room(forma, "человек: hello?")
    async with forma.app.db.transaction() as tx:
        await app_cases.answer(tx, case_id=case.id, actor_id=operator.id, text="hi", now=now)
    await operator.send(f"/cases #{case.id}", chat=group)
    await said_in_the_room(forma, "Отвечено. Добавить можно ответом")
    await operator.send("/cases ²", chat=group)
    await said_in_the_room(forma, "Нет такого обращения: ²")


def replied(text: str, username: str = "forma_bot") -> Message:
    sender = {"id": 5, "is_bot": True, "first_name": "Forma", "username": username}
    return Message.model_validate(
        {"message_id": 1, "date": 0, "chat": {"id": -1, "type": "group"}, "from": sender, "text": text}
    )


@pytest.mark.parametrize(
    ("text", "case"),
    [
        ("Обращение #12 · Ада · 7\nслова #13", 12),
        ("Case #12: the operator's answer", 12),
        ("⚠️ Обращение #12 · 7: ответ обещан", 12),
        ("Обращение #1234", 1234),
        ("⭐ 150 ⭐ · Пакет · Обращение #12 · 7", None),
        ("👤 Обращение #12 · 7", None),
        ("Обращения:\nОбращение #12", None),
        ("Обращение #012", None),
        ("Обращение #١٢", None),
        ("Обращение #99999999999999999999", None),
        ("Обращение 12", None),
        ("", None),
    ],
)
def test_only_what_begins_with_a_case_is_about_it(text: str, case: int | None) -> None:
    assert case_of(replied(text), "forma_bot") == case
    assert case_of(replied(text, "somebody_else"), "forma_bot") is None
