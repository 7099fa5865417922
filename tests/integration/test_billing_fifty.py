"""Fifty at once, each on a connection of its own, on one thing of money: one wins, or all together change it once."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import pytest

from billing import ledger, promos, rouble_following, rouble_payments, rouble_receipts, star_reminders
from billing.promos import Terms
from billing.refunds import NotRefundable
from billing.rouble_payments import ORDER_KEY, PAYMENT_KEY, RoublePayment
from billing.yookassa import objects
from kit.db import Database
from kit.errors import InsufficientTokens, Rejected
from tests.support.books import MONTH, PLANS, START, Books

FIFTY = 50
SHOP = "100500"
ROUBLE_PACK = PLANS.replace("stars = 150", "stars = 150\nroubles = 199")
KOPECKS = 19_900


@pytest.fixture(scope="module")
async def books(database_url: str) -> AsyncIterator[Books]:
    made = Books(Database(database_url, pool_size=FIFTY))
    await made.open(ROUBLE_PACK)
    yield made
    await made.db.close()


@pytest.fixture(autouse=True)
async def sound(books: Books) -> AsyncIterator[None]:
    yield
    assert await books.violations() == []


async def at_once(act: Callable[[int], Awaitable[object]]) -> Counter[str]:
    """Do something fifty times at once; counts what came of it by name. Anything but a refusal is raised."""

    async def one(number: int) -> str:
        try:
            return str(await act(number))
        except Rejected as rejected:
            return type(rejected).__name__

    return Counter(await asyncio.gather(*map(one, range(FIFTY))))


async def lots_of(books: Books, person: int, kind: str) -> list[int]:
    rows = "SELECT coalesce(array_agg(l.granted), '{}') FROM lots l JOIN accounts a ON a.id = l.account_id"
    return list(await books.scalar(f"{rows} WHERE a.person_id = :id AND l.kind = :kind", id=person, kind=kind))


async def test_one_balance_gives_what_is_there_and_no_more(books: Books) -> None:
    person = await books.person()
    await books.buy(person, "pack")
    has, first = (await books.balance(person)).available, person * 1_000

    async def hold(number: int) -> str:
        return f"held {(await books.place(person, first + number, 200, 200)).tokens}"

    ends = await at_once(hold)
    assert ends == {"held 200": has // 200, InsufficientTokens.__name__: FIFTY - has // 200}
    for number in range(FIFTY):
        await books.settle(first + number, 200)
    assert (await books.balance(person)).available == has % 200


async def test_one_charge_of_one_order_is_credited_once(books: Books) -> None:
    person = await books.person()
    order = await books.order(person, "pack")

    async def report(_: int) -> str:
        return (await books.pay(order, charge=f"one-{person}")).outcome

    ends = await at_once(report)
    assert ends["credited"] == 1
    assert await lots_of(books, person, "pack") == [3_000]
    assert await books.scalar("SELECT count(*) FROM payments WHERE payer_id = :id", id=person) == 1


async def test_fifty_charges_of_one_order_are_fifty_purchases(books: Books) -> None:
    person = await books.person()
    order = await books.order(person, "pack")

    async def pay(number: int) -> str:
        return (await books.pay(order, charge=f"{person}-{number}")).outcome

    assert await at_once(pay) == {"credited": FIFTY}
    assert await lots_of(books, person, "pack") == [3_000] * FIFTY


async def test_one_use_of_a_promo_code_is_for_one_of_fifty(books: Books) -> None:
    people = [await books.person() for _ in range(FIFTY)]
    async with books.db.transaction() as tx:
        terms = Terms("tokens", tokens=700, days=10, uses_max=1)
        await promos.create(tx, code="ONELEFT", terms=terms, created_by=1, now=books.now)

    async def redeem(number: int) -> str:
        async with books.db.transaction() as tx:
            await promos.redeem(tx, person_id=people[number], typed="oneleft", now=books.now)
        return "has it"

    assert await at_once(redeem) == {"has it": 1, "PromoOver": FIFTY - 1}
    assert sorted([await lots_of(books, person, "promo") for person in people])[-2:] == [[], [700]]


async def test_one_renewal_told_fifty_times_is_one_month(books: Books) -> None:
    person = await books.person()
    order = await books.order(person, "top")
    await books.pay(order)
    until = START + 2 * MONTH

    async def renewed(_: int) -> str:
        return (await books.pay(order, charge=f"renewal-{person}", first=False, expires=until)).outcome

    assert (await at_once(renewed))["credited"] == 1
    assert await lots_of(books, person, "plan") == [9_000, 9_000]
    assert (await books.balance(person)).until == until


async def test_fifty_schedulers_remind_of_one_renewal_once(books: Books) -> None:
    person = await books.person()
    await books.buy(person, "lite")
    soon = books.now + MONTH - timedelta(days=1)

    async def remind(_: int) -> int:
        async with books.db.transaction() as tx:
            taken = await star_reminders.take_renewals(tx, now=soon, within=timedelta(days=3), limit=500)
            return sum(one.person_id == person for one in taken)

    assert await at_once(remind) == {"1": 1, "0": FIFTY - 1}


async def test_one_gift_is_one_persons_of_fifty(books: Books) -> None:
    giver, people = await books.person(), [await books.person() for _ in range(FIFTY)]
    gift = await books.give(giver, "pack")

    async def take(number: int) -> str:
        return "again" if (await books.redeem(people[number], gift.code)).repeated else "has it"

    assert await at_once(take) == {"has it": 1, "GiftTaken": FIFTY - 1}


async def test_one_payment_is_refunded_once(books: Books) -> None:
    person = await books.person()
    payment = (await books.buy(person, "pack")).payment_id

    async def refund(_: int) -> str:
        try:
            asked = await books.request(payment)
            await books.confirm(asked.id)
        except NotRefundable:
            return "too late"
        return f"refund {asked.id}"

    ends = await at_once(refund)
    assert len(ends.keys() - {"too late"}) == 1, ends
    sums = "SELECT array_agg(amount) FROM refunds WHERE payment_id = :id AND status = 'succeeded'"
    assert await books.scalar(sums, id=payment) == [150]


async def test_a_refund_meets_fifty_answers_and_nothing_is_spent_twice(books: Books) -> None:
    person = await books.person()
    payment, first = (await books.buy(person, "pack")).payment_id, person * 1_000

    async def answer(number: int) -> str:
        if number == FIFTY // 2:
            await books.refund(payment)
            return "refunded"
        await books.place(person, first + number, 40, 40)
        await asyncio.sleep(0)
        await books.settle(first + number, 40)
        return "answered"

    ends = await at_once(answer)
    assert ends["refunded"] == 1
    left = await books.balance(person)
    # What was not taken back was spent, and no lot of the pack is left to spend.
    assert left.reserved == 0
    assert [lot.remaining for lot in left.lots if lot.kind == "pack"] == []
    taken = "SELECT tokens_taken + tokens_forgiven + tokens_owed FROM refunds WHERE payment_id = :id"
    assert await books.scalar(taken, id=payment) == 3_000


async def test_a_better_plan_paid_while_the_old_one_renews_costs_nobody_twice(books: Books) -> None:
    for _ in range(8):
        person = await books.person()
        order = await books.order(person, "lite")
        await books.pay(order, charge=f"first-{person}")
        old = await books.scalar("SELECT max(id) FROM subscriptions WHERE person_id = :id", id=person)
        better = await books.order(person, "top", replaces_id=old)
        changed, renewed, again = await asyncio.gather(
            books.pay(better, charge=f"better-{person}"),
            books.pay(order, charge=f"renewal-{person}", first=False, expires=START + 2 * MONTH),
            books.pay(order, charge=f"renewal-{person}", first=False, expires=START + 2 * MONTH),
        )
        assert changed.outcome == "credited"
        renewal = next(one for one in (renewed, again) if one.outcome != "repeated")
        # Either it came first and is a month, or it came late and goes back.
        assert renewal.outcome == "credited" or (renewal.outcome, renewal.refund_due) == ("quarantined", True)
        active = "SELECT array_agg(plan_id) FROM subscriptions s JOIN plan_versions v ON v.id = s.plan_version_id"
        assert await books.scalar(f"{active} WHERE s.person_id = :id AND s.status = 'active'", id=person) == ["top"]


# -- roubles


async def sent(books: Books, person: int) -> RoublePayment:
    """A payment whose request went out, and is not answered yet."""
    order = await books.order(person, "pack", currency="RUB")
    async with books.db.transaction() as tx:
        await ledger.lock_wallet(tx, person_id=person, now=books.now)
        begun = await rouble_payments.begin(tx, order, build=lambda number: f'"request {number}"', now=books.now)
    async with books.db.transaction() as tx:
        taken = await rouble_payments.take_to_post(tx, begun.id, now=books.now)
    assert taken is not None
    return taken


def succeeded(going: RoublePayment, number: str) -> objects.Payment:
    """The same payment as YooKassa tells of it once it is paid."""
    return objects.Payment(
        id=number, status="succeeded", kopecks=KOPECKS, currency="RUB", refunded_kopecks=0, created_at=START,
        captured_at=START, confirmation_url="", reason="", party="", account_id=SHOP, receipt="",
        metadata={PAYMENT_KEY: str(going.id), ORDER_KEY: going.payload}, saved_method=None,
    )  # fmt: skip


async def followed(books: Books, found: objects.Payment) -> str:
    async with books.db.transaction() as tx:
        seen = await rouble_following.follow(tx, found, shop_id=SHOP, now=books.now)
        assert seen is not None
        await rouble_receipts.note_payment(tx, seen.payment_id, found, now=books.now)
    return seen.credit.outcome if seen.credit else "known"


async def test_fifty_presses_on_the_page_are_one_payment(books: Books) -> None:
    person = await books.person()

    async def press(_: int) -> int:
        return (await sent(books, person)).id

    assert list((await at_once(press)).values()) == [FIFTY]


async def test_fifty_notifications_of_one_payment_credit_once(books: Books) -> None:
    person = await books.person()
    found = succeeded(await sent(books, person), f"paid-{person}")
    assert await at_once(lambda _: followed(books, found)) == {"credited": 1, "known": FIFTY - 1}
    assert await lots_of(books, person, "pack") == [3_000]


async def test_fifty_notifications_of_a_payment_that_was_given_up_credit_once(books: Books) -> None:
    person = await books.person()
    going = await sent(books, person)
    async with books.db.transaction() as tx:
        assert await rouble_payments.cancel(tx, going.id, reason="never_arrived", now=books.now)
    found = succeeded(going, f"late-{person}")
    assert await at_once(lambda _: followed(books, found)) == {"credited": 1, "known": FIFTY - 1}
    assert await lots_of(books, person, "pack") == [3_000]
