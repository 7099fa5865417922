"""The operator's money commands: a refund in two steps, once; quarantine emptied with the books right."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from app import refunding
from tests.e2e.conftest import ADMIN_GROUP
from tests.support import invoices, shop
from tests.support.forma import Forma
from tests.support.invoices import books
from tests.support.shop import RU, WAIT_S
from tests.support.telegram import Group, Person, Seen

REFUNDS = "SELECT count(*) FROM refunds WHERE payment_id = :id"
AUDITED = "SELECT count(*) FROM audit_log WHERE action = :action AND details ->> 'payment' = :id"
UNCLEAR = "SELECT coalesce(sum(amount), 0) FROM ledger_entries WHERE account_id = 12"
EARNED = "SELECT coalesce(sum(amount), 0) FROM ledger_entries WHERE account_id = 11"
REQUEST = "SELECT max(id) FROM admin_requests WHERE action = 'credit'"

Room = tuple[Group, Person, Person, Seen]


@pytest.fixture(scope="module")
async def room(forma: Forma) -> Room:
    """The group, its owner, a second administrator, and a message of the bot's there."""
    first = await forma.tg.person(first_name="Оля", language_code="ru")
    second = await forma.tg.person(first_name="Миша", language_code="ru")
    group = await forma.tg.group(
        title="Операторская", id=ADMIN_GROUP, members=[first, second], admins=[first, second], bot="administrator"
    )
    await first.send("/help", chat=group)
    return group, first, second, await first.wait_for("/quarantine", chat=group, timeout_s=WAIT_S)


async def ask(forma: Forma, room: Room, text: str, who: int = 1, **more: Any) -> str:
    """What a command of the group is answered: read from the outbox, a group gets 20 messages a minute."""
    sent = await (room[1], room[2])[who - 1].send(text, chat=room[0], **more)
    handled = """
        SELECT o.payload -> 'data' ->> 'text' FROM inbox i JOIN outbox o ON o.dedup_key = concat('update:', i.id, ':0')
        WHERE i.body -> 'message' ->> 'message_id' = :sent AND i.body -> 'message' -> 'chat' ->> 'id' = :chat
    """.replace("':0'", "chr(58), '0'")
    found = {"sent": str(sent), "chat": str(room[0].id)}
    await forma.quiet_until(f"SELECT ({handled}) IS NOT NULL", **found)
    said: str = await forma.scalar(handled, **found)
    return said.replace("\u00a0", " ").replace("\u202f", " ")


async def press(forma: Forma, room: Room, data: str, who: int = 1) -> str | None:
    """Press a button of the group that may not be there any more; the toast."""
    person = (room[1], room[2])[who - 1]
    toast = await person.toast(await person.press(room[3], data=data), timeout_s=WAIT_S)
    text: str | None = toast["text"]
    return text


async def test_a_refund_is_looked_at_typed_again_and_made_once(forma: Forma, room: Room) -> None:
    person = await forma.person("ru")
    payment = await invoices.buy(forma, person, "pack")
    charge = await forma.scalar("SELECT provider_payment_id FROM payments WHERE id = :id", id=payment)
    assert "Сначала посмотрите" in await ask(forma, room, f"/refund {payment} 150")
    card = await ask(forma, room, f"/refund {charge}")
    for part in (f"#{payment}", "Пакет", "150 ⭐", str(person.id), "Осталось 300 000", "подходит"):
        assert part in card
    assert card.endswith(f"/refund {payment} 150")
    assert "Рано: подождите ещё" in await ask(forma, room, f"/refund {payment} 150")
    await forma.advance(seconds=11)
    assert "возвращает звёзды только целиком" in await ask(forma, room, f"/refund {payment} 149")
    for amount in ("1500", "150.00", "-150", "0", "1²", "9" * 400):
        assert "не совпадает" in await ask(forma, room, f"/refund {payment} {amount}")
    # Another operator has not looked.
    assert "Сначала посмотрите" in await ask(forma, room, f"/refund {payment} 150", who=2)
    assert await forma.scalar(REFUNDS, id=payment) == 0
    assert "Возвращаем 150 ⭐" in await ask(forma, room, f"/refund #{payment} 150 обещали по телефону")
    await person.wait_for(RU.refunded, timeout_s=WAIT_S, since=0)
    assert "не вернуть: возвращено" in await ask(forma, room, f"/refund {payment} 150")
    assert "не вернуть: возвращено" in await ask(forma, room, f"/refund {payment}")
    assert await person.stars() == 5_000
    assert await forma.scalar(AUDITED, action="refund", id=str(payment)) == 1
    why = "SELECT reason = 'обещали по телефону' AND requested_by = :by FROM refunds WHERE payment_id = :id"
    assert await forma.scalar(why, id=payment, by=room[1].id)
    assert f"#{payment}" in await ask(forma, room, f"/payments {person.id}")
    assert await forma.violations() == []


