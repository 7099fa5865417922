"""Housekeeping on schedule: periods that end, books that must balance, rows that must go."""

from datetime import timedelta

from app import books, purchase
from app.context import App
from billing import checkout_links, lots, orders, refunds, subscriptions
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
    """End subscriptions and lots that are due; tell of plans that ended, charges that failed, charges to come."""
    now = app.clock.now()
    async with app.db.transaction() as tx:
        for change in await subscriptions.expire_due(tx, now=now, limit=BATCH_MAX):
            if change.after != "past_due":  # nobody is alarmed before it is known that the renewal is not just late
                await purchase.tell_change(app, tx, change, now=now)
    async with app.db.transaction() as tx:
        for owed in await subscriptions.take_grace(tx, now=now, after=SILENCE_MAX, limit=BATCH_MAX):
            await purchase.tell_failed(app, tx, owed, now=now)
    async with app.db.transaction() as tx:
        for renewing in await subscriptions.take_renewals(tx, now=now, within=REMIND_BEFORE, limit=BATCH_MAX):
            await purchase.tell_renewal(tx, renewing, now=now)
    async with app.db.transaction() as tx:
        await orders.expire_due(tx, now=now, limit=BATCH_MAX)
    async with app.db.transaction() as tx:
        await lots.expire_due(tx, now=now, limit=BATCH_MAX)


async def hour(app: App) -> None:
    """Check the books, alert what is broken, insist on refunds, delete what has been kept long enough."""
    now = app.clock.now()
    await books.check(app, now=now)
    async with app.db.transaction() as tx:
        for refund in await refunds.overdue(tx, now=now, after=REFUND_OVERDUE, limit=BATCH_MAX):
            await purchase.insist_on_refund(app, tx, refund, now=now)
    async with app.db.transaction() as tx:
        for source in (inbox.TELEGRAM, inbox.YOOKASSA):
            await inbox.purge(tx, source=source, now=now, limit=PURGE_MAX)
        await checkout_links.purge(tx, now=now, limit=PURGE_MAX)
        await outbox.purge(tx, now=now, limit=PURGE_MAX)
