"""What a person does about their saved card: pay the next month with another one, remove it, cancel, resume."""

from aiogram import F, Router
from aiogram.enums import ChatType
from aiogram.methods import EditMessageReplyMarkup
from aiogram.types import CallbackQuery

from app import card_renewals, rouble_purchase
from billing import payment_methods, subscriptions
from billing.card_renewals import MonthPaid
from billing.orders import NotForSale
from billing.subscriptions import Subscription
from bot import keyboards, rouble_offers
from bot.buttons import answer
from bot.context import Context
from kit import outbox


def router() -> Router:
    """Return the router of saved cards."""
    made = Router(name="cards")
    made.callback_query.filter(F.message.chat.type == ChatType.PRIVATE)
    made.callback_query.register(pay, F.data.startswith("card-pay:"))
    made.callback_query.register(remove_ask, F.data.startswith("card-remove:"))
    made.callback_query.register(remove_do, F.data.startswith("card-remove-yes:"))
    return made


async def own(ctx: Context, query: CallbackQuery) -> Subscription | None:
    """Return the person's own subscription that a button names."""
    raw = (query.data or "").partition(":")[2]
    if not raw.isascii() or not raw.isdecimal() or len(raw) > 18:
        return None
    async with ctx.app.db.read() as connection:
        found = await subscriptions.find(connection, int(raw))
    return found if found and found.person_id == ctx.person.id else None


async def pay(query: CallbackQuery, ctx: Context) -> None:
    """Lead to the page where the next month is paid by hand, with whatever card."""
    mine = await own(ctx, query)
    url = None
    if mine is not None:
        try:
            async with ctx.app.db.transaction() as tx:
                url = await rouble_purchase.make_renewal_link(ctx.app, tx, mine, back_url=rouble_offers.back_url(ctx))
        except (NotForSale, MonthPaid):
            url = None
    if mine is None or url is None:
        await answer(ctx, query, ctx.words.say("toast-already"))
        return
    ctx.reply(*rouble_offers.renewal(ctx, mine, url))
    await answer(ctx, query)


async def remove_ask(query: CallbackQuery, ctx: Context) -> None:
    """One question: what was removed never charges again."""
    mine = await own(ctx, query)
    kept = None
    if mine is not None:
        async with ctx.app.db.read() as connection:
            kept = (await payment_methods.of_person(connection, person_id=ctx.person.id)).get(mine.id)
    if mine is None or kept is None or kept.status == "removed":
        await answer(ctx, query, ctx.words.say("toast-already"))
        return
    say = ctx.words
    ctx.reply(
        say.say("card-remove-confirm", card=kept.ending, plan=mine.titles[say.language], until=mine.until),
        keyboards.rows(
            [
                keyboards.press(say.say("button-card-remove-confirm"), "card-remove-yes", mine.id),
                keyboards.press(say.say("button-cancel-keep"), "cancel-no"),
            ]
        ),
    )
    await answer(ctx, query)


async def remove_do(query: CallbackQuery, ctx: Context) -> None:
    """Remove the card for good."""
    mine = await own(ctx, query)
    gone = False
    if mine is not None:
        async with ctx.transaction() as tx:
            gone = await card_renewals.remove_card(ctx.app, tx, mine)
            _close(ctx, query)
    await answer(ctx, query, None if gone else ctx.words.say("toast-already"))


async def cancel(ctx: Context, query: CallbackQuery, mine: Subscription) -> None:
    """Let a subscription end with what is paid."""
    async with ctx.transaction() as tx:
        done = await card_renewals.cancel(ctx.app, tx, mine)
        _close(ctx, query)
    await answer(ctx, query, None if done else ctx.words.say("toast-already"))


async def resume(ctx: Context, query: CallbackQuery, mine: Subscription) -> None:
    """Let a subscription renew from its card again."""
    async with ctx.transaction() as tx:
        done = await card_renewals.resume(ctx.app, tx, mine)
    await answer(ctx, query, None if done else ctx.words.say("toast-already"))


def _close(ctx: Context, query: CallbackQuery) -> None:
    """Take the buttons off a question that was answered."""
    if query.message is not None:
        asked = EditMessageReplyMarkup(chat_id=ctx.chat_id, message_id=query.message.message_id)
        ctx.send(asked, kind=outbox.CALL)
