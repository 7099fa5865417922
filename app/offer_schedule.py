"""What was sold goes on by itself: months that begin bring their tokens, gifts that nobody took end."""

import structlog

from app import gift_notices, purchase
from app.context import App
from billing import gifts, once

log = structlog.get_logger(__name__)

BATCH_MAX = 500


async def minute(app: App) -> None:
    """Grant the months that have begun, a transaction for each person; remind of gifts, and end them."""
    now = app.clock.now()
    async with app.db.read() as connection:
        begun = await once.due(connection, now=now, limit=BATCH_MAX)
    for subscription_id in begun:
        async with app.db.transaction() as tx:
            granted = await once.grant_due(tx, subscription_id, now=now)
            if granted is not None:
                await purchase.tell_month(tx, granted, now=now)
            else:
                log.warning("months_missed", subscription=subscription_id)
    async with app.db.transaction() as tx:
        for gift in await gifts.take_reminders(tx, now=now, limit=BATCH_MAX):
            await gift_notices.ends_soon(tx, gift, now=now)
    async with app.db.transaction() as tx:
        for gift in await gifts.expire_due(tx, now=now, limit=BATCH_MAX):
            await gift_notices.ended(tx, gift, now=now)
