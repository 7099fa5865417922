"""Renewals by card in the books: one charge a month whoever schedules it, and what came late, twice or uncalled for."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from sqlalchemy.exc import DBAPIError

from billing import (
    card_checks,
    card_renewals,
    ledger,
    payment_methods,
    refunds,
    rouble_following,
    rouble_payments,
    subscriptions,
)
from billing.rouble_following import Followed
from billing.rouble_payments import ORDER_KEY, PAYMENT_KEY, RoublePayment
from billing.subscriptions import Subscription
from billing.yookassa import objects
from billing.yookassa.objects import SavedMethod
from kit.db import Database
from tests.support.books import PLANS, START, Books

SHOP = "900000"
KOPECKS = 99_000
DAY = timedelta(days=1)
SAVE = '{"save_payment_method":true}'
FIFTY = 50


@pytest.fixture
async def books(database: Database) -> Books:
    made = Books(database)
    await made.open(PLANS)
    return made


def told(going: RoublePayment, number: str, status: Any = "succeeded", *, reason: str = "") -> objects.Payment:
    """A payment as YooKassa tells of it; a card was kept with it if it was asked for."""
    return objects.Payment(
        id=number, status=status, kopecks=KOPECKS, currency="RUB", refunded_kopecks=0, created_at=START,
        captured_at=None, confirmation_url="", reason=reason, party="", account_id=SHOP, receipt="",
        metadata={PAYMENT_KEY: str(going.id), ORDER_KEY: going.payload},
        saved_method=SavedMethod(f"method-{number}", "bank_card", "Bank card *4444"),
    )  # fmt: skip


async def follow(books: Books, found: objects.Payment) -> Followed:
    async with books.db.transaction() as tx:
        seen = await rouble_following.follow(tx, found, shop_id=SHOP, now=books.now)
    assert seen is not None
    return seen


async def subscribed(books: Books) -> tuple[int, Subscription]:
    """A person whose card pays the plan "top"."""
    person = await books.person()
    order = await books.order(person, "top", "RUB", renews=True)
    async with books.db.transaction() as tx:
        await ledger.lock_wallet(tx, person_id=person, now=books.now)
        going = await rouble_payments.begin(tx, order, build=lambda _: SAVE, now=books.now)
    assert (await follow(books, told(going, f"first-{person}"))).credit is not None
    return person, await mine(books, person)


async def mine(books: Books, person: int) -> Subscription:
    async with books.db.read() as connection:
        return (await subscriptions.living(connection, person_id=person))[0]


async def announced(books: Books, until: datetime) -> None:
    """Tell of what is due at `until`, and let it come."""
    books.now = until - 2 * DAY
    async with books.db.transaction() as tx:
        await card_renewals.announce(tx, now=books.now, within=3 * DAY, limit=500)
    books.now = until + timedelta(minutes=1)


async def begin(books: Books, subscription_id: int) -> RoublePayment | None:
    async with books.db.transaction() as tx:
        return await card_renewals.begin(tx, subscription_id, build=lambda *_: "{}", now=books.now)


async def charged(books: Books, subscription_id: int) -> RoublePayment:
    """A charge whose request went out."""
    going = await begin(books, subscription_id)
    assert going is not None
    async with books.db.transaction() as tx:
        taken = await rouble_payments.take_to_post(tx, going.id, now=books.now)
    assert taken is not None
    return taken


async def due(books: Books) -> tuple[int, Subscription]:
    person, subscription = await subscribed(books)
    assert subscription.until is not None
    await announced(books, subscription.until)
    return person, subscription


async def at_once(work: Callable[[int], Awaitable[Any]]) -> Counter[Any]:
    return Counter(await asyncio.gather(*(work(number) for number in range(FIFTY))))


async def test_fifty_schedulers_announce_and_charge_a_month_once(books: Books) -> None:
    person, subscription = await subscribed(books)
    assert subscription.until is not None
    assert await begin(books, subscription.id) is None  # nothing was announced
    books.now = subscription.until - 2 * DAY

    async def announce(_: int) -> int:
        async with books.db.transaction() as tx:
            coming = await card_renewals.announce(tx, now=books.now, within=3 * DAY, limit=500)
        return len([one for one in coming if one.subscription.id == subscription.id])

    assert await at_once(announce) == {1: 1, 0: FIFTY - 1}
    assert await begin(books, subscription.id) is None  # it is not time yet
    books.now = subscription.until

    async def charge(_: int) -> bool:
        return await begin(books, subscription.id) is not None

    assert await at_once(charge) == {True: 1, False: FIFTY - 1}
    assert await books.scalar("SELECT count(*) FROM payments WHERE payer_id = :id", id=person) == 2
    assert await books.violations() == []


async def test_a_month_begins_where_the_last_one_ended_and_keeps_its_anchor(books: Books) -> None:
    books.now = datetime(2027, 1, 31, 9, tzinfo=UTC)
    person, subscription = await subscribed(books)
    ends = [subscription.until]
    for number in range(3):
        assert ends[-1] is not None
        await announced(books, ends[-1])
        seen = await follow(books, told(await charged(books, subscription.id), f"{person}-{number}"))
        assert seen.credit is not None
        ends.append(seen.credit.until)
    assert [end and (end.month, end.day) for end in ends] == [(2, 28), (3, 31), (4, 30), (5, 31)]
    kept = "SELECT count(*) FROM payment_methods WHERE person_id = :id"
    assert await books.scalar(kept, id=person) == 1  # the answers to charges name the card again
    assert await books.violations() == []


async def test_fifty_judgements_of_one_decline_are_one(books: Books) -> None:
    _, subscription = await due(books)
    going = await charged(books, subscription.id)
    await follow(books, told(going, f"no-{going.id}", "canceled", reason="insufficient_funds"))

    async def judge(_: int) -> str | None:
        async with books.db.transaction() as tx:
            judged = await card_renewals.judge(tx, going.id, now=books.now)
        return judged and judged.reason

    assert await at_once(judge) == {"insufficient_funds": 1, None: FIFTY - 1}
    assert (await mine(books, subscription.person_id)).status == "past_due"
    assert await begin(books, subscription.id) is None
    books.now += DAY
    assert await begin(books, subscription.id) is not None
    assert await books.violations() == []


async def test_a_charge_that_was_given_up_and_came_after_all_pays_the_month_or_goes_back(books: Books) -> None:
    _, subscription = await due(books)
    assert subscription.until is not None
    lost = await charged(books, subscription.id)
    async with books.db.transaction() as tx:
        assert await rouble_payments.cancel(tx, lost.id, reason="never_arrived", now=books.now)
        judged = await card_renewals.judge(tx, lost.id, now=books.now)
    assert judged is not None
    assert judged.plan.quiet
    books.now += timedelta(minutes=10)
    again = await charged(books, subscription.id)
    assert (await follow(books, told(again, f"again-{again.id}"))).credit is not None
    after = (await mine(books, subscription.person_id)).until
    late = await follow(books, told(lost, f"late-{lost.id}"))
    assert late.credit is not None
    assert (late.credit.outcome, late.credit.reason) == ("quarantined", "period_covered")
    assert late.credit.refund_due
    assert (await mine(books, subscription.person_id)).until == after
    # The other way round: nothing was charged in its place.
    _, other = await due(books)
    lost = await charged(books, other.id)
    async with books.db.transaction() as tx:
        await rouble_payments.cancel(tx, lost.id, reason="never_arrived", now=books.now)
    assert (late := (await follow(books, told(lost, f"late-{lost.id}"))).credit) is not None
    assert late.outcome == "credited"
    assert await books.violations() == []


async def test_a_charge_after_its_subscription_ended_opens_a_successor_that_does_not_renew(books: Books) -> None:
    person, subscription = await due(books)
    going = await charged(books, subscription.id)
    async with books.db.transaction() as tx:
        await rouble_payments.mark_unknown(tx, going.id, now=books.now)
    for _ in range(2):  # into grace, and out of it
        async with books.db.transaction() as tx:
            await subscriptions.expire_due(tx, now=books.now, limit=100)
        books.now += 4 * DAY
    async with books.db.transaction() as tx:
        assert await rouble_payments.take_to_post(tx, going.id, now=books.now) is None
    seen = await follow(books, told(going, f"late-{going.id}"))
    assert seen.credit is not None
    assert seen.credit.outcome == "credited"
    successor = await mine(books, person)
    assert (successor.id != subscription.id, successor.status) == (True, "cancel_scheduled")
    assert successor.until is not None
    assert successor.until > books.now + 27 * DAY
    assert await books.violations() == []


async def test_a_charge_of_what_was_refunded_goes_back(books: Books) -> None:
    person, subscription = await due(books)
    going = await charged(books, subscription.id)
    first = await books.scalar("SELECT min(id) FROM payments WHERE payer_id = :id", id=person)
    async with books.db.transaction() as tx:
        refund = await refunds.request(tx, payment_id=first, requested_by=None, reason="test", now=books.now)
        await refunds.confirm(tx, refund_id=refund.id, now=books.now)
    seen = await follow(books, told(going, f"late-{going.id}"))
    assert seen.credit is not None
    assert (seen.credit.reason, seen.credit.refund_due) in {("subscription_revoked", True), (None, False)}
    assert await books.violations() == []


async def test_what_was_called_off_is_never_posted_again(books: Books) -> None:
    for call_off in ("cancel", "remove"):
        person, subscription = await due(books)
        going = await charged(books, subscription.id)
        async with books.db.transaction() as tx:
            await rouble_payments.mark_unknown(tx, going.id, now=books.now)
            if call_off == "cancel":
                assert await card_renewals.stop(tx, subscription.id, now=books.now) is not None
            else:
                method = (await payment_methods.of_person(tx, person_id=person))[subscription.id]
                assert await payment_methods.remove(tx, method.id, now=books.now)
        books.now += timedelta(minutes=5)
        async with books.db.transaction() as tx:
            assert await rouble_payments.take_to_post(tx, going.id, now=books.now) is None
            found = await rouble_payments.find(tx, going.id)
        assert found is not None
        assert not found.may_be_looked_up(books.now)
        assert found.may_be_looked_up(books.now + timedelta(minutes=5))
        # It had gone out before: what was charged is a month, and the last one.
        seen = await follow(books, told(going, f"out-{going.id}"))
        assert seen.credit is not None
        assert seen.credit.outcome == "credited"
        assert (await mine(books, person)).status == "cancel_scheduled"
    assert await books.violations() == []


async def test_a_removed_card_is_removed_for_good(books: Books) -> None:
    person, subscription = await subscribed(books)
    async with books.db.transaction() as tx:
        method = (await payment_methods.of_person(tx, person_id=person))[subscription.id]
        assert await payment_methods.remove(tx, method.id, now=books.now)
    with pytest.raises(DBAPIError, match="fk_status_changes_subject_status_edges"):
        await books.run("UPDATE payment_methods SET status = 'active' WHERE id = :id", id=method.id)
    with pytest.raises(DBAPIError, match="append only"):
        await books.run("DELETE FROM payment_methods")
    async with books.db.transaction() as tx:
        assert await card_renewals.resume(tx, subscription.id, now=books.now) is None


async def test_what_was_cancelled_does_not_renew_again_beside_what_was_paid_meanwhile(books: Books) -> None:
    person, subscription = await subscribed(books)
    async with books.db.transaction() as tx:
        assert await card_renewals.stop(tx, subscription.id, now=books.now) is not None
    await books.buy(person, "lite")
    async with books.db.transaction() as tx:
        assert await card_renewals.resume(tx, subscription.id, now=books.now) is None
    assert (await mine(books, person)).status == "cancel_scheduled"


async def test_an_unannounced_charge_cannot_be_written(books: Books) -> None:
    _, subscription = await subscribed(books)
    with pytest.raises(DBAPIError, match="ck_card_renewals_charged_when_announced"):
        await books.run(
            "UPDATE card_renewals SET announced_for = now(), announced_at = now(), next_at = now()"
            " WHERE subscription_id = :id",
            id=subscription.id,
        )
    await due(books)
    with pytest.raises(DBAPIError, match="ck_renewal_tries_card_was_announced"):
        await books.run(
            "INSERT INTO renewal_tries (subscription_id, period_start, number, payment_id, method_id, announced_at,"
            " created_at) SELECT c.subscription_id, now(), 1, m.payment_id, m.id, now(), now()"
            " FROM card_renewals c JOIN payment_methods m ON m.id = c.method_id LIMIT 1"
        )


# -- what the checks find where the database was made to look away

CORRUPTIONS = {
    "a month is charged to a card once":
        "INSERT INTO renewal_tries (subscription_id, period_start, number, payment_id, judged_at, created_at)"
        " SELECT t.subscription_id, t.period_start, 9, (SELECT min(id) FROM payments WHERE payer_id = q.payer_id),"
        " now(), now() FROM renewal_tries t JOIN payments q ON q.id = t.payment_id ORDER BY t.id DESC LIMIT 1",
    "a charge to renew pays the order of what it renews, and its end is noted with it":
        "UPDATE renewal_tries SET judged_at = NULL WHERE id = (SELECT max(id) FROM renewal_tries)",
    "no card is charged that its owner took away, or its bank refused for good":
        "UPDATE payment_methods SET status = 'removed', updated_at = created_at",
}  # fmt: skip


@pytest.fixture
async def corrupt(books: Books, database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A superuser's session in which no trigger and no foreign key looks, rolled back at the end."""
    connection = await asyncpg.connect(database_url)
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute("SET LOCAL session_replication_role = replica")
    yield connection
    await transaction.rollback()
    await connection.close()


