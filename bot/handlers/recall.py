"""/context: what the model knows of the dialog, and the button by which a person has the summary forgotten."""

from aiogram import F, Router
from aiogram.enums import ChatType
from aiogram.filters import Command
from aiogram.methods import EditMessageText
from aiogram.types import CallbackQuery, InlineKeyboardMarkup, Message
from sqlalchemy.ext.asyncio import AsyncConnection

from app import dialog_context
from app.turn_redo import Done, Expired
from bot import keyboards, links
from bot.buttons import answer
from bot.context import Context
from inference import dialog_list, dialogs, summaries
from kit import outbox

# Of a longer summary the beginning is shown; the model writes less.
SUMMARY_CHARS_MAX = 3_000


def router() -> Router:
    """Return the router of /context."""
    made = Router(name="recall")
    private = F.chat.type == ChatType.PRIVATE
    made.message.register(show, private, Command("context"))
    made.callback_query.filter(F.message.chat.type == ChatType.PRIVATE)
    made.callback_query.register(forget, F.data.startswith("summary-forget:"))
    return made


async def show(message: Message, ctx: Context) -> None:
    async with ctx.app.db.read() as connection:
        ctx.reply(*await _screen(ctx, connection))


async def forget(query: CallbackQuery, ctx: Context) -> None:
    """Erase the summary that stands in a dialog's prompt, and show what is left."""
    raw = (query.data or "").partition(":")[2]
    dialog_id = int(raw) if raw.isascii() and raw.isdecimal() and len(raw) <= 18 else 0
    async with ctx.transaction() as tx:
        if await dialog_list.find(tx, chat_id=ctx.chat_id, dialog_id=dialog_id) is None:
            raise Expired
        await dialogs.lock(tx, dialog_id)
        if not await summaries.forget(tx, dialog_id=dialog_id, now=ctx.app.clock.now()):
            raise Done
        assert query.message is not None
        text, keyboard = await _screen(ctx, tx)
        ctx.send(
            EditMessageText(chat_id=ctx.chat_id, message_id=query.message.message_id, text=text, reply_markup=keyboard),
            kind=outbox.CALL,
        )
    await answer(ctx, query, ctx.words.say("toast-summary-forgotten"))


async def _screen(ctx: Context, connection: AsyncConnection) -> tuple[str, InlineKeyboardMarkup]:
    """Return the active dialog's context in words; the summary is shown as it is, without links."""
    say = ctx.words.say
    seen = await dialog_context.of_chat(ctx.app, connection, chat_id=ctx.chat_id, person_id=ctx.person.id)
    head = say("context", model=seen.model, tokens=seen.tokens, budget=seen.budget, turns=seen.turns)
    new = keyboards.press(say("button-dialog-new"), "dialog-new")
    if seen.dialog_id is None:
        return say("context-none", model=seen.model, budget=seen.budget), keyboards.rows()
    if not seen.summary:
        note = f"\n\n{say('context-forgotten', turns=seen.covered)}" if seen.covered else ""
        return head + note, keyboards.rows([new])
    summary = links.strip_plain(seen.summary[:SUMMARY_CHARS_MAX], ctx.app.settings.allowed_hosts)
    text = f"{head}\n\n{say('context-summary', turns=seen.covered)}\n\n{summary}"
    button = keyboards.press(say("button-summary-forget"), "summary-forget", seen.dialog_id)
    return text, keyboards.rows([button], [new])
