"""Changing plans, from /subscription: a better one is paid and takes the old one's place, a cheaper one follows it."""

from aiogram import F, Router
from aiogram.enums import ChatType
from aiogram.methods import EditMessageReplyMarkup, EditUserStarSubscription
from aiogram.types import CallbackQuery

from app import card_renewals, purchase
from billing import changes, subscriptions
from billing.catalog import Plan
from billing.payments import YOOKASSA
from billing.subscriptions import Subscription
from bot import holdings, keyboards
from bot.buttons import answer
from bot.context import Context
from bot.handlers import money, roubles
from kit import outbox

STARS = "XTR"


def router() -> Router:
    """Return the router of plan changes."""
    made = Router(name="plan-change")
    made.callback_query.filter(F.message.chat.type == ChatType.PRIVATE)
    made.callback_query.register(choose, F.data.startswith("change:"))
    made.callback_query.register(change, F.data.startswith("change-to:"))
    made.callback_query.register(change_down, F.data.startswith("change-down:"))
    return made


async def choose(query: CallbackQuery, ctx: Context) -> None:
    """Show the other plans, and what becomes of this one with each."""
    mine, _ = await _asked(ctx, query)
    if mine is None:
        await answer(ctx, query, ctx.words.say("toast-expired"))
        return
    ctx.reply(*holdings.changes(ctx.words, ctx.app.plans, mine))
    await answer(ctx, query)


async def change(query: CallbackQuery, ctx: Context) -> None:
    """Sell a better plan, or ask once before a cheaper one is to follow."""
    mine, plan = await _asked(ctx, query)
    if mine is None or plan is None or plan.id == mine.plan_id:
        await answer(ctx, query, ctx.words.say("toast-expired"))
        return
    if holdings.is_better(plan, mine):
        if mine.provider == YOOKASSA:
            await roubles.offer_instead(ctx, query, plan, mine)
        else:
            await money.sell(ctx, query, plan.id, replaces=mine if mine.renews else None)
        return
    say = ctx.words
    ctx.reply(
        say.say(
            "change-down-confirm",
            plan=mine.titles[say.language],
            next_plan=plan.titles[say.language],
            until=mine.until,
        ),
        keyboards.rows(
            [
                keyboards.press(say.say("button-change-down"), "change-down", mine.id, plan.id),
                keyboards.press(say.say("button-cancel-keep"), "cancel-no"),
            ]
        ),
    )
    await answer(ctx, query)


async def change_down(query: CallbackQuery, ctx: Context) -> None:
    """Stop the renewal at Telegram first, then here, and remember what to offer when the paid time ends."""
    mine, plan = await _asked(ctx, query)
    by_card = mine is not None and mine.provider == YOOKASSA
    if mine is None or plan is None or not (by_card or (mine.first_charge_id and mine.payload)):
        await answer(ctx, query, ctx.words.say("toast-already"))
        return
    if mine.renews and not by_card:
        assert mine.first_charge_id is not None
        await ctx.room.sender.answer(
            EditUserStarSubscription(
                user_id=ctx.person.id, telegram_payment_charge_id=mine.first_charge_id, is_canceled=True
            )
        )
    now = ctx.app.clock.now()
    async with ctx.transaction() as tx:
        await changes.choose_next(tx, mine.id, plan_id=plan.id, now=now)
        if mine.renews and by_card:
            await card_renewals.cancel(ctx.app, tx, mine, next_plan=plan.titles)
        elif mine.renews:
            assert mine.payload is not None
            await purchase.follow_stars(
                ctx.app, tx, person_id=ctx.person.id, payload=mine.payload, state="canceled", now=now
            )
        else:
            say = ctx.words
            ctx.reply(say.say("cancelled-next-plan", until=mine.until, next_plan=plan.titles[say.language]))
        if query.message is not None:
            ctx.send(EditMessageReplyMarkup(chat_id=ctx.chat_id, message_id=query.message.message_id), kind=outbox.CALL)
    await answer(ctx, query)


async def _asked(ctx: Context, query: CallbackQuery) -> tuple[Subscription | None, Plan | None]:
    """Return the person's own subscription that a button names, while it lives, and the plan that it names."""
    raw, _, plan_id = (query.data or "").partition(":")[2].partition(":")
    if not raw.isascii() or not raw.isdecimal() or len(raw) > 18:
        return None, None
    async with ctx.app.db.read() as connection:
        mine = await subscriptions.find(connection, int(raw))
    if mine is None or mine.person_id != ctx.person.id or not holdings.may_change(mine):
        return None, None
    plan = ctx.app.plans.plan(plan_id)
    sold = plan is not None and plan.kind == "subscription" and plan.price(mine.currency or STARS) is not None
    return mine, plan if sold else None
