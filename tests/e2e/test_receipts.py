"""A receipt is not the payment: it comes later, fails or never comes, and money and tokens stay where they are."""

import contextlib
import csv
import io
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
import sqlalchemy as sa
from redis.asyncio import Redis

from app import reconcile_roubles, refunding, rouble_payments, rouble_receipts
from billing import quarantine, refunds, rouble_export, star_export
from bot import notices
from cli.doctor import doctor
from cli.rouble_export import print_roubles
from kit.errors import Misconfigured
from kit.words import words
from tests.support import shop as chat
from tests.support.roubles import PACK, Market, at_once, market
from tests.support.telegram import Group, Person, Seen

RU = chat.RU
BUTTON = "Пакет токенов · 199 ₽"
GROUP = -5000
EVIL, GOOD = '{"ru": "=HYPERLINK(A1)"}', '{"ru": "Пакет токенов"}'
# What came to the account of roubles, or left it, beside what only went from unclear to earned.
BOOKED = """
    SELECT sum(e.amount)::bigint FROM ledger_entries e JOIN ledger_tx t ON t.id = e.tx_id
    JOIN accounts a ON a.id = e.account_id
    WHERE a.code = 'roubles' AND sign(e.amount) = :side AND t.ref_type <> 'resolution'
      AND NOT (t.kind = 'purchase' AND EXISTS (
          SELECT FROM ledger_tx r WHERE r.ref_type = 'resolution' AND r.ref_id = t.ref_id
      ))
"""
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
ALERT = """
    SELECT payload FROM outbox WHERE payload ->> 'notice' = 'admin-alert-receipt-missing' ORDER BY id DESC LIMIT 1
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


@dataclass(frozen=True)
class Sold:
    """What happened before there was a group to be told: it gets 20 messages a minute."""

    plain: Person
    back: Person
    taken: Person
    odd: Person
    others: list[Person]
    refund_id: str
    charge: str


@pytest.fixture(scope="module")
async def sold(mall: Market) -> Sold:
    """Six payments, one of them refunded, one charged back, and one that was credited out of quarantine."""
    plain, back, taken, *others = await at_once(*(bought(mall) for _ in range(6)))
    odd = await mall.forma.person("ru")
    charge = await mall.begin(await mall.link(odd, RU, BUTTON))
    mall.server.world.state.payments[charge].amount = 12_345
    mall.server.world.state.payments[charge].receipt = None
    await mall.shop.pay(charge)
    await odd.wait_for("сверяем её с ЮKassa", timeout_s=chat.WAIT_S)
    refund_id = await refunded(mall, back)
    number, now = "SELECT id FROM payments WHERE payer_id = :id", mall.forma.app.clock.now()
    unclear, gone = [await mall.forma.scalar(number, id=one.id) for one in (odd, taken)]
    async with mall.forma.app.db.transaction() as tx:
        await refunds.charge_back(tx, payment_id=gone, reason="provider", now=now)
        agreed = await quarantine.terms(tx, payment_id=unclear, person_id=odd.id, product_id="pack")
        await quarantine.credit(tx, agreed, now=now)
    return Sold(plain, back, taken, odd, others, refund_id, charge)


@pytest.fixture(scope="module")
async def room(mall: Market, sold: Sold) -> tuple[Person, Group, Seen]:
    """The operator, their group, and a message of the bot's in it."""
    tg = mall.forma.tg
    operator = await tg.person(first_name="Оля", language_code="ru")
    group = await tg.group(title="Op", id=GROUP, members=[operator], admins=[operator], bot="administrator")
    async with mall.forma.app.db.transaction() as tx:  # what was sold before is no news any more
        await tx.execute(sa.text("DELETE FROM outbox WHERE chat_id < 0 AND status = 'pending'"))
    await operator.send("/help", chat=group)
    return operator, group, await operator.wait_for("/receipts", chat=group, timeout_s=chat.WAIT_S)


