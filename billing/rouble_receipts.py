"""Receipts of payments and refunds in roubles, followed apart from the money: it may have come and its receipt not.

    pending → succeeded | canceled        canceled | pending → by_hand        by_hand | canceled → succeeded

A row begins when the money has moved and a receipt was asked for. YooKassa's word moves it, in the order above and
never back, so that an answer which was overtaken changes nothing; `by_hand` is the operator's word. Payment, refund and
tokens are none of its business.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

import sqlalchemy as sa
import structlog
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.tables import payments, refunds
from billing.yookassa import objects
from kit.db import metadata

log = structlog.get_logger(__name__)

# A receipt is asked about again after as long as it has waited already, within these bounds.
ASK_AFTER_MIN: Final = timedelta(minutes=1)
ASK_AFTER_MAX: Final = timedelta(hours=1)
# After so long the operator has to look; so long YooKassa is asked at most.
OVERDUE: Final = timedelta(hours=24)
FOLLOW_FOR: Final = timedelta(days=7)
# What YooKassa says of a registration, and the operator; a later one is never followed by an earlier one.
_RANK: Final = {"pending": 0, "canceled": 1, "by_hand": 2, "succeeded": 3}
_SAID: Final = ("pending", "succeeded", "canceled")

State = Literal["pending", "late", "issued"]

rouble_receipts = sa.Table(
    "rouble_receipts",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("payment_id", sa.BigInteger, sa.ForeignKey("payments.id"), nullable=False),
    # None: the receipt of the payment itself.
    sa.Column("refund_id", sa.BigInteger, sa.ForeignKey("refunds.id")),
    sa.Column("status", sa.Text, nullable=False),
    # What the operator was told of it last: that it is missing, or that it came after all.
    sa.Column("told", sa.Text),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    # YooKassa's latest word, and when it is to be asked again: None when nobody asks any more.
    sa.Column("heard_at", sa.DateTime(timezone=True)),
    sa.Column("ask_at", sa.DateTime(timezone=True)),
    sa.CheckConstraint("status IN ('pending', 'canceled', 'by_hand', 'succeeded')", name="status"),
    sa.CheckConstraint("told IN ('missing', 'came')", name="told"),
    sa.Index("uq_rouble_receipts_payment_id", "payment_id", unique=True, postgresql_where=sa.text("refund_id IS NULL")),
    sa.Index("uq_rouble_receipts_refund_id", "refund_id", unique=True),
    sa.Index("ix_rouble_receipts_ask_at", "ask_at", postgresql_where=sa.text("ask_at IS NOT NULL")),
    sa.Index(
        "ix_rouble_receipts_unsettled",
        "id",
        postgresql_where=sa.text("status IN ('pending', 'canceled') OR told = 'missing'"),
    ),
)
_ROWS: Final = rouble_receipts.c


@dataclass(frozen=True, slots=True)
class Receipt:
    """A receipt with what it is of: `provider_id` is YooKassa's id of the payment, or of the refund, of `kopecks`."""

    id: int
    payment_id: int
    refund_id: int | None
    status: str
    created_at: datetime
    payer_id: int
    kopecks: int
    provider_id: str | None


_SELECT: Final[sa.Select[Any]] = (
    sa.select(
        _ROWS.id,
        _ROWS.payment_id,
        _ROWS.refund_id,
        _ROWS.status,
        _ROWS.created_at,
        payments.c.payer_id,
        sa.func.coalesce(refunds.c.amount, payments.c.amount),
        sa.case((_ROWS.refund_id.is_(None), payments.c.provider_payment_id), else_=refunds.c.provider_refund_id),
    )
    .join(payments, payments.c.id == _ROWS.payment_id)
    .outerjoin(refunds, refunds.c.id == _ROWS.refund_id)
)


async def note_payment(tx: AsyncConnection, payment_id: int, found: objects.Payment, *, now: datetime) -> None:
    """Note how the receipt of a payment stands by YooKassa's object of it. The caller holds the payment's lock."""
    if found.status == "succeeded":
        await _note(tx, payment_id, None, found.receipt, now)


async def note_refund(
    tx: AsyncConnection, payment_id: int, refund_id: int, found: objects.Refund, *, now: datetime
) -> None:
    """Note how the receipt of a refund stands by YooKassa's object of it. The caller holds its payment's lock."""
    if found.status == "succeeded":
        await _note(tx, payment_id, refund_id, found.receipt, now)


async def _note(tx: AsyncConnection, payment_id: int, refund_id: int | None, said: str, now: datetime) -> None:
    mine = (_ROWS.payment_id == payment_id, _ROWS.refund_id.is_not_distinct_from(refund_id))
    row = (await tx.execute(sa.select(_ROWS.status, _ROWS.created_at).where(*mine).with_for_update())).one_or_none()
    if said not in ("", *_SAID):
        log.warning("receipt_unread", payment=payment_id, refund=refund_id)
    # Silence about a receipt that was asked for is no registration either.
    status = said if said in _SAID else "pending"
    if row is None:
        if said or await _asked_for(tx, payment_id, refund_id):
            begun = {"payment_id": payment_id, "refund_id": refund_id, "created_at": now}
            ask_at = now + ASK_AFTER_MIN if status == "pending" else None
            new = insert(rouble_receipts).values(status=status, heard_at=now, ask_at=ask_at, **begun)
            await tx.execute(new.on_conflict_do_nothing())
        return
    values: dict[str, Any] = {"heard_at": now}
    if _RANK[status] > _RANK[row.status]:
        log.info("receipt_followed", payment=payment_id, refund=refund_id, status=status)
        values |= {"status": status, "ask_at": None}
    elif now >= row.created_at + FOLLOW_FOR:
        values["ask_at"] = None
    await tx.execute(sa.update(rouble_receipts).where(*mine).values(values))


