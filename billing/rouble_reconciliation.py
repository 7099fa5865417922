"""Reconciling roubles: every payment and refund of YooKassa's in a window beside ours, and the other way round.

    theirs - ours = the sum over the classes

Only money that moved counts: a payment that succeeded adds, a refund that succeeded takes away. `not_ours`: paid to the
same shop through something else than Forma; it explains itself. Somebody has to look at the others: `unknown` (it
carries our mark, or gives a payment of ours back, and we have no row of it), `missing` (ours, and not there),
`amount_differs`, `status_differs`.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.payments import YOOKASSA
from billing.rouble_payments import PAYMENT_KEY
from billing.rouble_refunds import REFUND_KEY
from billing.rouble_tables import rouble_differences, rouble_reconciliations
from billing.tables import payments, refunds
from billing.yookassa.objects import Payment, Refund

UNCLEAR: Final = ("unknown", "missing", "amount_differs", "status_differs")
_TAKEN: Final = ("succeeded", "partially_refunded", "refunded", "charged_back")


@dataclass(frozen=True, slots=True)
class Ours:
    """A payment (+) or refund (-) of ours: `kopecks` that moved, signed, 0 while none did; `asked`: without a sign."""

    subject: str
    provider_id: str
    kopecks: int
    asked: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that somebody has to look at, in signed kopecks: theirs less ours."""

    subject: str
    class_: str
    kopecks: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both sides of a window in kopecks. `classes`: (lines, signed sum) of each class that differs."""

    lines: int
    theirs: int
    ours: int
    classes: dict[str, tuple[int, int]]
    unclear: tuple[Difference, ...]


async def ours(connection: AsyncConnection, *, ids: Iterable[str], since: datetime, until: datetime) -> dict[str, Ours]:
    """Return what we have of YooKassa's `ids`, and what moved in [since, until) here, by YooKassa's id."""
    # One parameter, since a list is longer than a statement may have.
    named = sa.any_(sa.literal(list(ids), ARRAY(sa.Text)))
    of_payment, of_refund = payments.c.provider_payment_id, refunds.c.provider_refund_id
    paid = await connection.execute(
        sa.select(payments.c.id, of_payment, payments.c.status, payments.c.amount, payments.c.created_at)
        .where(payments.c.provider == YOOKASSA, of_payment.is_not(None))
        .where(
            sa.or_(
                of_payment == named,
                sa.and_(payments.c.status.in_(_TAKEN), payments.c.created_at >= since, payments.c.created_at < until),
            )
        )
    )
    found = [
        Ours(f"payment:{row.id}", row[1], row.amount if row.status in _TAKEN else 0, row.amount, row.created_at)
        for row in paid
    ]
    back = await connection.execute(
        sa.select(refunds.c.id, of_refund, refunds.c.status, refunds.c.amount, refunds.c.created_at)
        .join(payments, payments.c.id == refunds.c.payment_id)
        .where(payments.c.provider == YOOKASSA, of_refund.is_not(None))
        .where(
            sa.or_(
                of_refund == named,
                sa.and_(refunds.c.status == "succeeded", refunds.c.created_at >= since, refunds.c.created_at < until),
            )
        )
    )
    found += [
        Ours(f"refund:{row.id}", row[1], -row.amount if row.status == "succeeded" else 0, row.amount, row.created_at)
        for row in back
    ]
    return {one.provider_id: one for one in found}


async def paid_here(connection: AsyncConnection, ids: Iterable[str]) -> frozenset[str]:
    """Return which of YooKassa's payments are ours, however old."""
    found = await connection.execute(
        sa.select(payments.c.provider_payment_id).where(
            payments.c.provider == YOOKASSA,
            payments.c.provider_payment_id == sa.any_(sa.literal(list(ids), ARRAY(sa.Text))),
        )
    )
    return frozenset(found.scalars())


