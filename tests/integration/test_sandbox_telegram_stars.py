"""What the sandbox's Telegram promises about Stars: checkout, subscriptions over time, refunds, transactions."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import pytest
from aiogram.exceptions import TelegramBadRequest
from aiogram.types import LabeledPrice

from tests.support.sandbox_bot import Bench, sandbox_bot
from tests.support.telegram import Person

MONTH_S = 30 * 86400


@pytest.fixture(scope="module")
async def sandbox() -> AsyncIterator[Bench]:
    async with sandbox_bot() as bench:
        yield bench


@pytest.fixture
async def bench(sandbox: Bench) -> Bench:
    """The module's sandbox, emptied."""
    await sandbox.tg.reset()
    return sandbox


def goods(payload: str, stars: int) -> dict[str, Any]:
    return {
        "title": "Форма",
        "description": "30 дней",
        "payload": payload,
        "currency": "XTR",
        "prices": [LabeledPrice(label="Форма", amount=stars)],
    }


async def subscription_link(bench: Bench, payload: str = "sub-1", stars: int = 600) -> str:
    return await bench.bot.create_invoice_link(**goods(payload, stars), subscription_period=MONTH_S)


async def checkout(bench: Bench, paying: Awaitable[dict], *, ok: bool = True, words: str | None = None) -> dict:
    """Answers the pre_checkout_query of a payment that goes on, and gives its outcome."""
    task = asyncio.ensure_future(paying)
    query = await bench.update("pre_checkout_query")
    await bench.bot.answer_pre_checkout_query(query.id, ok=ok, error_message=words)
    return await task


async def subscribe(bench: Bench, person: Person, **options: Any) -> str:
    """Buys a subscription; answers the charge id of its first payment."""
    outcome = await checkout(bench, person.pay(await subscription_link(bench, **options)))
    assert outcome["state"] == "paid"
    assert (await bench.update("message")).successful_payment.is_first_recurring is True
    return str(outcome["charge_id"])


async def test_an_invoice_message_is_paid_once(bench: Bench) -> None:
    ada = await bench.tg.person(started=True, stars=500)
    await bench.bot.send_invoice(ada.id, **goods("pack-1", 150))
    invoice = await ada.wait_for(lambda message: message.invoice)
    assert invoice.buttons[0]["pay"] is True
    outcome = await checkout(bench, ada.pay(invoice))
    payment = (await bench.update("message")).successful_payment
    assert (payment.total_amount, payment.invoice_payload, payment.currency) == (150, "pack-1", "XTR")
    assert payment.telegram_payment_charge_id == outcome["charge_id"]
    assert payment.is_recurring is None
    assert await ada.stars() == 350
    assert (await bench.bot.get_my_star_balance()).amount == 150
    assert (await ada.pay(invoice))["state"] == "already_paid"


async def test_a_refused_or_unaffordable_payment_moves_nothing(bench: Bench) -> None:
    ada = await bench.tg.person(started=True, stars=200)
    link = await bench.bot.create_invoice_link(**goods("pack-2", 150))
    outcome = await checkout(bench, ada.pay(link), ok=False, words="Заказ устарел")
    assert (outcome["state"], outcome["error"]) == ("refused", "Заказ устарел")
    dear = await bench.bot.create_invoice_link(**goods("pack-3", 201))
    assert (await ada.pay(dear))["state"] == "insufficient"
    assert (await ada.pay(link, cancel=True))["state"] == "canceled"
    assert await ada.stars() == 200
    assert (await bench.bot.get_star_transactions()).transactions == []


