"""Reconcile roubles: YooKassa's lists of a window beside the books, both ways; the operator is told what differs.

What YooKassa knows and we do not yet is followed first, the way that its notification would have gone. So a run may be
repeated, or meet another one or the late notification itself, and changes nothing.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, TypeVar

import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from app import rouble_payments, rouble_refunds
from app.alerts import alert
from app.context import App
from billing import rouble_reconciliation as lists
from billing.payments import YOOKASSA
from billing.rouble_reconciliation import Comparison, Difference, Ours
from billing.yookassa.errors import Refused
from billing.yookassa.objects import Page, Payment, Refund
from kit.errors import Conflict, Unavailable

log = structlog.get_logger(__name__)

# Each run looks so far back, so that what one misses the next one sees. What is younger than SETTLE may be on its way.
WINDOW: Final = timedelta(days=7)
SETTLE: Final = timedelta(minutes=10)
PAGES_MAX: Final = 1_000
# What the list lacks is asked for by its id: a payment may have reached YooKassa outside the window. A list that lacks
# more than this is no list of ours.
ASKED_MAX: Final = 100
TOLD_MAX: Final = 10
RESULT_LOCK: Final = 0x52554252  # "RUBR"
NOT_FOUND: Final = 404

Cause = Literal["schedule", "command"]
T = TypeVar("T")


class ListUnread(Unavailable):
    """YooKassa's lists cannot be had whole, so nothing is concluded from them; `detail` says what stood in the way."""

    def __init__(self, detail: str) -> None:
        super().__init__(YOOKASSA, detail)


@dataclass(frozen=True, slots=True)
class Summary:
    """What a reconciliation saw in [since, until). `followed`: payments and refunds that were brought up to date."""

    since: datetime
    until: datetime
    followed: int
    comparison: Comparison
    new: tuple[Difference, ...]


async def run(app: App, *, cause: Cause) -> Summary:
    """Follow what is behind, compare both sides, keep the result, alert what is new.

    Raises NotReached, Unknown, ListUnread when YooKassa does not tell its lists.
    """
    shop = rouble_payments.shop_of(app)
    until = app.clock.now() - SETTLE
    since = until - WINDOW
    paid = await _all(lambda cursor: shop.payments(created_from=since, created_until=until, cursor=cursor))
    back = await _all(lambda cursor: shop.refunds(created_from=since, created_until=until, cursor=cursor))
    followed = await _follow(app, paid, back)
    theirs: list[Payment | Refund] = [*paid, *back]
    ids = {one.id for one in theirs}
    async with app.db.read() as connection:
        mine = await lists.ours(connection, ids=ids, since=since, until=until)
        paid_here = await lists.paid_here(connection, {one.payment_id for one in back})
    missing = [row for row in mine.values() if row.provider_id not in ids]
    if len(missing) > ASKED_MAX:
        raise ListUnread(f"{len(missing)} of ours are not in it")
    missing = [row for row in missing if await _is_missing(app, row)]
    found = lists.compare(theirs, mine, missing=missing, paid=paid_here)
    now = app.clock.now()
    async with app.db.transaction() as tx:
        # One after the other, so that none closes a difference that another one has just seen.
        await tx.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": RESULT_LOCK})
        await lists.keep(tx, found, cause=cause, followed=followed, since=since, until=until, now=now)
        new = await lists.see(tx, found.unclear, since=since, until=until, now=now)
        await _tell_new(app, tx, new, now)
    log.info("roubles_reconciled", cause=cause, followed=followed, lines=found.lines, new=len(new))
    return Summary(since, until, followed, found, tuple(new))


async def _all(read: Callable[[str], Awaitable[Page[T]]]) -> list[T]:
    """Return a whole list, page by page. Raises ListUnread."""
    found: list[T] = []
    cursor = ""
    for _ in range(PAGES_MAX):
        try:
            page = await read(cursor)
        except Refused as refused:
            raise ListUnread(str(refused)) from refused
        found += page.items
        cursor = page.next_cursor
        if not cursor:
            return found
    raise ListUnread(f"no end after {PAGES_MAX} pages")


async def _follow(app: App, paid: list[Payment], back: list[Refund]) -> int:
    """Bring our rows to what the lists say, payments before their refunds; return how many changed."""
    followed = 0
    for payment in reversed(paid):  # in the order in which they were made
        try:
            at = await rouble_payments.record(app, payment)
        except Conflict as error:
            log.exception("payment_contradicts", payment=payment.id, error=str(error))
        else:
            followed += at is not None and at.changed
    for refund in reversed(back):
        try:
            done = await rouble_refunds.record(app, refund)
        except Conflict as error:
            log.exception("refund_contradicts", refund=refund.id, error=str(error))
        else:
            followed += done is not None and done.changed
    return followed


async def _is_missing(app: App, row: Ours) -> bool:
    """Tell whether YooKassa does not know a row of ours."""
    shop = rouble_payments.shop_of(app)
    try:
        await (shop.payment(row.provider_id) if row.subject.startswith("payment:") else shop.refund(row.provider_id))
    except Refused as refused:
        return refused.status == NOT_FOUND
    return False


async def _tell_new(app: App, tx: AsyncConnection, new: list[Difference], now: datetime) -> None:
    for one in new[:TOLD_MAX]:
        log.error("roubles_differ", subject=one.subject, kind=one.class_, kopecks=one.kopecks)
        args = {"kind": one.class_, "subject": one.subject, "kopecks": abs(one.kopecks)}
        await alert(app, tx, "admin-alert-roubles-differ", args, now=now)
    if len(new) > TOLD_MAX:
        await alert(app, tx, "admin-alert-roubles-differ-more", {"count": len(new) - TOLD_MAX}, now=now)


async def scheduled(app: App) -> None:
    """Reconcile once a day. Raises as `run`: what one day misses the next one sees, and the operator hears of two."""
    if app.yookassa is not None:
        await run(app, cause="schedule")
