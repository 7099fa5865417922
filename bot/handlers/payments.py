"""/payments: what a person paid for, page by page, and the refund they may ask for there."""

from aiogram import F, Router
from aiogram.enums import ChatType
from aiogram.filters import Command
from aiogram.methods import EditMessageText
from aiogram.types import CallbackQuery, InlineKeyboardMarkup, Message

from app import cases, refunding, rouble_refunds
from billing import history, rouble_receipts
from billing.payments import YOOKASSA
from billing.refund_policy import CASES
from bot import keyboards, statements
from bot.buttons import answer
from bot.context import Context
from kit import outbox

PAGES_MAX = 1_000


def router() -> Router:
    """Return the router of the history."""
    made = Router(name="payments")
    made.message.register(show, F.chat.type == ChatType.PRIVATE, Command("payments"))
    made.callback_query.filter(F.message.chat.type == ChatType.PRIVATE)
    made.callback_query.register(turn_page, F.data.startswith("payments:"))
    made.callback_query.register(refund_ask, F.data.startswith("refund:"))
    made.callback_query.register(refund_do, F.data.startswith("refund-yes:"))
    made.callback_query.register(refund_keep, F.data == "refund-no")
    return made


def number(query: CallbackQuery) -> int:
    """Return the number that a button carries, 0 if it carries none."""
    raw = (query.data or "").partition(":")[2]
    return int(raw) if raw.isdecimal() and raw.isascii() and len(raw) <= refunding.ID_DIGITS_MAX else 0


async def _page(ctx: Context, page: int) -> tuple[str, InlineKeyboardMarkup]:
    async with ctx.app.db.read() as connection:
        found = await history.of_person(
            connection, person_id=ctx.person.id, limit=statements.PAGE + 1, offset=page * statements.PAGE
        )
        receipts = await rouble_receipts.of_payments(connection, [one.id for one in found])
    more = len(found) > statements.PAGE
    return statements.history(ctx.words, found[: statements.PAGE], page, more=more, receipts=receipts)


async def show(message: Message, ctx: Context) -> None:
    ctx.reply(*await _page(ctx, 0))


async def turn_page(query: CallbackQuery, ctx: Context) -> None:
    """Show another page in the same message."""
    _edit(ctx, query, *await _page(ctx, min(number(query), PAGES_MAX)))
    await answer(ctx, query)


async def refund_ask(query: CallbackQuery, ctx: Context) -> None:
    """Show the rules and what they mean for this payment, before anything happens."""
    now = ctx.app.clock.now()
    async with ctx.app.db.read() as connection:
        wish = await refunding.consider(ctx.app, connection, person_id=ctx.person.id, payment_id=number(query), now=now)
    if wish.verdict == "refunding":
        await answer(ctx, query, ctx.words.say("toast-refunding"))
        return
    if wish.verdict == "gone":
        await answer(ctx, query, ctx.words.say("toast-already"))
        return
    text, keyboard = statements.refund_question(ctx.words, wish, refunding.rule_of(ctx.app))
    if wish.verdict in CASES and not cases.are_open(ctx.app):
        keyboard = keyboards.rows()
    ctx.reply(text, keyboard)
    await answer(ctx, query)


async def refund_do(query: CallbackQuery, ctx: Context) -> None:
    """Take the tokens back and ask for the refund; a second press finds it under way."""
    now = ctx.app.clock.now()
    try:
        async with ctx.transaction() as tx:
            purchase = await refunding.refund_own(
                ctx.app, tx, person_id=ctx.person.id, payment_id=number(query), now=now
            )
            _edit(ctx, query, statements.refund_begun(ctx.words, purchase))
        if purchase.provider == YOOKASSA:
            await rouble_refunds.hurry(ctx.app)
    except refunding.NotAtOnce as refused:
        if refused.why not in {"refunding", "gone"}:
            raise
        ctx.unsay()
        await answer(ctx, query, ctx.words.say("toast-refunding" if refused.why == "refunding" else "toast-already"))
        return
    await answer(ctx, query)


async def refund_keep(query: CallbackQuery, ctx: Context) -> None:
    _edit(ctx, query, ctx.words.say("refund-kept"))
    await answer(ctx, query)


def _edit(ctx: Context, query: CallbackQuery, text: str, keyboard: InlineKeyboardMarkup | None = None) -> None:
    assert query.message is not None
    ctx.send(
        EditMessageText(chat_id=ctx.chat_id, message_id=query.message.message_id, text=text, reply_markup=keyboard),
        kind=outbox.CALL,
    )
