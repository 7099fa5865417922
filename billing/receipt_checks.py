"""The invariants of receipts, as SQL: each that was asked for is followed once its money moved, and none before."""

from typing import Final

from billing.checks import Check

CHECKS: Final = (
    Check(
        18,
        "the receipt of a payment is followed once its money came",
        """
        SELECT 'payment ' || p.id, p.status || ', receipt ' || coalesce(c.status, 'none')
        FROM payments p
        JOIN yookassa_payments y ON y.payment_id = p.id
        LEFT JOIN rouble_receipts c ON c.payment_id = p.id AND c.refund_id IS NULL
        WHERE {payer} AND CASE
            WHEN p.status IN ('succeeded', 'partially_refunded', 'refunded', 'charged_back')
                THEN c.id IS NULL AND y.request <> '' AND y.request::jsonb ? 'receipt'
            ELSE c.id IS NOT NULL
        END
        """,
    ),
    Check(
        18,
        "the receipt of a refund is followed once its money went",
        """
        SELECT 'refund ' || r.id, r.status || ', receipt ' || coalesce(c.status, 'none')
        FROM refunds r
        JOIN payments p ON p.id = r.payment_id
        JOIN yookassa_refunds y ON y.refund_id = r.id
        LEFT JOIN rouble_receipts c ON c.refund_id = r.id
        WHERE {payer} AND CASE
            WHEN r.status = 'succeeded'
                THEN c.payment_id <> r.payment_id OR (c.id IS NULL AND y.request <> '' AND y.request::jsonb ? 'receipt')
            ELSE c.id IS NOT NULL
        END
        """,
    ),
)