async def test_a_bot_that_does_not_answer_in_10_s_gets_no_payment(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandbox.telegram.stars.CHECKOUT_S", 0.3)
    ada = await bench.tg.person(started=True, stars=200)
    outcome = await ada.pay(await bench.bot.create_invoice_link(**goods("pack-4", 150)))
    assert outcome["state"] == "timeout"
    query = await bench.update("pre_checkout_query")
    with pytest.raises(TelegramBadRequest, match="query is too old"):
        await bench.bot.answer_pre_checkout_query(query.id, ok=True)
    assert await ada.stars() == 200


@pytest.mark.parametrize(
    "change",
    [
        {"prices": [LabeledPrice(label="a", amount=1), LabeledPrice(label="b", amount=1)]},
        {"prices": [LabeledPrice(label="a", amount=10_001)], "subscription_period": MONTH_S},
        {"subscription_period": 86400},
        {"payload": "x" * 129},
        {"title": "x" * 33},
        {"description": "x" * 256},
        {"currency": "RUB"},
        {"provider_token": "1:TEST"},
    ],
)
async def test_an_invoice_beyond_the_rules_of_stars_is_refused(bench: Bench, change: dict) -> None:
    with pytest.raises(TelegramBadRequest):
        await bench.bot.create_invoice_link(**goods("pack", 100) | change)


async def test_a_subscription_renews_every_30_days_while_the_stars_last(bench: Bench) -> None:
    ada = await bench.tg.person(started=True, stars=1300)
    first = await subscribe(bench, ada)
    await bench.tg.advance(days=30)
    renewal = (await bench.update("message")).successful_payment
    assert renewal.is_recurring is True
    assert renewal.is_first_recurring is None
    assert renewal.invoice_payload == "sub-1"
    assert renewal.telegram_payment_charge_id != first
    assert renewal.subscription_expiration_date == (await ada.subscriptions())[0]["expires_at"]
    assert await ada.stars() == 100
    await bench.tg.advance(days=30)
    failed = await bench.update("subscription")
    assert (failed.state, failed.invoice_payload, failed.user.id) == ("failed", "sub-1", ada.id)
    await ada.change(stars=700)
    await bench.tg.advance(days=1)
    assert (await bench.update("message")).successful_payment.total_amount == 600
    assert (await ada.subscriptions())[0]["state"] == "active"


async def test_a_renewal_that_fails_three_more_days_ends_the_subscription(bench: Bench) -> None:
    ada = await bench.tg.person(started=True, stars=600)
    await subscribe(bench, ada)
    await bench.tg.advance(days=34)
    assert [sub["state"] for sub in await ada.subscriptions()] == ["expired"]
    assert [update.subscription.state for update in await bench.updates("subscription")] == ["failed"]


async def test_months_that_pass_at_once_renew_one_by_one(bench: Bench) -> None:
    ada = await bench.tg.person(started=True, stars=3000)
    await subscribe(bench, ada)
    await bench.tg.advance(days=95)
    dates = [update.message.date.timestamp() for update in await bench.updates("message")]
    assert [later - earlier for earlier, later in itertools.pairwise(dates)] == [MONTH_S, MONTH_S]


async def test_a_person_cancels_and_resumes(bench: Bench) -> None:
    ada = await bench.tg.person(started=True, stars=1200)
    sub_id = await subscribe(bench, ada)
    await ada.cancel_subscription(sub_id)
    assert (await bench.update("subscription")).state == "canceled"
    await ada.resume_subscription(sub_id)
    assert (await bench.update("subscription")).state == "active"
    await ada.cancel_subscription(sub_id)
    await bench.tg.advance(days=31)
    assert (await ada.subscriptions())[0]["state"] == "expired"
    assert await ada.stars() == 600


async def test_a_subscription_the_bot_cancelled_is_resumed_only_when_the_bot_allows(bench: Bench) -> None:
    from tests.support.telegram import ControlError

    ada = await bench.tg.person(started=True, stars=1200)
    sub_id = await subscribe(bench, ada)
    await bench.bot.edit_user_star_subscription(ada.id, sub_id, is_canceled=True)
    with pytest.raises(ControlError, match="the bot cancelled"):
        await ada.resume_subscription(sub_id)
    await bench.bot.edit_user_star_subscription(ada.id, sub_id, is_canceled=False)
    assert (await ada.subscriptions())[0]["state"] == "canceled"
    await ada.resume_subscription(sub_id)
    assert (await ada.subscriptions())[0]["state"] == "active"


async def test_one_link_is_one_subscription_and_a_person_may_hold_several(bench: Bench) -> None:
    ada = await bench.tg.person(started=True, stars=2000)
    link = await subscription_link(bench)
    assert (await checkout(bench, ada.pay(link)))["state"] == "paid"
    assert (await ada.pay(link))["state"] == "already_paid"
    await subscribe(bench, ada, payload="sub-2", stars=300)
    assert len(await ada.subscriptions()) == 2


async def test_a_refund_gives_the_stars_back_once_and_is_a_transaction_with_the_same_id(bench: Bench) -> None:
    ada = await bench.tg.person(started=True, stars=600)
    charge_id = await subscribe(bench, ada)
    await bench.bot.refund_star_payment(ada.id, charge_id)
    refunded = (await bench.update("message")).refunded_payment
    assert (refunded.telegram_payment_charge_id, refunded.total_amount) == (charge_id, 600)
    with pytest.raises(TelegramBadRequest, match="CHARGE_ALREADY_REFUNDED"):
        await bench.bot.refund_star_payment(ada.id, charge_id)
    assert await ada.stars() == 600
    paid, back = (await bench.bot.get_star_transactions()).transactions
    assert paid.id == back.id == charge_id
    assert (paid.source.user.id, back.receiver.user.id) == (ada.id, ada.id)
    assert (paid.source.invoice_payload, paid.source.subscription_period) == ("sub-1", MONTH_S)
    assert (paid.receiver, back.source) == (None, None)
    assert [entry.id for entry in (await bench.bot.get_star_transactions(offset=1, limit=1)).transactions] == [
        charge_id
    ]
    assert (await ada.subscriptions())[0]["state"] == "refunded"
