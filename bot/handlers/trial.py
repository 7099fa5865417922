"""The trial's one button: in /plans, and where tokens run out."""

from aiogram import F, Router
from aiogram.enums import ChatType
from aiogram.types import CallbackQuery

from app import free_access
from bot import notices
from bot.buttons import answer
from bot.context import Context


def router() -> Router:
    """Return the router of the trial."""
    made = Router(name="trial")
    made.callback_query.filter(F.message.chat.type == ChatType.PRIVATE)
    made.callback_query.register(start, F.data == "trial")
    return made


async def start(query: CallbackQuery, ctx: Context) -> None:
    """Start the person's one trial; a second press is refused in words."""
    async with ctx.transaction() as tx:
        begun = await free_access.start_trial(tx, ctx.person, now=ctx.app.clock.now())
        trial = ctx.app.plans.trial
        text = ctx.words.say(
            "trial-started",
            plan=begun.titles[ctx.words.language],
            until=begun.until,
            tokens=trial.terms.tokens if trial else 0,
        )
        ctx.reply(text, notices.to_plans(ctx.words))
    await answer(ctx, query)
