"""Refunds that Forma owes: asked for until Telegram makes them, whatever gets lost on the way."""

from datetime import timedelta

import pytest

from app import housekeeping, purchase
from tests.e2e.conftest import ADMIN_GROUP
from tests.support.forma import Forma
from tests.support.telegram import Group, Person

WAIT_S = 30.0
OPEN = "SELECT count(*) FROM refunds WHERE status <> 'succeeded'"


@pytest.fixture(scope="module")
async def room(forma: Forma) -> tuple[Group, Person]:
    operator = await forma.tg.person(first_name="Оператор", language_code="ru")
    group = await forma.tg.group(
        title="Операторская", id=ADMIN_GROUP, members=[operator], admins=[operator], bot="administrator"
    )
    return group, operator


async def buy_pack(forma: Forma, person: Person) -> int:
    """Returns the payment's number."""
    await person.send("/plans")
    offer = await person.wait_for("Планы", timeout_s=WAIT_S)
    await person.press(offer, "Пакет 150 ⭐")
    sheet = await person.wait_for("Оплата внутри", timeout_s=WAIT_S)
    assert (await person.pay(next(b["url"] for b in sheet.buttons if b.get("url"))))["state"] == "paid"
    await person.wait_for("Пакет ваш", timeout_s=WAIT_S)
    return int(await forma.scalar("SELECT id FROM payments WHERE payer_id = :id", id=person.id))


async def owe(forma: Forma, payment: int) -> None:
    async with forma.app.db.transaction() as tx:
        now = forma.app.clock.now()
        await purchase.request_refund(tx, payment_id=payment, requested_by=None, reason="test", now=now)


async def test_a_refund_that_telegram_refuses_is_told_and_tried_again(forma: Forma, room: tuple[Group, Person]) -> None:
    group, operator = room
    person = await forma.person("ru")
    payment = await buy_pack(forma, person)
    await forma.tg.fault("refundStarPayment", "refuse", count=1)
    await owe(forma, payment)
    await forma.tg.wait_call("refundStarPayment", ok=False, timeout_s=WAIT_S)
    await housekeeping.hour(forma.app)
    assert await forma.scalar(OPEN) == 1
    forma.app.clock.offset += timedelta(hours=2)
    try:
        for _ in range(2):
            await housekeeping.hour(forma.app)
    finally:
        forma.app.clock.offset -= timedelta(hours=2)
    await operator.wait_for("Возврат не прошёл: 150 ⭐", chat=group, timeout_s=WAIT_S)
    await person.wait_for("Вернули 150 ⭐", timeout_s=WAIT_S)
    assert (await person.stars(), await forma.scalar(OPEN)) == (5_000, 0)
    assert await forma.scalar("SELECT count(*) FROM outbox WHERE dedup_key LIKE 'alert:overdue:%'") == 1
    assert await forma.violations() == []


async def test_a_refund_whose_report_is_lost_is_booked_by_telegrams_answer(forma: Forma) -> None:
    person = await forma.person("ru")
    payment = await buy_pack(forma, person)
    await forma.tg.fault("getUpdates", "delay", delay_s=3_600.0)
    try:
        await owe(forma, payment)
        await person.wait_for("Вернули 150 ⭐", timeout_s=WAIT_S)
    finally:
        await forma.tg.clear_faults()
    assert await person.stars() == 5_000
    assert await forma.scalar(OPEN) == 0
    told = "SELECT count(*) FROM outbox WHERE chat_id = :id AND dedup_key LIKE 'refunded:%'"
    assert await forma.scalar(told, id=person.id) == 1
    assert await forma.violations() == []
