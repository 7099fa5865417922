"""The Stars of a period as a table for the tax office: one row for each line of Telegram's list."""

import csv
import io
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.star_transactions import NANO
from kit.errors import Rejected

COLUMNS: Final = (
    "date_utc", "transaction_id", "direction", "class", "person_id",
    "stars", "nanostars", "share_stars", "share_nanostars", "order_id", "payment_id", "product",
)  # fmt: skip
# A sheet of a million rows is what table programs take.
ROWS_MAX: Final = 1_000_000
# Table programs take a cell that begins so for a formula; some, one that begins with the wide form of it.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


class NoPeriod(Rejected):
    """The days are none, or the last is before the first."""

    code = "error-no-period"


_ROWS = sa.text(
    """
    SELECT t.at, t.transaction_id, t.direction, coalesce(t.class, 'settling'), t.person_id,
           t.nanostars, t.share_nanostars, p.order_id, p.id, o.plan_id
    FROM star_transactions t
    LEFT JOIN payments p ON p.provider = 'stars' AND p.provider_payment_id = t.transaction_id
    LEFT JOIN orders o ON o.id = p.order_id
    WHERE t.at >= :since AND t.at < :until ORDER BY t.at, t.id LIMIT :most
    """
)


def period(first: str, last: str) -> tuple[datetime, datetime]:
    """Return [since, until) of two days (2026-01-31), both within, in UTC. Raises NoPeriod."""
    try:
        begins, ends = date.fromisoformat(first), date.fromisoformat(last)
        until = datetime.combine(ends + timedelta(days=1), time(), UTC)
    except (ValueError, OverflowError):
        raise NoPeriod from None
    if ends < begins:
        raise NoPeriod
    return datetime.combine(begins, time(), UTC), until


async def table(connection: AsyncConnection, *, since: datetime, until: datetime) -> tuple[str, int]:
    """Return the CSV with a head, and how many rows it has. Amounts are positive; `direction` says which way."""
    values = {"since": since, "until": until, "most": ROWS_MAX}
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(COLUMNS)
    rows = (await connection.execute(_ROWS, values)).all()
    for at, transaction_id, direction, kind, person_id, nano, share, order_id, payment_id, product in rows:
        amounts = (*divmod(nano, NANO), *divmod(share, NANO))
        moment = f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
        line = (moment, transaction_id, direction, kind, person_id, *amounts, order_id, payment_id, product)
        writer.writerow(cells(line))
    return written.getvalue(), len(rows)


def cells(values: Iterable[object]) -> list[object]:
    """Return the values of a row with texts that would be formulas made plain by an apostrophe."""
    return [
        f"'{value}" if isinstance(value, str) and value.lstrip(" \u00a0").startswith(_FORMULA) else value
        for value in values
    ]
