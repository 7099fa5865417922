"""Reconciling Stars: every line of Telegram's list is something of ours or has a named class, and the other way round.

    theirs - ours = the sum over the classes

A class says why the two differ: `withdrawal`, `ads`, `api_usage`, `affiliate_share`, `affiliate_income`, `gift`,
`premium`, `paid_media`, `business_transfer`, `chat`, `chargeback_unlisted`, `earlier` (than this database), and what is
not clear yet: `settling` (too young), `amount_differs`, `missing` (ours, and not in the list), `unknown`. What is the
same on both sides has a class too (`payment`, `refund`, `chargeback`) and differs by nothing.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.ledger import House
from billing.star_transactions import star_transactions
from kit.db import metadata

# Somebody has to look at these; the others explain themselves.
UNCLEAR: Final = ("amount_differs", "missing", "unknown", "uncredited", "unlisted")
# Telegram's list names a payment within moments; what it has not named after so long it does not have.
MISSING_AFTER: Final = timedelta(days=3)

# What is not about our sales, by Telegram's (partner, kind); None stands for every kind.
NAMED: Final[dict[tuple[str, str | None], str]] = {
    ("fragment", None): "withdrawal",
    ("telegram_ads", None): "ads",
    ("telegram_api", None): "api_usage",
    ("affiliate_program", None): "affiliate_income",
    ("chat", "gift"): "gift",
    ("chat", None): "chat",
    ("user", "gift_purchase"): "gift",
    ("user", "premium_purchase"): "premium",
    ("user", "paid_media_payment"): "paid_media",
    ("user", "business_account_transfer"): "business_transfer",
}

star_differences = sa.Table(
    "star_differences",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("subject", sa.Text, nullable=False, unique=True),
    sa.Column("class", sa.Text, nullable=False),
    sa.Column("nanostars", sa.BigInteger, nullable=False),
    sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("closed_at", sa.DateTime(timezone=True)),
    sa.Index("ix_star_differences_open", "id", postgresql_where=sa.text("closed_at IS NULL")),
)

star_reconciliations = sa.Table(
    "star_reconciliations",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("cause", sa.Text, nullable=False),
    sa.Column("credited", sa.Integer, nullable=False),
    sa.Column("refunded", sa.Integer, nullable=False),
    sa.Column("charged_back", sa.Integer, nullable=False),
    sa.Column("failed", sa.Integer, nullable=False),
    sa.Column("transactions", sa.BigInteger, nullable=False),
    sa.Column("theirs_nanostars", sa.BigInteger, nullable=False),
    sa.Column("ours_nanostars", sa.BigInteger, nullable=False),
    sa.Column("explained_nanostars", sa.BigInteger, nullable=False),
    sa.Column("classes", JSONB, nullable=False),
    sa.Column("began_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("ended_at", sa.DateTime(timezone=True), nullable=False),
)


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that somebody has to look at: `subject` names the line or the payment; signed nanostars."""

    subject: str
    class_: str
    nanostars: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both sides at one moment, in nanostars. `classes`: (lines, signed sum) of each class that differs."""

    transactions: int
    theirs: int
    ours: int
    classes: dict[str, tuple[int, int]]
    unclear: tuple[Difference, ...] = field(default=())

    @property
    def explained(self) -> int:
        return sum(nanostars for _, nanostars in self.classes.values())

    @property
    def unexplained(self) -> int:
        """What no class explains: 0, or the books are broken."""
        return self.theirs - self.ours - self.explained


_NAME = sa.text(
    """
    UPDATE star_transactions t SET class = n.class
    FROM unnest(CAST(:partners AS text[]), CAST(:kinds AS text[]), CAST(:classes AS text[])) AS n (partner, kind, class)
    WHERE t.class IS NULL AND t.partner = n.partner AND (n.kind = t.kind OR n.kind IS NULL
        AND NOT EXISTS (
            SELECT FROM unnest(CAST(:partners AS text[]), CAST(:kinds AS text[])) AS m (partner, kind)
            WHERE m.partner = t.partner AND m.kind = t.kind))
    """
)
_MATCH_PAYMENTS = sa.text(
    """
    UPDATE star_transactions t SET class = 'payment' FROM payments p
    WHERE t.class IS NULL AND t.direction = 'in' AND p.provider = 'stars' AND p.provider_payment_id = t.transaction_id
      AND p.payer_id = t.person_id AND p.status IN ('succeeded', 'refunded', 'charged_back')
    """
)
_MATCH_REFUNDS = sa.text(
    """
    UPDATE star_transactions t SET class = r.kind FROM payments p JOIN refunds r ON r.payment_id = p.id
    WHERE t.class IS NULL AND t.direction = 'out' AND p.provider = 'stars' AND p.provider_payment_id = t.transaction_id
      AND r.status = 'succeeded'
    """
)
# What was sold before this database began is another's business: nobody is written to about it. Telegram's times are
# whole seconds.
_SET_EARLIER_APART = sa.text(
    """
    UPDATE star_transactions SET class = 'earlier'
    WHERE class IS NULL AND at < (SELECT date_trunc('second', created_at) FROM stamp)
    """
)
# One statement, so that both sides are seen at one moment. `seen` is how far the list is known, :patience long ago.
_COMPARE = sa.text(
    """
    WITH theirs AS (
        SELECT transaction_id AS id, direction, class,
               CASE direction WHEN 'in' THEN 1 ELSE -1 END * nanostars AS amount,
               CASE direction WHEN 'in' THEN 1 ELSE -1 END * share_nanostars AS share
        FROM star_transactions
    ), ours AS (
        SELECT provider_payment_id AS id, 'in' AS direction, 'payment' AS kind, amount * 1000000000 AS amount,
               created_at, 'payment:' || id AS subject
        FROM payments WHERE provider = 'stars' AND status IN ('succeeded', 'refunded', 'charged_back')
        UNION ALL
        SELECT p.provider_payment_id, 'out', r.kind, -r.amount * 1000000000, r.updated_at, 'refund:' || r.id
        FROM refunds r JOIN payments p ON p.id = r.payment_id WHERE p.provider = 'stars' AND r.status = 'succeeded'
    ), joined AS (
        SELECT coalesce(t.amount, 0) - coalesce(o.amount, 0) AS difference,
               CASE
                   WHEN o.id IS NULL THEN coalesce(t.class, 'settling')
                   WHEN t.id IS NULL AND o.kind = 'chargeback' THEN 'chargeback_unlisted'
                   WHEN t.id IS NULL THEN CASE
                       WHEN o.created_at <= CAST(:seen AS timestamptz) THEN 'missing' ELSE 'settling'
                   END
                   WHEN t.amount = o.amount THEN 'same'
                   WHEN t.amount + t.share = o.amount THEN 'affiliate_share'
                   ELSE 'amount_differs'
               END AS class,
               coalesce(o.subject, 'transaction:' || t.direction || ':' || t.id) AS subject
        FROM theirs t FULL JOIN ours o ON o.id = t.id AND o.direction = t.direction
    )
    SELECT class, count(*) AS lines, coalesce(sum(difference), 0)::bigint AS nanostars,
           array_agg(subject ORDER BY subject) FILTER (WHERE class = ANY (CAST(:unclear AS text[]))) AS subjects,
           array_agg(difference ORDER BY subject) FILTER (WHERE class = ANY (CAST(:unclear AS text[]))) AS differences,
           (SELECT count(*) FROM theirs) AS transactions,
           (SELECT coalesce(sum(amount), 0)::bigint FROM theirs) AS theirs,
           (SELECT coalesce(sum(e.amount), 0)::bigint * 1000000000 FROM ledger_entries e
            WHERE e.account_id = :stars) AS ours
    FROM joined GROUP BY class
    UNION ALL
    SELECT 'none', 0, 0, NULL, NULL, 0, 0, (SELECT coalesce(sum(e.amount), 0)::bigint * 1000000000
        FROM ledger_entries e WHERE e.account_id = :stars) WHERE NOT EXISTS (SELECT FROM joined)
    """
)


async def name_and_match(tx: AsyncConnection) -> None:
    """Give a class to every line that is not about our sales, or that something of ours, or its age, explains."""
    pairs = list(NAMED)
    values = {
        "partners": [partner for partner, _ in pairs],
        "kinds": [kind for _, kind in pairs],
        "classes": list(NAMED.values()),
    }
    await tx.execute(_NAME, values)
    await tx.execute(_MATCH_PAYMENTS)
    await tx.execute(_MATCH_REFUNDS)
    await tx.execute(_SET_EARLIER_APART)


async def leave_unknown(tx: AsyncConnection, row_id: int) -> None:
    """Give the class `unknown` to a line that is nothing we know."""
    chosen = (star_transactions.c.id == row_id, star_transactions.c["class"].is_(None))
    await tx.execute(sa.update(star_transactions).where(*chosen).values({"class": "unknown"}))


async def compare(tx: AsyncConnection, *, read_to: datetime | None) -> Comparison:
    """Compare Telegram's list with our books as both stand now. `read_to`: up to when the list is known."""
    values = {
        "seen": read_to - MISSING_AFTER if read_to else None,
        "unclear": list(UNCLEAR),
        "stars": int(House.STARS),
    }
    rows = (await tx.execute(_COMPARE, values)).all()
    unclear = [
        Difference(subject, row[0], int(nanostars))
        for row in rows
        for subject, nanostars in zip(row.subjects or (), row.differences or (), strict=True)
    ]
    classes = {row[0]: (row.lines, int(row.nanostars)) for row in rows if row[0] not in {"same", "none"}}
    classes = {name: found for name, found in sorted(classes.items()) if name not in {"payment", "refund"} or found[1]}
    return Comparison(rows[0].transactions, rows[0].theirs, rows[0].ours, classes, tuple(unclear))


