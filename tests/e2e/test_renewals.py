"""Renewals as their persons live them: announced before, quiet when late, in words and with a choice when they fail."""

from datetime import timedelta

import aiohttp
import pytest

from app import housekeeping
from kit import signals
from tests.support.forma import Forma
from tests.support.telegram import Person, Seen

WAIT_S = 30.0


async def subscribe(forma: Forma, person: Person, *, plans: str = "Планы", button: str = "Форма · 600 ⭐") -> None:
    """/plans, the plan's button, the payment; returns when the plan is there."""
    await person.send("/plans")
    offer = await person.wait_for(plans, timeout_s=WAIT_S)
    await person.press(offer, button)
    sheet = await person.wait_for(lambda seen: any(b.get("url") for b in seen.buttons), timeout_s=WAIT_S)
    await pay(forma, person, sheet)


async def pay(forma: Forma, person: Person, sheet: Seen) -> None:
    outcome = await person.pay(next(b["url"] for b in sheet.buttons if b.get("url")))
    assert outcome["state"] == "paid"
    await person.wait_for("/subscription", timeout_s=WAIT_S)


def said(person: Person, words: str) -> list[Seen]:
    return [seen for seen in person.messages() if words in seen.text.replace("\u00a0", " ")]


async def until_said(forma: Forma, person: Person, words: str, times: int = 1) -> Seen:
    await forma.tg.until(lambda: len(said(person, words)) >= times, timeout_s=WAIT_S, what=words)
    assert len(said(person, words)) == times
    return said(person, words)[-1]


def at_telegram(forma: Forma, person: Person, state: str) -> bool:
    """Whether one of this person's subscriptions came into a state at Telegram."""
    heard = (e for e in forma.tg.events if e["type"] == "subscription" and e["chat_id"] == person.id)
    return any(event["subscription"]["state"] == state for event in heard)


async def own(person: Person) -> list[str]:
    return sorted(one["state"] for one in await person.subscriptions())


@pytest.mark.parametrize(
    ("language", "plans", "button", "words"),
    [
        ("ru", "Планы", "Форма · 600 ⭐", "спишется 600 ⭐ за «Форма»"),
        ("en", "Plans", "Forma · 600 ⭐", "600 ⭐"),
    ],
)
async def test_a_charge_is_announced_three_days_before_and_once(
    forma: Forma, language: str, plans: str, button: str, words: str
) -> None:
    person = await forma.person(language)
    await subscribe(forma, person, plans=plans, button=button)
    before = len(said(person, words))
    await forma.advance(days=26, hours=23)
    assert len(said(person, words)) == before
    await forma.advance(hours=2)
    notice = await until_said(forma, person, words, before + 1)
    assert "/subscription" in notice.text
    await forma.advance(days=1)
    await housekeeping.minute(forma.app)
    await forma.advance(days=3)
    await forma.tg.until(lambda: said(person, "Списано") or said(person, "Charged"), timeout_s=WAIT_S)
    key = "renewal-soon:subscription:%"
    sql = "SELECT count(*) FROM outbox WHERE dedup_key LIKE :key AND chat_id = :id"
    assert await forma.scalar(sql, key=key, id=person.id) == 1
    assert await person.stars() == 5_000 - 1_200
    assert await forma.violations() == []


async def test_a_failed_charge_is_told_with_a_way_to_the_free_plan(forma: Forma) -> None:
    person = await forma.person("ru", stars=700)
    await subscribe(forma, person)
    await forma.advance(days=30, hours=1)
    notice = await until_said(forma, person, "Не хватило 600 ⭐")
    assert notice.labels == ["Продлить", "На бесплатный"]
    await housekeeping.minute(forma.app)
    await forma.advance(hours=7)
    await person.send("/subscription")
    card = await person.wait_for("оплата не прошла", timeout_s=WAIT_S)
    assert card.labels == ["Продлить", "На бесплатный"]
    await person.press(card, "На бесплатный")
    await person.wait_for("закончилась", timeout_s=WAIT_S)
    assert (await person.toast(await person.press(notice, "На бесплатный")))["text"] == "Уже сделано."
    await forma.tg.until(lambda: at_telegram(forma, person, "expired"), timeout_s=WAIT_S, what="the end at Telegram")
    await forma.advance(days=4)
    assert len(said(person, "Не хватило")) == 1
    assert (await person.stars(), await own(person)) == (100, ["expired"])
    assert await forma.scalar("SELECT status FROM subscriptions WHERE person_id = :id", id=person.id) == "expired"
    assert await forma.violations() == []


