"""/plans, /buy, /balance, /subscription, and what Telegram tells about payments."""

from datetime import UTC, datetime

import structlog
from aiogram import F, Router
from aiogram.enums import ChatType
from aiogram.filters import Command
from aiogram.methods import (
    AnswerPreCheckoutQuery,
    CreateInvoiceLink,
    EditMessageReplyMarkup,
    EditMessageText,
    EditUserStarSubscription,
)
from aiogram.types import BotSubscriptionUpdated, CallbackQuery, LabeledPrice, Message, PreCheckoutQuery
from sqlalchemy.ext.asyncio import AsyncConnection

from app import purchase
from app.purchase import StarsPayment, StarsRefund
from billing import balance, card_renewals, once, orders, subscriptions
from billing.balance import Balance
from billing.catalog import TITLE_LENGTH_MAX
from billing.orders import Order
from billing.payments import YOOKASSA
from billing.subscriptions import StarsState, Subscription
from bot import holdings, keyboards, offers, promotions, rouble_offers
from bot.buttons import answer
from bot.context import Context
from bot.handlers import cards
from bot.handlers.commands import refund_rule
from bot.refusals import Refused
from kit import outbox
from kit.errors import FormaError, Rejected

log = structlog.get_logger(__name__)

STARS = "XTR"
# Telegram's own period of a subscription in Stars: createInvoiceLink takes no other.
SUBSCRIPTION_PERIOD_S = 2_592_000
_STATES: dict[str, StarsState] = {"canceled": "canceled", "active": "active", "failed": "failed"}


def router() -> Router:
    """Return the router of money."""
    made = Router(name="money")
    private = F.chat.type == ChatType.PRIVATE
    made.pre_checkout_query.register(pre_checkout)
    made.subscription.register(subscription_updated)
    made.message.register(paid, F.successful_payment)
    made.message.register(refunded, F.refunded_payment)
    made.message.register(plans, private, Command("plans", "buy"))
    made.message.register(show_balance, private, Command("balance"))
    made.message.register(show_subscription, private, Command("subscription"))
    made.callback_query.filter(F.message.chat.type == ChatType.PRIVATE)
    made.callback_query.register(plans_button, F.data == "plans")
    made.callback_query.register(buy, F.data.startswith("buy:"))
    made.callback_query.register(stars_where, F.data == "stars")
    made.callback_query.register(cancel_ask, F.data.startswith("cancel:"))
    made.callback_query.register(cancel_do, F.data.startswith("cancel-yes:"))
    made.callback_query.register(cancel_keep, F.data == "cancel-no")
    made.callback_query.register(resume, F.data.startswith("resume:"))
    made.callback_query.register(to_free, F.data.startswith("to-free:"))
    return made


async def _balance(ctx: Context) -> Balance:
    async with ctx.app.db.transaction() as tx:
        return await balance.of(tx, person_id=ctx.person.id, now=ctx.app.clock.now())


async def plans(message: Message, ctx: Context) -> None:
    """Compare what there is, one button a plan."""
    held = await _balance(ctx)
    shown = offers.plans(ctx.words, ctx.app.plans, held, refund_rule(ctx))
    ctx.reply(*rouble_offers.added(ctx, await promotions.beside_plans(ctx, *shown)))


async def plans_button(query: CallbackQuery, ctx: Context) -> None:
    held = await _balance(ctx)
    shown = offers.plans(ctx.words, ctx.app.plans, held, refund_rule(ctx))
    ctx.reply(*rouble_offers.added(ctx, await promotions.beside_plans(ctx, *shown)))
    await answer(ctx, query)


async def show_balance(message: Message, ctx: Context) -> None:
    held = await _balance(ctx)
    ctx.reply(offers.balance(ctx.words, held, ctx.app.clock.now()), keyboards.rows([offers.plans_button(ctx.words)]))