async def test_two_operators_at_once_make_one_refund(forma: Forma, room: Room) -> None:
    person = await forma.person("en")
    paid = await books(forma).buy(person.id, "lite")
    command = f"/refund {paid.payment_id}"
    await asyncio.gather(*(ask(forma, room, command, who=who) for who in (1, 2)))
    await forma.advance(seconds=11)
    said = await asyncio.gather(*(ask(forma, room, f"{command} 300", who=who) for who in (1, 2)))
    assert sorted("Возвращаем 300 ⭐" in text for text in said) == [False, True]
    assert "возвращаем" in min(said, key=lambda text: "Возвращаем 300" in text)
    assert await forma.scalar(REFUNDS, id=paid.payment_id) == 1
    assert await forma.scalar(AUDITED, action="refund", id=str(paid.payment_id)) == 1
    assert await forma.violations() == []


async def test_a_wrong_price_is_credited_as_its_order_says_and_can_be_refunded_later(forma: Forma, room: Room) -> None:
    person, world = await forma.person("ru"), books(forma)
    paid = await world.pay(await world.order(person.id, "pack"), amount=149)
    unclear, earned = await forma.scalar(UNCLEAR), await forma.scalar(EARNED)
    listed = await ask(forma, room, "/quarantine")
    assert f"#{paid.payment_id} · 149 ⭐ · {person.id} · wrong_price · ждёт" in listed
    assert "зачислить или вернуть" in listed
    question = await ask(forma, room, f"/quarantine {paid.payment_id} credit")
    assert f"Зачислить платёж #{paid.payment_id}, 149 ⭐?" in question
    data = f"credit:yes:{await forma.scalar(REQUEST)}"
    # Neither another operator, nor another command's button.
    assert await press(forma, room, data.replace("credit", "grant")) is not None
    both = await asyncio.gather(press(forma, room, data), press(forma, room, data))
    assert [text is None for text in both].count(True) == 1
    await person.wait_for("Разобрались с вашей оплатой: «Пакет токенов», 300 000 токенов", timeout_s=WAIT_S, since=0)
    assert await forma.scalar(shop.PACK_TOKENS, id=person.id) == 300_000
    assert (await forma.scalar(UNCLEAR) - unclear, await forma.scalar(EARNED) - earned) == (149, -149)
    assert await forma.scalar(AUDITED, action="quarantine_credit", id=str(paid.payment_id)) == 1
    assert "не ждёт решения" in await ask(forma, room, f"/quarantine {paid.payment_id} credit")
    # The invoice of what is there now is not for paying once more.
    assert (
        await forma.scalar("SELECT count(*) FROM orders WHERE person_id = :id AND status = 'open'", id=person.id) == 0
    )
    assert await forma.violations() == []
    await world.refund(paid.payment_id)
    assert await forma.scalar(EARNED) == earned
    assert await forma.scalar("SELECT posted FROM accounts WHERE person_id = :id", id=person.id) == 0
    assert await forma.violations() == []


async def unknown_payload(forma: Forma, person: Person, stars: int, **more: Any) -> int:
    """A payment of an invoice that no order of this database knows; its number."""
    prices = [{"label": "x", "amount": stars}]
    link = await shop.as_bot(
        forma, "createInvoiceLink", title="x", description="x", currency="XTR", payload=f"old:{person.id}",
        prices=prices, **more,
    )  # fmt: skip
    assert (await shop.pay_past_checkout(forma, person, link))["state"] == "paid"
    await person.wait_for({"ru": "сверяем", "en": "checking"}[more.pop("language", "en")], timeout_s=WAIT_S)
    number: int = await forma.scalar("SELECT max(id) FROM payments WHERE payer_id = :id", id=person.id)
    return number


