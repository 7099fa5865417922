"""A receipt is not the payment: it comes later, fails or never comes, and money and tokens stay where they are."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from app import reconcile_roubles, refunding, rouble_payments, rouble_receipts
from cli.doctor import doctor
from tests.support import shop as chat
from tests.support.roubles import PACK, Market, at_once, market
from tests.support.telegram import Person

RU = chat.RU
BUTTON = "Пакет токенов · 199 ₽"
GROUP = -5000
YEAR_S = 366 * 24 * 3600
CHARGE = "SELECT provider_payment_id FROM payments WHERE payer_id = :id"
RECEIPTS = """
    SELECT string_agg(c.status, ' ' ORDER BY c.id) FROM rouble_receipts c JOIN payments p ON p.id = c.payment_id
    WHERE p.payer_id = :id
"""
ALERTS = """
    SELECT string_agg(substr(o.payload ->> 'notice', 21) || ' ' || (o.payload -> 'args' ->> 'kind'), ', ' ORDER BY o.id)
    FROM outbox o JOIN payments p ON p.id::text = o.payload -> 'args' ->> 'payment_id'
    WHERE p.payer_id = :id AND o.payload ->> 'notice' LIKE 'admin-alert-receipt-%'
"""
MORE = """
    SELECT payload -> 'args' ->> 'count' FROM outbox WHERE payload ->> 'notice' = 'admin-alert-receipts-missing-more'
    ORDER BY id DESC LIMIT 1
"""
MARKED = "SELECT count(*) FROM audit_log WHERE action = 'receipt_by_hand'"
# The rows of buttons under what /receipts answered.
LISTED = """
    SELECT payload -> 'data' -> 'reply_markup' -> 'inline_keyboard' FROM outbox
    WHERE payload -> 'data' ->> 'text' LIKE 'Чеки, которых нет%' ORDER BY id DESC LIMIT 1
"""


@pytest.fixture(scope="module")
async def mall(database_url: str, redis_url: str, redis: Redis) -> AsyncIterator[Market]:
    async with market(database_url, redis_url, yookassa_in_chat=True, yookassa_receipts="54fz") as made:
        await made.shop.settings(receipt_after_s=YEAR_S)  # the register answers when a test says so
        yield made


@pytest.fixture(autouse=True)
async def good_days(mall: Market) -> AsyncIterator[None]:
    yield
    await mall.shop.clear_faults()
    await mall.heard()
    assert await mall.forma.violations() == []


async def bought(mall: Market, language: str = "ru") -> Person:
    """A person who has paid; the receipt is pending."""
    person = await mall.forma.person(language)
    say = chat.TONGUES[language]
    label = BUTTON if language == "ru" else "Token pack · 199 ₽"
    await mall.shop.pay(await mall.begin(await mall.link(person, say, label)))
    await mall.forma.quiet_until("SELECT status = 'succeeded' FROM payments WHERE payer_id = :id", id=person.id)
    return person


async def registered(mall: Market, person: Person, **answer: Any) -> None:
    """The cash register answers about a person's payment."""
    charge = await mall.forma.scalar(CHARGE, id=person.id)
    await mall.shop.control("POST", f"receipts/{charge}/answer", answer)


async def receipts_of(mall: Market, person: Person) -> str:
    return str(await mall.forma.scalar(RECEIPTS, id=person.id))


async def alerts_of(mall: Market, person: Person) -> str:
    return str(await mall.forma.scalar(ALERTS, id=person.id) or "")


async def untouched(mall: Market, person: Person) -> bool:
    """Whether a person's money and tokens are where they were."""
    return (await mall.status(person), await mall.granted(person)) == ("succeeded", PACK)


async def refunded(mall: Market, person: Person) -> str:
    """Give a person's payment back; the refund's id at the shop."""
    payment_id = await mall.forma.scalar("SELECT id FROM payments WHERE payer_id = :id", id=person.id)
    async with mall.forma.app.db.transaction() as tx:
        now = mall.forma.app.clock.now()
        await refunding.refund_own(mall.forma.app, tx, person_id=person.id, payment_id=payment_id, now=now)
    await mall.sweep()
    await person.wait_for("Вернули 199 ₽", timeout_s=chat.WAIT_S)
    found = "SELECT provider_refund_id FROM refunds WHERE payment_id = :id"
    return str(await mall.forma.scalar(found, id=payment_id))


