"""Housekeeping on schedule: periods that end, books that must balance, rows that must go."""

from datetime import timedelta

from app import (
    books,
    cases,
    free_access,
    invitations,
    offer_schedule,
    purchase,
    refunding,
    renewals,
    rouble_refunds,
    service_lanes,
)
from app.context import App
from billing import cases as billing_cases
from billing import checkout_links, discounts, lots, orders, refunds, star_reminders, subscriptions
from billing.payments import STARS, YOOKASSA
from kit import inbox, outbox

# Persons hear of a charge so long before it.
REMIND_BEFORE = timedelta(days=3)
# A renewal is often some minutes late, and Telegram says by itself that one failed. After so long without a word of
# either the person is told that grace runs.
SILENCE_MAX = timedelta(hours=6)
# Telegram answers a refund at once; what takes longer was refused, or the bot's balance is too low.
REFUND_OVERDUE = timedelta(hours=1)
BATCH_MAX = 500
PURGE_MAX = 5_000


async def minute(app: App) -> None:
    """End subscriptions and lots that are due; tell of plans that ended, failed and coming charges, cases due.

    Days given begin where nothing is in their way any more, and invitations are rewarded.
    """
    now = app.clock.now()
    await offer_schedule.minute(app)  # before what ends, so that a last month is not missed
    async with app.db.transaction() as tx:
        for change in await subscriptions.expire_due(tx, now=now, limit=BATCH_MAX):
            if change.after != "past_due":  # nobody is alarmed before it is known that the renewal is not just late
                await purchase.tell_change(app, tx, change, now=now)
    async with app.db.transaction() as tx:
        for owed in await star_reminders.take_grace(tx, now=now, after=SILENCE_MAX, limit=BATCH_MAX):
            await purchase.tell_failed(app, tx, owed, now=now)
    async with app.db.transaction() as tx:
        for renewing in await star_reminders.take_renewals(tx, now=now, within=REMIND_BEFORE, limit=BATCH_MAX):
            await purchase.tell_renewal(tx, renewing, now=now)
    async with app.db.transaction() as tx:
        await orders.expire_due(tx, now=now, limit=BATCH_MAX)
    async with app.db.transaction() as tx:
        await discounts.release_due(tx, now=now, limit=BATCH_MAX)
    async with app.db.transaction() as tx:
        await lots.expire_due(tx, now=now, limit=BATCH_MAX)
    await free_access.minute(app, now=now, limit=BATCH_MAX)
    await invitations.reward_due(app, now=now, limit=BATCH_MAX)
    async with app.db.transaction() as tx:
        await cases.remind(app, tx, now=now, limit=BATCH_MAX)
    await service_lanes.expire(app)


async def hour(app: App) -> None:
    """Check the books, insist on refunds, remind of quarantine, stop renewals of who is gone, delete what is old."""
    now = app.clock.now()
    await books.check(app, now=now)
    await renewals.stop_of_blocked(app, limit=BATCH_MAX)
    async with app.db.transaction() as tx:
        for refund in await refunds.overdue(tx, provider=STARS, now=now, after=REFUND_OVERDUE, limit=BATCH_MAX):
            await purchase.insist_on_refund(app, tx, refund, now=now)
        for refund in await refunds.overdue(tx, provider=YOOKASSA, now=now, after=REFUND_OVERDUE, limit=BATCH_MAX):
            await rouble_refunds.tell_overdue(app, tx, refund, now=now)
    async with app.db.transaction() as tx:
        await refunding.remind_of_quarantine(app, tx, now=now, limit=BATCH_MAX)
    async with app.db.transaction() as tx:
        await billing_cases.close_quiet(tx, now=now, limit=BATCH_MAX)
        await billing_cases.purge(tx, now=now, limit=PURGE_MAX)
    async with app.db.transaction() as tx:
        for source in (inbox.TELEGRAM, inbox.YOOKASSA):
            await inbox.purge(tx, source=source, now=now, limit=PURGE_MAX)
        await checkout_links.purge(tx, now=now, limit=PURGE_MAX)
        await outbox.purge(tx, now=now, limit=PURGE_MAX)
