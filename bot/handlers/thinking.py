"""/think: whether the model reasons before it answers — about one question, or in the whole dialog."""

from aiogram import F, Router
from aiogram.enums import ChatType
from aiogram.filters import Command, CommandObject
from aiogram.methods import EditMessageText
from aiogram.types import CallbackQuery, InlineKeyboardMarkup, Message

from billing import entitlements
from bot import keyboards
from bot.buttons import answer
from bot.context import Context
from bot.handlers import chat
from inference import dialogs, thinking
from inference.thinking import THINK_NEXT, THINK_OFF, THINK_ON
from kit import outbox
from kit.words import Words

_CHOICES = (THINK_NEXT, THINK_ON, THINK_OFF)


def router() -> Router:
    """Return the router of /think and its buttons."""
    made = Router(name="thinking")
    private = F.chat.type == ChatType.PRIVATE
    made.message.register(think, private, Command("think"))
    made.callback_query.register(choose, F.message.chat.type == ChatType.PRIVATE, F.data.startswith("thinking:"))
    return made


async def offered(ctx: Context) -> bool:
    """Tell whether the model that answers this person's plan can reason."""
    async with ctx.app.db.read() as connection:
        held = await entitlements.current(connection, person_id=ctx.person.id, now=ctx.app.clock.now())
    return ctx.app.chat_model_of(held.plan_id).reasons


async def think(message: Message, command: CommandObject, ctx: Context) -> None:
    """Show the switch; words after the command are a question to be thought about."""
    if not await offered(ctx):
        ctx.reply(ctx.words.say("thinking-not-offered"))
        return
    if command.args:
        await chat.ask(ctx, message, words=command.args, think=True)
        return
    async with ctx.app.db.read() as connection:
        now = await thinking.thinking_of(connection, chat_id=ctx.chat_id)
    ctx.reply(ctx.words.say("thinking", value=now), _keyboard(ctx.words, now))


async def choose(query: CallbackQuery, ctx: Context) -> None:
    """Store the choice for the chat's dialog."""
    wanted = (query.data or "").partition(":")[2]
    if wanted not in _CHOICES or query.message is None or not await offered(ctx):
        await answer(ctx, query, ctx.words.say("toast-expired"))
        return
    async with ctx.transaction() as tx:
        dialog_id = await dialogs.lock_active(tx, chat_id=ctx.chat_id, person_id=ctx.person.id, now=ctx.app.clock.now())
        await thinking.set_thinking(tx, dialog_id, wanted)
        screen = EditMessageText(
            chat_id=ctx.chat_id,
            message_id=query.message.message_id,
            text=ctx.words.say("thinking", value=wanted),
            reply_markup=_keyboard(ctx.words, wanted),
        )
        ctx.send(screen, kind=outbox.CALL)
    await answer(ctx, query, ctx.words.say("toast-saved"))


def _keyboard(say: Words, now: str) -> InlineKeyboardMarkup:
    labels = {
        THINK_NEXT: say.say("button-think-next"),
        THINK_ON: say.say("button-think-on"),
        THINK_OFF: say.say("button-think-off"),
    }
    return keyboards.rows(*[[keyboards.press(labels[value], "thinking", value)] for value in _CHOICES if value != now])