async def see(tx: AsyncConnection, differences: list[Difference], *, now: datetime) -> list[Difference]:
    """Keep what differs now and return what was not known before; what differs no more is closed."""
    new = []
    for one in differences:
        row = insert(star_differences).values(
            {"subject": one.subject, "class": one.class_, "nanostars": one.nanostars, "seen_at": now}
        )
        # One that was closed and is there again is news.
        again = row.on_conflict_do_update(
            index_elements=["subject"],
            set_={"class": one.class_, "nanostars": one.nanostars, "seen_at": now, "closed_at": None},
            where=star_differences.c.closed_at.is_not(None),
        ).returning(star_differences.c.id)
        if (await tx.execute(again)).scalar_one_or_none() is not None:
            new.append(one)
    standing = [one.subject for one in differences]
    gone = sa.update(star_differences).where(
        star_differences.c.closed_at.is_(None), star_differences.c.subject.not_in(standing)
    )
    await tx.execute(gone.values(closed_at=now))
    return new


async def keep(
    tx: AsyncConnection, found: Comparison, *, cause: str, counts: dict[str, int], began_at: datetime, now: datetime
) -> int:
    """Write down a reconciliation: what it did (`counts`) and what it saw; return its id."""
    classes: dict[str, Any] = {name: {"lines": n, "nanostars": nano} for name, (n, nano) in found.classes.items()}
    row = sa.insert(star_reconciliations).values(
        cause=cause,
        transactions=found.transactions,
        theirs_nanostars=found.theirs,
        ours_nanostars=found.ours,
        explained_nanostars=found.explained,
        classes=classes,
        began_at=began_at,
        ended_at=now,
        **counts,
    )
    return int((await tx.execute(row.returning(star_reconciliations.c.id))).scalar_one())
