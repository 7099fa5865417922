"""`/refund payment amount` with less than the payment still has: a part goes back, once its button is pressed.

The amount was typed and is shown again with what it takes along; whoever asked presses, after the same delay as for the
whole. Stars go back whole, so for them this only says so.
"""

import re
from datetime import timedelta
from typing import Final

from aiogram import F, Router
from aiogram.methods import EditMessageText
from aiogram.types import CallbackQuery
from sqlalchemy.ext.asyncio import AsyncConnection

from app import admin_requests, refunding, rouble_refunds
from app.admin_requests import Request, RequestGone, RequestOfAnother
from billing import history, refund_parts, refunds
from billing.history import Purchase
from billing.payments import YOOKASSA
from bot import keyboards, statements
from bot.buttons import answer
from bot.context import ANONYMOUS_ADMIN_ID, Context
from kit import outbox
from kit.errors import Rejected
from kit.words import Words, words

# So long an operator looks at a payment before its refund is taken.
CONFIRM_AFTER: Final = timedelta(seconds=10)
ACTION: Final = "refund-part"
_AMOUNT: Final = re.compile(r"([0-9]{1,10})(?:[.,]([0-9]{2}))?", re.ASCII)


class TooEarly(Rejected):
    """The button was pressed before anybody can have looked."""

    code = "toast-refund-early"


def register(cashier: Router) -> None:
    """Add the button to the money commands' router."""
    cashier.callback_query.register(resolve, F.data.startswith(f"{ACTION}:"))


def amount(raw: str, currency: str) -> int | None:
    """Return what was typed in Stars or kopecks, None if it is no amount of this currency."""
    fits = _AMOUNT.fullmatch(raw)
    if fits is None or (fits[2] and currency != "RUB"):
        return None
    return int(fits[1]) * 100 + int(fits[2] or 0) if currency == "RUB" else int(fits[1])


async def ask(ctx: Context, say: Words, found: Purchase, units: int | None, reason: str) -> None:
    """Show what `units` (Stars or kopecks, not the whole) of a payment would take along, with the button; or refuse."""
    if units is None or not 0 < units < found.rest:
        ctx.reply(say.say("admin-refund-amount", payment_id=found.id))
        return
    if found.provider != YOOKASSA:
        ctx.reply(say.say("admin-refund-whole-only", command=f"/refund {found.id} {statements.typed(found)}"))
        return
    details = {"payment": found.id, "kopecks": units, "rest": found.rest, "reason": reason}
    async with ctx.transaction() as tx:
        request_id = await admin_requests.ask(
            tx,
            actor_id=ctx.person.id,
            action=ACTION,
            subject_id=found.payer_id,
            details=details,
            now=ctx.app.clock.now(),
        )
        tokens = refund_parts.share(found.tokens_left, units, found.rest)
        text = say.say(
            "admin-refund-part-confirm",
            kopecks=units,
            rest=found.rest,
            tokens=tokens,
            delay_s=int(CONFIRM_AFTER.total_seconds()),
        )
        person = say.say("admin-refund-person", person_id=found.payer_id)
        ctx.reply(
            "\n".join([statements.operators_line(say, found), person, text]),
            keyboards.rows(
                [
                    keyboards.press(
                        say.say("button-refund-part", kopecks=units), ACTION, "yes", request_id, style="danger"
                    ),
                    keyboards.press(say.say("button-refund-part-no"), ACTION, "no", request_id),
                ]
            ),
        )


async def resolve(query: CallbackQuery, ctx: Context, is_admin: bool) -> None:
    """Refund the part or leave it: request, refund and audit row in one transaction."""
    say, now = words(ctx.app.settings.admin_language), ctx.app.clock.now()
    _, verdict, raw_id = ((query.data or "") + "::").split(":")[:3]
    number = int(raw_id) if raw_id.isdecimal() and len(raw_id) <= refunding.ID_DIGITS_MAX else 0
    actors = {ctx.person.id, ANONYMOUS_ADMIN_ID} if is_admin else {ctx.person.id}
    confirmed = verdict == "yes"
    try:
        async with ctx.transaction() as tx:
            request = await admin_requests.resolve(
                tx, number, actions=[ACTION], actors=actors, confirmed=confirmed, now=now
            )
            text = await _refund(ctx, tx, say, request) if confirmed else say.say("admin-refund-part-left")
            assert query.message is not None
            ctx.send(
                EditMessageText(chat_id=ctx.chat_id, message_id=query.message.message_id, text=text), kind=outbox.CALL
            )
        if confirmed:
            await rouble_refunds.hurry(ctx.app)
    except (RequestGone, RequestOfAnother, TooEarly, refunds.NotRefundable) as rejected:
        ctx.unsay()
        # Where somebody else was first, what this button says is not so any more.
        gone = isinstance(rejected, RequestGone | refunds.NotRefundable)
        text = say.say("toast-request-gone") if gone else say.say(rejected.code, **rejected.params)
        await answer(ctx, query, text, alert=True)
        return
    await answer(ctx, query)


async def _refund(ctx: Context, tx: AsyncConnection, say: Words, request: Request) -> str:
    """Refund what was asked for, unless more went back since. Raises TooEarly, RequestGone, NotRefundable."""
    asked, now = request.details, ctx.app.clock.now()
    if now < request.created_at + CONFIRM_AFTER:
        raise TooEarly(wait_s=(request.created_at + CONFIRM_AFTER - now).total_seconds())
    await refunds.lock(tx, asked["payment"], now=now)
    found = await history.find(tx, asked["payment"])
    if found is None or found.rest != asked["rest"]:
        raise RequestGone
    await refunding.refund_any(
        tx,
        payment_id=found.id,
        actor_id=ctx.person.id,
        reason=asked["reason"] or "operator",
        now=now,
        amount=asked["kopecks"],
    )
    return say.say(
        "admin-refund-part-done",
        payment_id=found.id,
        person_id=found.payer_id,
        kopecks=asked["kopecks"],
        rest=found.rest,
        by=ctx.person.first_name,
    )