async def _asked_for(tx: AsyncConnection, payment_id: int, refund_id: int | None) -> bool:
    """Tell whether our request carried a receipt."""
    table, key, value = ("yookassa_payments", "payment_id", payment_id)
    if refund_id is not None:
        table, key, value = ("yookassa_refunds", "refund_id", refund_id)
    sql = f"SELECT CASE WHEN request <> '' THEN request::jsonb ? 'receipt' END FROM {table} WHERE {key} = :value"  # noqa: S608
    return bool((await tx.execute(sa.text(sql), {"value": value})).scalar_one_or_none())


async def take_due(tx: AsyncConnection, *, now: datetime, limit: int) -> list[Receipt]:
    """Return the receipts that YooKassa is to be asked about, and put their next time off, so that nobody else asks."""
    due = sa.select(_ROWS.id).where(_ROWS.ask_at <= now).order_by(_ROWS.ask_at).limit(limit)
    waited = sa.literal(now, sa.DateTime(timezone=True)) - _ROWS.created_at
    pause = sa.func.least(sa.func.greatest(waited, ASK_AFTER_MIN), ASK_AFTER_MAX)
    claimed = (
        sa.update(rouble_receipts)
        .where(_ROWS.id.in_(due.with_for_update(skip_locked=True)))
        .values(ask_at=sa.literal(now, sa.DateTime(timezone=True)) + pause)
        .returning(_ROWS.id)
    )
    return await _of(tx, (await tx.execute(claimed)).scalars().all())


async def stop_asking(tx: AsyncConnection, receipt_id: int, *, now: datetime) -> None:
    """Note that YooKassa does not show what a receipt is of: once it was followed for long enough, nobody asks more."""
    old = (_ROWS.id == receipt_id, _ROWS.created_at <= now - FOLLOW_FOR)
    await tx.execute(sa.update(rouble_receipts).where(*old).values(ask_at=None))


def _missing(now: datetime) -> sa.ColumnElement[bool]:
    """What somebody has to make by hand: canceled, or pending for too long by YooKassa's own word, the last it gave."""
    overdue = sa.and_(
        _ROWS.status == "pending",
        _ROWS.created_at <= now - OVERDUE,
        sa.or_(_ROWS.heard_at >= _ROWS.created_at + OVERDUE, _ROWS.ask_at.is_(None)),
    )
    return sa.or_(_ROWS.status == "canceled", overdue)


async def take_missing(tx: AsyncConnection, *, now: datetime, limit: int) -> list[Receipt]:
    """Return the receipts that are missing and were not told yet, and mark them as told."""
    return await _tell(tx, sa.and_(_missing(now), _ROWS.told.is_(None)), "missing", limit)


async def take_came(tx: AsyncConnection, *, limit: int) -> list[Receipt]:
    """Return the receipts that were told to be missing and came after all, and mark them as told."""
    return await _tell(tx, sa.and_(_ROWS.status == "succeeded", _ROWS.told == "missing"), "came", limit)


async def _tell(tx: AsyncConnection, which: sa.ColumnElement[bool], told: str, limit: int) -> list[Receipt]:
    chosen = sa.select(_ROWS.id).where(which).order_by(_ROWS.id).limit(limit).with_for_update(skip_locked=True)
    marked = sa.update(rouble_receipts).where(_ROWS.id.in_(chosen)).values(told=told).returning(_ROWS.id)
    return await _of(tx, (await tx.execute(marked)).scalars().all())


async def missing(connection: AsyncConnection, *, now: datetime, limit: int) -> list[Receipt]:
    """Return the receipts that are missing, the oldest first."""
    rows = await connection.execute(_SELECT.where(_missing(now)).order_by(_ROWS.id).limit(limit))
    return [Receipt(*row) for row in rows]


async def count_missing(connection: AsyncConnection, *, now: datetime) -> int:
    """Return how many receipts are missing."""
    counted = sa.select(sa.func.count()).select_from(rouble_receipts).where(_missing(now))
    return int((await connection.execute(counted)).scalar_one())


async def mark_by_hand(tx: AsyncConnection, receipt_id: int) -> Receipt | None:
    """Note that the operator has made a receipt elsewhere; None for one that needs none (any more)."""
    open_ = (_ROWS.id == receipt_id, _ROWS.status.in_(("pending", "canceled")))
    changed = sa.update(rouble_receipts).where(*open_).values(status="by_hand", ask_at=None).returning(_ROWS.id)
    found = (await tx.execute(changed)).scalars().all()
    return (await _of(tx, found))[0] if found else None


async def of_payments(connection: AsyncConnection, ids: Iterable[int]) -> dict[int, tuple[State, bool]]:
    """Return by payment how its latest receipt stands as the person sees it, and whether that is of a refund."""
    rows = await connection.execute(
        sa.select(_ROWS.payment_id, _ROWS.status, _ROWS.refund_id)
        .where(_ROWS.payment_id == sa.any_(sa.literal(list(ids), ARRAY(sa.BigInteger))))
        .order_by(_ROWS.id)
    )
    return {row.payment_id: (_SEEN[row.status], row.refund_id is not None) for row in rows}


_SEEN: Final[dict[str, State]] = {"pending": "pending", "canceled": "late", "by_hand": "issued", "succeeded": "issued"}


async def _of(connection: AsyncConnection, ids: Iterable[int]) -> list[Receipt]:
    named = sa.any_(sa.literal(list(ids), ARRAY(sa.BigInteger)))
    rows = await connection.execute(_SELECT.where(_ROWS.id == named).order_by(_ROWS.id))
    return [Receipt(*row) for row in rows]
