"""Telegram's list of Stars beside ours: what was lost on the way is found once, what differs has a name."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer

from app import reconcile_stars, reports
from billing import balance, holds
from bot import cards, star_cards
from bot.budget import Budget, Limits
from bot.sender import Sender
from bot.star_list import StarList
from cli.star_export import print_stars
from kit import signals
from kit.errors import Misconfigured
from kit.words import words
from tests.e2e.conftest import ADMIN_GROUP
from tests.support import shop
from tests.support.forma import Forma
from tests.support.shop import EN, PACK_TOKENS, RU, WAIT_S
from tests.support.telegram import Group, Person

STATUS = "SELECT status FROM payments WHERE provider_payment_id = :charge"
POSTED = "SELECT posted FROM accounts WHERE person_id = :id AND kind = 'wallet'"
OWED = """
    SELECT coalesce(sum(r.tokens_owed - r.tokens_repaid), 0) FROM refunds r JOIN payments p ON p.id = r.payment_id
    WHERE p.payer_id = :id
"""
UNEXPLAINED = """
    SELECT theirs_nanostars - ours_nanostars - explained_nanostars FROM star_reconciliations ORDER BY id DESC LIMIT 1
"""
NOTICED = "SELECT EXISTS (SELECT FROM outbox WHERE payload ->> 'notice' = :key AND chat_id = :id)"
TOLD = "SELECT count(*) FROM outbox WHERE payload ->> 'notice' = :key AND payload -> 'args' ->> 'id' = :id"


@pytest.fixture(scope="module")
async def room(forma: Forma) -> tuple[Group, Person]:
    operator = await forma.tg.person(first_name="Оператор", language_code="ru")
    group = await forma.tg.group(title="Op", id=ADMIN_GROUP, members=[operator], admins=[operator], bot="administrator")
    return group, operator


@pytest.fixture(scope="module")
async def sender(forma: Forma) -> AsyncIterator[Sender]:
    """Another bot process's way to Telegram; a group's own rate would make each command here wait for seconds."""
    session = AiohttpSession(api=TelegramAPIServer.from_base(forma.tg.base_url))
    yield Sender(Bot(forma.tg.token, session=session), Budget(forma.app.redis, Limits()))
    await session.close()


async def reconcile(forma: Forma, sender: Sender) -> str:
    """What /reconcile does, and says."""
    reading = await StarList(forma.app, sender).read()
    summary = await reconcile_stars.run(forma.app, cause="command")
    await signals.send(forma.app.redis, signals.OUTBOX)
    return star_cards.reconciliation(words("ru"), summary, unread=False, complete=reading.complete)


async def user_card(forma: Forma, person: Person) -> str:
    """What /user says of a person."""
    async with forma.app.db.read() as connection:
        found = await reports.find_person(connection, str(person.id))
        assert found is not None
        held = await balance.current(connection, person_id=person.id, now=forma.app.clock.now())
        return cards.person(words("ru"), await reports.card(connection, found), held)


async def lost(forma: Forma, person: Person, update: str) -> None:
    """Telegram's next word of this kind about a person does not reach the bot."""
    await forma.tg.fault(update, "lose", chat_id=person.id, count=1)


async def moved(forma: Forma, **line: Any) -> None:
    """Something else moves the bot's Stars."""
    await forma.tg.control("POST", "transactions", line)


async def charged_back(forma: Forma, charge_id: str, listed: str = "other") -> None:
    await forma.tg.control("POST", f"payments/{charge_id}/chargeback", {"listed": listed})


async def spend(forma: Forma, person: Person, tokens: int) -> None:
    """Use tokens up, as an answer would."""
    now, turn_id = forma.app.clock.now(), -person.id
    async with forma.app.db.transaction() as tx:
        await holds.place(tx, person_id=person.id, turn_id=turn_id, tokens_min=tokens, tokens_max=tokens, now=now)
        await holds.settle(tx, turn_id=turn_id, tokens=tokens, courtesy_max=0, now=now)


async def told(forma: Forma, key: str, person: Person) -> int:
    return int(await forma.scalar(TOLD, key=key, id=str(person.id)))