async def test_the_operator_makes_by_hand_what_is_missing(mall: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rouble_receipts, "TOLD_MAX", 1)
    people = await at_once(*(bought(mall) for _ in range(3)))
    tg = mall.forma.tg
    operator = await tg.person(first_name="Оля", language_code="ru")
    group = await tg.group(title="Op", id=GROUP, members=[operator], admins=[operator], bot="administrator")
    await at_once(*(registered(mall, one, status="canceled") for one in people))
    await mall.sweep()
    assert sorted([await alerts_of(mall, one) for one in people]) == ["", "", "missing payment"]
    assert await mall.forma.scalar(MORE) == "2"
    alert = await operator.wait_for("Нет чека: оплата 199", chat=group, timeout_s=chat.WAIT_S, since=0)
    assert "Сделайте чек в кабинете ЮKassa" in alert.text
    [button] = alert.buttons
    await at_once(*(operator.press(alert, data=button["callback_data"]) for _ in range(2)))
    await mall.forma.quiet_until(f"SELECT ({MARKED}) = 1")
    # What follows is read from the outbox: a group gets 20 messages a minute.
    await operator.send("/receipts", chat=group)
    await mall.forma.quiet_until(f"SELECT EXISTS ({LISTED})")
    listed = [row[0]["callback_data"] for row in await mall.forma.scalar(LISTED)]
    assert len(listed) == 2
    for data in (*listed, "receipt-made:", "receipt-made:" + "9" * 30, "receipt-made:-1:list"):
        await operator.press(alert, data=data)
    await mall.forma.quiet_until(f"SELECT ({MARKED}) = 3")
    assert {await receipts_of(mall, one) for one in people} == {"by_hand"}
    assert "199 ₽ · оплачено · чек выдан" in await chat.card(people[0], "Ваши оплаты", "/payments")
    # YooKassa's refusal says no more than was known; its receipt after all would be one too many.
    charge = await mall.forma.scalar(CHARGE, id=people[0].id)
    assert mall.forma.app.yookassa is not None
    for said, held in (("canceled", "by_hand"), ("succeeded", "succeeded")):
        mall.server.world.state.payments[charge].receipt_registration = said
        await rouble_payments.record(mall.forma.app, await mall.forma.app.yookassa.payment(charge))
        assert await receipts_of(mall, people[0]) == held
    await mall.sweep()
    came = "SELECT count(*) FROM outbox WHERE payload ->> 'notice' = 'admin-alert-receipt-came'"
    assert await mall.forma.scalar(came) == 1
    # A stranger's press is nobody's word.
    stranger = await bought(mall)
    await registered(mall, stranger, status="canceled")
    await mall.sweep()
    number = await mall.forma.scalar("SELECT max(id) FROM rouble_receipts")
    await stranger.press(await chat.offer(stranger, RU), data=f"receipt-made:{number}")
    await chat.settled(mall.forma)
    assert await receipts_of(mall, stranger) == "canceled"
    assert await mall.forma.scalar(MARKED) == 3
    assert all([await untouched(mall, one) for one in (*people, stranger)])


