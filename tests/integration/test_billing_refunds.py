"""Refunds: tokens go first, answers under way finish, the provider's word settles or undoes it — in any order."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from billing import refunds
from billing.refunds import NotRefundable, Refund
from kit.db import Database
from tests.support.books import DAY, MONTH, Books


@pytest.fixture(scope="module")
async def books(database: Database) -> Books:
    made = Books(database)
    await made.open()
    return made


@pytest.fixture(autouse=True)
async def sound(books: Books) -> AsyncIterator[None]:
    yield
    assert await books.violations() == []


async def rich(books: Books) -> tuple[int, int]:
    """A person who bought a pack and has nothing else; returns (person, payment)."""
    person = await books.person()
    credit = await books.buy(person, "pack")
    return person, credit.payment_id


async def row(books: Books, refund: Refund) -> Refund:
    async with books.db.read() as connection:
        found = await refunds.find(connection, refund.id)
    assert found is not None
    return found


async def posted(books: Books, person: int) -> int:
    return await books.scalar("SELECT posted FROM accounts WHERE person_id = :id AND kind = 'wallet'", id=person)


async def test_what_is_left_goes_at_once_and_what_was_spent_is_forgiven(books: Books) -> None:
    person, payment = await rich(books)
    await books.place(person, person, 1, 1_200)
    await books.settle(person, 1_200)
    refund = await books.request(payment)
    assert (refund.status, refund.amount, refund.tokens) == ("intent", 150, 3_000)
    assert (refund.tokens_taken, refund.tokens_forgiven, refund.tokens_held) == (1_800, 1_200, 0)
    assert await posted(books, person) == 0
    assert await books.confirm(refund.id) is None
    assert (await row(books, refund)).status == "succeeded"


async def test_an_answer_under_way_ends_on_the_refunded_tokens(books: Books) -> None:
    person, payment = await rich(books)
    await books.place(person, person, 1, 1_000)
    refund = await books.request(payment)
    assert (refund.tokens_taken, refund.tokens_held) == (2_000, 1_000)
    await books.confirm(refund.id)
    settled = await books.settle(person, 400)
    assert settled is not None
    assert (settled.charged, settled.posted_after) == (400, 0)
    done = await row(books, refund)
    assert (done.tokens_taken, done.tokens_forgiven, done.tokens_held) == (2_600, 400, 0)


async def test_an_answer_that_is_released_gives_its_tokens_to_the_refund(books: Books) -> None:
    person, payment = await rich(books)
    await books.place(person, person, 1, 1_000)
    refund = await books.request(payment)
    await books.release(person)
    assert (await row(books, refund)).tokens_taken == 3_000
    assert await posted(books, person) == 0


async def test_a_refund_is_asked_for_and_booked_once(books: Books) -> None:
    _, payment = await rich(books)
    asked = await asyncio.gather(*(books.request(payment) for _ in range(6)))
    assert len({refund.id for refund in asked}) == 1
    await asyncio.gather(*(books.confirm(asked[0].id) for _ in range(6)))
    assert await books.scalar("SELECT sum(amount) FROM refunds WHERE payment_id = :id", id=payment) == 150
    with pytest.raises(NotRefundable):
        await books.request(payment)


async def test_a_payment_that_nobody_knows_is_not_refundable(books: Books) -> None:
    with pytest.raises(NotRefundable):
        await books.request(10**12)


async def test_a_refused_refund_gives_back_what_it_took_until_it_would_have_lapsed(books: Books) -> None:
    person, payment = await rich(books)
    await books.place(person, person, 1, 500)
    refund = await books.request(payment)
    assert (refund.tokens_taken, refund.tokens_held) == (2_500, 500)
    await books.refuse(refund.id)
    await books.refuse(refund.id)
    lots = [lot for lot in (await books.balance(person)).lots if lot.kind in {"pack", "restored"}]
    assert [(lot.kind, lot.remaining) for lot in lots] == [("pack", 500), ("restored", 2_500)]
    assert {lot.expires_at for lot in lots} == {books.now + 20 * DAY}
    await books.settle(person, 2_000)  # the daily lot, the welcome, and 500 of the pack
    again = await books.request(payment)
    assert again.id != refund.id
    assert (again.tokens, again.tokens_taken, again.tokens_forgiven) == (3_000, 2_500, 500)
    await books.confirm(again.id)


async def test_what_lapsed_meanwhile_is_not_given_back(books: Books) -> None:
    person, payment = await rich(books)
    refund = await books.request(payment)
    books.now += 21 * DAY
    await books.refuse(refund.id)
    assert await posted(books, person) == 0
    assert (await row(books, refund)).status == "canceled"


async def test_a_refunded_plan_ends_at_once_and_its_renewals_must_be_stopped(books: Books) -> None:
    person = await books.person()
    credit = await books.buy(person, "lite", charge=f"lite-{person}")
    change = await books.refund(credit.payment_id)
    assert change is not None
    assert (change.before, change.after) == ("active", "revoked")
    assert change.subscription.first_charge_id == f"lite-{person}"
    assert (await books.balance(person)).entitlement.plan_id == "free"


async def test_a_renewal_of_what_was_refunded_goes_back_and_is_stopped(books: Books) -> None:
    person = await books.person()
    order = await books.order(person, "lite")
    first = await books.pay(order, charge=f"gone-{person}")
    await books.refund(first.payment_id)
    renewal = await books.pay(order, first=False, expires=books.now + 2 * MONTH)
    assert (renewal.reason, renewal.refund_due) == ("subscription_revoked", True)
    assert renewal.cancel_charges == (f"gone-{person}",)


async def test_a_refunded_month_takes_no_other_months_access(books: Books) -> None:
    person = await books.person()
    order = await books.order(person, "lite")
    first = await books.pay(order)
    books.now += MONTH
    await books.pay(order, first=False, expires=books.now + MONTH)
    change = await books.refund(first.payment_id)
    assert change is not None
    assert change.before == change.after == "active"
    assert (await books.balance(person)).until == books.now + MONTH


async def test_a_month_that_was_refunded_before_it_began_can_be_bought_again(books: Books) -> None:
    person = await books.person()
    order = await books.order(person, "lite")
    await books.pay(order)
    end = books.now + MONTH
    books.now = end - DAY
    early = await books.pay(order, first=False, expires=end + MONTH)
    await books.refund(early.payment_id)
    assert (await books.balance(person)).until == end
    assert (await books.pay(order, first=False, expires=end + MONTH)).outcome == "credited"
    assert (await books.balance(person)).until == end + MONTH


async def test_a_month_that_was_refunded_before_it_began_does_not_stop_the_sweep(books: Books) -> None:
    person = await books.person()
    order = await books.order(person, "lite")
    await books.pay(order)
    end = books.now + MONTH
    books.now = end - DAY
    await books.refund((await books.pay(order, first=False, expires=end + MONTH)).payment_id)
    books.now = end
    assert [change.after for change in await books.expire() if change.subscription.person_id == person] == ["past_due"]


async def test_a_refund_that_is_told_before_its_payment_leaves_nothing_behind(books: Books) -> None:
    person = await books.person()
    order = await books.order(person, "lite")
    told = await books.report_refund(f"r-{person}", order.payload, person, 300)
    assert told is not None
    assert (told.refund.status, told.refund.tokens) == ("succeeded", 0)
    late = await books.pay(order, charge=f"r-{person}")
    assert (late.outcome, late.reason) == ("repeated", "refunded_first")
    seen = await books.balance(person)
    assert (seen.entitlement.plan_id, [lot.kind for lot in seen.lots]) == ("free", ["daily", "welcome"])
    assert await books.report_refund(f"r-{person}", order.payload, person, 300) is None


async def test_payment_and_refund_end_the_same_in_either_order(books: Books) -> None:
    seen = []
    for refund_first in (False, True):
        person = await books.person()
        order = await books.order(person, "pack")
        report = (f"either-{person}", order.payload, person, 150)
        if refund_first:
            await books.report_refund(*report)
        await books.pay(order, charge=report[0])
        await books.report_refund(*report)
        seen.append((await books.balance(person)).posted)
    assert seen[0] == seen[1] == 1_500


async def test_a_refund_made_without_us_uses_the_one_that_is_open(books: Books) -> None:
    person = await books.person()
    order = await books.order(person, "pack")
    credit = await books.pay(order, charge=f"open-{person}")
    refund = await books.request(credit.payment_id)
    told = await books.report_refund(f"open-{person}", order.payload, person, 150)
    assert told is not None
    assert told.refund.id == refund.id


async def test_quarantined_money_goes_back_to_its_payer(books: Books) -> None:
    owner, stranger = await books.person(), await books.person()
    order = await books.order(owner, "pack")
    credit = await books.pay(order, payer=stranger)
    await books.pay(order)
    refund = await books.request(credit.payment_id)
    assert (refund.payer_id, refund.tokens) == (stranger, 0)
    await books.confirm(refund.id)
    assert await books.scalar("SELECT resolved_at FROM payments WHERE id = :id", id=credit.payment_id) == books.now
    assert [lot.kind for lot in (await books.balance(owner)).lots] == ["daily", "welcome", "pack"]