async def test_the_operator_exports_a_period_and_books_a_chargeback_that_only_the_balance_shows(
    forma: Forma, sender: Sender, room: tuple[Group, Person], capsys: pytest.CaptureFixture[str]
) -> None:
    group, operator = room
    person = await forma.person("ru")
    charge = (await shop.buy(person, RU, RU.pack))["charge_id"]
    await person.wait_for(RU.pack_bought, timeout_s=WAIT_S)
    await moved(forma, kind="premium", amount=1, nanostar_amount=5, person=person.id, id="=1+1")
    await moved(forma, kind="business", amount=1_000, person=person.id)  # there is enough for refunds
    await reconcile(forma, sender)
    day = f"{forma.app.clock.now():%Y-%m-%d}"
    await operator.send(f"/export {day} {day}", chat=group)
    sent = await operator.wait_for(lambda seen: "document" in seen.raw, chat=group, timeout_s=WAIT_S)
    file_id = sent.raw["document"]["file_id"]
    async with aiohttp.ClientSession() as session, session.get(f"{forma.tg.base_url}/_control/files/{file_id}") as file:
        table = await file.text()
    rows = list(csv.DictReader(io.StringIO(table)))
    mine = next(row for row in rows if row["transaction_id"] == charge)
    assert (mine["direction"], mine["class"], mine["stars"], mine["product"]) == ("in", "payment", "150", "pack")
    assert mine["person_id"] == str(person.id)
    paid = next(row for row in rows if row["class"] == "premium")
    assert [paid[name] for name in ("transaction_id", "direction", "stars", "nanostars")] == ["'=1+1", "out", "1", "5"]
    capsys.readouterr()
    await print_stars(forma.settings, day, day)
    assert capsys.readouterr().out == table
    for first, last in ((day, "2020-01-01"), ("soon", day), ("", "")):
        with pytest.raises(Misconfigured):
            await print_stars(forma.settings, first, last)
    await charged_back(forma, charge, listed="no")
    await operator.send("/reconcile", chat=group)
    card = await operator.wait_for("Сверка звёзд", chat=group, timeout_s=WAIT_S)
    assert "по его списку" in card.text
    await operator.send(f"/chargeback {charge}", chat=group)
    question = await operator.wait_for("Отметить оплату отозванной", chat=group, timeout_s=WAIT_S)
    for _ in range(2):
        await operator.toast(await operator.press(question, data=question.buttons[0]["callback_data"]))
    assert await forma.scalar(STATUS, charge=charge) == "charged_back"
    assert await forma.scalar(PACK_TOKENS + " AND l.remaining > 0", id=person.id) == 0
    assert "отозвано, в списке не значится: 150 ⭐" in await reconcile(forma, sender)
    again = "SELECT count(*) FROM outbox WHERE payload -> 'args' ->> 'kind' = 'unlisted'"
    assert await forma.scalar(again) == 1
    assert await forma.scalar(UNEXPLAINED) == 0
    assert await forma.violations() == []


async def test_a_payment_and_then_its_refund_are_lost_and_each_is_found_once(forma: Forma, sender: Sender) -> None:
    person = await forma.person("ru")
    await lost(forma, person, "successful_payment")
    outcome = await shop.buy(person, RU, RU.pack)
    assert outcome["state"] == "paid"
    await forma.quiet(person)
    assert "ещё сверяется: 150 ⭐" in await reconcile(forma, sender)  # its update may be on its way still
    assert await forma.scalar(PACK_TOKENS, id=person.id) == 0
    await forma.advance(hours=2)
    first, second = await asyncio.gather(*(reconcile_stars.run(forma.app, cause="schedule") for _ in range(2)))
    assert sorted((first.credited, second.credited)) == [0, 1]
    await person.wait_for(RU.pack_bought, timeout_s=WAIT_S)
    assert "объяснена целиком" in await reconcile(forma, sender)
    assert await forma.scalar(PACK_TOKENS, id=person.id) == 300_000
    assert await forma.scalar("SELECT count(*) FROM payments WHERE payer_id = :id", id=person.id) == 1
    await forma.quiet(person)
    assert len(shop.said(person, RU.pack_bought)) == 1
    assert await told(forma, "admin-alert-star-payment-found", person) == 1
    await spend(forma, person, 100_000)
    await lost(forma, person, "refunded_payment")
    charge = outcome["charge_id"]
    await shop.as_bot(forma, "refundStarPayment", user_id=person.id, telegram_payment_charge_id=charge)
    await forma.advance(hours=2)
    assert "возвратов 1" in await reconcile(forma, sender)
    await person.wait_for(RU.refunded, timeout_s=WAIT_S)
    assert await forma.scalar(STATUS, charge=charge) == "refunded"
    assert await forma.scalar(OWED, id=person.id) == 0
    assert "Найдено" not in await reconcile(forma, sender)
    assert await forma.violations() == []