async def test_a_plan_is_credited_to_whom_the_operator_names_and_its_unknown_renewal_is_stopped(
    forma: Forma, room: Room
) -> None:
    person = await forma.person("en", username="restored")
    payment = await unknown_payload(forma, person, 600, subscription_period=2_592_000)
    assert "Назовите человека и товар" in await ask(forma, room, f"/quarantine {payment} credit")
    assert "Назовите человека и товар" in await ask(forma, room, f"/quarantine {payment} credit @restored free")
    assert "Не нашёл: @nobody_here" in await ask(forma, room, f"/quarantine {payment} credit @nobody_here forma")
    await ask(forma, room, f"/quarantine {payment} credit @restored forma")
    assert await press(forma, room, f"credit:yes:{await forma.scalar(REQUEST)}", who=2) is not None
    assert await press(forma, room, f"credit:yes:{await forma.scalar(REQUEST)}") is None
    await person.wait_for("Forma, 2,000,000 tokens", timeout_s=WAIT_S, since=0)
    await forma.tg.wait_call("editUserStarSubscription", ok=True, timeout_s=WAIT_S)
    assert [one["state"] for one in await person.subscriptions()] == ["canceled"]
    await shop.card(person, "No more charges")
    status = "SELECT status FROM subscriptions WHERE person_id = :id"
    assert await forma.scalar(status, id=person.id) == "cancel_scheduled"
    assert await forma.violations() == []
    await forma.advance(days=31)
    assert await person.stars() == 4_400
    assert await forma.scalar(status, id=person.id) == "expired"
    assert await forma.violations() == []


async def test_money_in_quarantine_goes_back_by_the_code_that_its_payer_was_shown(forma: Forma, room: Room) -> None:
    person = await forma.person("en")
    payment = await unknown_payload(forma, person, 77)
    told = next(seen for seen in person.messages() if "checking" in seen.text)
    code = told.text.rpartition(" ")[2]
    assert "в карантине" in await ask(forma, room, f"/refund {code}")
    await forma.advance(seconds=11)
    assert "Возвращаем 77 ⭐" in await ask(forma, room, f"/refund {code} 77")
    await person.wait_for("refunded", timeout_s=WAIT_S, since=0)
    assert await person.stars() == 5_000
    assert await forma.scalar("SELECT resolved_at IS NOT NULL FROM payments WHERE id = :id", id=payment)
    assert f"#{payment} " not in await ask(forma, room, "/quarantine")
    assert "не ждёт решения" in await ask(forma, room, f"/quarantine {payment} credit {person.id} pack")
    assert await forma.violations() == []


async def test_what_was_paid_for_another_or_twice_can_only_go_back(forma: Forma, room: Room) -> None:
    person, other, world = await forma.person("en"), await forma.person("en"), books(forma)
    paid = await world.pay(await world.order(person.id, "pack"), payer=other.id)
    said = await ask(forma, room, f"/quarantine {paid.payment_id} credit {other.id} pack")
    assert "только вернуть" in said
    assert await forma.scalar(shop.PACK_TOKENS, id=other.id) == 0


async def test_whoever_waits_in_quarantine_is_not_forgotten(forma: Forma) -> None:
    person, world = await forma.person("en"), books(forma)
    paid = await world.pay(f"nothing:{person.id}", payer=person.id, amount=5)
    alerts = (
        "SELECT count(*) FROM outbox WHERE payload ->> 'notice' = 'admin-alert-quarantine-due'"
        " AND payload -> 'args' ->> 'payment_id' = :id"
    )
    for hours, told in ((41, 0), (43, 1), (47, 1), (49, 2), (71, 2), (73, 3)):
        for _ in range(2):
            async with forma.app.db.transaction() as tx:
                now = world.now + timedelta(hours=hours)
                await refunding.remind_of_quarantine(forma.app, tx, now=now, limit=100)
        assert await forma.scalar(alerts, id=str(paid.payment_id)) == told, hours


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("/refund", "Какой платёж вернуть?"),
        ("/refund 99999999999999999999", "Не нашёл платёж"),
        ("/refund ' OR 1=1 --", "Не нашёл платёж: '"),
        ("/refund ²", "Не нашёл платёж"),
        ("/refund " + "я" * 4_000, "Не нашёл платёж"),
        ("/payments", "Чьи оплаты?"),
        ("/payments nobody", "Не нашёл: nobody"),
        ("/quarantine x", "Зачислить по заказу"),
        ("/quarantine 1 credit 2", "Зачислить по заказу"),
        ("/quarantine 99 credit", "Не нашёл платёж: 99"),
    ],
)
async def test_bad_input_is_answered_in_words(forma: Forma, room: Room, text: str, answer: str) -> None:
    assert answer in await ask(forma, room, text)
    assert await forma.scalar("SELECT count(*) FROM inbox WHERE error IS NOT NULL") == 0
