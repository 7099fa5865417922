"""Orders: what a person asked to buy, at the price of that moment. open → paid | expired | canceled.

The payload names the order to the provider. A payment that comes for an expired or replaced order is honoured, so
those may still become paid.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from billing import discounts, subscriptions
from billing.tables import orders, plan_versions, plans
from kit import ids
from kit.errors import Rejected

ORDER_LIFE: Final = timedelta(days=7)
PAYLOAD_PREFIX: Final = "forma:"


class NotForSale(Rejected):
    """The product is unknown, withdrawn, or has no price in this currency."""

    code = "error-not-for-sale"


class OrderUnknown(Rejected):
    """No order has this payload."""

    code = "error-order-unknown"


class OrderOfAnother(Rejected):
    """The invoice was made for somebody else."""

    code = "error-order-of-another"


class OrderPriceDiffers(Rejected):
    """Amount or currency are not the order's."""

    code = "error-order-price-differs"


class OrderExpired(Rejected):
    """The invoice is too old or was replaced by a newer one."""

    code = "error-order-expired"


class OrderPaid(Rejected):
    """The order is paid already."""

    code = "error-order-paid"


class SecondSubscription(Rejected):
    """The person has a subscription that renews; `plan` names it."""

    code = "error-second-subscription"


@dataclass(frozen=True, slots=True)
class Order:
    """An order with its price snapshot: `amount` in Stars or kopecks, `tokens` for it, `titles` by language.

    kind "once": `tokens` in each of `months`. `gift`: for whoever gets its code. `replaces_id`: the subscription whose
    renewal ends when this one is paid.
    """

    id: int
    person_id: int
    plan_id: str
    plan_version_id: int
    kind: str
    currency: str
    amount: int
    tokens: int
    payload: str
    status: str
    expires_at: datetime
    titles: dict[str, str]
    tokens_days: int | None
    tokens_roll_over: bool
    months: int | None
    gift: bool
    replaces_id: int | None


_SELECT: Final[sa.Select[Any]] = (
    sa.select(
        orders.c.id,
        orders.c.person_id,
        orders.c.plan_id,
        orders.c.plan_version_id,
        orders.c.kind,
        orders.c.currency,
        orders.c.amount,
        orders.c.tokens,
        orders.c.payload,
        orders.c.status,
        orders.c.expires_at,
        plans.c.titles,
        plan_versions.c.tokens_days,
        plan_versions.c.tokens_roll_over,
        plan_versions.c.period_months,
        orders.c.gift,
        orders.c.replaces_id,
    )
    .join(plans, plans.c.id == orders.c.plan_id)
    .join(plan_versions, plan_versions.c.id == orders.c.plan_version_id)
)


# What an open order must have in common with a wish, to serve it.
_TERMS: Final = ("plan_version_id", "kind", "currency", "amount", "replaces_id")


async def open(  # noqa: A001 - the field's word
    tx: AsyncConnection,
    *,
    person_id: int,
    product_id: str,
    currency: str,
    now: datetime,
    gift: bool = False,
    replaces_id: int | None = None,
    renews: bool = True,
) -> Order:
    """Return the person's open order of a product, made now or re-used when its terms are still the product's.

    A gift of a subscription is one month, once, and so is one that nothing `renews`. A percentage that the person
    holds is frozen with the order. Raises NotForSale, DiscountUnderWay, and SecondSubscription when the person has one
    that renews and is not the one that this order replaces.
    """
    product = await _product(tx, product_id, currency)
    kind = "once" if (gift or not renews) and product.kind == "subscription" else product.kind
    if kind == "subscription":
        await _refuse_second(tx, person_id, replaces_id)
    off = await discounts.applied(
        tx, person_id=person_id, plan_id=product_id, kind=kind, price=product.price, tokens=product.tokens, now=now
    )
    amount = off.amount if off else product.price
    expires_at = min(now + ORDER_LIFE, off.expires_at) if off else now + ORDER_LIFE
    same = (
        orders.c.person_id == person_id,
        orders.c.plan_id == product_id,
        orders.c.status == "open",
        orders.c.gift == gift,
    )
    found = await tx.execute(sa.select(orders).where(*same).with_for_update(key_share=True))
    earlier = found.mappings().one_or_none()
    terms = (product.version_id, kind, currency, amount, replaces_id)
    if earlier and terms == tuple(earlier[name] for name in _TERMS) and await _has(tx, earlier["id"], off):
        values = {"expires_at": expires_at, "updated_at": now}
        await tx.execute(sa.update(orders).where(orders.c.id == earlier["id"]).values(values))
        return await _one(tx, earlier["id"])
    if earlier:
        await _set_status(tx, earlier["id"], "canceled", now)
    order_id = (
        await tx.execute(
            insert(orders)
            .values(
                person_id=person_id,
                plan_id=product_id,
                plan_version_id=product.version_id,
                kind=kind,
                currency=currency,
                amount=amount,
                tokens=product.tokens,
                payload=PAYLOAD_PREFIX + ids.token(18),
                status="open",
                expires_at=expires_at,
                gift=gift,
                replaces_id=replaces_id,
                created_at=now,
                updated_at=now,
            )
            .on_conflict_do_nothing()
            .returning(orders.c.id)
        )
    ).scalar_one_or_none()
    if order_id is None:  # two presses at once: the other one's order serves both
        order_id = (await tx.execute(sa.select(orders.c.id).where(*same))).scalar_one()
    elif off:
        await discounts.attach(tx, order_id, off, now=now)
    return await _one(tx, order_id)