def compare(
    theirs: Iterable[Payment | Refund], mine: dict[str, Ours], *, missing: Iterable[Ours], paid: frozenset[str]
) -> Comparison:
    """Compare YooKassa's lists with ours. `missing`: rows of ours that it does not know, as it said itself.

    `paid`: which payments of the listed refunds are ours; a payment may be older than the lists.
    """
    sums: dict[str, list[int]] = defaultdict(list)
    unclear: list[Difference] = []
    lines, their_sum, our_sum = 0, 0, 0
    for one in theirs:
        sign = 1 if isinstance(one, Payment) else -1
        moved = sign * one.kopecks if one.status == "succeeded" else 0
        row = mine.get(one.id)
        lines, their_sum = lines + 1, their_sum + moved
        our_sum += row.kopecks if row else 0
        class_ = _class(one, row, moved, paid)
        if class_ is None:
            continue
        difference = moved - (row.kopecks if row else 0)
        sums[class_].append(difference)
        if class_ in UNCLEAR:
            subject = row.subject if row else f"{'payment' if sign > 0 else 'refund'}:{one.id}"
            unclear.append(Difference(subject, class_, difference, one.created_at))
    for gone in missing:
        our_sum += gone.kopecks
        sums["missing"].append(-gone.kopecks)
        unclear.append(Difference(gone.subject, "missing", -gone.kopecks, gone.at))
    classes = {name: (len(each), sum(each)) for name, each in sorted(sums.items())}
    return Comparison(lines, their_sum, our_sum, classes, tuple(unclear))


def _class(one: Payment | Refund, row: Ours | None, moved: int, paid: frozenset[str]) -> str | None:
    """Return why an object and our row of it differ, None if they do not."""
    if row is None:
        if not moved:
            return None  # nothing moved, and nothing is known of it here: both say the same
        if isinstance(one, Payment):
            return "unknown" if PAYMENT_KEY in one.metadata else "not_ours"
        return "unknown" if REFUND_KEY in one.metadata or one.payment_id in paid else "not_ours"
    if moved == row.kopecks:
        return None
    return "amount_differs" if moved and row.kopecks else "status_differs"


async def see(
    tx: AsyncConnection, differences: Iterable[Difference], *, since: datetime, until: datetime, now: datetime
) -> list[Difference]:
    """Keep what differs now and return what was not known before; what differs no more in the window is closed."""
    new, standing = [], []
    for one in differences:
        standing.append(one.subject)
        values = {"class": one.class_, "kopecks": one.kopecks, "at": one.at, "seen_at": now}
        again = (
            insert(rouble_differences)
            .values({"subject": one.subject, **values})
            .on_conflict_do_update(
                index_elements=["subject"],
                set_=values | {"closed_at": None},
                where=sa.or_(
                    rouble_differences.c.closed_at.is_not(None),
                    rouble_differences.c["class"] != one.class_,
                    rouble_differences.c.kopecks != one.kopecks,
                ),
            )
            .returning(rouble_differences.c.id)
        )
        if (await tx.execute(again)).scalar_one_or_none() is not None:
            new.append(one)
    gone = sa.update(rouble_differences).where(
        rouble_differences.c.closed_at.is_(None),
        rouble_differences.c.at >= since,
        rouble_differences.c.at < until,
        rouble_differences.c.subject != sa.all_(sa.literal(standing, ARRAY(sa.Text))),
    )
    await tx.execute(gone.values(closed_at=now))
    return new


async def keep(
    tx: AsyncConnection,
    found: Comparison,
    *,
    cause: str,
    followed: int,
    since: datetime,
    until: datetime,
    now: datetime,
) -> None:
    """Write down a reconciliation: its window, what it followed and what it saw."""
    classes: dict[str, Any] = {name: {"lines": n, "kopecks": sum_} for name, (n, sum_) in found.classes.items()}
    await tx.execute(
        sa.insert(rouble_reconciliations).values(
            cause=cause,
            since=since,
            until=until,
            followed=followed,
            lines=found.lines,
            theirs_kopecks=found.theirs,
            ours_kopecks=found.ours,
            classes=classes,
            ended_at=now,
        )
    )
