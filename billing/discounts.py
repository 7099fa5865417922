"""Percentages off: what a promo code that a person holds does to an order, and what becomes of its use.

Something bought once costs less: the order's amount is reduced, rounded down, and never below 1. A subscription has
one price at the provider, so the percentage comes in tokens, rounded up, with the first payment. Either is frozen with
the order. A use that bought nothing by its end is given back; a payment that comes later all the same is honoured.

A payment in roubles cannot be called back once YooKassa has it. While one that was begun may still come, its percentage
is for nothing else and is not given back: one use would make many payments cheaper.

Lock order: wallet, redemptions, codes by id.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from billing import ledger, lots, trials
from billing.growth_tables import promo_codes, promo_orders, promo_redemptions
from billing.payments import OPEN
from billing.tables import orders, payments
from kit.errors import Rejected

AMOUNT_MIN: Final = 1


class DiscountUnderWay(Rejected):
    """A payment with the person's percentage was begun, and it is not known yet how it ends."""

    code = "error-discount-under-way"


@dataclass(frozen=True, slots=True)
class Held:
    """A percentage that a person holds until `expires_at`; `plans`: what it is for, None for all."""

    redemption_id: int
    code: str
    percent: int
    plans: tuple[str, ...] | None
    first_purchase: bool
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Off:
    """What a percentage makes of an order: its `amount`, and tokens on top; it holds until `expires_at`."""

    redemption_id: int
    full_amount: int
    amount: int
    bonus_tokens: int
    expires_at: datetime


_HELD: Final[sa.Select[Any]] = (
    sa.select(
        promo_redemptions.c.id,
        promo_codes.c.code,
        promo_codes.c.percent,
        promo_codes.c.plans,
        promo_codes.c.first_purchase,
        promo_redemptions.c.expires_at,
    )
    .join(promo_codes, promo_codes.c.id == promo_redemptions.c.code_id)
    .where(promo_redemptions.c.status == "held")
)


async def held(connection: AsyncConnection, *, person_id: int, now: datetime) -> Held | None:
    """Return the percentage that a person holds."""
    mine = (promo_redemptions.c.person_id == person_id, promo_redemptions.c.expires_at > now)
    row = (await connection.execute(_HELD.where(*mine))).one_or_none()
    if row is None:
        return None
    plans = tuple(row.plans) if row.plans else None
    return Held(row.id, row.code, row.percent, plans, row.first_purchase, row.expires_at)


async def applied(
    tx: AsyncConnection, *, person_id: int, plan_id: str, kind: str, price: int, tokens: int, now: datetime
) -> Off | None:
    """Return what the person's percentage makes of an order of a product; locks the wallet where there is one."""
    if await held(tx, person_id=person_id, now=now) is None:
        return None
    await ledger.lock_wallet(tx, person_id=person_id, now=now)
    return await foreseen(tx, person_id=person_id, plan_id=plan_id, kind=kind, price=price, tokens=tokens, now=now)