async def test_the_operator_exports_a_periods_roubles_and_their_sums_are_the_ledgers(
    mall: Market,
    sold: Sold,
    room: tuple[Person, Group, Seen],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    forma, now, (operator, group, _) = mall.forma, mall.forma.app.clock.now, room
    await registered(mall, sold.plain)
    await rouble_payments.record(
        forma.app, await rouble_payments.shop_of(forma.app).payment(await forma.scalar(CHARGE, id=sold.plain.id))
    )
    async with forma.app.db.transaction() as tx:
        await tx.execute(sa.text("UPDATE plans SET titles = titles || :evil WHERE id = 'pack'"), {"evil": EVIL})
    day = f"{now():%Y-%m-%d}"
    await operator.send(f"/export {day} {day}", chat=group)
    sent = await operator.wait_for(lambda seen: "roubles" in str(seen.raw.get("document")), chat=group, timeout_s=60)
    assert "Строк: 9. Получено 1317,45 ₽, возвращено 398 ₽. С книгами сходится." in sent.raw["caption"].replace(
        "\u00a0", " "
    )
    url = f"{forma.tg.base_url}/_control/files/{sent.raw['document']['file_id']}"
    async with aiohttp.ClientSession() as session, session.get(url) as file:
        table = (await file.read()).decode("utf-8-sig")
    capsys.readouterr()
    await print_roubles(forma.settings, day, day)
    assert capsys.readouterr().out == table
    *rows, total = csv.DictReader(io.StringIO(table))
    one = {(row["person_id"], row["kind"]): row for row in rows}
    assert sorted(kind for _, kind in one) == ["chargeback", *["payment"] * 7, "refund"]
    names = ("paid_roubles", "refunded_roubles", "vat_code", "vat_rate", "receipt", "payment_status", "title")
    assert [one[str(sold.plain.id), "payment"][name] for name in names] == [
        "199.00", "", "1", "none", "succeeded", "succeeded", "'=HYPERLINK(A1)"
    ]  # fmt: skip
    assert [one[str(sold.back.id), "refund"][name] for name in ("yookassa_id", *names[:-1])] == [
        sold.refund_id, "", "199.00", "1", "none", "pending", "refunded"
    ]  # fmt: skip
    assert [one[str(sold.taken.id), "chargeback"][name] for name in names[:2]] == ["", "199.00"]
    assert [one[str(sold.odd.id), "payment"][name] for name in ("yookassa_id", "paid_roubles")] == [
        sold.charge,
        "123.45",
    ]
    for side, name in ((1, "paid_roubles"), (-1, "refunded_roubles")):
        kopecks = sum(int(row[name].replace(".", "")) for row in rows if row[name])
        assert int(total[name].replace(".", "")) == kopecks == side * await forma.scalar(BOOKED, side=side)
    # Sums that are not the ledger's are told, and what would be cut is refused.
    since, until = star_export.period(day, day)
    with contextlib.suppress(ZeroDivisionError):
        async with forma.app.db.transaction() as tx:
            await tx.execute(
                sa.text("UPDATE payments SET amount = amount + 7 WHERE payer_id = :id"), {"id": sold.plain.id}
            )
            assert (await rouble_export.table(tx, since=since, until=until)).astray == 7
            raise ZeroDivisionError
    monkeypatch.setattr(rouble_export, "ROWS_MAX", 8)
    for first in (day, "2025-01-01"):
        with pytest.raises(Misconfigured, match="at most 366 days and 8 rows"):
            await print_roubles(forma.settings, first, day)
    async with forma.app.db.transaction() as tx:
        await tx.execute(sa.text("UPDATE plans SET titles = titles || :good WHERE id = 'pack'"), {"good": GOOD})


async def test_the_operator_makes_by_hand_what_is_missing(
    mall: Market, sold: Sold, room: tuple[Person, Group, Seen], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rouble_receipts, "TOLD_MAX", 1)
    (operator, group, seen), people = room, sold.others
    await at_once(*(registered(mall, one, status="canceled") for one in people))
    await mall.sweep()
    assert sorted([await alerts_of(mall, one) for one in people]) == ["", "", "missing payment"]
    assert await mall.forma.scalar(MORE) == "2"
    # What follows is read from the outbox: a group gets 20 messages a minute.
    alert = notices.message(GROUP, words("ru"), await mall.forma.scalar(ALERT), None, mall.forma.app.plans)
    assert alert.text.startswith("⚠️ Нет чека: оплата 199")
    assert "Сделайте чек в кабинете ЮKassa" in alert.text
    [[button]] = alert.reply_markup.inline_keyboard
    await at_once(*(operator.press(seen, data=button.callback_data) for _ in range(2)))
    await mall.forma.quiet_until(f"SELECT ({MARKED}) = 1")
    await operator.send("/receipts", chat=group)
    await mall.forma.quiet_until(f"SELECT EXISTS ({LISTED})")
    listed = [row[0]["callback_data"] for row in await mall.forma.scalar(LISTED)]
    assert len(listed) == 2
    for data in (*listed, "receipt-made:", "receipt-made:" + "9" * 30, "receipt-made:-1:list"):
        await operator.press(seen, data=data)
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
    unsettled = await mall.forma.scalar("SELECT count(*) FROM rouble_receipts WHERE status IN ('pending', 'canceled')")
    assert f"receipts that YooKassa did not register: {unsettled}" in capsys.readouterr().out
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
