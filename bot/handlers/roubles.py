"""The buttons that lead to the page where roubles are paid."""

from aiogram import F, Router
from aiogram.enums import ChatType
from aiogram.methods import EditMessageText
from aiogram.types import CallbackQuery

from app import rouble_purchase
from billing.catalog import Plan
from billing.orders import NotForSale
from billing.subscriptions import Subscription
from bot import rouble_offers
from bot.buttons import answer
from bot.context import Context
from kit import outbox


def router() -> Router:
    """Return the router of paying in roubles."""
    made = Router(name="roubles")
    made.callback_query.filter(F.message.chat.type == ChatType.PRIVATE)
    made.callback_query.register(site, F.data == "site")
    made.callback_query.register(buy, F.data.startswith("buy-rub:"))
    return made


async def _link(ctx: Context, product_id: str | None, replaces: Subscription | None = None) -> str | None:
    """Return the address of a page of the person's, None while it sells nothing."""
    try:
        async with ctx.app.db.transaction() as tx:
            return await rouble_purchase.make_link(
                ctx.app,
                tx,
                person_id=ctx.person.id,
                product_id=product_id,
                back_url=rouble_offers.back_url(ctx),
                replaces=replaces,
            )
    except NotForSale:
        return None


async def site(query: CallbackQuery, ctx: Context) -> None:
    """Lead to the page with everything that is sold for roubles."""
    url = await _link(ctx, None)
    if url is None:
        await answer(ctx, query, ctx.words.say("toast-expired"))
        return
    ctx.reply(*rouble_offers.site(ctx, url))
    await answer(ctx, query)


async def buy(query: CallbackQuery, ctx: Context) -> None:
    """Turn the message into the payment of one product, where prices in roubles stand in the chat."""
    product = ctx.app.plans.plan((query.data or "").partition(":")[2])
    in_chat = ctx.app.settings.yookassa_in_chat
    url = await _link(ctx, product.id) if product and in_chat and query.message else None
    if product is None or url is None or query.message is None:
        await answer(ctx, query, ctx.words.say("toast-expired"))
        return
    text, keyboard = rouble_offers.payment(ctx, product, url)
    ctx.send(
        EditMessageText(chat_id=ctx.chat_id, message_id=query.message.message_id, text=text, reply_markup=keyboard),
        kind=outbox.CALL,
    )
    await answer(ctx, query)


async def offer_instead(ctx: Context, query: CallbackQuery, plan: Plan, mine: Subscription) -> None:
    """Lead to the page where a better plan is paid by card, in the place of one that renews."""
    url = await _link(ctx, plan.id, mine if mine.renews else None)
    if url is None:
        await answer(ctx, query, ctx.words.say("toast-expired"))
        return
    ctx.reply(*rouble_offers.instead(ctx, plan, mine, url))
    await answer(ctx, query)
