"""/dialogs: a person's dialogs, page by page; each can be opened, renamed, saved as a file, deleted."""

from typing import Any

from aiogram import F, Router
from aiogram.enums import ChatType
from aiogram.filters import Command, Filter
from aiogram.methods import EditMessageText, SendDocument, SendMessage
from aiogram.types import BufferedInputFile, CallbackQuery, InlineKeyboardMarkup, Message
from sqlalchemy.ext.asyncio import AsyncConnection

from app import dialog_deletion, turn_stop
from app.turn_redo import Expired
from bot import dialog_view
from bot.budget import Lane
from bot.buttons import answer
from bot.context import Context, Room
from inference import dialog_list, dialogs, titles
from inference.dialog_list import Entry
from kit import outbox

# So many are deleted at once by "delete all"; whoever has more presses again.
DELETE_MAX = 500


class Naming(Filter):
    """Lets answers to the question for a title through; the handler gets the dialog's number."""

    async def __call__(self, message: Message, room: Room) -> bool | dict[str, Any]:
        dialog_id = dialog_view.asked_about(message.reply_to_message, room.username)
        return {"dialog_id": dialog_id} if dialog_id is not None else False


def names() -> Router:
    """Return the router of new titles, which comes before whatever else takes free text."""
    made = Router(name="dialog-names")
    made.message.register(rename, F.chat.type == ChatType.PRIVATE, F.text, Naming())
    return made


def router() -> Router:
    """Return the router of the list and of its buttons."""
    made = Router(name="dialogs")
    private = F.chat.type == ChatType.PRIVATE
    made.message.register(show, private, Command("dialogs"))
    made.callback_query.filter(F.message.chat.type == ChatType.PRIVATE)
    made.callback_query.register(turn_page, F.data.startswith("dialogs:"))
    made.callback_query.register(card, F.data.startswith("dialog:"))
    made.callback_query.register(open_, F.data.startswith("dialog-open:"))
    made.callback_query.register(begin, F.data == "dialog-new")
    made.callback_query.register(ask_name, F.data.startswith("dialog-rename:"))
    made.callback_query.register(export, F.data.startswith("dialog-export:"))
    made.callback_query.register(ask_delete, F.data.startswith("dialog-delete:"))
    made.callback_query.register(delete, F.data.startswith("dialog-erase:"))
    made.callback_query.register(ask_delete_all, F.data.startswith("dialogs-delete:"))
    made.callback_query.register(delete_all, F.data == "dialogs-erase")
    return made


async def show(message: Message, ctx: Context) -> None:
    async with ctx.app.db.read() as connection:
        ctx.reply(*await _listed(ctx, connection, 0))


async def turn_page(query: CallbackQuery, ctx: Context) -> None:
    async with ctx.app.db.read() as connection:
        screen = await _listed(ctx, connection, _number(query, 1))
    _edit(ctx, query, *screen)
    await answer(ctx, query)


async def card(query: CallbackQuery, ctx: Context) -> None:
    async with ctx.app.db.read() as connection:
        entry = await _find(ctx, connection, query)
    _edit(ctx, query, *dialog_view.card(ctx.words, entry, _number(query, 2)))
    await answer(ctx, query)


async def open_(query: CallbackQuery, ctx: Context) -> None:
    """Go on with a dialog; an answer that runs in another one comes all the same."""
    async with ctx.transaction() as tx:
        entry = await _find(ctx, tx, query)
        if not await dialog_list.activate(tx, chat_id=ctx.chat_id, dialog_id=entry.id):
            raise Expired
        _edit(ctx, query, *dialog_view.opened(ctx.words, entry))
    await answer(ctx, query)


async def begin(query: CallbackQuery, ctx: Context) -> None:
    """Begin a new dialog, as /new does."""
    await turn_stop.stop(ctx.app, chat_id=ctx.chat_id)
    async with ctx.transaction() as tx:
        await dialogs.close_active(tx, chat_id=ctx.chat_id)
        ctx.reply(ctx.words.say("new-dialog"))
    await answer(ctx, query)


async def ask_name(query: CallbackQuery, ctx: Context) -> None:
    """Ask for a new title, to be given as a reply."""
    async with ctx.app.db.read() as connection:
        entry = await _find(ctx, connection, query)
    text, reply = dialog_view.name_question(ctx.words, entry)
    ctx.send(SendMessage(chat_id=ctx.chat_id, text=text, reply_markup=reply))
    await answer(ctx, query)


