"""/promo: a code by command, by link, or in answer to the question that the button asks.

The question carries all that must be remembered: whoever answers it, at any time, names a code.
"""

from aiogram import F, Router
from aiogram.enums import ChatType
from aiogram.filters import Command, CommandObject
from aiogram.methods import SendMessage
from aiogram.types import CallbackQuery, ForceReply, InlineKeyboardMarkup, Message

from app import promo
from billing.promos import Redeemed
from bot import notices
from bot.buttons import answer
from bot.context import Context, Room
from kit.errors import Rejected
from kit.words import LANGUAGES, words

LINK_PREFIX = "promo_"


async def is_answer(message: Message, room: Room) -> bool:
    """Filter: let answers to the bot's own question for a code through, in whatever language it was asked."""
    asked = message.reply_to_message
    if asked is None or asked.from_user is None or asked.from_user.username != room.username:
        return False
    return asked.text in {words(language).say("promo-ask") for language in LANGUAGES}


def router() -> Router:
    """Return the router of promo codes."""
    made = Router(name="promo")
    private = F.chat.type == ChatType.PRIVATE
    made.message.register(by_command, private, Command("promo"))
    made.message.register(by_answer, private, F.text, ~F.text.startswith("/"), is_answer)
    made.callback_query.filter(F.message.chat.type == ChatType.PRIVATE)
    made.callback_query.register(ask_button, F.data == "promo")
    return made


async def by_command(message: Message, command: CommandObject, ctx: Context) -> None:
    if command.args:
        await use(ctx, command.args)
    else:
        _ask(ctx)


async def by_answer(message: Message, ctx: Context) -> None:
    await use(ctx, message.text or "")


async def ask_button(query: CallbackQuery, ctx: Context) -> None:
    _ask(ctx)
    await answer(ctx, query)


def _ask(ctx: Context) -> None:
    say = ctx.words.say
    reply = ForceReply(input_field_placeholder=say("promo-placeholder"))
    ctx.send(SendMessage(chat_id=ctx.chat_id, text=say("promo-ask"), reply_markup=reply))


async def use(ctx: Context, typed: str) -> None:
    """Use a code for the person, and say what it brought or why not; what was said before is kept."""
    try:
        await promo.count_try(ctx.app, person_id=ctx.person.id)
        async with ctx.transaction() as tx:
            redeemed = await promo.redeem(tx, person_id=ctx.person.id, typed=typed, now=ctx.app.clock.now())
            ctx.reply(*_said(ctx, redeemed))
    except Rejected as rejected:
        ctx.reply(ctx.words.say(rejected.code, **rejected.params))


def _said(ctx: Context, redeemed: Redeemed) -> tuple[str, InlineKeyboardMarkup | None]:
    say, terms, grant = ctx.words, redeemed.code.terms, redeemed.grant
    if terms.kind == "percent":
        return (
            say.say("promo-percent", promo=redeemed.code.code, percent=terms.percent, until=redeemed.until),
            notices.to_plans(say),
        )
    if grant is None:
        return say.say("promo-tokens", tokens=terms.tokens, until=redeemed.until), None
    title = grant.titles[say.language]
    if grant.until is None:
        return say.say("promo-days-wait", plan=title, days=grant.days, tokens=grant.tokens), None
    return say.say("promo-days", plan=title, until=grant.until, tokens=grant.tokens), None