async def _has(tx: AsyncConnection, order_id: int, off: discounts.Off | None) -> bool:
    """Tell whether this percentage, or none, was frozen with an order."""
    before = await discounts.of_order(tx, order_id)
    return (before.redemption_id if before else None) == (off.redemption_id if off else None)


async def for_checkout(
    tx: AsyncConnection, payload: str, *, person_id: int, amount: int, currency: str, now: datetime
) -> Order:
    """Return the order that may be paid now; raises the Rejected that says why not. Writes nothing."""
    order = await by_payload(tx, payload)
    if order is None:
        raise OrderUnknown
    if order.person_id != person_id:
        raise OrderOfAnother
    if (order.amount, order.currency) != (amount, currency):
        raise OrderPriceDiffers
    if order.status == "paid":
        raise OrderPaid
    if order.status != "open" or order.expires_at <= now:
        raise OrderExpired
    if order.kind == "subscription":
        await _refuse_second(tx, person_id, order.replaces_id)
    return order


async def by_payload(tx: AsyncConnection, payload: str) -> Order | None:
    """Return the order that a provider's payload names."""
    row = (await tx.execute(_SELECT.where(orders.c.payload == payload))).one_or_none()
    return Order(*row) if row else None


async def find(connection: AsyncConnection, order_id: int) -> Order | None:
    """Return an order by id."""
    row = (await connection.execute(_SELECT.where(orders.c.id == order_id))).one_or_none()
    return Order(*row) if row else None


async def lock(tx: AsyncConnection, order_id: int) -> Order:
    """Return an order, locked until the transaction ends; the person's wallet is locked before.

    The lock lets foreign keys look at the row: whoever holds the order's subscription may have to, and must not wait.
    """
    await tx.execute(sa.select(orders.c.id).where(orders.c.id == order_id).with_for_update(key_share=True))
    return await _one(tx, order_id)


async def mark_paid(tx: AsyncConnection, order: Order, *, now: datetime) -> None:
    """Note that a payment was credited for the order; repeated payments leave it as it is."""
    if order.status != "paid":
        await _set_status(tx, order.id, "paid", now)


async def expire_due(tx: AsyncConnection, *, now: datetime, limit: int) -> int:
    """Close up to `limit` open orders that are too old; return how many."""
    due = (
        sa.select(orders.c.id)
        .where(orders.c.status == "open", orders.c.expires_at <= now)
        .limit(limit)
        .with_for_update(skip_locked=True, key_share=True)
    )
    result = await tx.execute(sa.update(orders).where(orders.c.id.in_(due)).values(status="expired", updated_at=now))
    return result.rowcount


async def _one(tx: AsyncConnection, order_id: int) -> Order:
    return Order(*(await tx.execute(_SELECT.where(orders.c.id == order_id))).one())


async def _set_status(tx: AsyncConnection, order_id: int, status: str, now: datetime) -> None:
    await tx.execute(sa.update(orders).where(orders.c.id == order_id).values(status=status, updated_at=now))


async def _refuse_second(tx: AsyncConnection, person_id: int, replaces_id: int | None) -> None:
    renewing = await subscriptions.renewing(tx, person_id=person_id)
    if renewing and renewing.id != replaces_id:
        raise SecondSubscription(plan=renewing.plan_id)


# The row: kind, version_id, price, tokens.
async def _product(tx: AsyncConnection, product_id: str, currency: str) -> Any:
    price = {"XTR": plan_versions.c.price_xtr, "RUB": plan_versions.c.price_rub}[currency]
    row = (
        await tx.execute(
            sa.select(
                plans.c.kind, plan_versions.c.id.label("version_id"), price.label("price"), plan_versions.c.tokens
            )
            .join(plan_versions, plan_versions.c.plan_id == plans.c.id)
            .where(plans.c.id == product_id, plans.c.withdrawn_at.is_(None))
            .order_by(plan_versions.c.version.desc())
            .limit(1)
        )
    ).one_or_none()
    if row is None or row.price is None:
        raise NotForSale(product=product_id)
    return row