async def rename(message: Message, ctx: Context, dialog_id: int) -> None:
    """Take a reply as a dialog's new title."""
    title = titles.of_person(message.text or "")
    if not title:
        ctx.reply(ctx.words.say("dialog-rename-empty"), reply_to=message.message_id)
        return
    async with ctx.transaction() as tx:
        if not await dialog_list.rename(tx, chat_id=ctx.chat_id, dialog_id=dialog_id, title=title):
            raise Expired
        entry = await dialog_list.find(tx, chat_id=ctx.chat_id, dialog_id=dialog_id)
        assert entry is not None
        ctx.reply(
            ctx.words.say("dialog-renamed", title=dialog_view.title_of(ctx.words, entry)), reply_to=message.message_id
        )


async def export(query: CallbackQuery, ctx: Context) -> None:
    """Send a dialog as a file. It goes out before the press is noted, so a kill may send it twice."""
    async with ctx.app.db.read() as connection:
        entry = await _find(ctx, connection, query)
        lines, cut = await dialog_list.lines(connection, entry.id)
    await answer(ctx, query, ctx.words.say("toast-dialog-export"))
    text = dialog_view.exported(ctx.words, entry, lines, cut=cut)
    file = BufferedInputFile(text.encode(), filename=titles.file_name(entry.title))
    caption = ctx.words.say("dialog-file", title=dialog_view.title_of(ctx.words, entry))
    call = SendDocument(chat_id=ctx.chat_id, document=file, caption=caption)
    await ctx.room.sender.send(call, lane=Lane.NOTICE, chat_id=ctx.chat_id, is_group=False)


async def ask_delete(query: CallbackQuery, ctx: Context) -> None:
    async with ctx.app.db.read() as connection:
        entry = await _find(ctx, connection, query)
    _edit(ctx, query, *dialog_view.delete_question(ctx.words, entry, _number(query, 2)))
    await answer(ctx, query)


async def delete(query: CallbackQuery, ctx: Context) -> None:
    """Delete a dialog and show the list without it."""
    async with ctx.app.db.read() as connection:
        entry = await _find(ctx, connection, query)
    await _delete(ctx, query, [entry.id], page=_number(query, 2))


async def ask_delete_all(query: CallbackQuery, ctx: Context) -> None:
    async with ctx.app.db.read() as connection:
        count = await dialog_list.count(connection, chat_id=ctx.chat_id)
    if not count:
        raise Expired
    _edit(ctx, query, *dialog_view.delete_all_question(ctx.words, count, _number(query, 1)))
    await answer(ctx, query)


async def delete_all(query: CallbackQuery, ctx: Context) -> None:
    """Delete all dialogs of the chat."""
    async with ctx.app.db.read() as connection:
        entries = await dialog_list.page(connection, chat_id=ctx.chat_id, limit=DELETE_MAX, offset=0)
    await _delete(ctx, query, [entry.id for entry in entries], page=0)


async def _delete(ctx: Context, query: CallbackQuery, dialog_ids: list[int], *, page: int) -> None:
    async with ctx.transaction() as tx:
        open_turns = await dialog_deletion.erase(
            ctx.app, tx, chat_id=ctx.chat_id, dialog_ids=dialog_ids, update=ctx.item.id
        )
        _edit(ctx, query, *await _listed(ctx, tx, page))
    await dialog_deletion.stop(ctx.app, chat_id=ctx.chat_id, turn_ids=open_turns)
    for turn_id in open_turns:
        await ctx.room.previews.finished(turn_id)
    await answer(ctx, query, ctx.words.say("toast-dialog-deleted"))


async def _listed(ctx: Context, connection: AsyncConnection, page: int) -> dialog_view.Screen:
    """Return a page of the list; the last one where there are fewer."""
    count = await dialog_list.count(connection, chat_id=ctx.chat_id)
    page = min(page, dialog_view.pages(count) - 1)
    entries = await dialog_list.page(
        connection, chat_id=ctx.chat_id, limit=dialog_view.PAGE, offset=page * dialog_view.PAGE
    )
    return dialog_view.listed(ctx.words, entries, count=count, page=page)


async def _find(ctx: Context, connection: AsyncConnection, query: CallbackQuery) -> Entry:
    """Return the dialog that a button names. Raises Expired where this chat has no such dialog."""
    entry = await dialog_list.find(connection, chat_id=ctx.chat_id, dialog_id=_number(query, 1))
    if entry is None:
        raise Expired
    return entry


def _number(query: CallbackQuery, index: int) -> int:
    """Return an argument of the button; 0 for what is no number, which names nothing."""
    parts = (query.data or "").split(":")
    raw = parts[index] if len(parts) > index else ""
    return int(raw) if raw.isascii() and raw.isdecimal() and len(raw) <= 18 else 0


def _edit(ctx: Context, query: CallbackQuery, text: str, keyboard: InlineKeyboardMarkup | None) -> None:
    assert query.message is not None
    ctx.send(
        EditMessageText(chat_id=ctx.chat_id, message_id=query.message.message_id, text=text, reply_markup=keyboard),
        kind=outbox.CALL,
    )
