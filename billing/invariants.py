"""The invariants of the books as SQL: each query returns what breaks one, so that an empty answer is the proof.

True at any committed moment; each check is one statement and so sees one. What needs tables that are not there yet
(12: the providers' lists) comes with them, replays (13) are a test's matter, and whether a hold
outlives its turn (7) is asked where turns are known.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

# Culprits are counted up to this; one is enough to act on.
COUNT_MAX: Final = 100
EXAMPLES_MAX: Final = 5


@dataclass(frozen=True, slots=True)
class Violation:
    """An invariant that does not hold: its number in the design, a name, how many rows break it, and some of them."""

    number: int
    name: str
    count: int
    examples: tuple[str, ...]


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
            WHERE t.kind IN ('purchase', 'quarantine') AND t.ref_type = 'payment' AND t.ref_id = p.id::text
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
            l.granted IS DISTINCT FROM o.tokens OR p.amount <> o.amount OR p.currency <> o.currency
            OR a.person_id IS DISTINCT FROM o.person_id
        )
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
        10,
        "no payment of an order is older than the order",
        """
        SELECT 'payment ' || p.id, 'order ' || o.id
        FROM payments p JOIN orders o ON o.id = p.order_id WHERE p.created_at < o.created_at AND {payer}
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

_ALL: Final = dict.fromkeys(("wallet", "tx", "payer", "person", "subscriber", "order"), "true")
_OWNERS = "(SELECT person_id FROM accounts WHERE id = ANY(:accounts))"
_SOME: Final = {
    "wallet": "a.id = ANY(:accounts)",
    "tx": "t.id IN (SELECT tx_id FROM ledger_entries WHERE account_id = ANY(:accounts))",
    "payer": f"p.payer_id IN {_OWNERS}",
    "person": f"p.person_id IN {_OWNERS}",
    "subscriber": f"s.person_id IN {_OWNERS}",
    "order": f"o.person_id IN {_OWNERS}",
}


async def check(connection: AsyncConnection, accounts: Collection[int] | None = None) -> list[Violation]:
    """Return the broken invariants, looking at everything or only at some wallets (account ids) and their owners."""
    found: list[Violation] = []
    scope = _ALL if accounts is None else _SOME
    for one in CHECKS:
        query = sa.text(f"{one.sql.format(**scope)} LIMIT {COUNT_MAX}")
        values = {} if accounts is None else {"accounts": sorted(accounts)}
        rows = (await connection.execute(query, values)).all()
        if rows:
            examples = tuple(f"{subject}: {figures}" for subject, figures in rows[:EXAMPLES_MAX])
            found.append(Violation(one.number, one.name, len(rows), examples))
    return found


async def touched(connection: AsyncConnection, *, after_tx: int) -> tuple[list[int], int]:
    """Return the wallets that ledger transactions later than `after_tx` changed, and the last transaction's id."""
    rows = (
        await connection.execute(
            sa.text(
                "SELECT e.account_id, max(e.tx_id) FROM ledger_entries e JOIN accounts a ON a.id = e.account_id"
                " WHERE e.tx_id > :after AND a.kind = 'wallet' GROUP BY e.account_id"
            ),
            {"after": after_tx},
        )
    ).all()
    return [row[0] for row in rows], max((row[1] for row in rows), default=after_tx)
