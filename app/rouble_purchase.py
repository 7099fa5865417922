"""Buying for roubles: the link that the chat gives, and what the page behind it shows and does."""

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
    ledger,
    once,
    orders,
    payment_methods,
    receipts,
    subscriptions,
)
from billing import rouble_payments as records
from billing.card_renewals import MonthPaid
from billing.catalog import Plan
from billing.checkout_links import Link
from billing.orders import Order
from billing.rouble_payments import ORDER_KEY, PAYMENT_KEY, RUB, RoublePayment
from billing.subscriptions import Subscription
from billing.yookassa import requests
from billing.yookassa.errors import NotReached, Unknown
from kit.errors import Rejected

log = structlog.get_logger(__name__)

PAGE_PATH: Final = "/pay"
# What is sold for roubles. Of a subscription one month is bought, unless its buyer lets a card be kept for the next.
KINDS: Final = ("subscription", "pack", "once")
# Somebody who looks at the page again and again does not make us ask YooKassa more often than this.
ASK_AGAIN: Final = timedelta(seconds=3)


class EmailNeeded(Rejected):
    """A receipt has to be sent, and what was written is no e-mail address."""

    code = "error-email-needed"


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


@dataclass(frozen=True, slots=True)
class Choice:
    """What a person sends by the page's button: the product, the price that they saw (kopecks), the e-mail.

    `keep`: their means of payment may be kept, and charged every month.
    """

    product_id: str
    kopecks: int
    email: str
    keep: bool


def on_sale(app: App) -> tuple[Plan, ...]:
    """Return what is sold for roubles now: nothing while they are off."""
    if app.yookassa is None:
        return ()
    return tuple(plan for plan in app.plans.on_sale(RUB) if plan.kind in KINDS)


async def make_link(
    app: App,
    tx: AsyncConnection,
    *,
    person_id: int,
    product_id: str | None,
    back_url: str,
    replaces: Subscription | None = None,
) -> str:
    """Return the address of a page of the person's: of one product, or of all. Raises NotForSale.

    `replaces`: the person's subscription whose renewal ends when the product renews in its place.
    """
    offered = on_sale(app)
    if not offered or (product_id is not None and product_id not in {plan.id for plan in offered}):
        raise orders.NotForSale(product=product_id)
    token = await checkout_links.issue(
        tx,
        person_id=person_id,
        plan_id=product_id,
        back_url=back_url,
        secret=_secret(app),
        now=app.clock.now(),
        replaces_id=replaces.id if replaces else None,
    )
    return f"{app.settings.site_url}{PAGE_PATH}/{token}"


async def make_renewal_link(app: App, tx: AsyncConnection, mine: Subscription, *, back_url: str) -> str:
    """Return the address of the page where the next month of a person's subscription is paid.

    Raises NotForSale while roubles are off or for what no card paid, MonthPaid for what has ended.
    """
    if app.yookassa is None or mine.order_kind != "subscription" or mine.currency != RUB:
        raise orders.NotForSale(product=mine.plan_id)
    starts = await card_crediting.paid_until(tx, mine.id)
    if starts is None or mine.status in subscriptions.TERMINAL:
        raise MonthPaid
    token = await checkout_links.issue(
        tx,
        person_id=mine.person_id,
        plan_id=None,
        back_url=back_url,
        secret=_secret(app),
        now=app.clock.now(),
        renews=(mine.id, starts),
    )
    return f"{app.settings.site_url}{PAGE_PATH}/{token}"


