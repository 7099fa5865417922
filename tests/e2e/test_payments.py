"""/payments: what a person paid for, page by page, and the refund that the rules allow, once, of what is theirs."""

import asyncio
from datetime import timedelta

import pytest

from app import refunding
from billing.refund_policy import AUTOMATIC_MAX
from tests.support import invoices, shop
from tests.support.forma import Forma
from tests.support.invoices import books
from tests.support.shop import TONGUES, WAIT_S
from tests.support.telegram import Person, Seen

REFUND = {"ru": "Вернуть деньги", "en": "Get a refund"}
YES = {"ru": "Да, вернуть", "en": "Yes, refund it"}
RULE = {"ru": "не больше 72 ч и потрачено не больше 20 %", "en": "within 72 h if no more than 20 %"}
BEGUN = {"ru": "Возвращаем", "en": "is on its way back"}
STATE = {
    "paid": {"ru": "оплачено", "en": "paid"},
    "refunding": {"ru": "возвращаем", "en": "being refunded"},
    "refunded": {"ru": "возвращено", "en": "refunded"},
    "review": {"ru": "на проверке", "en": "under review"},
}
REFUNDS = "SELECT count(*) FROM refunds r JOIN payments p ON p.id = r.payment_id WHERE p.payer_id = :id"


async def history(person: Person, words: str) -> Seen:
    await person.send("/payments")
    return await person.wait_for(words, timeout_s=WAIT_S)


async def test_a_subscription_within_the_rules_goes_back_at_once_and_charges_no_more(forma: Forma) -> None:
    language = "ru"
    person, say = await forma.person(language), TONGUES[language]
    await invoices.buy(forma, person, "forma")
    page = await history(person, STATE["paid"][language])
    line = next(line for line in page.text.splitlines() if "600" in line)
    assert {"ru": "Форма", "en": "Forma"}[language] in line
    await person.press(page, REFUND[language])
    question = await person.wait_for(RULE[language], timeout_s=WAIT_S)
    assert await forma.scalar(REFUNDS, id=person.id) == 0
    yes = question.buttons[0]["callback_data"]
    presses = [await person.press(question, data=yes) for _ in range(2)]
    await person.wait_for(say.refunded, timeout_s=WAIT_S, since=0)
    await forma.quiet(person)
    edited = next(seen for seen in person.messages() if seen.id == question.id)
    assert BEGUN[language] in edited.text
    assert edited.labels == []
    toasts = [(await person.toast(press, timeout_s=WAIT_S))["text"] for press in presses]
    assert len([text for text in toasts if text]) == 1, toasts
    assert await person.stars() == 5_000
    assert [one["state"] for one in await person.subscriptions()] == ["refunded"]
    assert await forma.scalar(REFUNDS, id=person.id) == 1
    assert len(shop.said(person, say.refunded)) == 1
    assert await forma.scalar("SELECT status FROM subscriptions WHERE person_id = :id", id=person.id) == "revoked"
    asked = "SELECT requested_by = :id FROM refunds r JOIN payments p ON p.id = r.payment_id WHERE p.payer_id = :id"
    assert await forma.scalar(asked, id=person.id)
    page = await history(person, STATE["refunded"][language])
    assert not any(REFUND[language] in label for label in page.labels)
    assert await forma.violations() == []


async def test_a_refund_that_telegram_refuses_keeps_the_renewal_stopped(forma: Forma) -> None:
    language = "en"
    person = await forma.person(language)
    await invoices.buy(forma, person, "forma")
    await forma.tg.fault("refundStarPayment", "refuse", count=1)
    page = await history(person, STATE["paid"][language])
    await person.press(page, REFUND[language])
    await person.press(await person.wait_for(RULE[language], timeout_s=WAIT_S), YES[language])
    await forma.tg.wait_call("refundStarPayment", ok=False, timeout_s=WAIT_S)
    await forma.tg.wait_call("editUserStarSubscription", ok=True, timeout_s=WAIT_S)
    await forma.quiet(person)
    edited = next(seen for seen in person.messages() if BEGUN[language] in seen.text)
    assert edited.labels == []
    page = await history(person, STATE["refunding"][language])
    assert not any(REFUND[language] in label for label in page.labels)
    assert [one["state"] for one in await person.subscriptions()] == ["canceled"]
    status = "SELECT status FROM subscriptions WHERE person_id = :id"
    assert await forma.scalar(status, id=person.id) == "cancel_scheduled"
    assert await person.stars() == 4_400
    assert await forma.violations() == []


