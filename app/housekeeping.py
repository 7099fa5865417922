"""Housekeeping on schedule: periods that end, books that must balance, rows that must go."""

import structlog

from app import purchase
from app.alerts import alert
from app.context import App
from billing import invariants, lots, orders, subscriptions
from kit import inbox, outbox

log = structlog.get_logger(__name__)

BATCH_MAX = 500
PURGE_MAX = 5_000


async def minute(app: App) -> None:
    """End subscriptions and lots that are due; tell the persons whose plan has ended."""
    now = app.clock.now()
    async with app.db.transaction() as tx:
        for change in await subscriptions.expire_due(tx, now=now, limit=BATCH_MAX):
            await purchase.tell_change(app, tx, change, now=now)
    async with app.db.transaction() as tx:
        await orders.expire_due(tx, now=now, limit=BATCH_MAX)
    async with app.db.transaction() as tx:
        await lots.expire_due(tx, now=now, limit=BATCH_MAX)


async def hour(app: App) -> None:
    """Check every invariant, alert what is broken, delete what has been kept long enough."""
    now = app.clock.now()
    async with app.db.read() as connection:
        broken = await invariants.check(connection)
    for violation in broken:
        log.error("invariant_broken", number=violation.number, name=violation.name, examples=violation.examples)
        async with app.db.transaction() as tx:
            await alert(
                app,
                tx,
                "admin-alert-invariant",
                {"number": violation.number, "name": violation.name, "count": violation.count},
                dedup_key=f"invariant:{violation.number}:{now:%Y%m%d}",
                now=now,
            )
    async with app.db.transaction() as tx:
        await inbox.purge(tx, source=inbox.TELEGRAM, now=now, limit=PURGE_MAX)
        await outbox.purge(tx, now=now, limit=PURGE_MAX)
