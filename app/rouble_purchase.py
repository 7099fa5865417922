"""Buying for roubles: the link that the chat gives, and what the page behind it shows and does."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa
import structlog
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from app import persons, rouble_payments
from app.context import App
from billing import catalog, checkout_links, discounts, ledger, once, orders, receipts, subscriptions
from billing import rouble_payments as records
from billing.catalog import Plan
from billing.checkout_links import Link
from billing.orders import Order
from billing.rouble_payments import ORDER_KEY, PAYMENT_KEY, RUB, RoublePayment
from billing.rouble_tables import receipt_emails
from billing.subscriptions import Subscription
from billing.yookassa import requests
from billing.yookassa.errors import NotReached, Unknown
from kit.errors import Rejected

log = structlog.get_logger(__name__)

PAGE_PATH: Final = "/pay"
# What is sold for roubles. Each is bought once: of a subscription one month, since nothing charges for the next.
KINDS: Final = ("subscription", "pack", "once")
# Somebody who looks at the page again and again does not make us ask YooKassa more often than this.
ASK_AGAIN: Final = timedelta(seconds=3)


class EmailNeeded(Rejected):
    """A receipt has to be sent, and what was written is no e-mail address."""

    code = "error-email-needed"


@dataclass(frozen=True, slots=True)
class Sheet:
    """What the page behind a link shows. `product`: what is chosen, None while it is to be chosen from `offers`.

    `order` and `payment`: what was begun by the link. `fresh`: something may still be begun by it. `price`: what the
    product costs this person, in kopecks. For time that does not renew: `begins`, when it would (None: at once), and
    `renewing`, what renews beside it.
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


@dataclass(frozen=True, slots=True)
class Choice:
    """What a person sends by the page's button: the product, the price that they saw (kopecks), the e-mail."""

    product_id: str
    kopecks: int
    email: str


def on_sale(app: App) -> tuple[Plan, ...]:
    """Return what is sold for roubles now: nothing while they are off."""
    if app.yookassa is None:
        return ()
    return tuple(plan for plan in app.plans.on_sale(RUB) if plan.kind in KINDS)


async def make_link(app: App, tx: AsyncConnection, *, person_id: int, product_id: str | None, back_url: str) -> str:
    """Return the address of a page of the person's: of one product, or of all. Raises NotForSale."""
    offered = on_sale(app)
    if not offered or (product_id is not None and product_id not in {plan.id for plan in offered}):
        raise orders.NotForSale(product=product_id)
    token = await checkout_links.issue(
        tx, person_id=person_id, plan_id=product_id, back_url=back_url, secret=_secret(app), now=app.clock.now()
    )
    return f"{app.settings.site_url}{PAGE_PATH}/{token}"


async def sheet(app: App, token: str, *, product_id: str = "") -> Sheet:
    """Return what a link shows now; YooKassa is asked about a payment that is under way. Raises LinkUnknown."""
    async with app.db.read() as connection:
        link = await checkout_links.find(connection, token, secret=_secret(app))
        going = await records.latest_of_order(connection, link.order_id) if link.order_id is not None else None
    now = app.clock.now()
    asked_at = going.asked_at if going else None
    if going and going.status in ("sent", "pending", "unknown") and (asked_at is None or asked_at <= now - ASK_AGAIN):
        try:
            await rouble_payments.ask(app, going)
        except (NotReached, Unknown) as error:
            log.warning("page_not_fresh", payment=going.id, detail=error.detail)
    return await _sheet(app, token, product_id)


async def pay(app: App, token: str, choice: Choice) -> Sheet:
    """Begin the payment of what was chosen, or go on with the one that was begun, and return what there is then.

    Raises LinkUnknown, LinkExpired, NotForSale, OrderPriceDiffers, OrderExpired, EmailNeeded.
    """
    now = app.clock.now()
    async with app.db.transaction() as tx:
        link = await checkout_links.find(tx, token, secret=_secret(app))
        await ledger.lock_wallet(tx, person_id=link.person_id, now=now)
        link = await checkout_links.find(tx, token, secret=_secret(app))  # somebody may have used it meanwhile
        order, going = await _order(app, tx, link, choice, now)
        if going is None:
            checkout_links.check_fresh(link, now=now)
            if order.amount != choice.kopecks:
                raise orders.OrderPriceDiffers
            email = await _email(app, tx, link.person_id, choice.email)
            going = await records.begin(
                tx, order, build=lambda number: _request(app, token, order, number, email), now=now
            )
    if going.may_be_posted(now):
        await rouble_payments.post(app, going.id)
    return await _sheet(app, token, "")


