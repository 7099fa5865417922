"""The invariants of refunds in parts, YooKassa's keys, Telegram's list of Stars and people's cases, as SQL."""

from typing import Final

from billing.checks import Check

CHECKS: Final = (
    Check(
        6,
        "what went back of a payment is what its status says",
        """
        SELECT 'payment ' || p.id, p.status || ', ' || coalesce(sum(r.amount), 0) || ' of ' || p.amount || ' went back'
        FROM payments p LEFT JOIN refunds r ON r.payment_id = p.id AND r.status = 'succeeded'
        WHERE {payer}
        GROUP BY p.id
        HAVING CASE p.status
            WHEN 'partially_refunded' THEN coalesce(sum(r.amount), 0) NOT BETWEEN 1 AND p.amount - 1
            WHEN 'refunded' THEN coalesce(sum(r.amount), 0) <> p.amount
            WHEN 'charged_back' THEN coalesce(sum(r.amount), 0) <> p.amount
            ELSE count(r.id) > 0
        END
        """,
    ),
    Check(
        6,
        "refunds settle no more of a payment's tokens than their share",
        """
        SELECT 'payment ' || p.id, r.tokens || ' of ' || l.bought || ' tokens with ' || r.money || ' of ' || p.amount
        FROM payments p
        JOIN (
            SELECT payment_id, sum(amount) FILTER (WHERE status <> 'canceled') AS money,
                   sum(tokens) FILTER (WHERE status <> 'canceled') AS tokens,
                   count(*) FILTER (WHERE status = 'canceled') AS undone
            FROM refunds GROUP BY payment_id
        ) r ON r.payment_id = p.id
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(granted), 0) AS bought FROM lots WHERE payment_id = p.id AND kind <> 'restored'
        ) l
        -- What a part rounded down weighs with the next one, and still does when the first is undone.
        WHERE {payer} AND (r.tokens - r.undone) * p.amount > l.bought * r.money
        """,
    ),
    Check(
        10,
        "no key of YooKassa's is used after its 24 hours, and no payment was sent without one",
        """
        SELECT 'payment ' || p.id, 'sent ' || coalesce(p.sent_at::text, 'never') || ', again ' || y.posted_at
        FROM payments p JOIN yookassa_payments y ON y.payment_id = p.id
        WHERE y.posted_at IS NOT NULL AND {payer} AND (
            p.idempotency_key IS NULL OR p.sent_at IS NULL OR y.posted_at < p.sent_at
            OR y.posted_at >= p.sent_at + interval '24 hours'
        )
        """,
    ),
    Check(
        10,
        "no key of a refund at YooKassa is used after its 24 hours, and none is used twice",
        """
        SELECT 'refund ' || r.id, 'sent ' || coalesce(y.sent_at::text, 'never') || ', again ' || y.posted_at
        FROM refunds r JOIN yookassa_refunds y ON y.refund_id = r.id JOIN payments p ON p.id = r.payment_id
        WHERE y.posted_at IS NOT NULL AND {payer} AND (
            y.sent_at IS NULL OR y.posted_at < y.sent_at OR y.posted_at >= y.sent_at + interval '24 hours'
            OR EXISTS (SELECT FROM payments q WHERE q.idempotency_key = r.idempotency_key)
        )
        """,
    ),
    Check(
        12,
        "the last reconciliation of roubles is explained by named classes",
        """
        SELECT 'rouble_reconciliation ' || c.id, theirs_kopecks || ' theirs, ' || ours_kopecks || ' ours, '
               || explained || ' kopecks explained'
        FROM (SELECT * FROM rouble_reconciliations ORDER BY id DESC LIMIT 1) c,
             LATERAL (SELECT coalesce(sum((value ->> 'kopecks')::bigint), 0) AS explained
                      FROM jsonb_each(c.classes)) e
        WHERE theirs_kopecks - ours_kopecks <> explained
        """,
    ),
    Check(
        12,
        "what counts as ours in Telegram's list is ours",
        """
        SELECT 'star_transaction ' || p.id, p.direction || ' ' || p.transaction_id || ' is no ' || p.class
        FROM star_transactions p
        LEFT JOIN payments q ON q.provider = 'stars' AND q.provider_payment_id = p.transaction_id
        LEFT JOIN refunds r ON r.payment_id = q.id AND r.status = 'succeeded'
        WHERE {person} AND (
            (p.class = 'payment' AND (p.direction <> 'in' OR q.payer_id IS DISTINCT FROM p.person_id
                OR q.status NOT IN ('succeeded', 'partially_refunded', 'refunded', 'charged_back')))
            OR (p.class IN ('refund', 'chargeback') AND (p.direction <> 'out' OR r.kind IS DISTINCT FROM p.class))
        )
        """,
    ),
    Check(
        12,
        "the last reconciliation of Stars is explained by named classes",
        """
        SELECT 'star_reconciliation ' || c.id, theirs_nanostars || ' theirs, ' || ours_nanostars || ' ours, '
               || explained_nanostars || ' nanostars explained'
        FROM (SELECT * FROM star_reconciliations ORDER BY id DESC LIMIT 1) c
        WHERE theirs_nanostars - ours_nanostars <> explained_nanostars
        """,
    ),
    Check(
        17,
        "a case about a payment is its payer's",
        """
        SELECT 'case ' || c.id, 'payment ' || p.id
        FROM cases c JOIN payments p ON p.id = c.payment_id WHERE c.person_id <> p.payer_id AND {payer}
        """,
    ),
)
