"""Quarantine resolved: one credit or one refund, whoever is first, and the unclear money is earned or gone."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from billing import history, quarantine
from billing.quarantine import NotInQuarantine, OnlyRefundable, ProductUnknown, Resolved
from billing.refunds import NotRefundable
from kit.db import Database
from tests.support.books import MONTH, PLANS, YEAR, Books

MONEY = "SELECT coalesce(sum(amount), 0) FROM ledger_entries WHERE account_id = :id"
CASH, EARNED, UNCLEAR = 10, 11, 12


@pytest.fixture(scope="module")
async def books(database: Database) -> Books:
    made = Books(database)
    await made.open(PLANS + YEAR)
    return made


@pytest.fixture(autouse=True)
async def sound(books: Books) -> AsyncIterator[None]:
    yield
    assert await books.violations() == []


async def money(books: Books) -> tuple[int, ...]:
    return tuple([await books.scalar(MONEY, id=account) for account in (CASH, EARNED, UNCLEAR)])


async def resolve(books: Books, payment: int, person: int | None = None, product: str = "") -> Resolved:
    async with books.db.transaction() as tx:
        agreed = await quarantine.terms(tx, payment_id=payment, person_id=person, product_id=product)
        return await quarantine.credit(tx, agreed, now=books.now)


async def test_what_is_credited_is_earned_and_what_is_refunded_was_never(books: Books) -> None:
    person, before = await books.person(), await money(books)
    credited = (await books.pay(await books.order(person, "pack"), amount=100)).payment_id
    refunded = (await books.pay("forma:lost", payer=person, amount=40)).payment_id
    assert [now - was for now, was in zip(await money(books), before, strict=True)] == [140, 0, -140]
    resolved = await resolve(books, credited)
    await books.refund(refunded)
    assert [now - was for now, was in zip(await money(books), before, strict=True)] == [100, -100, 0]
    assert (resolved.credit.outcome, resolved.credit.amount, resolved.stop_charge) == ("credited", 100, None)
    await books.refund(credited)
    assert await money(books) == before
    assert [lot.kind for lot in (await books.balance(person)).lots] == ["daily", "welcome"]


async def test_a_payment_is_credited_once_however_many_try(books: Books) -> None:
    person, other = await books.person(), await books.person()
    payment = (await books.pay("forma:gone", payer=person, amount=150)).payment_id
    tries = [resolve(books, payment, owner, "pack") for owner in (person, other, person, other)]
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["NotInQuarantine"] * 3 + ["Resolved"]


async def test_a_credit_and_a_refund_at_once_leave_one_of_them(books: Books) -> None:
    for _ in range(5):
        person = await books.person()
        payment = (await books.pay(await books.order(person, "pack"), amount=100)).payment_id
        outcomes = await asyncio.gather(resolve(books, payment), books.request(payment), return_exceptions=True)
        assert sum(isinstance(outcome, BaseException) for outcome in outcomes) <= 1
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                assert isinstance(outcome, (NotInQuarantine, NotRefundable)), outcome
        open_ones = "SELECT id FROM refunds WHERE payment_id = :id"
        refund = await books.scalar(open_ones, id=payment)
        if refund is not None:
            await books.confirm(refund)
        assert await books.violations() == []


async def test_a_plan_runs_a_period_from_now_and_its_renewal_is_named_by_its_first_charge(books: Books) -> None:
    person = await books.person()
    first = await books.pay("forma:old", payer=person, amount=900, charge="old-1", recurring=True)
    renewal = await books.pay("forma:old", payer=person, amount=900, charge="old-2", recurring=True, first=False)
    books.now += 2 * MONTH
    resolved = await resolve(books, renewal.payment_id, person, "top")
    assert (resolved.stop_charge, resolved.credit.until) == ("old-1", books.now + MONTH)
    held = await books.balance(person)
    assert (held.entitlement.plan_id, held.status, held.until) == ("top", "cancel_scheduled", books.now + MONTH)
    await books.refund(first.payment_id)
    assert (await books.balance(person)).entitlement.plan_id == "top"


async def test_a_year_that_is_credited_has_its_months(books: Books) -> None:
    person = await books.person()
    payment = (await books.pay(await books.order(person, "year"), amount=2_900)).payment_id
    await resolve(books, payment)
    months = "SELECT count(*) FROM subscription_months WHERE payment_id = :id"
    assert await books.scalar(months, id=payment) == 12
    assert await books.violations() == []
    await books.refund(payment)


async def test_what_leaves_no_choice_is_refused(books: Books) -> None:
    person, other = await books.person(), await books.person()
    good = await books.buy(person, "pack")
    strangers = await books.pay(await books.order(person, "pack"), payer=other)
    unknown = await books.pay("forma:none", payer=person, amount=5)
    for payment, product, refusal in (
        (good.payment_id, "pack", NotInQuarantine),
        (10**12, "pack", NotInQuarantine),
        (strangers.payment_id, "pack", OnlyRefundable),
        (unknown.payment_id, "", ProductUnknown),
        (unknown.payment_id, "free", ProductUnknown),
        (unknown.payment_id, "nothing", ProductUnknown),
    ):
        with pytest.raises(refusal):
            await resolve(books, payment, person, product)


async def test_what_is_shown_of_a_purchase_follows_its_money(books: Books) -> None:
    person = await books.person()
    states = []

    async def look() -> history.Purchase:
        async with books.db.read() as connection:
            [found] = await history.of_person(connection, person_id=person, limit=5)
        states.append(found.state)
        return found

    paid = await books.pay(await books.order(person, "pack"), amount=149)
    assert (await look()).tokens == 0
    await resolve(books, paid.payment_id)
    await books.balance(person)
    await books.place(person, person, 1, 1_501)  # the daily lot, the welcome, and one token of the pack
    await books.settle(person, 1_501)
    found = await look()
    assert (found.tokens, found.tokens_left, found.spent_percent, found.owner_id) == (3_000, 2_999, 1, person)
    refund = await books.request(paid.payment_id)
    await look()
    await books.confirm(refund.id)
    await look()
    assert states == ["review", "paid", "refunding", "refunded"]
