"""Buttons under answers and greetings; whatever nobody else knows is told to have expired."""

from aiogram import F, Router
from aiogram.enums import ChatType
from aiogram.types import CallbackQuery

from app import turn_accept, turn_redo
from app.turn_accept import Fate, Incoming
from app.turn_redo import Expired
from bot.buttons import answer
from bot.context import Context
from bot.handlers import thinking
from bot.handlers.chat import show
from inference import rework
from inference.rework import INSTRUCTIONS


def router() -> Router:
    """Return the router of the answers' buttons, and of all that is left."""
    made = Router(name="buttons")
    # Under an answer, in a group too: the turn knows whose it is.
    made.callback_query.register(redo, F.data.startswith("redo:"))
    made.callback_query.register(think, F.data.startswith("think:"))
    made.callback_query.register(rework_answer, F.data.split(":")[0].in_(INSTRUCTIONS))
    # All other buttons work in their person's private chat alone: elsewhere others would press them.
    made.callback_query.register(elsewhere, F.message.chat.type != ChatType.PRIVATE)
    made.callback_query.register(example, F.data.startswith("example:"))
    made.callback_query.register(redo, F.data.startswith("recount:"))
    made.callback_query.register(expired)
    return made


async def example(query: CallbackQuery, ctx: Context) -> None:
    """Ask an example's question in the person's name."""
    say = ctx.words.say
    questions = {
        "training": say("example-training"),
        "sleep": say("example-sleep"),
        "protein": say("example-protein"),
    }
    text = questions.get((query.data or "").partition(":")[2])
    if text is None or query.message is None:
        raise Expired
    # One question a button: a second tap finds the message of the first.
    key = -(query.message.message_id * len(questions) + list(questions.values()).index(text))
    incoming = Incoming(ctx.person, ctx.chat_id, key, text)
    accepted = await turn_accept.accept(ctx.app, incoming, ctx.transaction)
    await answer(ctx, query, ctx.words.say("toast-already") if accepted.fate is Fate.KNOWN else None)
    if accepted.fate is Fate.OPENED and accepted.turn:
        show(ctx, accepted.turn)


async def redo(query: CallbackQuery, ctx: Context) -> None:
    """Answer a question again: after a failure, a stop or an edit."""
    turn = await turn_redo.redo(ctx.app, ctx.transaction, person=ctx.person, turn_id=_turn_id(query))
    recount = (query.data or "").startswith("recount")
    await answer(ctx, query, ctx.words.say("toast-recounting") if recount else ctx.words.say("toast-retrying"))
    if turn:
        show(ctx, turn)


async def think(query: CallbackQuery, ctx: Context) -> None:
    """Answer a question again, and reason about it first."""
    if not await thinking.offered(ctx):
        raise Expired
    turn = await turn_redo.redo(ctx.app, ctx.transaction, person=ctx.person, turn_id=_turn_id(query), think=True)
    await answer(ctx, query, ctx.words.say("toast-thinking"))
    if turn:
        show(ctx, turn)


async def rework_answer(query: CallbackQuery, ctx: Context) -> None:
    """Make an answer shorter or deeper, or go on with one that was stopped or cut."""
    instruction = rework.known((query.data or "").partition(":")[0])
    turn = await turn_redo.ask_again(
        ctx.app, ctx.transaction, person=ctx.person, turn_id=_turn_id(query), instruction=instruction
    )
    toasts = {
        "shorter": ctx.words.say("toast-shorter"),
        "deeper": ctx.words.say("toast-deeper"),
        "continue": ctx.words.say("toast-continuing"),
    }
    await answer(ctx, query, toasts[instruction])
    if turn:
        show(ctx, turn)


async def elsewhere(query: CallbackQuery, ctx: Context) -> None:
    """A button of a person's chat that came to stand in a group."""
    await answer(ctx, query, ctx.words.say("toast-other-person"), alert=True)


async def expired(query: CallbackQuery, ctx: Context) -> None:
    """Any button that no handler knows: of an older release, or made up."""
    await answer(ctx, query, ctx.words.say("toast-expired"))


def _turn_id(query: CallbackQuery) -> int:
    raw = (query.data or "").partition(":")[2]
    if not raw.isdecimal() or len(raw) > 18:
        raise Expired
    return int(raw)