@pytest.mark.parametrize("check", card_checks.CHECKS, ids=lambda check: check.name)
async def test_a_broken_invariant_is_named(books: Books, corrupt: asyncpg.Connection, check: Any) -> None:
    _, subscription = await due(books)
    await follow(books, told(await charged(books, subscription.id), f"second-{subscription.id}"))
    query = check.sql.format(subscriber="true", payer="true")
    assert await corrupt.fetch(query) == []
    await corrupt.execute(CORRUPTIONS[check.name])
    assert await corrupt.fetch(query) != []


async def asked_about(books: Books) -> list[int]:
    async with books.db.read() as connection:
        return [going.id for going in await rouble_payments.due(connection, now=books.now, limit=100)]


async def test_a_charge_whose_worker_died_before_it_was_sent_is_sent_in_a_minute(books: Books) -> None:
    person, subscription = await due(books)
    going = await begin(books, subscription.id)
    assert going is not None
    buyer = await books.person()
    order = await books.order(buyer, "top", "RUB")
    async with books.db.transaction() as tx:
        await ledger.lock_wallet(tx, person_id=buyer, now=books.now)
        page = await rouble_payments.begin(tx, order, build=lambda _: "{}", now=books.now)
    assert going.id not in await asked_about(books)  # its worker may be about to send it
    books.now += rouble_payments.ASK_EVERY
    waiting = await asked_about(books)
    assert going.id in waiting
    assert page.id not in waiting  # nobody has seen a page for it: who wants it presses again
    async with books.db.transaction() as tx:
        found = await rouble_payments.find(tx, going.id)
        assert found is not None
        assert found.may_be_posted(books.now)
        assert await rouble_payments.take_to_post(tx, going.id, now=books.now) is not None
    assert (await follow(books, told(going, f"late-{person}"))).credit is not None
    assert await books.violations() == []


async def test_a_charge_that_was_called_off_before_it_was_sent_is_not_sent(books: Books) -> None:
    _, subscription = await due(books)
    going = await begin(books, subscription.id)
    assert going is not None
    async with books.db.transaction() as tx:
        await card_renewals.stop(tx, subscription.id, now=books.now)
    books.now += rouble_payments.ASK_EVERY
    async with books.db.transaction() as tx:
        assert await rouble_payments.take_to_post(tx, going.id, now=books.now) is None
    books.now += rouble_payments.INTENT_LIFE
    async with books.db.transaction() as tx:
        assert await rouble_payments.cancel_unsent(tx, now=books.now, limit=100) >= 1
        closed = await rouble_payments.find(tx, going.id)
    assert closed is not None
    assert (closed.status, closed.reason) == ("canceled", "never_sent")
