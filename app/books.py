"""The books are checked: every hour the wallets that moved, every night everything, each from one snapshot."""

import contextlib
from collections.abc import Collection
from datetime import datetime

import sqlalchemy as sa
import structlog
from redis.exceptions import RedisError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.alerts import alert
from app.context import App
from billing import invariants
from billing.invariants import Violation

log = structlog.get_logger(__name__)

# The last ledger transaction that was checked. Without it everything is: losing Redis loses no check.
CHECKED_KEY = "forma:books:checked"
NIGHT_HOUR_UTC = 1
WHOLE_TIMEOUT_MS = 600_000

# Billing knows turns by number only, so what holds and turns say of each other is asked here.
_HOLDS = sa.text(
    """
    SELECT 'hold ' || h.turn_id || ': ' || h.status || ', its turn ' || coalesce(t.status, 'is gone')
    FROM holds h LEFT JOIN turns t ON t.id = h.turn_id
    WHERE h.status = 'held' AND t.status IS DISTINCT FROM 'open'
    UNION ALL
    SELECT 'turn ' || t.id || ': open without a hold'
    FROM turns t LEFT JOIN holds h ON h.turn_id = t.id AND h.status = 'held'
    WHERE t.status = 'open' AND h.turn_id IS NULL
    LIMIT :most
    """
)


async def violations(connection: AsyncConnection, accounts: Collection[int] | None = None) -> list[Violation]:
    """Return what breaks the books now: billing's invariants, of all or of some wallets, and holds without a turn."""
    broken = await invariants.check(connection, accounts)
    rows = (await connection.execute(_HOLDS, {"most": invariants.COUNT_MAX})).scalars().all()
    if rows:
        name = "a hold is open exactly while its turn is"
        broken.append(Violation(7, name, len(rows), tuple(rows[: invariants.EXAMPLES_MAX])))
    return broken


async def check(app: App, *, now: datetime) -> list[Violation]:
    """Check the invariants, alert each that is broken once a day, and return them.

    What commits late behind a checked transaction, or moves no tokens, is found by night.
    """
    checked = None if now.hour == NIGHT_HOUR_UTC else await _checked(app)
    async with app.db.transaction() as tx:
        await tx.execute(sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
        await tx.execute(sa.text(f"SET LOCAL statement_timeout = {WHOLE_TIMEOUT_MS}"))
        moved, last = await invariants.touched(tx, after_tx=checked or 0)
        broken = await violations(tx, None if checked is None else moved)
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