async def test_a_failed_plan_is_bought_anew_and_charged_once(forma: Forma) -> None:
    person = await forma.person("ru", stars=700)
    await subscribe(forma, person)
    await forma.advance(days=30, hours=1)
    notice = await until_said(forma, person, "Не хватило 600 ⭐")
    await person.change(stars=2_000)
    await person.press(notice, "Продлить")
    sheet = await person.wait_for("Оплата внутри", timeout_s=WAIT_S)
    await pay(forma, person, sheet)
    await forma.tg.until(lambda: any("✓ Подключено" in seen.labels for seen in person.messages()), timeout_s=WAIT_S)
    await forma.tg.until(lambda: at_telegram(forma, person, "expired"), timeout_s=WAIT_S, what="the end at Telegram")
    assert await own(person) == ["active", "expired"]
    await forma.advance(days=3)
    assert await person.stars() == 2_000 - 600
    living = "SELECT count(*) FROM subscriptions WHERE person_id = :id AND status NOT IN ('expired', 'revoked')"
    assert await forma.scalar(living, id=person.id) == 1
    assert await forma.violations() == []


async def test_a_renewal_that_is_late_alarms_nobody(forma: Forma) -> None:
    person = await forma.person("ru")
    await subscribe(forma, person)
    await forma.tg.fault("getUpdates", "delay", delay_s=2.0)
    try:
        await forma.advance(days=30, hours=1)
        status = await forma.scalar("SELECT status FROM subscriptions WHERE person_id = :id", id=person.id)
    finally:
        await forma.tg.clear_faults()
    await forma.tg.until(lambda: said(person, "Списано 600"), timeout_s=WAIT_S)
    assert status in {"past_due", "active"}
    assert said(person, "Не хватило") == []
    assert await forma.violations() == []


async def test_when_telegram_says_nothing_the_person_is_told_after_hours(forma: Forma) -> None:
    person = await forma.person("ru")
    await subscribe(forma, person)
    began = forma.app.clock.offset
    try:
        forma.app.clock.offset = began + timedelta(days=30, hours=5)
        await housekeeping.minute(forma.app)
        sql = "SELECT count(*) FROM outbox WHERE chat_id = :id AND dedup_key LIKE 'renewal-failed:%'"
        assert await forma.scalar(sql, id=person.id) == 0
        forma.app.clock.offset = began + timedelta(days=30, hours=7)
        for _ in range(2):
            await housekeeping.minute(forma.app)
        await signals.send(forma.app.redis, signals.OUTBOX)
        await until_said(forma, person, "Не хватило 600 ⭐")
        assert await forma.scalar(sql, id=person.id) == 1
    finally:
        forma.app.clock.offset = began


async def test_a_refund_that_telegram_makes_ends_the_plan_and_its_charges(forma: Forma) -> None:
    person = await forma.person("ru")
    await subscribe(forma, person)
    charge = await forma.scalar("SELECT provider_payment_id FROM payments WHERE payer_id = :id", id=person.id)
    url = f"{forma.tg.base_url}/bot{forma.tg.token}/refundStarPayment"
    async with aiohttp.ClientSession() as session:
        refund = {"user_id": person.id, "telegram_payment_charge_id": charge}
        async with session.post(url, json=refund) as response:
            assert (await response.json())["ok"]
    await until_said(forma, person, "Вернули 600 ⭐")
    since = 0
    while True:  # whatever Telegram does with the subscription by itself, it is told to charge no more
        call = await forma.tg.wait_call("editUserStarSubscription", since=since, timeout_s=WAIT_S)
        since = call["seq"]
        if call["params"]["telegram_payment_charge_id"] == charge:
            break
    await forma.advance(days=40)
    assert await person.stars() == 5_000
    await person.send("/subscription")
    await person.wait_for("Подписки нет", timeout_s=WAIT_S)
    assert await forma.violations() == []
