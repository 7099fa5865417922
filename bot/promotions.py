"""What stands beside the offers for one person: the trial, a percentage that they hold, days that wait for them."""

from aiogram.types import InlineKeyboardMarkup

from app import free_access
from billing import discounts, house_access, promos
from billing.orders import Order
from bot import keyboards, notices
from bot.context import Context


async def beside_plans(ctx: Context, text: str, keyboard: InlineKeyboardMarkup) -> tuple[str, InlineKeyboardMarkup]:
    """Return /plans with the trial in front for whoever may start it, and with what a promo code does."""
    say, now = ctx.words, ctx.app.clock.now()
    async with ctx.app.db.read() as connection:
        offered = await free_access.offered(ctx.app, connection, person_id=ctx.person.id)
        held = await discounts.held(connection, person_id=ctx.person.id, now=now)
        codes = await promos.any_open(connection, now=now)
    first, last = [], []
    trial = ctx.app.plans.trial
    if offered and trial and trial.of:
        plan = ctx.app.plans.plan(trial.of)
        assert plan is not None  # the catalog was checked
        text += "\n\n" + say.say(
            "trial-offer", plan=plan.titles[say.language], days=offered.days, tokens=offered.tokens
        )
        first = [notices.trial_button(say, offered.days)]
    if held:
        text += "\n\n" + say.say("promo-held", promo=held.code, percent=held.percent, until=held.expires_at)
    if codes:
        last = [keyboards.press(say.say("button-promo"), "promo")]
    return text, keyboards.rows(first, *keyboard.inline_keyboard, last)


async def on_sheet(ctx: Context, order: Order, text: str) -> str:
    """Return the words above a payment, with what a promo code made of its price."""
    async with ctx.app.db.read() as connection:
        off = await discounts.of_order(connection, order.id)
    if off is None:
        return text
    if off.bonus_tokens:
        return ctx.words.say("promo-sheet-bonus", tokens=off.bonus_tokens) + "\n\n" + text
    return ctx.words.say("promo-sheet", full=off.full_amount, stars=order.amount) + "\n\n" + text


async def below_subscription(ctx: Context, text: str) -> str:
    """Return /subscription's text with the days that wait for the plan to end."""
    async with ctx.app.db.read() as connection:
        waiting = await house_access.waiting(connection, person_id=ctx.person.id)
    lines = [
        ctx.words.say("granted-waiting", plan=one.titles[ctx.words.language], days=one.days, tokens=one.tokens)
        for one in waiting
    ]
    return "\n".join([text, "", *lines]) if lines else text
