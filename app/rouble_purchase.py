"""Buying for roubles: the link that the chat gives, and what is begun on the page behind it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from app import pay_sheet, receipt_emails, rouble_payments
from app.context import App
from app.pay_sheet import Sheet
from billing import (
    card_crediting,
    card_renewals,
    checkout_links,
    ledger,
    orders,
    receipts,
    subscriptions,
)
from billing import rouble_payments as records
from billing.card_renewals import MonthPaid
from billing.checkout_links import Link
from billing.orders import Order
from billing.rouble_payments import ORDER_KEY, PAYMENT_KEY, RUB, RoublePayment
from billing.subscriptions import Subscription
from billing.yookassa import requests
from kit.errors import Rejected

log = structlog.get_logger(__name__)

PAGE_PATH: Final = "/pay"


class EmailNeeded(Rejected):
    """A receipt has to be sent, and what was written is no e-mail address."""

    code = "error-email-needed"


@dataclass(frozen=True, slots=True)
class Choice:
    """What a person sends by the page's button: the product, the price that they saw (kopecks), the e-mail.

    `keep`: their means of payment may be kept, and charged every month.
    """

    product_id: str
    kopecks: int
    email: str
    keep: bool


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
    offered = pay_sheet.on_sale(app)
    if not offered or (product_id is not None and product_id not in {plan.id for plan in offered}):
        raise orders.NotForSale(product=product_id)
    token = await checkout_links.issue(
        tx,
        person_id=person_id,
        plan_id=product_id,
        back_url=back_url,
        secret=pay_sheet.secret_of(app),
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
        secret=pay_sheet.secret_of(app),
        now=app.clock.now(),
        renews=(mine.id, starts),
    )
    return f"{app.settings.site_url}{PAGE_PATH}/{token}"


async def pay(app: App, token: str, choice: Choice) -> Sheet:
    """Begin the payment of what was chosen, or go on with the one that was begun, and return what there is then.

    Raises LinkUnknown, LinkExpired, NotForSale, OrderPriceDiffers, OrderExpired, EmailNeeded, SecondSubscription,
    DiscountUnderWay, ChargeUnderWay, MonthPaid.
    """
    now = app.clock.now()
    async with app.db.transaction() as tx:
        link = await checkout_links.find(tx, token, secret=pay_sheet.secret_of(app))
        await ledger.lock_wallet(tx, person_id=link.person_id, now=now)
        link = await checkout_links.find(tx, token, secret=pay_sheet.secret_of(app))
        if link.renews_id is not None:
            going = await _begin_month(app, tx, token, link, choice, now)
        else:
            going = await _begin(app, tx, token, link, choice, now)
    if going.may_be_posted(now):
        await rouble_payments.post(app, going.id)
    return await pay_sheet.of_link(app, token, "")


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
    going = await pay_sheet.going_of(tx, link)
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


async def _order(
    app: App, tx: AsyncConnection, link: Link, choice: Choice, now: datetime
) -> tuple[Order, RoublePayment | None]:
    """Return the order that a link is for, bound to it now if it was not, and its payment that goes on."""
    if link.order_id is None:
        checkout_links.check_fresh(link, now=now)
        product_id = link.plan_id or choice.product_id
        if product_id not in {plan.id for plan in pay_sheet.on_sale(app)}:
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
