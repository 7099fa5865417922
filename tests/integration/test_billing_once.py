"""Time that is bought at once: one payment, twelve months, each month's tokens once and while they are paid for."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from billing import lots, once
from billing.once import Outlook
from kit.db import Database
from tests.support.books import DAY, MONTH, PLANS, START, YEAR, Books

MONTH_TOKENS = 5_000
MONTHS = """
    SELECT string_agg(left(m.status, 1), '' ORDER BY m.number) FROM subscription_months m
    JOIN subscriptions s ON s.id = m.subscription_id WHERE s.person_id = :id
"""
LATER = YEAR.replace("[year]", "[long]").replace('of = "lite"', 'of = "top"').replace("3_000", "9_000")


@pytest.fixture(scope="module")
async def shared(database: Database) -> Books:
    return Books(database)


@pytest.fixture
async def books(shared: Books) -> AsyncIterator[Books]:
    shared.now = START
    await shared.open(PLANS + YEAR + LATER)
    yield shared
    assert await shared.violations() == []


async def plan_lots(books: Books, person: int) -> list[tuple[int, datetime]]:
    async with books.db.read() as connection:
        live = await lots.live(connection, person_id=person)
    return [(lot.remaining, lot.expires_at) for lot in live if lot.kind == "plan" and lot.expires_at]


async def outlook(books: Books, person: int) -> dict[int, Outlook]:
    async with books.db.read() as connection:
        return await once.outlook(connection, person_id=person, now=books.now)


def at(year: int, month: int, day: int) -> datetime:
    return datetime(year, month, day, START.hour, START.minute, tzinfo=UTC)


async def test_a_year_is_access_for_twelve_months_and_a_months_tokens_at_once(books: Books) -> None:
    person = await books.person()
    credit = await books.buy(person, "year")
    assert (credit.outcome, credit.kind, credit.starts_at, credit.until) == (
        "credited",
        "once",
        START,
        at(2027, 11, 24),
    )
    seen = await books.balance(person)
    assert (seen.entitlement.plan_id, seen.until, seen.status) == ("year", at(2027, 11, 24), "cancel_scheduled")
    assert seen.subscription is not None
    assert (seen.subscription.renews, seen.subscription.once) == (False, True)
    assert await plan_lots(books, person) == [(MONTH_TOKENS, at(2026, 12, 24))]
    assert await books.scalar(MONTHS, id=person) == "g" + "d" * 11
    [coming] = (await outlook(books, person)).values()
    assert (coming.starts_at, coming.tokens_at, coming.tokens) == (START, at(2026, 12, 24), MONTH_TOKENS)


async def test_each_month_is_granted_on_the_anchor_day_and_once_however_often_it_is_looked_at(books: Books) -> None:
    books.now = at(2027, 1, 31)
    person = await books.person()
    await books.buy(person, "year")
    begins = [at(2027, 2, 28), at(2027, 3, 31), at(2027, 4, 30), at(2027, 5, 31)]
    for number, begun in enumerate(begins[:3]):
        books.now = begun - timedelta(seconds=1)
        await books.begin_months()
        assert (await books.scalar(MONTHS, id=person)).count("g") == number + 1
        books.now = begun
        for _ in range(3):
            await books.begin_months()
        assert (await books.scalar(MONTHS, id=person)).count("g") == number + 2
        await books.balance(person)  # what is due lapses
        assert await plan_lots(books, person) == [(MONTH_TOKENS, begins[number + 1])]


async def test_a_month_that_begins_for_twenty_workers_at_once_is_granted_once(database_url: str, books: Books) -> None:
    person = await books.person()
    await books.buy(person, "year")
    many = Books(Database(database_url, pool_size=20), at(2026, 12, 24))
    try:
        await asyncio.gather(*(many.begin_months() for _ in range(20)))
    finally:
        await many.db.close()
    assert await books.scalar(MONTHS, id=person) == "gg" + "d" * 10


async def test_months_that_an_outage_swallowed_come_with_the_current_one_and_live_as_long(books: Books) -> None:
    person = await books.person()
    await books.buy(person, "year")
    books.now = at(2027, 2, 25)  # nobody looked for two months
    await books.begin_months()
    await books.balance(person)
    assert await plan_lots(books, person) == [(MONTH_TOKENS, at(2027, 3, 24))] * 3
    assert await books.scalar(MONTHS, id=person) == "gggg" + "d" * 8
    books.now = at(2027, 3, 24)
    await books.begin_months()
    await books.balance(person)
    assert await plan_lots(books, person) == [(MONTH_TOKENS, at(2027, 4, 24))]


async def test_nothing_is_granted_after_the_paid_time(books: Books) -> None:
    person = await books.person()
    await books.buy(person, "year")
    books.now = at(2027, 11, 24)
    await books.begin_months()
    await books.expire()
    seen = await books.balance(person)
    assert (seen.entitlement.plan_kind, seen.subscriptions) == ("free", ())
    assert await plan_lots(books, person) == []
    assert await books.scalar(MONTHS, id=person) == "g" + "m" * 11
    assert await outlook(books, person) == {}


async def test_a_plan_whose_tokens_roll_over_lets_each_month_live_one_more(books: Books) -> None:
    person = await books.person()
    await books.buy(person, "long")
    assert await plan_lots(books, person) == [(9_000, at(2026, 12, 24) + MONTH)]
    books.now = at(2026, 12, 24)
    await books.begin_months()
    await books.balance(person)
    assert await plan_lots(books, person) == [(9_000, at(2026, 12, 24) + MONTH), (9_000, at(2027, 1, 24) + MONTH)]


async def test_a_second_year_begins_where_the_first_ends(books: Books) -> None:
    person = await books.person()
    await books.buy(person, "year")
    books.now += 40 * DAY
    again = await books.buy(person, "year")
    assert (again.starts_at, again.until) == (at(2027, 11, 24), at(2028, 11, 24))
    assert (await plan_lots(books, person)) == [(MONTH_TOKENS, at(2026, 12, 24))]
    books.now = at(2027, 11, 24)
    await books.begin_months()
    assert (await books.balance(person)).until == at(2028, 11, 24)
    assert (MONTH_TOKENS, at(2027, 12, 24)) in await plan_lots(books, person)


async def test_the_same_invoice_paid_twice_is_two_years(books: Books) -> None:
    person = await books.person()
    order = await books.order(person, "year")
    first, second = await books.pay(order), await books.pay(order)
    assert (first.starts_at, second.starts_at) == (START, at(2027, 11, 24))
    assert first.subscription_id == second.subscription_id
    assert (await books.balance(person)).until == at(2028, 11, 24)


async def test_a_repeated_report_of_a_year_changes_nothing(books: Books) -> None:
    person = await books.person()
    order = await books.order(person, "year")
    await books.pay(order, charge=f"year-{person}")
    again = await books.pay(order, charge=f"year-{person}")
    assert again.outcome == "repeated"
    assert await books.scalar(MONTHS, id=person) == "g" + "d" * 11


async def test_a_year_bought_beside_a_month_that_renews_begins_when_that_month_ends(books: Books) -> None:
    person = await books.person()
    await books.buy(person, "lite")
    credit = await books.buy(person, "year")
    assert credit.starts_at == START + MONTH
    assert await books.scalar(MONTHS, id=person) == "d" * 12
    seen = await books.balance(person)
    assert (seen.entitlement.plan_id, seen.status, seen.posted) == ("lite", "active", 5_000 + 1_000)
    books.now += MONTH
    await books.begin_months()
    assert (await books.scalar(MONTHS, id=person))[0] == "g"


async def test_a_better_year_does_not_wait_for_a_weaker_month(books: Books) -> None:
    person = await books.person()
    await books.buy(person, "lite")
    assert (await books.buy(person, "long")).starts_at == START
    assert (await books.balance(person)).entitlement.plan_id == "long"
    other = await books.person()
    await books.buy(other, "top")
    assert (await books.buy(other, "year")).starts_at == START + MONTH


# -- refunds


async def test_a_refund_takes_what_is_left_of_every_month_and_ends_the_rest(books: Books) -> None:
    person = await books.person()
    credit = await books.buy(person, "long")
    books.now = at(2026, 12, 24)
    await books.begin_months()
    turn = person * 10
    await books.place(person, turn, 1_000, 1_000)
    await books.settle(turn, 1_000)
    before = await books.balance(person)
    change = await books.refund(credit.payment_id)
    assert change is not None
    assert (change.before, change.after) == ("cancel_scheduled", "revoked")
    seen = await books.balance(person)
    assert seen.entitlement.plan_kind == "free"
    assert before.posted - seen.posted >= 17_000
    assert await plan_lots(books, person) == []
    assert await books.scalar(MONTHS, id=person) == "gg" + "v" * 10
    books.now += 2 * MONTH
    await books.begin_months()
    assert await plan_lots(books, person) == []


async def test_no_month_is_granted_while_a_refund_is_on_its_way_and_a_refused_one_gives_it_back(books: Books) -> None:
    person = await books.person()
    credit = await books.buy(person, "year")
    books.now = at(2026, 12, 23)
    refund = await books.request(credit.payment_id)
    assert (refund.tokens, refund.tokens_taken) == (MONTH_TOKENS, MONTH_TOKENS)
    books.now = at(2026, 12, 24)
    await books.begin_months()
    assert await books.scalar(MONTHS, id=person) == "g" + "d" * 11
    await books.refuse(refund.id)
    await books.begin_months()
    assert await books.scalar(MONTHS, id=person) == "gg" + "d" * 10
    await books.balance(person)
    assert await plan_lots(books, person) == [(MONTH_TOKENS, at(2027, 1, 24))]


async def test_a_refused_refund_gives_back_what_it_took_of_the_month_that_runs(books: Books) -> None:
    person = await books.person()
    credit = await books.buy(person, "year")
    books.now = at(2026, 12, 25)
    await books.begin_months()
    before = await books.balance(person)
    refund = await books.request(credit.payment_id)
    await books.refuse(refund.id)
    assert (await books.balance(person)).posted == before.posted


async def test_a_refund_of_the_second_year_leaves_the_first(books: Books) -> None:
    person = await books.person()
    await books.buy(person, "year")
    second = await books.buy(person, "year")
    await books.refund(second.payment_id)
    assert (await books.balance(person)).until == at(2027, 11, 24)
    assert await plan_lots(books, person) == [(MONTH_TOKENS, at(2026, 12, 24))]


async def test_a_refund_and_a_month_that_begins_at_the_same_time_leave_nothing_behind(
    database_url: str, books: Books
) -> None:
    people = [await books.person() for _ in range(8)]
    payments = [(await books.buy(person, "year")).payment_id for person in people]
    many = Books(Database(database_url, pool_size=16), at(2026, 12, 24))
    try:
        await asyncio.gather(*(many.refund(payment) for payment in payments), *(many.begin_months() for _ in range(4)))
        await many.begin_months()
    finally:
        await many.db.close()
    for person in people:
        books.now = at(2026, 12, 24)
        await books.balance(person)
        assert await plan_lots(books, person) == []
        assert "d" not in await books.scalar(MONTHS, id=person)


# -- what is withdrawn from sale


async def test_a_year_goes_on_when_nobody_can_buy_it_any_more(books: Books) -> None:
    person = await books.person()
    await books.buy(person, "year")
    assert set((await books.open()).withdrawn) == {"long", "year"}
    assert await books.scalar("SELECT withdrawn_at IS NOT NULL FROM plans WHERE id = 'year'")
    books.now = at(2026, 12, 24)
    await books.begin_months()
    seen = await books.balance(person)
    assert (seen.entitlement.plan_id, seen.until) == ("year", at(2027, 11, 24))
    assert await plan_lots(books, person) == [(MONTH_TOKENS, at(2027, 1, 24))]