async def _order(
    app: App, tx: AsyncConnection, link: Link, choice: Choice, now: datetime
) -> tuple[Order, RoublePayment | None]:
    """Return the order that a link is for, bound to it now if it was not, and its payment that goes on."""
    if link.order_id is None:
        checkout_links.check_fresh(link, now=now)
        product_id = link.plan_id or choice.product_id
        if product_id not in {plan.id for plan in on_sale(app)}:
            raise orders.NotForSale(product=product_id)
        opened = await orders.open(tx, person_id=link.person_id, product_id=product_id, currency=RUB, now=now)
        await checkout_links.use(tx, link, order_id=opened.id, now=now)
        order = await orders.lock(tx, opened.id)
    else:
        order = await orders.lock(tx, link.order_id)
    latest = await records.latest_of_order(tx, order.id)
    if latest is not None and latest.status != "canceled":
        return order, latest
    if order.status != "open":
        raise orders.OrderExpired
    return order, None


def _request(app: App, token: str, order: Order, number: int, email: str) -> str:
    title = order.titles["ru"]  # receipts and the payer's bank are Russian
    settings = app.settings
    receipt = receipts.of(
        settings.yookassa_receipts,
        email=email,
        title=title,
        kopecks=order.amount,
        vat=settings.yookassa_vat,
        at=app.clock.now(),
    )
    new = requests.NewPayment(
        kopecks=order.amount,
        description=title,
        return_url=f"{settings.site_url}{PAGE_PATH}/{token}",
        metadata={PAYMENT_KEY: str(number), ORDER_KEY: order.payload},
        receipt=receipt,
    )
    return requests.payment(new)


async def _email(app: App, tx: AsyncConnection, person_id: int, written: str) -> str:
    """Return the e-mail for receipts, kept for the next time; "" where none is needed. Raises EmailNeeded."""
    if not receipts.needs_email(app.settings.yookassa_receipts):
        return ""
    email = written.strip() or await _known_email(tx, person_id)
    if not receipts.is_email(email):
        raise EmailNeeded
    values = {"email": email, "updated_at": app.clock.now()}
    await tx.execute(
        insert(receipt_emails)
        .values(person_id=person_id, **values)
        .on_conflict_do_update(index_elements=["person_id"], set_=values)
    )
    return email


async def _known_email(connection: AsyncConnection, person_id: int) -> str:
    row = await connection.execute(sa.select(receipt_emails.c.email).where(receipt_emails.c.person_id == person_id))
    return row.scalar_one_or_none() or ""


async def _sheet(app: App, token: str, product_id: str) -> Sheet:
    now, offered = app.clock.now(), on_sale(app)
    async with app.db.read() as connection:
        link = await checkout_links.find(connection, token, secret=_secret(app))
        order = await orders.find(connection, link.order_id) if link.order_id is not None else None
        going = await records.latest_of_order(connection, link.order_id) if link.order_id is not None else None
        person = await persons.find(connection, person_id=link.person_id)
        email = await _known_email(connection, link.person_id)
        chosen = order.plan_id if order else link.plan_id or product_id
        product = next((plan for plan in offered if plan.id == chosen), None)
        price = order.amount if order else await _price(connection, link.person_id, product, now)
        begins, renewing = None, None
        if product is not None and product.kind != "pack":
            begins = await _begins(connection, link.person_id, product, now)
            renewing = await subscriptions.renewing(connection, person_id=link.person_id)
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
    )


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


def _secret(app: App) -> str:
    """Links are signed with what only the operator has beside YooKassa; a new secret key ends the links there are."""
    return app.settings.yookassa_secret_key.get_secret_value()
