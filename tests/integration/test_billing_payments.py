"""Payments in Stars: each is credited once, to whom it belongs, as its order says; what does not fit is kept aside."""

import asyncio
from datetime import timedelta

import pytest

from billing import payments, stars
from billing.orders import Order
from kit.db import Database
from kit.errors import Conflict
from tests.support.books import DAY, MONTH, PLANS, Books


@pytest.fixture(scope="module")
async def books(database: Database) -> Books:
    made = Books(database)
    await made.open()
    return made


@pytest.fixture(autouse=True)
async def sound(books: Books):
    yield
    assert await books.violations() == []


async def bought(books: Books, person: int) -> list[tuple[str, int]]:
    return [(lot.kind, lot.granted) for lot in (await books.balance(person)).lots if lot.kind in {"plan", "pack"}]


async def test_a_pack_brings_its_tokens_for_its_days(books: Books) -> None:
    person = await books.person()
    credit = await books.buy(person, "pack")
    assert (credit.outcome, credit.tokens, credit.until) == ("credited", 3_000, books.now + 20 * DAY)
    assert (credit.subscription_id, credit.titles) == (None, {"ru": "Пакет", "en": "Pack"})
    assert await bought(books, person) == [("pack", 3_000)]


async def test_a_plan_brings_tokens_and_access_until_telegrams_expiry(books: Books) -> None:
    person = await books.person()
    until = books.now + MONTH + timedelta(hours=5)
    credit = await books.buy(person, "lite", expires=until)
    assert (credit.outcome, credit.first, credit.until) == ("credited", True, until)
    seen = await books.balance(person)
    assert (seen.entitlement.plan_id, seen.until, seen.status) == ("lite", until, "active")
    assert [lot.expires_at for lot in seen.lots if lot.kind == "plan"] == [until]


async def test_tokens_that_roll_over_outlive_their_month_by_one(books: Books) -> None:
    person = await books.person()
    await books.buy(person, "top")
    lots = (await books.balance(person)).lots
    assert [lot.expires_at for lot in lots if lot.kind == "plan"] == [books.now + 2 * MONTH]


async def test_without_an_expiry_a_month_is_thirty_days(books: Books) -> None:
    person = await books.person()
    order = await books.order(person, "lite")
    async with books.db.transaction() as tx:
        credit = await stars.record(
            tx, charge_id=f"plain-{person}", payload=order.payload, person_id=person, amount=300, is_recurring=True,
            is_first_recurring=True, expires_at=None, now=books.now,
        )  # fmt: skip
    assert credit.until == books.now + MONTH


async def test_a_repeated_report_changes_nothing_and_says_what_it_brought(books: Books) -> None:
    person = await books.person()
    order = await books.order(person, "lite")
    first = await books.pay(order, charge=f"twice-{person}")
    before = await books.balance(person)
    again = await books.pay(order, charge=f"twice-{person}")
    assert (again.outcome, again.payment_id, again.tokens) == ("repeated", first.payment_id, 5_000)
    assert (again.until, again.subscription_id) == (first.until, first.subscription_id)
    assert await books.balance(person) == before


async def test_the_same_report_from_many_connections_is_credited_once(books: Books) -> None:
    person = await books.person()
    order = await books.order(person, "pack")
    reports = await asyncio.gather(*(books.pay(order, charge=f"storm-{person}") for _ in range(12)))
    assert sorted(credit.outcome for credit in reports) == ["credited"] + ["repeated"] * 11
    assert await bought(books, person) == [("pack", 3_000)]


@pytest.mark.parametrize("what", ["payload", "payer", "amount"])
async def test_a_charge_id_that_comes_again_with_other_terms_is_a_conflict(books: Books, what: str) -> None:
    person, other = await books.person(), await books.person()
    order = await books.order(person, "pack")
    await books.pay(order, charge=f"other-{person}")
    terms = {
        "payload": (await books.order(other, "pack"), {"payer": person}),
        "payer": (order, {"payer": other}),
        "amount": (order, {"amount": 151}),
    }
    named, more = terms[what]
    with pytest.raises(Conflict):
        await books.pay(named, charge=f"other-{person}", **more)
    assert await bought(books, person) == [("pack", 3_000)]


@pytest.mark.parametrize(
    ("wrong", "reason", "refund_due"),
    [
        ({"payer": -1}, "wrong_payer", True),
        ({"amount": 1}, "wrong_price", False),
        ({"amount": 151}, "wrong_price", False),
        ({"recurring": True}, "wrong_kind", False),
    ],
)
async def test_what_does_not_fit_its_order_is_kept_aside_with_its_money(
    books: Books, wrong: dict, reason: str, refund_due: bool
) -> None:
    person, other = await books.person(), await books.person()
    if "payer" in wrong:
        wrong = {"payer": other}
    unclear = "SELECT -sum(amount) FROM ledger_entries WHERE account_id = 12"
    before = await books.scalar(unclear) or 0
    credit = await books.buy(person, "pack", **wrong)
    assert (credit.outcome, credit.reason, credit.refund_due, credit.tokens) == (
        "quarantined",
        reason,
        refund_due,
        None,
    )
    assert await bought(books, person) == await bought(books, other) == []
    assert await books.scalar(unclear) - before == credit.amount
    async with books.db.read() as connection:
        waiting = {payment.id for payment in await payments.in_quarantine(connection, limit=1_000)}
    assert credit.payment_id in waiting