async def foreseen(
    connection: AsyncConnection, *, person_id: int, plan_id: str, kind: str, price: int, tokens: int, now: datetime
) -> Off | None:
    """Return what the percentage would make of an order that was opened now: for showing a price. Locks nothing."""
    mine = await held(connection, person_id=person_id, now=now)
    if mine is None or (mine.plans is not None and plan_id not in mine.plans):
        return None
    if mine.first_purchase and await trials.has_paid(connection, person_id=person_id):
        return None
    if kind == "subscription":
        return Off(mine.redemption_id, price, price, -(-tokens * mine.percent // 100), mine.expires_at)
    reduced = max(AMOUNT_MIN, price * (100 - mine.percent) // 100)
    return Off(mine.redemption_id, price, reduced, 0, mine.expires_at)


async def of_order(connection: AsyncConnection, order_id: int) -> Off | None:
    """Return what an order was reduced by."""
    row = (
        await connection.execute(
            sa.select(promo_orders, orders.c.amount, orders.c.expires_at)
            .join(orders, orders.c.id == promo_orders.c.order_id)
            .where(promo_orders.c.order_id == order_id)
        )
    ).one_or_none()
    if row is None:
        return None
    return Off(row.redemption_id, row.full_amount, row.amount, row.bonus_tokens, row.expires_at)


async def attach(tx: AsyncConnection, order_id: int, off: Off, *, now: datetime) -> None:
    """Freeze a percentage with a new order; the same one is taken from whatever other order was open with it.

    Raises DiscountUnderWay.
    """
    await _refuse_under_way(tx, off.redemption_id)
    await _cancel_orders(tx, (off.redemption_id,), now)
    await tx.execute(
        sa.insert(promo_orders).values(
            order_id=order_id,
            redemption_id=off.redemption_id,
            full_amount=off.full_amount,
            bonus_tokens=off.bonus_tokens,
        )
    )


async def make_room(tx: AsyncConnection, *, person_id: int, code_id: int, now: datetime) -> None:
    """Give back the percentage that a person holds, since they named another code; locks that code as well.

    Raises DiscountUnderWay.
    """
    earlier = (
        await tx.execute(
            sa.select(promo_redemptions.c.id, promo_redemptions.c.code_id)
            .where(promo_redemptions.c.person_id == person_id, promo_redemptions.c.status == "held")
            .with_for_update(key_share=True)
        )
    ).one_or_none()
    if earlier is None:
        return
    await _refuse_under_way(tx, earlier.id)
    await _cancel_orders(tx, (earlier.id,), now)
    await _lock_codes(tx, {code_id, earlier.code_id})
    await _give_back(tx, (earlier.id,), now)


async def take_use(tx: AsyncConnection, code_id: int) -> bool:
    """Count one more use of a code; False when none is left or it has ended."""
    table = promo_codes.c
    taken = await tx.execute(
        sa.update(promo_codes)
        .where(
            table.id == code_id,
            table.ended_at.is_(None),
            sa.or_(table.uses_max.is_(None), table.uses < table.uses_max),
        )
        .values(uses=table.uses + 1)
    )
    return taken.rowcount == 1


async def spend(
    tx: AsyncConnection, *, order_id: int, person_id: int, payment_id: int, until: datetime | None, now: datetime
) -> int:
    """Note that an order was paid; grant the tokens that came on top, and return how many. 0 for a repeated payment.

    They belong to the payment, so a refund takes them back with the rest.
    """
    row = (
        await tx.execute(
            sa.select(
                promo_orders.c.redemption_id,
                promo_orders.c.bonus_tokens,
                promo_redemptions.c.status,
                promo_redemptions.c.code_id,
            )
            .join(promo_redemptions, promo_redemptions.c.id == promo_orders.c.redemption_id)
            .where(promo_orders.c.order_id == order_id)
            .with_for_update(of=promo_redemptions, key_share=True)
        )
    ).one_or_none()
    if row is None or row.status in ("used", "honoured"):
        return 0
    status = "used" if row.status == "held" or await _use_again(tx, row.code_id, person_id) else "honoured"
    await tx.execute(
        sa.update(promo_redemptions)
        .where(promo_redemptions.c.id == row.redemption_id)
        .values(status=status, payment_id=payment_id, updated_at=now)
    )
    if not row.bonus_tokens:
        return 0
    await lots.grant(
        tx,
        person_id=person_id,
        tokens=row.bonus_tokens,
        kind="promo",
        ref_type="promo",
        ref_id=str(row.redemption_id),
        expires_at=until,
        now=now,
        payment_id=payment_id,
    )
    return int(row.bonus_tokens)


async def release_due(tx: AsyncConnection, *, now: datetime, limit: int) -> int:
    """Give back up to `limit` uses whose time is over and that no open order or payment holds; return how many."""
    open_order = (
        sa.select(orders.c.id)
        .join(promo_orders, promo_orders.c.order_id == orders.c.id)
        .where(promo_orders.c.redemption_id == promo_redemptions.c.id, orders.c.status == "open")
    )
    due = (
        await tx.execute(
            sa.select(promo_redemptions.c.id, promo_redemptions.c.code_id)
            .where(promo_redemptions.c.status == "held", promo_redemptions.c.expires_at <= now)
            .where(~open_order.exists(), ~_under_way().exists())
            .order_by(promo_redemptions.c.id)
            .limit(limit)
            .with_for_update(skip_locked=True, key_share=True)
        )
    ).all()
    if due:
        await _lock_codes(tx, {row.code_id for row in due})
        await _give_back(tx, [row.id for row in due], now)
    return len(due)


def _under_way() -> sa.Select[Any]:
    """The payments with a redemption's percentage that may still come."""
    return (
        sa.select(payments.c.id)
        .join(promo_orders, promo_orders.c.order_id == payments.c.order_id)
        .where(promo_orders.c.redemption_id == promo_redemptions.c.id, payments.c.status.in_(OPEN))
        .correlate(promo_redemptions)
    )


async def _refuse_under_way(tx: AsyncConnection, redemption_id: int) -> None:
    code = (
        sa.select(promo_codes.c.code)
        .join(promo_redemptions, promo_redemptions.c.code_id == promo_codes.c.id)
        .where(promo_redemptions.c.id == redemption_id, _under_way().exists())
    )
    used = await tx.scalar(code)
    if used is not None:
        raise DiscountUnderWay(promo=used)


async def _use_again(tx: AsyncConnection, code_id: int, person_id: int) -> bool:
    """Count the use of a redemption that was given back; not where its person has redeemed the code anew."""
    anew = sa.select(promo_redemptions.c.id).where(
        promo_redemptions.c.code_id == code_id,
        promo_redemptions.c.person_id == person_id,
        promo_redemptions.c.status.in_(("held", "used")),
    )
    if await tx.scalar(anew) is not None:
        return False
    table = promo_codes.c
    left = (table.id == code_id, sa.or_(table.uses_max.is_(None), table.uses < table.uses_max))
    return (await tx.execute(sa.update(promo_codes).where(*left).values(uses=table.uses + 1))).rowcount == 1


async def _give_back(tx: AsyncConnection, redemptions: Collection[int], now: datetime) -> None:
    freed = (
        await tx.execute(
            sa.update(promo_redemptions)
            .where(promo_redemptions.c.id.in_(redemptions))
            .values(status="released", updated_at=now)
            .returning(promo_redemptions.c.code_id)
        )
    ).scalars()
    for code_id in sorted(freed.all()):
        await tx.execute(sa.update(promo_codes).where(promo_codes.c.id == code_id).values(uses=promo_codes.c.uses - 1))


async def _lock_codes(tx: AsyncConnection, codes: Collection[int]) -> None:
    chosen = sa.select(promo_codes.c.id).where(promo_codes.c.id.in_(codes)).order_by(promo_codes.c.id)
    await tx.execute(chosen.with_for_update(key_share=True))


async def _cancel_orders(tx: AsyncConnection, redemptions: Collection[int], now: datetime) -> None:
    reduced = sa.select(promo_orders.c.order_id).where(promo_orders.c.redemption_id.in_(redemptions))
    await tx.execute(
        sa.update(orders)
        .where(orders.c.id.in_(reduced), orders.c.status == "open")
        .values(status="canceled", updated_at=now)
    )
