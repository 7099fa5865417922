"""Telegram's own list of Star transactions, kept as it was read: what ours is compared with.

The list is chronological and grows at its end, so a position in it is where reading goes on. A refund carries the id
of its payment, so (id, direction) is the key. Amounts are nanostars: 10^9 of them are a Star.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from kit.db import metadata

NANO: Final = 10**9
Direction = Literal["in", "out"]

star_transactions = sa.Table(
    "star_transactions",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("transaction_id", sa.Text, nullable=False),
    sa.Column("direction", sa.Text, nullable=False),
    sa.Column("nanostars", sa.BigInteger, nullable=False),
    # What of a payment went to whoever brought the payer (an affiliate).
    sa.Column("share_nanostars", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("partner", sa.Text, nullable=False),
    sa.Column("kind", sa.Text),
    sa.Column("person_id", sa.BigInteger),
    sa.Column("payload", sa.Text),
    sa.Column("period_s", sa.BigInteger),
    sa.Column("raw", JSONB, nullable=False),
    # What it is to us, once that is known: billing.star_reconciliation.
    sa.Column("class", sa.Text),
    sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("stored_at", sa.DateTime(timezone=True), nullable=False),
    sa.UniqueConstraint("transaction_id", "direction"),
    sa.CheckConstraint("nanostars >= 0", name="amount_not_negative"),
    sa.Index("ix_star_transactions_at_id", "at", "id"),
    sa.Index("ix_star_transactions_open", "at", "id", postgresql_where=sa.text("class IS NULL")),
    sa.Index("ix_star_transactions_payload", "payload", postgresql_where=sa.text("payload IS NOT NULL")),
)

star_list = sa.Table(
    "star_list",
    metadata,
    sa.Column("id", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("position", sa.BigInteger, nullable=False),
    sa.Column("balance_nanostars", sa.BigInteger),
    sa.Column("listed_nanostars", sa.BigInteger),
    sa.Column("read_to", sa.DateTime(timezone=True)),
    sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
    sa.CheckConstraint("id = 1", name="single"),
    sa.CheckConstraint("position >= 0", name="position_not_negative"),
)


@dataclass(frozen=True, slots=True)
class Transaction:
    """One line of Telegram's list. `partner` and `kind` are its words for who and what; `period_s` of subscriptions."""

    transaction_id: str
    direction: Direction
    nanostars: int
    share_nanostars: int
    partner: str
    kind: str | None
    person_id: int | None
    payload: str | None
    period_s: int | None
    at: datetime
    raw: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reading:
    """How far the list was read. `read_to`: everything before that moment is known; `balance_nanostars` by Telegram's
    word and `listed_nanostars` by the list, taken together when the end was reached."""

    position: int
    balance_nanostars: int | None
    listed_nanostars: int | None
    read_to: datetime | None


async def reading(connection: AsyncConnection) -> Reading:
    """Return how far the list was read; from its beginning when it never was."""
    columns = (
        star_list.c.position,
        star_list.c.balance_nanostars,
        star_list.c.listed_nanostars,
        star_list.c.read_to,
    )
    row = (await connection.execute(sa.select(*columns))).one_or_none()
    return Reading(*row) if row else Reading(0, None, None, None)


async def store_page(
    tx: AsyncConnection, page: Sequence[Transaction], *, expected: int, position: int, now: datetime
) -> int | None:
    """Store a page and the position behind it, if the position is `expected` still; return how many lines are new.

    None: somebody else read on meanwhile, and nothing was stored. A line that is known keeps its amount and its class;
    what Telegram says of its state (a withdrawal that succeeded) is renewed.
    """
    await tx.execute(insert(star_list).values(id=1, position=0, updated_at=now).on_conflict_do_nothing())
    moved = await tx.execute(
        sa.update(star_list).where(star_list.c.position == expected).values(position=position, updated_at=now)
    )
    if moved.rowcount != 1:
        return None
    new = 0
    for one in page:
        row = insert(star_transactions).values(
            transaction_id=one.transaction_id,
            direction=one.direction,
            nanostars=one.nanostars,
            share_nanostars=one.share_nanostars,
            partner=one.partner,
            kind=one.kind,
            person_id=one.person_id,
            payload=one.payload,
            period_s=one.period_s,
            raw=one.raw,
            at=one.at,
            stored_at=now,
        )
        renewed = row.on_conflict_do_update(
            index_elements=["transaction_id", "direction"],
            set_={"raw": row.excluded.raw},
            where=star_transactions.c.raw != row.excluded.raw,
        )
        inserted = sa.literal_column("xmax = 0", sa.Boolean)
        new += bool((await tx.execute(renewed.returning(inserted))).scalar_one_or_none())
    return new


async def reach_end(tx: AsyncConnection, *, balance_nanostars: int | None, read_to: datetime, now: datetime) -> None:
    """Note that the list was read to its end. `balance_nanostars`: Telegram's word, None if it moved meanwhile."""
    values: dict[str, Any] = {"read_to": read_to, "updated_at": now}
    if balance_nanostars is not None:
        sign = sa.case((star_transactions.c.direction == "in", 1), else_=-1)
        whole = sa.func.coalesce(sa.func.sum(sign * star_transactions.c.nanostars), 0)
        shares = sa.func.coalesce(sa.func.sum(sign * star_transactions.c.share_nanostars), 0)
        listed, shared = (await tx.execute(sa.select(whole, shares))).one()
        # Telegram does not say whether an amount is what was paid or what was left of it; the balance does.
        net = int(listed - shared)
        values |= {
            "balance_nanostars": balance_nanostars,
            "listed_nanostars": net if balance_nanostars == net else int(listed),
        }
    await tx.execute(sa.update(star_list).values(**values))


async def began_before(connection: AsyncConnection, one: Transaction) -> bool:
    """Return whether the person paid for the same payload before: a renewal carries that of its first payment."""
    earlier = (
        sa.select(star_transactions.c.id)
        .where(
            star_transactions.c.payload == one.payload,
            star_transactions.c.person_id == one.person_id,
            star_transactions.c.direction == "in",
            star_transactions.c.transaction_id != one.transaction_id,
            star_transactions.c.at < one.at,
        )
        .limit(1)
    )
    return (await connection.execute(earlier)).one_or_none() is not None


async def unclassed(
    connection: AsyncConnection, *, before: datetime, after_id: int, limit: int
) -> list[tuple[int, Transaction]]:
    """Return lines (with their row ids) that nothing of ours explains yet, older than `before`, in the list's order."""
    t = star_transactions.c
    rows = await connection.execute(
        sa.select(
            t.id,
            t.transaction_id,
            t.direction,
            t.nanostars,
            t.share_nanostars,
            t.partner,
            t.kind,
            t.person_id,
            t.payload,
            t.period_s,
            t.at,
            t.raw,
        )
        .where(t["class"].is_(None), t.at <= before, t.id > after_id)
        .order_by(t.id)
        .limit(limit)
    )
    return [(row[0], Transaction(*tuple(row)[1:])) for row in rows]