@pytest.mark.parametrize(
    ("language", "why", "words"),
    [
        ("ru", "late", "прошло больше 72 ч"),
        ("en", "late", "more than 72 h have passed"),
        ("ru", "spent", "потрачено 50 % токенов"),
        ("en", "spent", "50 % of the tokens is spent"),
        ("ru", "review", "ещё проверяем"),
        ("en", "often", "refunds in the last three months"),
    ],
)
async def test_what_the_rules_do_not_allow_is_offered_as_a_case(
    forma: Forma, language: str, why: str, words: str
) -> None:
    person, world = await forma.person(language), books(forma)
    if why == "late":
        world.now -= timedelta(hours=73)
    if why == "often":
        for _ in range(AUTOMATIC_MAX):
            refund = await world.request((await world.buy(person.id, "pack")).payment_id)
            await world.run("UPDATE refunds SET requested_by = :id WHERE id = :one", id=person.id, one=refund.id)
    order = await world.order(person.id, "pack")
    paid = await world.pay(order, amount=1 if why == "review" else 0)
    if why == "spent":
        await world.run("UPDATE lots SET remaining = remaining / 2 WHERE payment_id = :id", id=paid.payment_id)
    page = await history(person, STATE["review" if why == "review" else "paid"][language])
    shown = sum(REFUND[language] in label for label in page.labels)
    assert shown == (0 if why == "review" else 1)
    await person.press(page, data=f"refund:{paid.payment_id}")
    offered = await person.wait_for(words, timeout_s=WAIT_S)
    assert [button["callback_data"] for button in offered.buttons] == [f"case:{paid.payment_id}"]
    before = await forma.scalar(REFUNDS, id=person.id)
    toast = await person.toast(await person.press(offered, data=f"refund-yes:{paid.payment_id}"), timeout_s=WAIT_S)
    assert "/paysupport" in toast["text"]
    assert await forma.scalar(REFUNDS, id=person.id) == before
    if why == "spent":
        await world.run("UPDATE lots SET remaining = granted WHERE payment_id = :id", id=paid.payment_id)


async def test_nobody_refunds_what_another_paid(forma: Forma) -> None:
    payer, other = await forma.person("ru"), await forma.person("en")
    paid = await books(forma).buy(payer.id, "pack")
    page = await history(other, "No payments yet")
    for data in (f"refund:{paid.payment_id}", f"refund-yes:{paid.payment_id}", "refund-yes:x", "refund:²", "refund:"):
        toast = await other.toast(await other.press(page, data=data), timeout_s=WAIT_S)
        assert "no such payment" in toast["text"], data
    assert await forma.scalar("SELECT count(*) FROM refunds WHERE payment_id = :id", id=paid.payment_id) == 0


async def test_two_wishes_at_once_do_not_both_pass_the_limit(forma: Forma) -> None:
    person, world = await forma.person("ru"), books(forma)
    paid = [await world.buy(person.id, "pack") for _ in range(AUTOMATIC_MAX + 3)]

    async def wish(payment_id: int) -> str:
        try:
            async with forma.app.db.transaction() as tx:
                now = forma.app.clock.now()
                await refunding.refund_own(forma.app, tx, person_id=person.id, payment_id=payment_id, now=now)
        except refunding.NotAtOnce as refused:
            return refused.why
        return "done"

    outcomes = await asyncio.gather(*(wish(one.payment_id) for one in paid))
    assert sorted(outcomes) == ["done"] * AUTOMATIC_MAX + ["often"] * 3
    assert await forma.violations() == []


async def test_the_history_turns_its_pages_newest_first_and_knows_roubles(forma: Forma) -> None:
    person, world = await forma.person("ru"), books(forma)
    numbers = [(await world.buy(person.id, "pack")).payment_id for _ in range(6)]
    await world.run(
        "INSERT INTO payments (provider, payer_id, currency, amount, status, created_at, updated_at)"
        " VALUES ('yookassa', :id, 'RUB', 39950, 'intent', :now, :now)",
        id=person.id,
        now=world.now,
    )
    for status in ("sent", "unknown"):  # charged, perhaps: YooKassa has not said yet
        await world.run(
            "UPDATE payments SET status = :s WHERE payer_id = :id AND currency = 'RUB'", s=status, id=person.id
        )
    first = await history(person, "Ваши оплаты")
    lines = [line.replace("\u00a0", " ") for line in first.text.splitlines()[2:]]
    assert len(lines) == 5
    assert lines[0].endswith("· Оплата без заказа · 399,50 ₽ · ждём подтверждения")
    assert all("Пакет" in line and "150 ⭐ · оплачено" in line for line in lines[1:])
    buttons = [button["callback_data"] for button in first.buttons]
    assert buttons == [*(f"refund:{number}" for number in numbers[:1:-1]), "payments:1"]
    await person.press(first, "Раньше")
    second = await person.wait_for(lambda seen: seen.id == first.id and "Новее" in str(seen.labels), timeout_s=WAIT_S)
    assert [b["callback_data"] for b in second.buttons] == [f"refund:{n}" for n in numbers[1::-1]] + ["payments:0"]
    await person.press(second, data="payments:99999999")
    await person.wait_for("Оплат пока не было", timeout_s=WAIT_S)