async def show_subscription(message: Message, ctx: Context) -> None:
    held = await _balance(ctx)
    now = ctx.app.clock.now()
    async with ctx.app.db.read() as connection:
        coming = await once.outlook(connection, person_id=ctx.person.id, now=now)
        paid_by_card = await card_renewals.standing(connection, person_id=ctx.person.id)
    text, keyboard = holdings.card(ctx.words, held, coming, paid_by_card, ctx.app.plans, now)
    ctx.reply(await promotions.below_subscription(ctx, text), keyboard)


async def stars_where(query: CallbackQuery, ctx: Context) -> None:
    ctx.reply(ctx.words.say("stars-where"))
    await answer(ctx, query)


async def buy(query: CallbackQuery, ctx: Context) -> None:
    await sell(ctx, query, (query.data or "").partition(":")[2])


async def sell(
    ctx: Context, query: CallbackQuery, product_id: str, *, gift: bool = False, replaces: Subscription | None = None
) -> None:
    """Open an order and turn the message into its payment: the order is stored before Telegram hears of it.

    `replaces`: the subscription whose renewal ends when this one is paid.
    """
    product = ctx.app.plans.plan(product_id)
    if product is None or product.price(STARS) is None or query.message is None:
        await answer(ctx, query, ctx.words.say("toast-expired"))
        return
    try:
        async with ctx.app.db.transaction() as tx:
            order = await orders.open(
                tx,
                person_id=ctx.person.id,
                product_id=product.id,
                currency=STARS,
                now=ctx.app.clock.now(),
                gift=gift,
                replaces_id=replaces.id if replaces else None,
            )
            lead = await _before_paying(ctx, tx, order, replaces)
    except orders.SecondSubscription:
        held = await _balance(ctx)
        await answer(ctx, query, offers.already(ctx.words, held), alert=True)
        return
    except Rejected as rejected:
        await answer(ctx, query, ctx.words.say(rejected.code, **rejected.params), alert=True)
        return
    link = await ctx.room.sheets.link(order, ctx.words.language, lambda: ctx.room.sender.answer(_invoice(ctx, order)))
    await ctx.room.sheets.remember(order.id, ctx.chat_id, query.message.message_id)
    text, keyboard = offers.payment(ctx.words, order, link, refund_rule(ctx))
    text = "\n\n".join([*lead, await promotions.on_sheet(ctx, order, text)])
    ctx.send(
        EditMessageText(chat_id=ctx.chat_id, message_id=query.message.message_id, text=text, reply_markup=keyboard),
        kind=outbox.CALL,
    )
    await answer(ctx, query)


async def _before_paying(ctx: Context, tx: AsyncConnection, order: Order, replaces: Subscription | None) -> list[str]:
    """Return what a person must know before they pay beside what they have."""
    if order.gift:
        return offers.before_gift(ctx.words, refund_rule(ctx))
    now = ctx.app.clock.now()
    owned = await subscriptions.living(tx, person_id=ctx.person.id)
    begins = now
    if order.kind == "once":
        begins = await once.starts_at(
            tx, person_id=ctx.person.id, plan_version_id=order.plan_version_id, behind="as_good", now=now
        )
    return offers.before_paying(ctx.words, order, owned, replaces, begins, now)


def _invoice(ctx: Context, order: Order) -> CreateInvoiceLink:
    say, rule = ctx.words, refund_rule(ctx)
    title = order.titles[say.language]
    if order.gift:
        name = say.say("invoice-title-gift", plan=title)
        about = say.say("invoice-description-gift", plan=title, refund_hours=rule["refund_hours"])
    elif order.kind == "once":
        name = say.say("invoice-title-once", plan=title)
        about = say.say("invoice-description-once", tokens=order.tokens, months=order.months or 1, **rule)
    elif order.kind == "subscription":
        name = say.say("invoice-title-subscription", plan=title)
        about = say.say("invoice-description-subscription", tokens=order.tokens, **rule)
    else:
        lasts_s = (order.tokens_days or 0) * 86_400
        name = say.say("invoice-title-pack")
        about = say.say("invoice-description-pack", tokens=order.tokens, lasts_s=lasts_s, **rule)
    return CreateInvoiceLink(
        title=name[:TITLE_LENGTH_MAX],
        description=about,
        payload=order.payload,
        currency=STARS,
        prices=[LabeledPrice(label=say.say("invoice-label", plan=title), amount=order.amount)],
        subscription_period=SUBSCRIPTION_PERIOD_S if order.kind == "subscription" else None,
    )


