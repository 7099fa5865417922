"""A subscription's life: what its periods cover, what Telegram says of it, what the sweep ends, who is told once."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from billing import star_reminders, subscriptions
from billing.subscriptions import Change
from kit.db import Database
from tests.support.books import DAY, MONTH, START, Books

HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
async def shared(database: Database) -> Books:
    made = Books(database)
    await made.open()
    return made


@pytest.fixture
async def books(shared: Books) -> AsyncIterator[Books]:
    """The module's books a year later for each test, so that no test's sweep meets another's subscriptions."""
    shared.now += 365 * DAY
    await shared.expire()
    yield shared
    assert await shared.violations() == []


async def subscribe(books: Books, product: str = "lite", charge: str = "") -> tuple[int, str]:
    """Returns (person, payload)."""
    person = await books.person()
    order = await books.order(person, product)
    await books.pay(order, charge=charge)
    return person, order.payload


async def renew(books: Books, person: int, payload: str, stars: int = 300) -> str:
    credit = await books.pay(
        payload, payer=person, amount=stars, recurring=True, first=False, expires=books.now + MONTH
    )
    return credit.reason or credit.outcome


async def status(books: Books, person: int) -> tuple[str, str | None]:
    """(plan, status)."""
    seen = await books.balance(person)
    return seen.entitlement.plan_id, seen.status


def ended(changes: list[Change]) -> list[tuple[str, str]]:
    return [(change.before, change.after) for change in changes]


async def test_a_renewal_extends_from_where_the_month_ended(books: Books) -> None:
    person, payload = await subscribe(books)
    end = books.now + MONTH
    books.now = end - HOUR
    assert await renew(books, person, payload) == "credited"
    assert (await books.balance(person)).until == end - HOUR + MONTH


async def test_a_cancelled_subscription_gives_access_to_its_end_and_no_longer(books: Books) -> None:
    person, payload = await subscribe(books)
    change = await books.say(payload, person, "canceled")
    assert change is not None
    assert (change.before, change.after) == ("active", "cancel_scheduled")
    assert await books.say(payload, person, "canceled") is None
    books.now += MONTH - HOUR
    assert await books.expire() == []
    assert await status(books, person) == ("lite", "cancel_scheduled")
    books.now += HOUR
    assert (await books.balance(person)).entitlement.plan_id == "free"
    assert ended(await books.expire()) == [("cancel_scheduled", "expired")]
    assert await books.expire() == []


async def test_a_resumed_subscription_renews_again(books: Books) -> None:
    person, payload = await subscribe(books)
    await books.say(payload, person, "canceled")
    change = await books.say(payload, person, "active")
    assert change is not None
    assert change.after == "active"
    assert change.subscription.renews


async def test_a_stranger_with_the_same_payload_changes_nothing(books: Books) -> None:
    person, payload = await subscribe(books)
    stranger = await books.person()
    assert await books.say(payload, stranger, "canceled") is None
    assert await books.say(payload, stranger, "failed") is None
    assert await status(books, person) == ("lite", "active")


@pytest.mark.parametrize("state", ["canceled", "active", "failed"])
async def test_a_word_before_any_payment_changes_nothing(books: Books, state: str) -> None:
    person = await books.person()
    order = await books.order(person, "lite")
    assert await books.say(order.payload, person, state) is None
    assert await books.say("forma:never", person, state) is None
    assert (await books.pay(order)).outcome == "credited"


async def test_a_failed_charge_begins_grace_which_ends(books: Books) -> None:
    person, payload = await subscribe(books)
    books.now += MONTH
    change = await books.say(payload, person, "failed")
    assert change is not None
    assert (change.after, change.subscription.until) == ("past_due", books.now + 3 * DAY)
    again = await books.say(payload, person, "failed")
    assert again is not None
    assert again.before == again.after == "past_due"
    assert await status(books, person) == ("lite", "past_due")
    books.now += 3 * DAY
    assert ended(await books.expire()) == [("past_due", "expired")]
    assert (await books.balance(person)).entitlement.plan_id == "free"


async def test_a_renewal_within_grace_takes_the_place_of_grace(books: Books) -> None:
    person, payload = await subscribe(books)
    end = books.now + MONTH
    books.now = end + DAY
    assert ended(await books.expire()) == [("active", "past_due")]
    assert await renew(books, person, payload) == "credited"
    assert await status(books, person) == ("lite", "active")
    kinds = "SELECT string_agg(kind, ' ' ORDER BY starts_at) FROM subscription_periods WHERE person_id = :id"
    assert await books.scalar(kinds, id=person) in {"paid paid", "paid grace paid"}


