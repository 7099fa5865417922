"""Roubles in the chat: prices where the operator wants them there, else one button that leads to a page outside."""

from aiogram.types import InlineKeyboardMarkup

from app import pay_sheet
from billing.catalog import Plan
from billing.subscriptions import Subscription
from bot import keyboards
from bot.context import Context

RUB = "RUB"


def added(ctx: Context, offer: tuple[str, InlineKeyboardMarkup]) -> tuple[str, InlineKeyboardMarkup]:
    """Return an offer for Stars with the ways to pay in roubles under it; as it is while there are none."""
    text, keyboard = offer
    sold = pay_sheet.on_sale(ctx.app)
    if not sold:
        return offer
    say = ctx.words.say
    if ctx.app.settings.yookassa_in_chat:
        lines = [[keyboards.press(_label(ctx, plan), "buy-rub", plan.id)] for plan in sold]
    else:
        lines = [[keyboards.press(say("button-site"), "site")]]
    return text, keyboards.rows(*keyboard.inline_keyboard, *lines)


def _label(ctx: Context, plan: Plan) -> str:
    title = plan.titles[ctx.words.language]
    return ctx.words.say("button-buy-roubles", plan=title, kopecks=plan.price(RUB))


def site(ctx: Context, url: str) -> tuple[str, InlineKeyboardMarkup]:
    """Return the message that leads to the page."""
    button = keyboards.link(ctx.words.say("button-site-open"), url)
    return ctx.words.say("pay-site-ready"), keyboards.rows([button])


def back_url(ctx: Context) -> str:
    """Return where the page leads back to."""
    return ctx.app.settings.chat_url or f"https://t.me/{ctx.room.username}"


def renewal(ctx: Context, mine: Subscription, url: str) -> tuple[str, InlineKeyboardMarkup]:
    """Return the message that leads to the payment of a subscription's next month."""
    text = ctx.words.say("card-pay-ready", plan=mine.titles[ctx.words.language])
    return text, keyboards.rows([keyboards.link(ctx.words.say("button-site-open"), url)])


def instead(ctx: Context, plan: Plan, mine: Subscription, url: str) -> tuple[str, InlineKeyboardMarkup]:
    """Return the message that leads to the payment of a better plan in the place of one that renews."""
    say, title = ctx.words.say, mine.titles[ctx.words.language]
    text = say("change-on-page", next_plan=plan.titles[ctx.words.language], plan=title, until=mine.until)
    return text, keyboards.rows([keyboards.link(say("button-site-open"), url)])


def payment(ctx: Context, plan: Plan, url: str) -> tuple[str, InlineKeyboardMarkup]:
    """Return the message from which a product is paid in roubles."""
    say, kopecks = ctx.words.say, plan.price(RUB)
    text = say("pay-ready-roubles", plan=plan.titles[ctx.words.language], kopecks=kopecks)
    return text, keyboards.rows(
        [keyboards.link(say("button-pay-roubles", kopecks=kopecks), url)],
        [keyboards.press(say("button-plans"), "plans")],
    )