async def test_a_receipt_is_issued_late_fails_or_never_comes_and_touches_nothing(
    mall: Market, capsys: pytest.CaptureFixture[str]
) -> None:
    good, failed, stuck, silent, late, back = await at_once(bought(mall, "en"), *(bought(mall) for _ in range(5)))
    people = (good, failed, stuck, silent, late)
    assert {await receipts_of(mall, one) for one in (*people, back)} == {"pending"}
    assert "199 ₽ · paid · receipt on its way" in await chat.card(good, "Your payments", "/payments")
    assert "199 ₽ · оплачено · чек оформляется" in await chat.card(failed, "Ваши оплаты", "/payments")
    refund = await refunded(mall, back)
    # YooKassa never said a word of this one's receipt, though it was asked for.
    silent_charge = await mall.forma.scalar(CHARGE, id=silent.id)
    mall.server.world.state.payments[silent_charge].receipt_registration = None
    await at_once(
        registered(mall, good, after_s=300),
        registered(mall, failed, status="canceled"),
        registered(mall, back),
        mall.shop.control("POST", f"receipts/{refund}/answer", {"status": "canceled"}),
    )
    await mall.sweep(seconds=200)
    assert (await receipts_of(mall, good), await receipts_of(mall, failed)) == ("pending", "canceled")
    await mall.sweep(seconds=600)
    assert (await receipts_of(mall, good), await receipts_of(mall, back)) == ("succeeded", "succeeded canceled")
    assert "199 ₽ · paid · receipt issued" in await chat.card(good, "Your payments", "/payments")
    assert "199 ₽ · оплачено · чек задерживается" in await chat.card(failed, "Ваши оплаты", "/payments")
    assert "199 ₽ · возвращено · чек возврата задерживается" in await chat.card(back, "Ваши оплаты", "/payments")
    # Questions grow rarer, an hour apart at most, and a day later the operator hears: once of each.
    stuck_charge = await mall.forma.scalar(CHARGE, id=stuck.id)
    await mall.sweep(seconds=3600)
    before = len(await mall.shop.calls(f"/v3/payments/{stuck_charge}", method="GET"))
    for _ in range(3):
        await mall.sweep(seconds=1000)
    asked = len(await mall.shop.calls(f"/v3/payments/{stuck_charge}", method="GET")) - before
    assert asked <= 1, "an hour has not passed"
    assert [await alerts_of(mall, one) for one in (stuck, silent, late)] == ["", "", ""]
    await mall.sweep(hours=25)
    await at_once(*(rouble_receipts.sweep(mall.forma.app) for _ in range(4)))
    assert await alerts_of(mall, good) == ""
    assert {await alerts_of(mall, one) for one in (failed, stuck, silent, late)} == {"missing payment"}
    assert await alerts_of(mall, back) == "missing refund"
    capsys.readouterr()
    await doctor(mall.forma.settings)
    assert "receipts that YooKassa did not register: 6" in capsys.readouterr().out
    # It came after all, which YooKassa's lists bring to light: nobody is to make a second one.
    await registered(mall, late)
    await reconcile_roubles.run(mall.forma.app, cause="schedule")
    assert await receipts_of(mall, late) == "succeeded"
    await mall.sweep()
    assert await alerts_of(mall, late) == "missing payment, came payment"
    # What it is of is gone from YooKassa: after a week nobody asks any more.
    gone = mall.server.world.state.payments.pop(stuck_charge)
    await mall.sweep(days=7)
    await mall.sweep()
    asking = "SELECT count(*) FROM rouble_receipts WHERE ask_at IS NOT NULL"
    assert await mall.forma.scalar(asking) == 0
    mall.server.world.state.payments[stuck_charge] = gone
    assert [await alerts_of(mall, one) for one in (stuck, silent)] == ["missing payment"] * 2
    assert all([await untouched(mall, one) for one in people])


async def test_an_answer_that_was_overtaken_or_lost_moves_no_receipt_back(mall: Market) -> None:
    overtaken, unheard, declined = await at_once(bought(mall), bought(mall), mall.forma.person("ru"))
    app, shop = mall.forma.app, mall.forma.app.yookassa
    assert shop is not None
    charge = await mall.forma.scalar(CHARGE, id=overtaken.id)
    old = await shop.payment(charge)
    assert old.receipt == "pending"
    await at_once(registered(mall, overtaken), registered(mall, unheard))
    new = await shop.payment(charge)
    await at_once(*(rouble_payments.record(app, found) for found in (old, new, old, new, old)))
    await rouble_payments.record(app, old)
    assert await receipts_of(mall, overtaken) == "succeeded"
    # While YooKassa is away a receipt waits for its next time, and is not forgotten.
    await mall.shop.fault("http_500", path="/v3/payments/*", method="GET", count=1)
    await mall.sweep()
    assert await receipts_of(mall, unheard) == "pending"
    await mall.sweep(seconds=900)
    assert await receipts_of(mall, unheard) == "succeeded"
    # Without money no receipt is due.
    url = await mall.link(declined, RU, BUTTON)
    await mall.shop.pay(await mall.begin(url), decline="insufficient_funds")
    await declined.wait_for("не хватило", timeout_s=chat.WAIT_S)
    assert await receipts_of(mall, declined) == "None"
    assert await untouched(mall, overtaken)
