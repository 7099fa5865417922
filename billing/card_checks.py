"""The invariants of saved cards, as SQL."""

from typing import Final

from billing.checks import Check

CHECKS: Final = (
    Check(
        10,
        "a month is charged to a card once",
        """
        SELECT 'subscription ' || s.id, count(*) || ' charges for the month from ' || t.period_start
        FROM renewal_tries t
        JOIN subscriptions s ON s.id = t.subscription_id
        JOIN payments q ON q.id = t.payment_id
        WHERE {subscriber} AND q.status <> 'canceled' AND q.quarantine_reason IS NULL
        GROUP BY s.id, t.period_start HAVING count(*) > 1
        """,
    ),
    Check(
        10,
        "a charge to renew pays the order of what it renews, and its end is noted with it",
        """
        SELECT 'payment ' || p.id, p.status || ', order ' || coalesce(p.order_id, 0) || ', judged '
               || coalesce(t.judged_at::text, 'never')
        FROM renewal_tries t
        JOIN payments p ON p.id = t.payment_id
        JOIN subscriptions s ON s.id = t.subscription_id
        WHERE {payer} AND (
            p.order_id IS DISTINCT FROM s.order_id OR p.payer_id <> s.person_id
            OR (t.judged_at IS NULL) <> (p.status IN ('intent', 'sent', 'pending', 'unknown'))
               AND NOT (t.judged_at IS NULL AND p.status = 'canceled')
        )
        """,
    ),
    Check(
        10,
        "no card is charged that its owner took away, or its bank refused for good",
        """
        SELECT 'payment ' || p.id, 'sent ' || y.posted_at || ', the card was ' || m.status || ' ' || m.updated_at
        FROM renewal_tries t
        JOIN payments p ON p.id = t.payment_id
        JOIN yookassa_payments y ON y.payment_id = p.id
        JOIN payment_methods m ON m.id = t.method_id
        WHERE {payer} AND m.status <> 'active' AND y.posted_at > m.updated_at
        """,
    ),
)
