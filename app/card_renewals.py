"""Renewals by saved card: announced, charged, judged and called off. What a charge brought is app.rouble_payments'.

All of it is found in the database again: a crash between two steps leaves the next one to the schedule.
"""

from datetime import timedelta
from functools import partial
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from app import card_notices, receipt_emails, rouble_payments
from app.context import App
from billing import card_renewals, payment_methods, receipts, subscriptions
from billing.orders import Order
from billing.payment_methods import Method
from billing.rouble_payments import ORDER_KEY, PAYMENT_KEY
from billing.subscriptions import Subscription
from billing.yookassa import requests

log = structlog.get_logger(__name__)

# Persons hear of a charge so long before it.
ANNOUNCE_BEFORE: Final = timedelta(days=3)
BATCH_MAX: Final = 50


async def sweep(app: App) -> None:
    """Judge what failed, announce what is coming, charge what is due. Several workers may do it at once.

    What is wrong with one subscription holds up no other; the first such error is raised in the end.
    """
    if app.yookassa is None:
        return
    errors = await judge(app)
    now = app.clock.now()
    async with app.db.transaction() as tx:
        for coming in await card_renewals.announce(tx, now=now, within=ANNOUNCE_BEFORE, limit=BATCH_MAX):
            await card_notices.coming(tx, coming, now=now)
    async with app.db.read() as connection:
        due = await card_renewals.due(connection, now=now, limit=BATCH_MAX)
    for subscription_id in due:
        try:
            if not await _charge(app, subscription_id):
                break  # YooKassa is away: the next minute is soon
        except Exception as error:
            log.exception("card_not_charged", subscription=subscription_id)
            errors.append(error)
    errors += await judge(app)  # most answers come at once
    if errors:
        raise errors[0]


async def judge(app: App) -> list[Exception]:
    """Decide what follows each charge that failed, and tell the person and the operator, in one transaction each.

    Returns what went wrong with single ones.
    """
    async with app.db.read() as connection:
        failed = await card_renewals.unjudged(connection, limit=BATCH_MAX)
    errors: list[Exception] = []
    for payment_id in failed:
        try:
            await _judge(app, payment_id)
        except Exception as error:
            log.exception("charge_not_judged", payment=payment_id)
            errors.append(error)
    return errors


async def _judge(app: App, payment_id: int) -> None:
    now = app.clock.now()
    async with app.db.transaction() as tx:
        judged = await card_renewals.judge(tx, payment_id, now=now)
        if judged is not None:
            log.info("charge_failed", payment=payment_id, reason=judged.reason, again=judged.plan.next_at)
            await card_notices.failed(app, tx, judged, payment_id=payment_id, now=now)


async def _charge(app: App, subscription_id: int) -> bool:
    """Charge the card of a subscription, once; False when YooKassa did not answer."""
    now = app.clock.now()
    async with app.db.read() as connection:
        mine = await subscriptions.find(connection, subscription_id)
        email = await receipt_emails.known(connection, mine.person_id) if mine else ""
    async with app.db.transaction() as tx:
        if receipts.needs_email(app.settings.yookassa_receipts) and not receipts.is_email(email):
            # They began while no receipts were sent. The page asks for the address.
            passed_over = await card_renewals.pass_over(tx, subscription_id, now=now)
            if passed_over is not None:
                await card_notices.needs_email(app, tx, *passed_over, now=now)
            return True
        going = await card_renewals.begin(tx, subscription_id, build=partial(_request, app, email), now=now)
    if going is None:
        return True
    log.info("card_charged", payment=going.id, subscription=subscription_id)
    return await rouble_payments.post(app, going.id)


def _request(app: App, email: str, number: int, order: Order, method: Method) -> str:
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
    new = requests.NewCharge(
        kopecks=order.amount,
        description=title,
        method_id=method.provider_method_id,
        metadata={PAYMENT_KEY: str(number), ORDER_KEY: order.payload},
        receipt=receipt,
    )
    return requests.charge(new)


async def cancel(app: App, tx: AsyncConnection, mine: Subscription, *, next_plan: dict[str, str] | None = None) -> bool:
    """Let a subscription end with its paid time, at its person's word, and tell them; False when it did not renew.

    `next_plan`: the titles of what is offered to them then.
    """
    now = app.clock.now()
    stopped = await card_renewals.stop(tx, mine.id, now=now)
    if stopped is None:
        return False
    under_way = await card_renewals.open_try(tx, mine.id) is not None
    await card_notices.cancelled(app, tx, stopped, next_plan=next_plan, under_way=under_way, now=now)
    return True


async def resume(app: App, tx: AsyncConnection, mine: Subscription) -> bool:
    """Let a cancelled subscription renew from its card again, and tell the person; False when it cannot."""
    now = app.clock.now()
    going_on = await card_renewals.resume(tx, mine.id, now=now)
    if going_on is None:
        return False
    await card_notices.resumed(tx, going_on, now=now)
    return True


async def remove_card(app: App, tx: AsyncConnection, mine: Subscription) -> bool:
    """Never charge the card of a subscription again, at its owner's word, and tell them; False when it was gone.

    Whatever it paid for ends with the paid time; in grace nothing more is tried.
    """
    now = app.clock.now()
    kept = (await payment_methods.of_person(tx, person_id=mine.person_id)).get(mine.id)
    if kept is None:
        return False
    charged = await card_renewals.charged_from(tx, kept.id)
    for subscription_id in charged:
        await card_renewals.stop(tx, subscription_id, now=now)
    if not await payment_methods.remove(tx, kept.id, now=now):
        return False
    under_way = [one for one in charged if await card_renewals.open_try(tx, one)]
    log.info("card_removed", method=kept.id, person=mine.person_id)
    await card_notices.removed(tx, kept, mine, under_way=bool(under_way), now=now)
    return True
