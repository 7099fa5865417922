"""What the page behind a payment link shows: the offers, a product, a month that is due, or how its payment stands."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from app import persons, receipt_emails, rouble_payments
from app.context import App
from billing import (
    card_crediting,
    card_renewals,
    catalog,
    checkout_links,
    discounts,
    once,
    orders,
    payment_methods,
    receipts,
    subscriptions,
)
from billing import rouble_payments as records
from billing.catalog import Plan
from billing.checkout_links import Link
from billing.orders import Order
from billing.rouble_payments import RUB, RoublePayment
from billing.subscriptions import Subscription
from billing.yookassa.errors import NotReached, Unknown

log = structlog.get_logger(__name__)

# What is sold for roubles. Of a subscription one month is bought, unless its buyer lets a card be kept for the next.
KINDS: Final = ("subscription", "pack", "once")
# Somebody who looks at the page again and again does not make us ask YooKassa more often than this.
ASK_AGAIN: Final = timedelta(seconds=3)


@dataclass(frozen=True, slots=True)
class Month:
    """The next month of a subscription, as a link offers it: from when, and whether it is still to be paid.

    `card`: what pays for the subscription by itself, None where that is over.
    """

    subscription: Subscription
    starts_at: datetime
    open: bool
    card: str | None


@dataclass(frozen=True, slots=True)
class Sheet:
    """What the page behind a link shows. `product`: what is chosen, None while it is to be chosen from `offers`.

    `order` and `payment`: what was begun by the link. `fresh`: something may still be begun by it. `price`: what the
    product costs this person, in kopecks. For time: `begins`, when it would (None: at once), and `renewing`, what
    renews beside it. `price_renewing`: what each month would cost if a card is kept, None where none may be.
    `month`: the next month of what the person has, instead of a product.
    """

    token: str
    link: Link
    language: str
    offers: tuple[Plan, ...]
    product: Plan | None
    order: Order | None
    payment: RoublePayment | None
    email: str
    email_needed: bool
    fresh: bool
    price: int
    begins: datetime | None
    renewing: Subscription | None
    price_renewing: int | None
    month: Month | None


def on_sale(app: App) -> tuple[Plan, ...]:
    """Return what is sold for roubles now: nothing while they are off."""
    if app.yookassa is None:
        return ()
    return tuple(plan for plan in app.plans.on_sale(RUB) if plan.kind in KINDS)


async def sheet(app: App, token: str, *, product_id: str = "") -> Sheet:
    """Return what a link shows now; YooKassa is asked about a payment that is under way. Raises LinkUnknown."""
    async with app.db.read() as connection:
        link = await checkout_links.find(connection, token, secret=secret_of(app))
        going = await going_of(connection, link)
    now = app.clock.now()
    asked_at = going.asked_at if going else None
    if going and going.status in ("sent", "pending", "unknown") and (asked_at is None or asked_at <= now - ASK_AGAIN):
        try:
            await rouble_payments.ask(app, going)
        except (NotReached, Unknown) as error:
            log.warning("page_not_fresh", payment=going.id, detail=error.detail)
    return await of_link(app, token, product_id)


async def of_link(app: App, token: str, product_id: str) -> Sheet:
    """Return what a link shows as the books stand: YooKassa is not asked. Raises LinkUnknown."""
    now, offered = app.clock.now(), on_sale(app)
    async with app.db.read() as connection:
        link = await checkout_links.find(connection, token, secret=secret_of(app))
        order = await orders.find(connection, link.order_id) if link.order_id is not None else None
        going = await going_of(connection, link)
        month = await _month(connection, link)
        person = await persons.find(connection, person_id=link.person_id)
        email = await receipt_emails.known(connection, link.person_id)
        chosen = order.plan_id if order else link.plan_id or product_id
        product = next((plan for plan in offered if plan.id == chosen), None)
        price = order.amount if order else await _price(connection, link.person_id, product, now)
        if month is not None:
            price = month.subscription.amount or 0
        begins, renewing, monthly = None, None, None
        if product is not None and product.kind != "pack":
            begins = await _begins(connection, link.person_id, product, now)
            renewing = await subscriptions.renewing(connection, person_id=link.person_id)
        in_its_place = renewing is None or renewing.id == link.replaces_id
        if product is not None and product.kind == "subscription" and in_its_place:
            monthly = product.price(RUB)
            if order is not None and order.kind == "subscription":
                monthly = order.amount
                price = await _price(connection, link.person_id, product, now)
    return Sheet(
        token=token,
        link=link,
        language=person.language if person else "ru",
        offers=offered,
        product=product,
        order=order,
        payment=going,
        email=email,
        email_needed=receipts.needs_email(app.settings.yookassa_receipts),
        fresh=link.expires_at > now,
        price=price,
        begins=begins,
        renewing=renewing,
        price_renewing=monthly,
        month=month,
    )


async def _month(connection: AsyncConnection, link: Link) -> Month | None:
    if link.renews_id is None or link.renews_from is None:
        return None
    mine = await subscriptions.find(connection, link.renews_id)
    assert mine is not None
    starts = await card_crediting.paid_until(connection, mine.id)
    kept = (await payment_methods.of_person(connection, person_id=mine.person_id)).get(mine.id)
    card = kept.ending if kept and kept.active and mine.status in records.CHARGING else None
    still = mine.status not in subscriptions.TERMINAL and starts == link.renews_from
    return Month(mine, link.renews_from, still, card)


async def _price(connection: AsyncConnection, person_id: int, product: Plan | None, now: datetime) -> int:
    """Return what a product would cost a person now, with the percentage that they hold."""
    price = product.price(RUB) if product else None
    if product is None or price is None:
        return 0
    tokens = product.terms.tokens
    kind = "once" if product.kind == "subscription" else product.kind
    off = await discounts.foreseen(
        connection, person_id=person_id, plan_id=product.id, kind=kind, price=price, tokens=tokens, now=now
    )
    return off.amount if off else price


async def _begins(connection: AsyncConnection, person_id: int, product: Plan, now: datetime) -> datetime | None:
    """Return when a person's time of a product would begin, None where that is at once."""
    version_id = await catalog.latest_version_id(connection, product.id)
    begins = await once.starts_at(
        connection, person_id=person_id, plan_version_id=version_id, behind="as_good", now=now
    )
    return begins if begins > now else None


async def going_of(connection: AsyncConnection, link: Link) -> RoublePayment | None:
    """Return the latest payment that was begun for what a link leads to."""
    if link.renews_id is not None and link.renews_from is not None:
        return await card_renewals.by_hand(connection, link.renews_id, link.renews_from)
    return await records.latest_of_order(connection, link.order_id) if link.order_id is not None else None


def secret_of(app: App) -> str:
    """Links are signed with what only the operator has beside YooKassa; a new secret key ends the links there are."""
    return app.settings.yookassa_secret_key.get_secret_value()