async def test_money_without_an_order_is_kept_aside_even_of_somebody_unknown(books: Books) -> None:
    credit = await books.pay("forma:never", payer=42, amount=5)
    assert (credit.outcome, credit.reason, credit.titles) == ("quarantined", "unknown_payload", None)


@pytest.mark.parametrize("amount", [0, -1, 10**9 + 1, 2**63])
async def test_an_amount_that_cannot_be_is_refused_before_anything_is_written(books: Books, amount: int) -> None:
    person = await books.person()
    order = await books.order(person, "pack")
    with pytest.raises(ValueError, match="money"):
        async with books.db.transaction() as tx:
            await stars.record(
                tx, charge_id=f"odd-{person}", payload=order.payload, person_id=person, amount=amount,
                is_recurring=False, is_first_recurring=False, expires_at=None, now=books.now,
            )  # fmt: skip
    assert await books.scalar("SELECT count(*) FROM payments WHERE payer_id = :id", id=person) == 0


async def test_a_stranger_who_pays_a_subscriptions_link_is_refunded_and_unsubscribed(books: Books) -> None:
    owner, stranger = await books.person(), await books.person()
    order = await books.order(owner, "lite")
    await books.pay(order)
    credit = await books.pay(order, payer=stranger, charge=f"stranger-{stranger}")
    assert (credit.reason, credit.refund_due, credit.cancel_charges) == (
        "wrong_payer", True, (f"stranger-{stranger}",),
    )  # fmt: skip
    assert (await books.balance(stranger)).entitlement.plan_id == "free"
    assert (await books.balance(owner)).status == "active"


async def test_a_strangers_renewal_is_stopped_by_the_strangers_first_charge(books: Books) -> None:
    owner, stranger = await books.person(), await books.person()
    order = await books.order(owner, "lite")
    await books.pay(order)
    await books.pay(order, payer=stranger, charge=f"s-first-{stranger}")
    renewal = await books.pay(order, payer=stranger, charge=f"s-second-{stranger}", first=False)
    assert renewal.cancel_charges == (f"s-first-{stranger}",)


async def test_a_second_subscription_that_was_paid_all_the_same_is_sent_back(books: Books) -> None:
    person = await books.person()
    other = await books.order(person, "top")
    await books.buy(person, "lite")
    credit = await books.pay(other, charge=f"second-{person}")
    assert (credit.reason, credit.refund_due, credit.cancel_charges) == (
        "second_subscription", True, (f"second-{person}",),
    )  # fmt: skip
    assert (await books.balance(person)).entitlement.plan_id == "lite"


async def test_a_link_that_is_paid_twice_renews_once(books: Books) -> None:
    person = await books.person()
    order = await books.order(person, "lite")
    await books.pay(order)
    assert (await books.pay(order)).reason == "second_subscription"
    assert await bought(books, person) == [("plan", 5_000)]


async def test_a_pack_that_is_paid_twice_comes_twice(books: Books) -> None:
    person = await books.person()
    order = await books.order(person, "pack")
    assert [(await books.pay(order)).outcome, (await books.pay(order)).outcome] == ["credited", "credited"]
    assert await bought(books, person) == [("pack", 3_000), ("pack", 3_000)]


async def test_a_renewal_that_comes_before_the_first_payment_leaves_room_for_it(books: Books) -> None:
    person = await books.person()
    order = await books.order(person, "lite")
    paid_at = books.now
    renewal = await books.pay(order, first=False, expires=paid_at + 2 * MONTH)
    assert renewal.outcome == "credited"
    first = await books.pay(order, charge=f"late-first-{person}", expires=paid_at + MONTH)
    assert first.outcome == "credited"
    seen = await books.balance(person)
    assert (seen.until, seen.entitlement.plan_id) == (paid_at + 2 * MONTH, "lite")
    assert seen.subscription is not None
    assert seen.subscription.first_charge_id == f"late-first-{person}"
    assert await bought(books, person) == [("plan", 5_000), ("plan", 5_000)]


async def test_a_period_that_is_paid_for_already_is_not_sold_twice(books: Books) -> None:
    person = await books.person()
    order = await books.order(person, "lite")
    await books.pay(order)
    assert (await books.pay(order, first=False, expires=books.now + MONTH)).reason == "period_covered"
    assert (await books.balance(person)).until == books.now + MONTH


async def test_the_price_is_the_orders_when_the_file_has_changed_since(books: Books) -> None:
    person = await books.person()
    order = await books.order(person, "pack")
    await books.open(PLANS.replace("stars = 150\ntokens = 3_000", "stars = 200\ntokens = 9_999"))
    try:
        assert (await books.pay(order, amount=150)).tokens == 3_000
        fresh: Order = await books.order(person, "pack")
        assert (fresh.amount, fresh.tokens) == (200, 9_999)
    finally:
        await books.open()


async def test_payments_are_listed_latest_first_and_found_by_charge(books: Books) -> None:
    person = await books.person()
    for number in range(3):
        await books.buy(person, "pack", charge=f"list-{person}-{number}")
    async with books.db.read() as connection:
        listed = await payments.of_person(connection, person_id=person, limit=2)
        found = await payments.by_charge(connection, charge_id=f"list-{person}-1")
        nothing = await payments.by_charge(connection, charge_id="never")
    assert [one.provider_payment_id for one in listed] == [f"list-{person}-2", f"list-{person}-1"]
    assert found == listed[1]
    assert nothing is None