async def pre_checkout(query: PreCheckoutQuery, ctx: Context) -> None:
    """Answer within Telegram's 10 s, from the order's row: may this person pay this amount now?"""
    refusal: str | None = None
    try:
        async with ctx.app.db.read() as connection:
            await orders.for_checkout(
                connection,
                query.invoice_payload,
                person_id=query.from_user.id,
                amount=query.total_amount,
                currency=query.currency,
                now=ctx.app.clock.now(),
            )
    except Rejected as rejected:
        refusal = ctx.words.say(rejected.code, **rejected.params)
        log.info("checkout_refused", person=ctx.person.id, code=rejected.code)
    except Exception:
        log.exception("checkout_failed", person=ctx.person.id)
        refusal = ctx.words.say("checkout-failed")
    call = AnswerPreCheckoutQuery(pre_checkout_query_id=query.id, ok=refusal is None, error_message=refusal)
    try:
        await ctx.room.sender.answer(call)
    except FormaError as error:
        # Unanswered, Telegram cancels the payment by itself and nothing is charged.
        log.warning("checkout_unanswered", error=type(error).__name__)


async def paid(message: Message, ctx: Context) -> None:
    """Credit a payment. Its report is an inbox row, so a crash anywhere only repeats this."""
    report = message.successful_payment
    assert report is not None
    if report.currency != STARS:
        log.error("payment_in_other_currency", currency=report.currency)
        return
    expires = report.subscription_expiration_date
    payment = StarsPayment(
        charge_id=report.telegram_payment_charge_id,
        payload=report.invoice_payload,
        person_id=ctx.person.id,
        amount=report.total_amount,
        is_recurring=bool(report.is_recurring),
        is_first_recurring=bool(report.is_first_recurring),
        expires_at=_instant(expires),
    )
    async with ctx.app.db.read() as connection:
        order = await orders.by_payload(connection, payment.payload)
    sheet = await ctx.room.sheets.of_order(order.id) if order else None
    async with ctx.transaction() as tx:
        credit = await purchase.record(ctx.app, tx, ctx.person, payment, now=ctx.app.clock.now())
        if credit.outcome == "credited" and sheet is not None:
            text, keyboard = offers.bought(ctx.words, credit)
            ctx.send(
                EditMessageText(chat_id=ctx.chat_id, message_id=sheet, text=text, reply_markup=keyboard),
                kind=outbox.CALL,
            )


def _instant(value: datetime | int | None) -> datetime | None:
    if isinstance(value, int):
        return datetime.fromtimestamp(value, UTC)
    return value


async def refunded(message: Message, ctx: Context) -> None:
    """Book a refund that Telegram made."""
    report = message.refunded_payment
    assert report is not None
    refund = StarsRefund(
        charge_id=report.telegram_payment_charge_id,
        payload=report.invoice_payload,
        person_id=ctx.person.id,
        amount=report.total_amount,
    )
    async with ctx.transaction() as tx:
        await purchase.confirm_refund(ctx.app, tx, refund, now=ctx.app.clock.now())


async def subscription_updated(event: BotSubscriptionUpdated, ctx: Context) -> None:
    """Follow a subscription that the person cancelled or resumed in Telegram, or whose charge failed."""
    state = _STATES.get(event.state)
    if state is None:
        log.warning("subscription_state_unknown", state=event.state)
        return
    async with ctx.transaction() as tx:
        await purchase.follow_stars(
            ctx.app,
            tx,
            person_id=ctx.person.id,
            payload=event.invoice_payload,
            state=state,
            now=ctx.app.clock.now(),
        )


