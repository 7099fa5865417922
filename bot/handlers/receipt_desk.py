"""The operator's side of receipts: /receipts, and the button for one that was made by hand."""

from aiogram import F, Router
from aiogram.filters import Command
from aiogram.methods import EditMessageReplyMarkup, EditMessageText
from aiogram.types import CallbackQuery, InlineKeyboardMarkup, Message
from sqlalchemy.ext.asyncio import AsyncConnection

from app import rouble_receipts
from billing import rouble_receipts as records
from bot import receipt_cards
from bot.buttons import answer
from bot.context import Context
from kit import outbox
from kit.words import Words, words

SHOWN = 10
ID_DIGITS_MAX = 18


def router() -> Router:
    """Return the router of receipts; the admin group's filters and middleware stand before it."""
    made = Router(name="receipt-desk")
    made.message.register(show, Command("receipts"))
    made.callback_query.register(by_hand, F.data.startswith(f"{receipt_cards.MADE}:"))
    return made


def _say(ctx: Context) -> Words:
    return words(ctx.app.settings.admin_language)


async def _missing(ctx: Context, connection: AsyncConnection) -> tuple[str, InlineKeyboardMarkup]:
    now = ctx.app.clock.now()
    shown = await records.missing(connection, now=now, limit=SHOWN)
    return receipt_cards.missing(_say(ctx), shown, await records.count_missing(connection, now=now))


async def show(message: Message, ctx: Context) -> None:
    """What YooKassa did not register, the oldest first."""
    async with ctx.app.db.read() as connection:
        ctx.reply(*await _missing(ctx, connection))


async def by_hand(query: CallbackQuery, ctx: Context) -> None:
    """Note that a receipt was made by hand; whoever presses second learns that nothing is missing any more."""
    raw, _, place = (query.data or "").partition(":")[2].partition(":")
    wanted = int(raw) if raw.isdecimal() and raw.isascii() and len(raw) <= ID_DIGITS_MAX else 0
    assert query.message is not None
    chat_id, message_id = ctx.chat_id, query.message.message_id
    async with ctx.transaction() as tx:
        made = await rouble_receipts.mark_by_hand(tx, wanted, actor_id=ctx.person.id, now=ctx.app.clock.now())
        if made is not None:
            if place == "list":
                text, keyboard = await _missing(ctx, tx)
                edited = EditMessageText(chat_id=chat_id, message_id=message_id, text=text, reply_markup=keyboard)
                ctx.send(edited, kind=outbox.CALL)
            else:
                ctx.send(EditMessageReplyMarkup(chat_id=chat_id, message_id=message_id), kind=outbox.CALL)
            ctx.reply(_say(ctx).say("admin-receipt-made", payment_id=made.payment_id, by=ctx.person.first_name))
    await answer(ctx, query, None if made else _say(ctx).say("toast-already"), alert=made is None)
