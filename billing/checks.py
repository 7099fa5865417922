"""The invariants of the ledger, orders, payments, subscriptions and refunds: SQL that finds what breaks one."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Check:
    """`sql` selects (subject, figures) of what breaks the invariant; words in braces are filled in by the scope."""

    number: int
    name: str
    sql: str


CHECKS: Final = (
    Check(
        1,
        "every ledger transaction sums to zero per unit",
        """
        SELECT 'ledger_tx ' || t.id, coalesce(a.unit, 'no entries') || ' ' || coalesce(sum(e.amount), 0)
        FROM ledger_tx t
        LEFT JOIN ledger_entries e ON e.tx_id = t.id
        LEFT JOIN accounts a ON a.id = e.account_id
        WHERE {tx}
        GROUP BY t.id, a.unit HAVING coalesce(sum(e.amount), 0) <> 0 OR count(e.tx_id) = 0 OR a.unit IS NULL
        """,
    ),
    Check(
        2,
        "a wallet's posted is the sum of its entries",
        """
        SELECT 'account ' || a.id, a.posted || ' cached, ' || coalesce(sum(e.amount), 0) || ' in entries'
        FROM accounts a LEFT JOIN ledger_entries e ON e.account_id = a.id
        WHERE a.kind = 'wallet' AND {wallet}
        GROUP BY a.id HAVING a.posted <> coalesce(sum(e.amount), 0)
        """,
    ),
    Check(
        2,
        "a wallet's reserved is the sum of its open holds, within posted",
        """
        SELECT 'account ' || a.id, a.reserved || ' of ' || a.posted || ', ' || coalesce(sum(h.amount), 0) || ' held'
        FROM accounts a LEFT JOIN holds h ON h.account_id = a.id AND h.status = 'held'
        WHERE a.kind = 'wallet' AND {wallet}
        GROUP BY a.id
        HAVING a.reserved <> coalesce(sum(h.amount), 0) OR a.reserved < 0 OR a.reserved > a.posted
        """,
    ),
    Check(
        3,
        "the live lots' remaining is the wallet's posted",
        """
        SELECT 'account ' || a.id, a.posted || ' posted, ' || coalesce(sum(l.remaining), 0) || ' in lots'
        FROM accounts a LEFT JOIN lots l ON l.account_id = a.id AND l.live
        WHERE a.kind = 'wallet' AND {wallet}
        GROUP BY a.id HAVING a.posted <> coalesce(sum(l.remaining), 0)
        """,
    ),
    Check(
        3,
        "a lot's remaining is what was granted less what was consumed",
        """
        SELECT 'lot ' || l.id, l.granted || ' granted, ' || l.remaining || ' left, ' || coalesce(sum(c.amount), 0)
        FROM lots l JOIN accounts a ON a.id = l.account_id LEFT JOIN lot_consumptions c ON c.lot_id = l.id
        WHERE {wallet}
        GROUP BY l.id HAVING l.granted - coalesce(sum(c.amount), 0) <> l.remaining OR l.remaining < 0
        """,
    ),
    Check(
        4,
        "a payment that succeeded has one purchase credit, or stands in quarantine; no other payment has one",
        """
        SELECT 'payment ' || p.id, p.status || ', ' || count(t.id) || ' credits'
        FROM payments p
        LEFT JOIN ledger_tx t ON t.kind = 'purchase' AND t.ref_type = 'payment' AND t.ref_id = p.id::text
        WHERE {payer}
        GROUP BY p.id
        HAVING count(t.id) <> CASE
            WHEN p.status IN ('succeeded', 'partially_refunded', 'refunded', 'charged_back')
                AND p.quarantine_reason IS NULL THEN 1
            ELSE 0
        END AND NOT (p.quarantine_reason IS NOT NULL AND p.resolved_at IS NOT NULL AND count(t.id) = 1)
        """,
    ),
    Check(
        4,
        "a purchase credit belongs to one payment",
        """
        SELECT 'ledger_tx ' || t.id, t.ref_type || ' ' || t.ref_id
        FROM ledger_tx t LEFT JOIN payments p ON p.id::text = t.ref_id AND t.ref_type = 'payment'
        WHERE t.kind = 'purchase' AND p.id IS NULL AND {tx}
        """,
    ),
    Check(
        4,
        "a payment's money is booked once, and given back as often as it was refunded",
        """
        SELECT 'payment ' || p.id, p.amount || ' paid, ' || booked.sum || ' booked, ' || returned.sum || ' returned'
        FROM payments p
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(e.amount), 0) AS sum
            FROM ledger_tx t JOIN ledger_entries e ON e.tx_id = t.id JOIN accounts a ON a.id = e.account_id
            WHERE t.kind IN ('purchase', 'quarantine') AND t.ref_type IN ('payment', 'resolution')
              AND t.ref_id = p.id::text
              AND a.code = CASE p.currency WHEN 'XTR' THEN 'stars' ELSE 'roubles' END
        ) booked
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(e.amount), 0) AS sum
            FROM refunds r
            JOIN ledger_tx t ON t.kind = 'refund' AND t.ref_type = 'refund' AND t.ref_id = r.id::text
            JOIN ledger_entries e ON e.tx_id = t.id JOIN accounts a ON a.id = e.account_id
            WHERE r.payment_id = p.id AND a.code = CASE p.currency WHEN 'XTR' THEN 'stars' ELSE 'roubles' END
        ) returned
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(amount), 0) AS sum FROM refunds WHERE payment_id = p.id AND status = 'succeeded'
        ) refunded
        WHERE {payer} AND (
            returned.sum <> -refunded.sum OR booked.sum <> CASE
                WHEN p.status IN ('succeeded', 'partially_refunded', 'refunded', 'charged_back') THEN p.amount ELSE 0
            END
        )
        """,
    ),
    Check(
        4,
        "a resolved quarantine has exactly one credit, or its money back",
        """
        SELECT 'payment ' || p.id, p.quarantine_reason || ': ' || booked.credits || ' credits, ' || booked.refunds
        FROM payments p
        CROSS JOIN LATERAL (
            SELECT (SELECT count(*) FROM ledger_tx t
                    WHERE t.kind = 'purchase' AND t.ref_type = 'payment' AND t.ref_id = p.id::text) AS credits,
                   (SELECT coalesce(sum(r.amount), 0) FROM refunds r
                    WHERE r.payment_id = p.id AND r.status = 'succeeded') AS refunds
        ) booked
        WHERE {payer} AND p.quarantine_reason IS NOT NULL AND CASE
            WHEN p.resolved_at IS NULL THEN booked.credits <> 0 OR booked.refunds >= p.amount
            ELSE booked.credits > 1 OR (booked.credits = 0 AND booked.refunds <> p.amount)
        END
        """,
    ),
    Check(
        5,
        "what was credited is what the order says",
        """
        SELECT 'payment ' || p.id, o.tokens || ' for ' || o.amount || ' ordered, ' || l.granted || ' for ' || p.amount
        FROM payments p
        JOIN orders o ON o.id = p.order_id
        JOIN ledger_tx t ON t.kind = 'purchase' AND t.ref_type = 'payment' AND t.ref_id = p.id::text
        LEFT JOIN lots l ON l.tx_id = t.id
        LEFT JOIN accounts a ON a.id = l.account_id
        WHERE {payer} AND (
            p.amount <> o.amount OR p.currency <> o.currency
            -- A gift, and time that does not renew, bring their tokens later: the next two checks look at those.
            OR CASE WHEN o.gift OR o.kind = 'once' THEN l.id IS NOT NULL
               ELSE l.granted IS DISTINCT FROM o.tokens OR a.person_id IS DISTINCT FROM o.person_id END
        )
        """,
    ),
    Check(
        5,
        "paid time that does not renew has its months, each granted at most once, to its person and as bought",
        """
        SELECT 'payment ' || p.id, count(m.number) || ' months of ' || v.period_months || ', '
               || count(l.id) || ' granted'
        FROM payments p
        JOIN orders o ON o.id = p.order_id AND o.kind = 'once'
        JOIN plan_versions v ON v.id = o.plan_version_id
        LEFT JOIN gifts g ON g.payment_id = p.id
        LEFT JOIN subscription_months m ON m.payment_id = p.id
        LEFT JOIN subscriptions s ON s.id = m.subscription_id
        LEFT JOIN lots l ON l.id = m.lot_id
        LEFT JOIN accounts a ON a.id = l.account_id
        LEFT JOIN ledger_tx t ON t.id = l.tx_id
        WHERE {payer}
        GROUP BY p.id, o.id, v.id, g.id
        HAVING count(m.number) <> CASE
                WHEN NOT EXISTS (
                    SELECT FROM ledger_tx c
                    WHERE c.kind = 'purchase' AND c.ref_type = 'payment' AND c.ref_id = p.id::text
                ) THEN 0 -- not paid, or in quarantine; what left that by a credit has its months
                WHEN o.gift AND g.receiver_id IS NULL THEN 0 ELSE v.period_months
            END
            OR bool_or(m.tokens <> o.tokens)
            OR bool_or(l.id IS NOT NULL AND (
                l.granted <> m.tokens OR l.payment_id IS DISTINCT FROM p.id OR t.kind <> 'grant'
                OR t.ref_type || ':' || t.ref_id <> 'month:' || m.subscription_id || ':' || m.number
                OR a.person_id <> s.person_id OR s.person_id <> coalesce(g.receiver_id, o.person_id)
            ))
        """,
    ),
    Check(
        5,
        "a gift is made by each payment for one, and what it holds is its receiver's alone",
        """
        SELECT 'payment ' || p.id, count(g.id) || ' gifts, ' || coalesce(min(g.status), 'none')
        FROM payments p
        JOIN orders o ON o.id = p.order_id
        LEFT JOIN gifts g ON g.payment_id = p.id
        LEFT JOIN lots l ON l.payment_id = p.id
        LEFT JOIN accounts a ON a.id = l.account_id
        LEFT JOIN subscription_periods q ON q.payment_id = p.id
        WHERE {payer} AND (o.gift OR g.id IS NOT NULL)
        GROUP BY p.id, o.id
        HAVING NOT o.gift OR bool_or(g.giver_id <> o.person_id)
            OR (count(g.id) = 0) <> (p.quarantine_reason IS NOT NULL OR p.status NOT IN
                ('succeeded', 'partially_refunded', 'refunded', 'charged_back'))
            OR bool_or(l.id IS NOT NULL AND a.person_id IS DISTINCT FROM g.receiver_id)
            OR bool_or(q.id IS NOT NULL AND q.person_id IS DISTINCT FROM g.receiver_id)
        """,
    ),
    Check(
        6,
        "refunds do not exceed their payment",
        """
        SELECT 'payment ' || p.id, p.amount || ' paid, ' || sum(r.amount) || ' refunded'
        FROM payments p JOIN refunds r ON r.payment_id = p.id AND r.status <> 'canceled'
        WHERE {payer}
        GROUP BY p.id HAVING sum(r.amount) > p.amount
        """,
    ),
    Check(
        6,
        "each refunded token is taken back, forgiven, owed, or still held by an answer",
        """
        SELECT 'refund ' || r.id, r.tokens || ': ' || r.tokens_taken || ' taken, ' || r.tokens_forgiven
               || ' forgiven, ' || r.tokens_owed || ' owed, ' || coalesce(sum(l.remaining), 0) || ' held'
        FROM refunds r JOIN payments p ON p.id = r.payment_id LEFT JOIN lots l ON l.refund_id = r.id
        WHERE r.status <> 'canceled' AND {payer}
        GROUP BY r.id
        HAVING r.tokens <> r.tokens_taken + r.tokens_forgiven + r.tokens_owed + coalesce(sum(l.remaining), 0)
        """,
    ),
    Check(
        6,
        "a person's debt is what chargebacks left owed and nothing repaid",
        """
        SELECT 'account ' || p.id, booked.sum || ' booked, ' || owed.sum || ' owed'
        FROM accounts p
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(e.amount), 0) AS sum FROM ledger_entries e WHERE e.account_id = p.id
        ) booked
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(tokens_owed - tokens_repaid), 0) AS sum FROM refunds WHERE debt_account_id = p.id
        ) owed
        WHERE p.kind = 'debt' AND booked.sum <> -owed.sum AND {person}
        """,
    ),
    Check(
        7,
        "a hold is charged once, and what it says",
        """
        SELECT 'hold ' || h.turn_id || '/' || h.step,
               h.status || ' ' || h.settled + h.overrun + h.courtesy || ', entry ' || coalesce(sum(e.amount), 0)
        FROM holds h
        JOIN accounts a ON a.id = h.account_id
        LEFT JOIN ledger_tx t
            ON t.kind = 'usage' AND t.ref_type = 'hold' AND t.ref_id = h.turn_id || ':' || h.step
        LEFT JOIN ledger_entries e ON e.tx_id = t.id AND e.account_id = h.account_id
        WHERE {wallet}
        GROUP BY h.turn_id, h.step
        HAVING h.settled + h.overrun + h.courtesy <> -coalesce(sum(e.amount), 0) OR h.settled > h.amount
        """,
    ),
    Check(
        8,
        "no two periods of a subscription overlap",
        """
        SELECT 'subscription ' || p.subscription_id, 'periods ' || p.id || ' and ' || q.id
        FROM subscription_periods p
        JOIN subscription_periods q ON q.subscription_id = p.subscription_id AND q.id > p.id
            AND q.starts_at < p.ends_at AND p.starts_at < q.ends_at
            AND q.starts_at < q.ends_at AND p.starts_at < p.ends_at
        WHERE {person}
        """,
    ),
    Check(
        9,
        "access is what the periods cover",
        """
        SELECT 'subscription ' || s.id, s.status || ' until ' || s.until
        FROM subscriptions s
        LEFT JOIN subscription_periods p ON p.subscription_id = s.id
        WHERE {subscriber}
        GROUP BY s.id
        HAVING s.until IS DISTINCT FROM max(p.ends_at)
            OR (s.status IN ('expired', 'revoked') AND max(p.ends_at) > s.updated_at)
            OR (s.status NOT IN ('incomplete', 'expired', 'revoked') AND count(p.id) = 0)
        """,
    ),
    Check(
        9,
        "what was bought once never renews, and brings tokens within its paid time alone",
        """
        SELECT 'subscription ' || s.id, s.status || ', month ' || m.number || ' ' || m.status || ' ' || m.starts_at
        FROM subscriptions s
        JOIN subscription_months m ON m.subscription_id = s.id
        JOIN payments r ON r.id = m.payment_id
        LEFT JOIN subscription_periods q ON q.payment_id = m.payment_id AND q.subscription_id = s.id
            AND q.starts_at <= m.starts_at AND m.starts_at < q.ends_at
        WHERE {subscriber} AND (
            s.status NOT IN ('cancel_scheduled', 'expired', 'revoked')
            OR (m.status = 'due' AND r.status IN ('refunded', 'charged_back'))
            OR (m.status IN ('due', 'granted') AND r.status IN ('succeeded', 'partially_refunded') AND q.id IS NULL)
        )
        """,
    ),
    Check(
        10,
        "no payment of an order is older than the order",
        """
        SELECT 'payment ' || p.id, 'order ' || o.id
        FROM payments p JOIN orders o ON o.id = p.order_id WHERE p.created_at < o.created_at AND {payer}
        """,
    ),
    Check(
        11,
        "the last change of status is the status, and each change begins where the one before ended",
        """
        SELECT v.subject || ' ' || v.id, v.status || ' after ' || coalesce(c.path, 'no change')
        FROM (
            SELECT 'orders' AS subject, o.id, o.status FROM orders o WHERE {order}
            UNION ALL SELECT 'payments', p.id, p.status FROM payments p WHERE {payer}
            UNION ALL SELECT 'subscriptions', s.id, s.status FROM subscriptions s WHERE {subscriber}
            UNION ALL
            SELECT 'refunds', r.id, r.status FROM refunds r JOIN payments p ON p.id = r.payment_id WHERE {payer}
            UNION ALL
            SELECT 'gifts', g.id, g.status FROM gifts g JOIN payments p ON p.id = g.payment_id WHERE {payer}
            UNION ALL
            SELECT 'payment_methods', m.id, m.status
            FROM payment_methods m JOIN payments p ON p.id = m.payment_id WHERE {payer}
        ) v
        LEFT JOIN LATERAL (
            SELECT string_agg(w.after, ' > ' ORDER BY w.id) AS path, (array_agg(w.after ORDER BY w.id DESC))[1] AS last,
                   bool_and(w.before = w.previous) AS linked
            FROM (
                SELECT id, before, after, lag(after, 1, '') OVER (ORDER BY id) AS previous
                FROM status_changes WHERE subject = v.subject AND subject_id = v.id
            ) w
        ) c ON true
        WHERE c.last IS DISTINCT FROM v.status OR NOT c.linked
        """,
    ),
)