async def cancel_ask(query: CallbackQuery, ctx: Context) -> None:
    """One confirmation, no persuasion."""
    mine = await cards.own(ctx, query)
    if mine is None or not mine.renews:
        await answer(ctx, query, ctx.words.say("toast-already"))
        return
    say = ctx.words
    ctx.reply(
        say.say("cancel-confirm", plan=mine.titles[say.language], until=mine.until),
        keyboards.rows(
            [
                keyboards.press(say.say("button-cancel-confirm"), "cancel-yes", mine.id),
                keyboards.press(say.say("button-cancel-keep"), "cancel-no"),
            ]
        ),
    )
    await answer(ctx, query)


async def cancel_keep(query: CallbackQuery, ctx: Context) -> None:
    assert query.message is not None
    ctx.send(
        EditMessageText(chat_id=ctx.chat_id, message_id=query.message.message_id, text=ctx.words.say("cancel-kept")),
        kind=outbox.CALL,
    )
    await answer(ctx, query)


async def cancel_do(query: CallbackQuery, ctx: Context) -> None:
    """Stop the renewal at Telegram first, then here; a crash in between is mended by Telegram's own update."""
    mine = await cards.own(ctx, query)
    if mine is not None and mine.provider == YOOKASSA:
        await cards.cancel(ctx, query, mine)
        return
    if mine is None or not mine.renews or mine.first_charge_id is None or mine.payload is None:
        await answer(ctx, query, ctx.words.say("toast-already"))
        return
    await ctx.room.sender.answer(
        EditUserStarSubscription(
            user_id=ctx.person.id, telegram_payment_charge_id=mine.first_charge_id, is_canceled=True
        )
    )
    async with ctx.transaction() as tx:
        await purchase.follow_stars(
            ctx.app,
            tx,
            person_id=ctx.person.id,
            payload=mine.payload,
            state="canceled",
            now=ctx.app.clock.now(),
        )
        if query.message is not None:
            asked = EditMessageReplyMarkup(chat_id=ctx.chat_id, message_id=query.message.message_id)
            ctx.send(asked, kind=outbox.CALL)
    await answer(ctx, query)


async def resume(query: CallbackQuery, ctx: Context) -> None:
    """Allow the renewal again; in Stars only the person can confirm it, in Telegram's own settings."""
    mine = await cards.own(ctx, query)
    by_card = mine is not None and mine.provider == YOOKASSA
    if mine is None or mine.status != "cancel_scheduled" or not (mine.first_charge_id or by_card):
        await answer(ctx, query, ctx.words.say("toast-already"))
        return
    async with ctx.app.db.read() as connection:
        other = await subscriptions.renewing(connection, person_id=ctx.person.id)
    if other is not None:  # two that renew would charge twice
        title = other.titles[ctx.words.language]
        await answer(ctx, query, ctx.words.say("resume-beside", plan=title), alert=True)
        return
    if by_card:
        await cards.resume(ctx, query, mine)
        return
    assert mine.first_charge_id is not None
    try:
        await ctx.room.sender.answer(
            EditUserStarSubscription(
                user_id=ctx.person.id, telegram_payment_charge_id=mine.first_charge_id, is_canceled=False
            )
        )
    except Refused:
        log.info("resume_refused", subscription=mine.id)  # it was the person who cancelled: theirs to resume
    ctx.reply(ctx.words.say("resume-in-telegram"))
    await answer(ctx, query)


async def to_free(query: CallbackQuery, ctx: Context) -> None:
    """End the grace of a failed renewal at once: no further charge is tried, the free plan goes on."""
    mine = await cards.own(ctx, query)
    if mine is None or mine.status != "past_due":
        await answer(ctx, query, ctx.words.say("toast-already"))
        return
    async with ctx.transaction() as tx:
        await purchase.to_free(ctx.app, tx, mine, now=ctx.app.clock.now())
    await answer(ctx, query)