async def test_a_renewal_after_the_end_opens_a_successor(books: Books) -> None:
    person, payload = await subscribe(books, charge=f"root-{START}")
    books.now += MONTH + 9 * DAY
    assert ended(await books.expire()) == [("active", "expired")]
    assert await renew(books, person, payload) == "credited"
    seen = (await books.balance(person)).subscription
    assert seen is not None
    assert (seen.status, seen.first_charge_id) == ("active", f"root-{START}")
    sql = "SELECT predecessor_id IS NOT NULL FROM subscriptions WHERE id = :id"
    assert await books.scalar(sql, id=seen.id)


async def test_a_late_renewal_goes_back_when_another_subscription_took_its_place(books: Books) -> None:
    person, payload = await subscribe(books, charge="place-old")
    books.now += MONTH + 9 * DAY
    await books.expire()
    await books.buy(person, "top")
    credit = await books.pay(payload, payer=person, amount=300, recurring=True, first=False)
    assert (credit.reason, credit.refund_due, credit.cancel_charges) == ("second_subscription", True, ("place-old",))
    assert await status(books, person) == ("top", "active")


async def test_buying_anew_during_grace_ends_the_old_one_and_stops_its_charges(books: Books) -> None:
    person, payload = await subscribe(books, charge="grace-old")
    books.now += MONTH
    await books.say(payload, person, "failed")
    credit = await books.buy(person, "lite", charge="grace-new")
    assert (credit.outcome, credit.cancel_charges) == ("credited", ("grace-old",))
    owned = (await books.balance(person)).subscriptions
    assert [(one.first_charge_id, one.status) for one in owned] == [("grace-new", "active")]


async def test_grace_is_ended_by_its_persons_wish(books: Books) -> None:
    person, payload = await subscribe(books)
    books.now += MONTH
    await books.say(payload, person, "failed")
    async with books.db.transaction() as tx:
        changes = await subscriptions.end_grace(tx, person_id=person, now=books.now)
    assert ended(changes) == [("past_due", "expired")]
    assert (await books.balance(person)).entitlement.plan_id == "free"


async def test_grace_that_is_ended_early_leaves_what_was_paid(books: Books) -> None:
    person, payload = await subscribe(books)
    end = books.now + MONTH
    books.now = end - DAY
    await books.say(payload, person, "failed")
    async with books.db.transaction() as tx:
        [change] = await subscriptions.end_grace(tx, person_id=person, now=books.now)
    assert (change.after, change.subscription.until) == ("past_due", end)
    assert (await books.balance(person)).entitlement.plan_id == "lite"
    books.now = end
    assert ended(await books.expire()) == [("past_due", "expired")]


async def test_a_leap_over_month_and_grace_ends_it_in_one_step(books: Books) -> None:
    person, _ = await subscribe(books)
    books.now += 400 * DAY
    assert ended(await books.expire()) == [("active", "expired")]
    assert (await books.balance(person)).entitlement.plan_id == "free"


async def test_the_sweep_goes_on_where_its_limit_stopped_it(books: Books) -> None:
    for _ in range(3):
        await subscribe(books)
    books.now += 400 * DAY
    assert [len(await books.expire(most=2)), len(await books.expire(most=2))] == [2, 1]


async def test_the_better_plan_counts_while_two_run(books: Books) -> None:
    person, payload = await subscribe(books, "lite")
    await books.say(payload, person, "canceled")
    books.now += DAY
    await books.buy(person, "top")
    seen = await books.balance(person)
    assert (seen.entitlement.plan_id, seen.entitlement.weight) == ("top", 4)
    assert seen.subscription is not None
    assert (seen.subscription.plan_id, len(seen.subscriptions)) == ("top", 2)


async def test_each_coming_charge_is_announced_once(books: Books) -> None:
    person, payload = await subscribe(books)
    within = timedelta(days=3)

    async def announced() -> list[int]:
        async with books.db.transaction() as tx:
            return [s.person_id for s in await star_reminders.take_renewals(tx, now=books.now, within=within, limit=9)]

    assert await announced() == []
    books.now += MONTH - 3 * DAY
    assert [await announced(), await announced()] == [[person], []]
    books.now += 3 * DAY - HOUR
    await renew(books, person, payload)
    assert await announced() == []
    books.now += 28 * DAY
    assert [await announced(), await announced()] == [[person], []]


async def test_a_charge_that_will_not_come_is_not_announced(books: Books) -> None:
    person, payload = await subscribe(books)
    await books.say(payload, person, "canceled")
    books.now += MONTH - DAY
    async with books.db.transaction() as tx:
        assert await star_reminders.take_renewals(tx, now=books.now, within=3 * DAY, limit=9) == []


async def test_grace_is_told_after_a_silence_and_once(books: Books) -> None:
    person, _ = await subscribe(books)
    books.now += MONTH
    await books.expire()

    async def told() -> list[int]:
        async with books.db.transaction() as tx:
            return [s.person_id for s in await star_reminders.take_grace(tx, now=books.now, after=6 * HOUR, limit=9)]

    assert await told() == []
    books.now += 6 * HOUR
    assert [await told(), await told()] == [[person], []]
