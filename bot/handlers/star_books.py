"""The operator's commands about the books: /reconcile, /export, /chargeback. The admin router guards them."""

from datetime import datetime

import structlog
from aiogram import F, Router
from aiogram.filters import Command, CommandObject
from aiogram.methods import EditMessageText, SendDocument
from aiogram.types import BufferedInputFile, CallbackQuery, Message
from sqlalchemy.ext.asyncio import AsyncConnection

from app import admin_requests, reconcile_roubles, reconcile_stars
from app.admin_requests import RequestGone, RequestOfAnother
from billing import history, payments, star_export
from billing.payments import Payment
from billing.refunds import KEPT
from bot import keyboards, rouble_cards, star_cards
from bot.budget import Lane
from bot.buttons import answer
from bot.context import ANONYMOUS_ADMIN_ID, Context
from bot.handlers import rouble_books
from bot.refusals import Refused
from kit import audit, outbox
from kit.errors import Unavailable
from kit.words import Words, words

log = structlog.get_logger(__name__)

CHARGE_CHARS_MAX = 256
ACTION = "chargeback"


def register(commands: Router) -> None:
    """Add the commands to the admin group's router."""
    commands.message.register(reconcile, Command("reconcile"))
    commands.message.register(export, Command("export"))
    commands.message.register(chargeback, Command("chargeback"))
    commands.callback_query.register(resolve_chargeback, F.data.startswith("chargeback:"))


def _say(ctx: Context) -> Words:
    return words(ctx.app.settings.admin_language)


async def reconcile(message: Message, ctx: Context) -> None:
    """Read Telegram's list on, compare, and say what came of it; without Telegram, with what is known of its list."""
    unread, complete = False, False
    try:
        complete = (await ctx.room.star_list.read()).complete
    except (Unavailable, Refused) as error:
        log.warning("star_list_unread", error=type(error).__name__, detail=str(error)[:200])
        unread = True
    summary = await reconcile_stars.run(ctx.app, cause="command")
    said = star_cards.reconciliation(_say(ctx), summary, unread=unread, complete=complete)
    if ctx.app.yookassa is not None:
        said += "\n\n" + rouble_cards.reconciliation(_say(ctx), await _roubles(ctx))
    ctx.reply(said)


async def _roubles(ctx: Context) -> reconcile_roubles.Summary | None:
    """Compare YooKassa's lists with the books; None while it does not tell them."""
    try:
        return await reconcile_roubles.run(ctx.app, cause="command")
    except Unavailable as error:
        log.warning("rouble_lists_unread", detail=str(error)[:200])
        return None


async def export(message: Message, command: CommandObject, ctx: Context) -> None:
    """Send a period's tables as files. They go out before it is noted, so a kill may send them twice."""
    days = (command.args or "").split()
    if len(days) != 2:
        ctx.reply(_say(ctx).say("admin-export-usage"))
        return
    try:
        since, until = star_export.period(*days)
    except star_export.NoPeriod:
        ctx.reply(_say(ctx).say("admin-export-usage"))
        return
    async with ctx.app.db.read() as connection:
        table, rows = await star_export.table(connection, since=since, until=until)
    file = BufferedInputFile(table.encode(), filename=f"stars-{days[0]}-{days[1]}.csv")
    caption = _say(ctx).say("admin-export-caption", rows=rows)
    call = SendDocument(chat_id=ctx.chat_id, document=file, caption=caption)
    await ctx.room.sender.send(call, lane=Lane.NOTICE, chat_id=ctx.chat_id, is_group=True)
    await rouble_books.export(ctx, since=since, until=until, name=f"roubles-{days[0]}-{days[1]}.csv")


async def chargeback(message: Message, command: CommandObject, ctx: Context) -> None:
    """Ask for a confirmation of `/chargeback charge`: Telegram took a payment's Stars and its list does not say so."""
    say, charge = _say(ctx), (command.args or "").strip()
    if not charge or len(charge) > CHARGE_CHARS_MAX:
        ctx.reply(say.say("admin-chargeback-usage"))
        return
    async with ctx.app.db.read() as connection:
        payment = await _by_charge(connection, charge)
        purchase = await history.find(connection, payment.id) if payment else None
    if payment is None or purchase is None or payment.status not in KEPT:
        ctx.reply(say.say("admin-chargeback-none"))
        return
    if purchase.refunding and payment.provider != payments.STARS:
        ctx.reply(say.say("admin-chargeback-refunding"))
        return
    async with ctx.transaction() as tx:
        request_id = await admin_requests.ask(
            tx,
            actor_id=ctx.person.id,
            action=ACTION,
            subject_id=payment.payer_id,
            details={"payment": payment.id, "charge": charge, "asked_by": ctx.person.first_name},
            now=ctx.app.clock.now(),
        )
        ctx.reply(
            say.say(
                "admin-chargeback-confirm",
                amount=purchase.rest,
                currency=payment.currency,
                id=payment.payer_id,
                at=payment.created_at,
            ),
            keyboards.rows(
                [
                    keyboards.press(say.say("button-chargeback-confirm"), ACTION, "yes", request_id, style="danger"),
                    keyboards.press(say.say("button-chargeback-cancel"), ACTION, "no", request_id),
                ]
            ),
        )


async def resolve_chargeback(query: CallbackQuery, ctx: Context, is_admin: bool) -> None:
    """Book or drop it: request, books, audit row and notices in one transaction. Who asked decides, as for a grant."""
    say, now = _say(ctx), ctx.app.clock.now()
    _, verdict, raw_id = ((query.data or "") + "::").split(":")[:3]
    number = int(raw_id) if raw_id.isdecimal() and len(raw_id) < 18 else 0
    speaks_for = {ctx.person.id, ANONYMOUS_ADMIN_ID} if is_admin else {ctx.person.id}
    try:
        async with ctx.transaction() as tx:
            request = await admin_requests.resolve(
                tx, number, actions=[ACTION], actors=speaks_for, confirmed=verdict == "yes", now=now
            )
            booked = verdict == "yes" and await _book(ctx, tx, request, now)
            text = say.say("admin-chargeback-done" if booked else "admin-chargeback-cancelled")
            assert query.message is not None
            ctx.send(
                EditMessageText(chat_id=ctx.chat_id, message_id=query.message.message_id, text=text), kind=outbox.CALL
            )
    except RequestGone:
        await answer(ctx, query, say.say("admin-chargeback-expired"), alert=True)
        return
    except RequestOfAnother as rejected:
        await answer(ctx, query, say.say(rejected.code), alert=True)
        return
    await answer(ctx, query)


async def _by_charge(connection: AsyncConnection, charge: str) -> Payment | None:
    """Return the payment that Telegram, or else YooKassa, knows by this id."""
    of_stars = await payments.by_charge(connection, charge_id=charge)
    return of_stars or await payments.by_charge(connection, charge_id=charge, provider=payments.YOOKASSA)


async def _book(ctx: Context, tx: AsyncConnection, request: admin_requests.Request, now: datetime) -> bool:
    payment = await _by_charge(tx, request.details["charge"])
    assert payment is not None  # payments stay
    booked = await reconcile_stars.charge_back(ctx.app, tx, payment, now=now) == "charged_back"
    if booked:
        await audit.record(
            tx, actor_id=ctx.person.id, action=ACTION, subject_id=payment.payer_id, details=request.details, now=now
        )
    return booked