async def sheet(app: App, token: str, *, product_id: str = "") -> Sheet:
    """Return what a link shows now; YooKassa is asked about a payment that is under way. Raises LinkUnknown."""
    async with app.db.read() as connection:
        link = await checkout_links.find(connection, token, secret=_secret(app))
        going = await _going(connection, link)
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

    Raises LinkUnknown, LinkExpired, NotForSale, OrderPriceDiffers, OrderExpired, EmailNeeded, SecondSubscription,
    ChargeUnderWay, MonthPaid.
    """
    now = app.clock.now()
    async with app.db.transaction() as tx:
        link = await checkout_links.find(tx, token, secret=_secret(app))
        await ledger.lock_wallet(tx, person_id=link.person_id, now=now)
        link = await checkout_links.find(tx, token, secret=_secret(app))  # somebody may have used it meanwhile
        if link.renews_id is not None:
            going = await _begin_month(app, tx, token, link, choice, now)
        else:
            going = await _begin(app, tx, token, link, choice, now)
    if going.may_be_posted(now):
        await rouble_payments.post(app, going.id)
    return await _sheet(app, token, "")


async def _begin(app: App, tx: AsyncConnection, token: str, link: Link, choice: Choice, now: datetime) -> RoublePayment:
    """Begin the payment of a product, or return the one that goes on."""
    order, going = await _order(app, tx, link, choice, now)
    if going is not None:
        return going
    checkout_links.check_fresh(link, now=now)
    if order.amount != choice.kopecks:
        raise orders.OrderPriceDiffers
    email = await _email(app, tx, link.person_id, choice.email)
    keep = order.kind == "subscription"
    return await records.begin(
        tx, order, build=lambda number: _request(app, token, order, number, email, keep), now=now
    )


async def _begin_month(
    app: App, tx: AsyncConnection, token: str, link: Link, choice: Choice, now: datetime
) -> RoublePayment:
    """Begin the payment of a subscription's next month, or return the one that goes on."""
    going = await _going(tx, link)
    if going is not None and going.status != "canceled":
        return going
    checkout_links.check_fresh(link, now=now)
    assert link.renews_id is not None
    assert link.renews_from is not None
    mine = await subscriptions.find(tx, link.renews_id)
    assert mine is not None
    if mine.amount != choice.kopecks:
        raise orders.OrderPriceDiffers
    email = await _email(app, tx, link.person_id, choice.email)
    return await card_renewals.begin_by_hand(
        tx,
        mine.id,
        period_start=link.renews_from,
        build=lambda number, order: _request(app, token, order, number, email, choice.keep),
        keep=choice.keep,
        now=now,
    )


async def _going(connection: AsyncConnection, link: Link) -> RoublePayment | None:
    """Return the latest payment that was begun for what a link leads to."""
    if link.renews_id is not None and link.renews_from is not None:
        return await card_renewals.by_hand(connection, link.renews_id, link.renews_from)
    return await records.latest_of_order(connection, link.order_id) if link.order_id is not None else None


async def _order(
    app: App, tx: AsyncConnection, link: Link, choice: Choice, now: datetime
) -> tuple[Order, RoublePayment | None]:
    """Return the order that a link is for, bound to it now if it was not, and its payment that goes on."""
    if link.order_id is None:
        checkout_links.check_fresh(link, now=now)
        product_id = link.plan_id or choice.product_id
        if product_id not in {plan.id for plan in on_sale(app)}:
            raise orders.NotForSale(product=product_id)
        opened = await _open(tx, link, product_id, choice, now)
        await checkout_links.use(tx, link, order_id=opened.id, now=now)
        order = await orders.lock(tx, opened.id)
    else:
        order = await orders.lock(tx, link.order_id)
    latest = await records.latest_of_order(tx, order.id)
    if latest is not None and latest.status != "canceled":
        return order, latest
    if order.status != "open":
        raise orders.OrderExpired
    product = app.plans.plan(order.plan_id)
    if product and product.kind == "subscription" and choice.keep != (order.kind == "subscription"):
        checkout_links.check_fresh(link, now=now)
        order = await _open(tx, link, order.plan_id, choice, now)
        await checkout_links.rebind(tx, link, order_id=order.id)
    return order, None


async def _open(tx: AsyncConnection, link: Link, product_id: str, choice: Choice, now: datetime) -> Order:
    return await orders.open(
        tx,
        person_id=link.person_id,
        product_id=product_id,
        currency=RUB,
        renews=choice.keep,
        replaces_id=link.replaces_id if choice.keep else None,
        now=now,
    )


def _request(app: App, token: str, order: Order, number: int, email: str, keep: bool) -> str:
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
        save_method=keep,
    )
    return requests.payment(new)


async def _email(app: App, tx: AsyncConnection, person_id: int, written: str) -> str:
    """Return the e-mail for receipts, kept for the next time; "" where none is needed. Raises EmailNeeded."""
    if not receipts.needs_email(app.settings.yookassa_receipts):
        return ""
    email = written.strip() or await receipt_emails.known(tx, person_id)
    if not receipts.is_email(email):
        raise EmailNeeded
    await receipt_emails.keep(tx, person_id, email, now=app.clock.now())
    return email


async def _sheet(app: App, token: str, product_id: str) -> Sheet:
    now, offered = app.clock.now(), on_sale(app)
    async with app.db.read() as connection:
        link = await checkout_links.find(connection, token, secret=_secret(app))
        order = await orders.find(connection, link.order_id) if link.order_id is not None else None
        going = await _going(connection, link)
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


def _secret(app: App) -> str:
    """Links are signed with what only the operator has beside YooKassa; a new secret key ends the links there are."""
    return app.settings.yookassa_secret_key.get_secret_value()
