"""Changing plans: never two that renew, nothing lost by whoever does not pay, no charge kept that came by mistake."""

from collections.abc import AsyncIterator

import pytest

from billing import changes, orders, subscriptions
from kit.db import Database
from tests.support.books import MONTH, PLANS, START, Books

STATES = "SELECT string_agg(status, ' ' ORDER BY id) FROM subscriptions WHERE person_id = :id"


@pytest.fixture(scope="module")
async def shared(database: Database) -> Books:
    made = Books(database)
    await made.open()
    return made


@pytest.fixture
async def books(shared: Books) -> AsyncIterator[Books]:
    shared.now = START
    yield shared
    assert await shared.violations() == []


async def lite(books: Books) -> tuple[int, orders.Order, int]:
    """A person with a plan that renews: (person, its order, its number)."""
    person = await books.person()
    order = await books.order(person, "lite")
    credit = await books.pay(order, charge=f"lite-{person}")
    assert credit.subscription_id
    return person, order, credit.subscription_id


async def checkout(books: Books, order: orders.Order) -> None:
    async with books.db.read() as connection:
        await orders.for_checkout(
            connection, order.payload, person_id=order.person_id, amount=order.amount, currency="XTR", now=books.now
        )


async def test_the_better_plan_is_paid_first_and_then_the_old_one_stops(books: Books) -> None:
    person, _, old = await lite(books)
    order = await books.order(person, "top", replaces_id=old)
    await checkout(books, order)
    assert await books.scalar(STATES, id=person) == "active"
    credit = await books.pay(order)
    assert credit.outcome == "credited"
    assert credit.cancel_charges == (f"lite-{person}",)
    assert credit.replaced
    assert credit.replaced.id == old
    assert await books.scalar(STATES, id=person) == "cancel_scheduled active"
    seen = await books.balance(person)
    assert seen.entitlement.plan_id == "top"
    assert {lot.granted for lot in seen.lots if lot.kind == "plan"} == {5_000, 9_000}


async def test_whoever_does_not_pay_keeps_what_renews(books: Books) -> None:
    person, order, old = await lite(books)
    await books.order(person, "top", replaces_id=old)
    books.now += MONTH
    renewed = await books.pay(order, first=False)
    assert renewed.outcome == "credited"
    assert await books.scalar(STATES, id=person) == "active"


async def test_an_order_replaces_only_what_it_was_made_for(books: Books) -> None:
    person, first, old = await lite(books)
    with pytest.raises(orders.SecondSubscription):
        await books.order(person, "top")
    with pytest.raises(orders.SecondSubscription):
        await books.order(person, "top", replaces_id=await books.scalar("SELECT max(id) FROM subscriptions") - 1)
    order = await books.order(person, "top", replaces_id=old)
    # The one that it was made for ended, and another one renews since.
    await books.say(first.payload, person, "canceled")
    other = await books.order(person, "lite")
    await books.pay(other)
    with pytest.raises(orders.SecondSubscription):
        await checkout(books, order)
    paid = await books.pay(order)
    assert (paid.outcome, paid.reason, paid.refund_due) == ("quarantined", "second_subscription", True)


async def test_a_charge_for_the_old_plan_that_was_on_its_way_goes_back(books: Books) -> None:
    person, order, old = await lite(books)
    books.now += MONTH
    await books.pay(await books.order(person, "top", replaces_id=old))
    late = await books.pay(order, first=False)
    assert (late.outcome, late.reason, late.refund_due) == ("quarantined", "second_subscription", True)
    assert late.cancel_charges == (f"lite-{person}",)
    await books.refund(late.payment_id)
    assert (await books.balance(person)).entitlement.plan_id == "top"


async def test_the_old_plan_renews_rightly_once_its_person_resumed_it(books: Books) -> None:
    person, order, old = await lite(books)
    change = await books.order(person, "top", replaces_id=old)
    await books.pay(change)
    await books.say(change.payload, person, "canceled")
    await books.say(order.payload, person, "active")
    books.now += MONTH
    assert (await books.pay(order, first=False)).outcome == "credited"


async def test_the_change_is_forgotten_by_another_purchase_of_the_same_plan(books: Books) -> None:
    person, order, old = await lite(books)
    change = await books.order(person, "top", replaces_id=old)
    await books.say(order.payload, person, "canceled")
    plain = await books.order(person, "top")
    assert plain.id != change.id
    assert (await books.pay(plain)).replaced is None
    assert await books.scalar("SELECT status FROM orders WHERE id = :id", id=change.id) == "canceled"


async def test_a_change_whose_first_payment_is_refunded_leaves_the_old_plans_time(books: Books) -> None:
    person, _, old = await lite(books)
    credit = await books.pay(await books.order(person, "top", replaces_id=old))
    await books.refund(credit.payment_id)
    seen = await books.balance(person)
    assert (seen.entitlement.plan_id, seen.status) == ("lite", "cancel_scheduled")


async def test_the_cheaper_plan_is_remembered_until_the_old_one_is_resumed(books: Books) -> None:
    person, order, old = await lite(books)
    async with books.db.transaction() as tx:
        await changes.choose_next(tx, old, plan_id="lite", now=books.now)
    await books.say(order.payload, person, "canceled")
    async with books.db.read() as connection:
        found = await subscriptions.find(connection, old)
    assert found
    assert found.next_plan_id == "lite"
    resumed = await books.say(order.payload, person, "active")
    assert resumed
    assert resumed.subscription.next_plan_id is None


async def test_a_plan_that_is_withdrawn_goes_on_renewing_at_its_old_price(books: Books) -> None:
    person, order, _ = await lite(books)
    start, end = PLANS.index("[lite]"), PLANS.index("[top]")
    await books.open(PLANS[:start] + PLANS[end:])
    try:
        with pytest.raises(orders.NotForSale):
            await books.order(await books.person(), "lite")
        books.now += MONTH
        renewed = await books.pay(order, first=False)
        assert (renewed.outcome, renewed.tokens) == ("credited", 5_000)
        seen = await books.balance(person)
        assert (seen.entitlement.plan_id, seen.status) == ("lite", "active")
    finally:
        await books.open()
