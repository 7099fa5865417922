"""The roubles of a period as a table for the tax office: one row for each payment and refund, and their sums.

The ledger says which there are and when: a row is what moved the account of roubles, dated as it was booked. What came
and what went back stand in columns of their own, without a sign, in roubles with two decimals.
"""

import csv
import io
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.ledger import House
from billing.star_export import cells
from kit.errors import Rejected

COLUMNS: Final = (
    "date_utc", "kind", "yookassa_id", "payment_id", "refund_id", "order_id", "person_id", "product", "title",
    "paid_roubles", "refunded_roubles", "vat_code", "vat_rate", "receipt", "payment_status",
)  # fmt: skip
# A year, leap or not, and what Telegram takes as a file (50 MB) at 200 bytes a row.
DAYS_MAX: Final = 366
ROWS_MAX: Final = 200_000
# Receipts and the payer's bank are Russian, and so is the title that they name.
TITLE_LANGUAGE: Final = "ru"
# https://yookassa.ru/developers/payment-acceptance/receipts/54fz/yoomoney/parameters-values#vat-codes
VAT_RATES: Final = {
    1: "none", 2: "0%", 3: "10%", 4: "20%", 5: "10/110", 6: "20/120",
    7: "5%", 8: "7%", 9: "5/105", 10: "7/107", 11: "22%", 12: "22/122",
}  # fmt: skip


class PeriodTooLong(Rejected):
    """The period has more days or rows than one table may have."""

    code = "error-period-too-long"

    def __init__(self) -> None:
        super().__init__(days=DAYS_MAX, rows=ROWS_MAX)


@dataclass(frozen=True, slots=True)
class Table:
    """`text` is the CSV with a head and, as its last row, the sums; `rows` of payments and refunds, sums in kopecks.

    `astray`: by how much the sums differ from what the ledger booked in the period: 0 while the books are whole.
    """

    text: str
    rows: int
    paid: int
    refunded: int
    astray: int


# A payment credited out of quarantine was booked when it came; what moves it within the account then is no row.
_ROWS = sa.text(
    """
    WITH period AS (
        SELECT t.id, t.kind, t.ref_type, t.ref_id, t.created_at, e.amount
        FROM ledger_entries e JOIN ledger_tx t ON t.id = e.tx_id
        WHERE e.account_id = :roubles AND t.created_at >= :since AND t.created_at < :until
    ),
    moved AS (
        SELECT t.id, t.created_at,
               CASE WHEN t.ref_type = 'refund' THEN t.ref_id::bigint END AS refund_id,
               CASE WHEN t.ref_type = 'payment' THEN t.ref_id::bigint END AS payment_id
        FROM period t
        WHERE t.ref_type <> 'resolution' AND NOT (t.kind = 'purchase' AND EXISTS (
            SELECT FROM ledger_tx q WHERE q.kind = 'quarantine' AND q.ref_type = 'payment' AND q.ref_id = t.ref_id
        ))
    )
    SELECT (SELECT coalesce(sum(amount), 0)::bigint FROM period) AS booked,
           m.created_at, coalesce(r.kind, 'payment') AS kind, p.id AS payment_id, r.id AS refund_id, p.order_id,
           p.payer_id, o.plan_id, l.titles ->> :language AS title, p.status,
           CASE WHEN r.id IS NULL THEN p.provider_payment_id ELSE r.provider_refund_id END AS yookassa_id,
           CASE WHEN r.id IS NULL THEN p.amount END AS paid, r.amount AS refunded,
           CASE WHEN x.request <> '' THEN (x.request::jsonb #>> '{receipt,items,0,vat_code}')::integer END AS vat,
           c.status AS receipt
    FROM moved m
    LEFT JOIN refunds r ON r.id = m.refund_id
    LEFT JOIN payments p ON p.id = coalesce(m.payment_id, r.payment_id)
    LEFT JOIN orders o ON o.id = p.order_id
    LEFT JOIN plans l ON l.id = o.plan_id
    LEFT JOIN yookassa_payments y ON y.payment_id = p.id
    LEFT JOIN yookassa_refunds b ON b.refund_id = r.id
    -- A refund that was made in the cabinet has the VAT of its sale, as each has.
    CROSS JOIN LATERAL (SELECT coalesce(nullif(b.request, ''), y.request) AS request) x
    LEFT JOIN rouble_receipts c ON c.payment_id = p.id AND c.refund_id IS NOT DISTINCT FROM r.id
    ORDER BY m.created_at, m.id LIMIT :most
    """
)


async def table(connection: AsyncConnection, *, since: datetime, until: datetime) -> Table:
    """Return the roubles of [since, until). Raises PeriodTooLong: a table that is cut would state wrong sums."""
    if until - since > timedelta(days=DAYS_MAX):
        raise PeriodTooLong
    values: dict[str, Any] = {"since": since, "until": until, "most": ROWS_MAX + 1, "language": TITLE_LANGUAGE}
    found = (await connection.execute(_ROWS, values | {"roubles": House.ROUBLES})).all()
    if len(found) > ROWS_MAX:
        raise PeriodTooLong
    written = io.StringIO()
    writer = csv.DictWriter(written, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for row in found:
        line = _line(row)
        writer.writerow(dict(zip(line, cells(line.values()), strict=True)))
    paid, refunded = sum(row.paid or 0 for row in found), sum(row.refunded or 0 for row in found)
    total = {"date_utc": "total", "paid_roubles": _roubles(paid), "refunded_roubles": _roubles(refunded)}
    writer.writerow(total)
    booked = found[0].booked if found else 0
    return Table(written.getvalue(), len(found), paid, refunded, paid - refunded - booked)


def _line(row: sa.Row[Any]) -> dict[str, object]:
    return {
        "date_utc": f"{row.created_at.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
        "kind": row.kind,
        "yookassa_id": row.yookassa_id,
        "payment_id": row.payment_id,
        "refund_id": row.refund_id,
        "order_id": row.order_id,
        "person_id": row.payer_id,
        "product": row.plan_id,
        "title": row.title,
        "paid_roubles": _roubles(row.paid),
        "refunded_roubles": _roubles(row.refunded),
        "vat_code": row.vat,
        "vat_rate": VAT_RATES.get(row.vat),
        "receipt": row.receipt,
        "payment_status": row.status,
    }


def _roubles(kopecks: int | None) -> str | None:
    return None if kopecks is None else f"{kopecks // 100}.{kopecks % 100:02}"