async def test_the_bot_reads_and_a_worker_reconciles_without_being_asked(
    forma: Forma, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.star_list.FIRST_AFTER_S", 0.2)
    person = await forma.person("ru")
    await lost(forma, person, "successful_payment")
    assert (await shop.buy(person, RU, RU.pack))["state"] == "paid"
    await forma.advance(hours=2)
    await forma.stop("bot")
    await forma.start("bot")
    await person.wait_for(RU.pack_bought, timeout_s=WAIT_S)
    assert await forma.scalar("SELECT credited FROM star_reconciliations WHERE cause = 'fetch'") == 1
    assert await forma.violations() == []


async def test_a_subscription_whose_payments_were_lost_is_what_telegram_has(forma: Forma, sender: Sender) -> None:
    person = await forma.person("en")
    await lost(forma, person, "successful_payment")
    assert (await shop.buy(person, EN, EN.forma))["state"] == "paid"
    await forma.advance(hours=2)
    await reconcile(forma, sender)
    await person.wait_for(EN.bought, timeout_s=WAIT_S)
    [sub] = await person.subscriptions()
    found = "SELECT extract(epoch FROM until)::bigint FROM subscriptions WHERE person_id = :id"
    assert await forma.scalar(found, id=person.id) == sub["expires_at"]
    await lost(forma, person, "successful_payment")
    await forma.advance(days=30)
    await forma.advance(hours=2)
    await reconcile(forma, sender)
    await person.wait_for(EN.renewed, timeout_s=WAIT_S)
    [sub] = await person.subscriptions()
    assert await forma.scalar(found, id=person.id) == sub["expires_at"]
    query = "SELECT first_charge_id FROM subscriptions WHERE person_id = :id"
    assert await forma.scalar(query, id=person.id) == sub["id"]
    assert await forma.violations() == []


async def test_a_chargeback_ends_the_plan_and_the_next_pack_repays_what_was_spent(forma: Forma, sender: Sender) -> None:
    person = await forma.person("ru")
    charge = (await shop.subscribe(person, RU))["charge_id"]
    await spend(forma, person, 1_500_000)
    await charged_back(forma, charge)
    await forma.advance(hours=2)
    assert "отозванных 1" in await reconcile(forma, sender)
    await person.wait_for("отозвали у нас", timeout_s=WAIT_S)
    assert await forma.scalar(STATUS, charge=charge) == "charged_back"
    assert await forma.scalar("SELECT status FROM subscriptions WHERE person_id = :id", id=person.id) == "revoked"
    assert await told(forma, "admin-alert-chargeback", person) == 1
    await forma.quiet(person)
    assert [sub["state"] for sub in await person.subscriptions()] == ["canceled"]
    owed = await forma.scalar(OWED, id=person.id)
    assert owed >= 1_400_000
    debt = f"Долг за отозванную оплату: {owed:,} токен".replace(",", " ")
    assert debt in await shop.card(person, "У вас", "/balance")
    assert debt in (await user_card(forma, person)).replace("\u00a0", " ")
    before = await forma.scalar(POSTED, id=person.id)
    assert (await shop.buy(person, RU, RU.pack))["state"] == "paid"
    await forma.quiet_until(NOTICED, key="debt-repaid", id=person.id)
    assert await forma.scalar(OWED, id=person.id) == owed - 300_000
    assert await forma.scalar(POSTED, id=person.id) == before
    assert "Найдено" not in await reconcile(forma, sender)
    assert await forma.violations() == []


async def test_whatever_else_moves_stars_is_a_named_class(forma: Forma, sender: Sender) -> None:
    person = await forma.person("ru")
    await moved(forma, kind="withdrawal", amount=40, id="w1")
    await moved(forma, kind="withdrawal_failed", amount=40, id="w1")
    await moved(forma, kind="withdrawal", amount=70)
    sold_before = {"type": "user", "transaction_type": "invoice_payment", "user": {"id": 77, "first_name": "Ada"}}
    await moved(forma, raw={"id": "old-1", "amount": 9, "date": 1_700_000_000, "source": sold_before})
    await moved(forma, kind="ads", amount=10)
    await moved(forma, kind="api", amount=3, nanostar_amount=500_000_000)
    await moved(forma, kind="gift", amount=15, person=person.id)
    await moved(forma, kind="affiliate_income", amount=2, nanostar_amount=1)
    await forma.tg.control("PATCH", "bot", {"affiliate_per_mille": 105})
    try:
        await lost(forma, person, "successful_payment")
        assert (await shop.buy(person, RU, RU.pack))["state"] == "paid"
    finally:
        await forma.tg.control("PATCH", "bot", {"affiliate_per_mille": 0})
    await forma.advance(hours=2)
    text = await reconcile(forma, sender)
    await person.wait_for(RU.pack_bought, timeout_s=WAIT_S)
    for line in (
        "вывод: -70 ⭐, строк: 3",
        "до этой базы: 9 ⭐, строк: 1",
        "реклама: -10 ⭐",
        "платные рассылки: -3.5 ⭐",
        "подарки: -15 ⭐",
        "доход от партнёрской программы: 2.000000001 ⭐",
        "доля партнёров: -15.75 ⭐",
        "объяснена целиком",
    ):
        assert line in text
    assert await forma.scalar("SELECT count(*) FROM payments WHERE payer_id = 77") == 0
    assert (
        await forma.scalar("SELECT raw::text LIKE '%Ada%' FROM star_transactions WHERE transaction_id = 'old-1'")
        is False
    )
    assert await forma.scalar(UNEXPLAINED) == 0
    assert await forma.violations() == []


async def test_what_nobody_knows_is_kept_and_told_once(forma: Forma, sender: Sender) -> None:
    now = int((await forma.tg.control("GET", "clock"))["now"])
    await moved(forma, kind="other_out", amount=7, id="strange-1")
    strange = {"id": "strange-2", "amount": 5, "date": now, "source": {"type": "invented_later", "words": "\u0000"}}
    await moved(forma, raw=strange)
    await moved(forma, raw={"id": 12, "amount": "many"})
    await reconcile(forma, sender)  # what cannot be read is dated by its reading
    for _ in range(2):
        await forma.advance(hours=2)
        assert "неизвестно что: -2 ⭐, строк: 3" in await reconcile(forma, sender)
    count = "SELECT count(*) FROM outbox WHERE payload -> 'args' ->> 'kind' = 'unknown'"
    assert await forma.scalar(count) == 3
    assert await forma.scalar(UNEXPLAINED) == 0
    assert await forma.violations() == []


async def test_a_payment_of_ours_that_telegram_does_not_have_is_told(forma: Forma, sender: Sender) -> None:
    person = await forma.person("ru")
    assert (await shop.buy(person, RU, RU.pack))["state"] == "paid"
    await person.wait_for(RU.pack_bought, timeout_s=WAIT_S)
    await forma.quiet(person)
    gone = "UPDATE payments SET provider_payment_id = 'gone-' || id WHERE payer_id = :id RETURNING id"
    number = await forma.scalar(gone, id=person.id)
    assert "есть у нас, нет у Telegram" not in await reconcile(forma, sender)
    await forma.advance(days=4)
    text = await reconcile(forma, sender)
    assert "есть у нас, нет у Telegram: -150 ⭐, строк: 1" in text
    assert (
        await forma.scalar("SELECT class FROM star_differences WHERE subject = :s", s=f"payment:{number}") == "missing"
    )
    assert await forma.scalar(UNEXPLAINED) == 0


async def test_a_reading_that_is_killed_between_two_pages_loses_nothing(forma: Forma, sender: Sender) -> None:
    before = int(await forma.scalar("SELECT count(*) FROM star_transactions"))
    for number in range(230):
        await moved(forma, kind="ads", amount=1, id=f"page-{number}")
    await forma.tg.fault("getStarTransactions", "delay", delay_s=0.3)
    try:
        reading = asyncio.create_task(StarList(forma.app, sender).read())
        await forma.quiet_until("SELECT count(*) > :before FROM star_transactions", before=before)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        assert int(await forma.scalar("SELECT count(*) FROM star_transactions")) < before + 230
    finally:
        await forma.tg.clear_faults()
    readers = [StarList(forma.app, sender) for _ in range(3)]
    assert all(done.complete for done in await asyncio.gather(*(one.read() for one in readers)))
    theirs = await forma.tg.control("GET", "transactions")
    assert int(await forma.scalar("SELECT count(*) FROM star_transactions")) == len(theirs["transactions"])
    assert int(await forma.scalar("SELECT position FROM star_list")) == len(theirs["transactions"])
