"""The books are checked: every hour the wallets that moved, every night everything, each from one snapshot."""

import contextlib
from datetime import datetime

import sqlalchemy as sa
import structlog
from redis.exceptions import RedisError

from app.alerts import alert
from app.context import App
from billing import invariants
from billing.invariants import Violation

log = structlog.get_logger(__name__)

# The last ledger transaction that was checked. Without it everything is: losing Redis loses no check.
CHECKED_KEY = "forma:books:checked"
NIGHT_HOUR_UTC = 1
WHOLE_TIMEOUT_MS = 600_000


async def check(app: App, *, now: datetime) -> list[Violation]:
    """Check the invariants, alert each that is broken once a day, and return them.

    What commits late behind a checked transaction, or moves no tokens, is found by night.
    """
    checked = None if now.hour == NIGHT_HOUR_UTC else await _checked(app)
    async with app.db.transaction() as tx:
        await tx.execute(sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
        await tx.execute(sa.text(f"SET LOCAL statement_timeout = {WHOLE_TIMEOUT_MS}"))
        moved, last = await invariants.touched(tx, after_tx=checked or 0)
        broken = await invariants.check(tx, None if checked is None else moved)
    for violation in broken:
        log.error("invariant_broken", number=violation.number, name=violation.name, examples=violation.examples)
        async with app.db.transaction() as tx:
            await alert(
                app,
                tx,
                "admin-alert-invariant",
                {"number": violation.number, "name": violation.name, "count": violation.count},
                dedup_key=f"invariant:{violation.number}:{violation.name}:{now:%Y%m%d}",
                now=now,
            )
    log.info("books_checked", wallets=None if checked is None else len(moved), broken=len(broken))
    with contextlib.suppress(RedisError):
        await app.redis.set(CHECKED_KEY, last)
    return broken


async def _checked(app: App) -> int | None:
    with contextlib.suppress(RedisError):
        raw = await app.redis.get(CHECKED_KEY)
        return None if raw is None else int(raw)
    return None
