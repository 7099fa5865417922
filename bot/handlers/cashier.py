"""The operator's money commands: /payments, /refund in two steps, /quarantine. They work in the admin group alone.

/refund shows a payment first; the same operator sends it again with the amount, after a short delay. That stands in for
the second pair of eyes that a lone operator does not have. A smaller amount is a part (bot.handlers.refund_parts).
"""

from collections.abc import Collection
from typing import Any

from aiogram import F, Router
from aiogram.filters import Command, CommandObject
from aiogram.methods import EditMessageText
from aiogram.types import CallbackQuery, Message
from sqlalchemy.ext.asyncio import AsyncConnection

from app import admin_requests, persons, refunding, reports, rouble_refunds
from app.admin_requests import Request, RequestGone
from app.refunding import Wish
from billing import history, quarantine, refund_policy, refunds
from billing.history import Purchase
from billing.payments import YOOKASSA
from bot import keyboards, statements
from bot.buttons import answer
from bot.context import ANONYMOUS_ADMIN_ID, Context
from bot.handlers import refund_parts
from bot.handlers.refund_parts import CONFIRM_AFTER
from kit import outbox
from kit.errors import Rejected
from kit.words import Words, words

REASON_CHARS_MAX = 200
PAYMENTS_SHOWN = 10
QUARANTINE_SHOWN = 20


def router() -> Router:
    """Return the router of the money commands; the admin group's filters and middleware stand before it."""
    made = Router(name="cashier")
    made.message.register(payments, Command("payments"))
    made.message.register(refund, Command("refund"))
    made.message.register(show_quarantine, Command("quarantine"))
    made.callback_query.register(resolve_credit, F.data.startswith("credit:"))
    made.callback_query.register(refund_of_case, F.data.startswith("case-refund:"))
    refund_parts.register(made)
    return made


def _say(ctx: Context) -> Words:
    return words(ctx.app.settings.admin_language)


def _actors(ctx: Context, is_admin: bool) -> Collection[int]:
    """Return as whom somebody acts: what was asked anonymously any administrator confirms."""
    return {ctx.person.id, ANONYMOUS_ADMIN_ID} if is_admin else {ctx.person.id}


async def payments(message: Message, command: CommandObject, ctx: Context) -> None:
    """A person's last payments, with the numbers that the other commands take."""
    say, query = _say(ctx), (command.args or "").strip()
    if not query:
        ctx.reply(say.say("admin-payments-usage"))
        return
    async with ctx.app.db.read() as connection:
        person = await reports.find_person(connection, query)
        if person is None:
            ctx.reply(say.say("admin-user-none", query=query[:64]))
            return
        found = await history.of_person(connection, person_id=person.id, limit=PAYMENTS_SHOWN)
    head = say.say("admin-payments", name=person.first_name, person_id=person.id)
    lines = [statements.operators_line(say, one) for one in found] or [say.say("admin-user-no-payments")]
    ctx.reply("\n".join([head, *lines]))


async def refund(message: Message, command: CommandObject, ctx: Context, is_admin: bool) -> None:
    """`/refund payment`: look at it. `/refund payment amount [reason]`: the second step, or a part of it."""
    say = _say(ctx)
    which, amount, reason = [*(command.args or "").split(maxsplit=2), "", "", ""][:3]
    if not which:
        ctx.reply(say.say("admin-refund-usage"))
        return
    async with ctx.app.db.read() as connection:
        found = await refunding.find_purchase(connection, which)
    if found is None:
        ctx.reply(say.say("admin-payment-none", query=which[:64]))
    elif not found.refundable:
        ctx.reply(statements.not_now(say, found))
    elif amount and (units := refund_parts.amount(amount, found.currency)) != found.rest:
        await refund_parts.ask(ctx, say, found, units, reason[:REASON_CHARS_MAX])
    elif amount:
        await _refund(ctx, say, found, reason[:REASON_CHARS_MAX], _actors(ctx, is_admin))
    else:
        await _look(ctx, say, found)


async def refund_of_case(query: CallbackQuery, ctx: Context) -> None:
    """The button of a case's card: the first step of /refund for the case's payment."""
    say, raw = _say(ctx), (query.data or "").partition(":")[2]
    async with ctx.app.db.read() as connection:
        found = await refunding.find_purchase(connection, raw) if raw.isdecimal() else None
    if found is None or not found.refundable:
        await answer(ctx, query, say.say("toast-already"), alert=True)
        return
    await _look(ctx, say, found)
    await answer(ctx, query)


async def _look(ctx: Context, say: Words, found: Purchase) -> None:
    """Show what a refund would do, and begin the delay; looking again does not begin it anew."""
    now = ctx.app.clock.now()
    rule = refunding.rule_of(ctx.app)
    details = {"payment": found.id, "amount": found.rest}
    async with ctx.transaction() as tx:
        automatic = await refund_policy.automatic_of(tx, person_id=found.payer_id, now=now)
        verdict = refund_policy.judge(found, rule, automatic=automatic, now=now)
        mine = {ctx.person.id}
        if await admin_requests.waiting(tx, action="refund", details=details, actors=mine, now=now) is None:
            await admin_requests.ask(
                tx, actor_id=ctx.person.id, action="refund", subject_id=found.payer_id, details=details, now=now
            )
        card = statements.refund_card(say, Wish(found, verdict), rule)
        delay_s = int(CONFIRM_AFTER.total_seconds())
        rest = "rest" if found.returned else "whole"
        command = f"/refund {found.id} {statements.typed(found)}"
        how = [say.say("admin-refund-confirm", command=command, delay_s=delay_s, what=rest)]
        if found.provider == YOOKASSA:
            how.append(say.say("admin-refund-part", payment_id=found.id))
        ctx.reply("\n\n".join([card, *how]))


async def _refund(ctx: Context, say: Words, found: Purchase, reason: str, actors: Collection[int]) -> None:
    """Refund what is left, whose amount was typed again: request, refund and audit row in one transaction."""
    now, details = ctx.app.clock.now(), {"payment": found.id, "amount": found.rest}
    try:
        async with ctx.transaction() as tx:
            waiting = await admin_requests.waiting(tx, action="refund", details=details, actors=actors, now=now)
            if waiting is None:
                ctx.reply(say.say("admin-refund-first", payment_id=found.id))
                return
            request_id, since = waiting
            if now < since + CONFIRM_AFTER:
                ctx.reply(say.say("admin-refund-early", wait_s=(since + CONFIRM_AFTER - now).total_seconds()))
                return
            await admin_requests.resolve(tx, request_id, actors=actors, confirmed=True, actions=["refund"], now=now)
            await refunding.refund_any(
                tx, payment_id=found.id, actor_id=ctx.person.id, reason=reason or "operator", now=now
            )
            ctx.reply(
                say.say(
                    "admin-refund-done",
                    payment_id=found.id,
                    person_id=found.payer_id,
                    amount=found.rest,
                    currency=found.currency,
                    by=ctx.person.first_name,
                )
            )
        if found.provider == YOOKASSA:
            await rouble_refunds.hurry(ctx.app)
    except (refunds.NotRefundable, RequestGone):  # somebody else was first
        ctx.unsay()
        ctx.reply(say.say("admin-refund-not-now", payment_id=found.id, state="refunding", returned=found.returned))


async def show_quarantine(message: Message, command: CommandObject, ctx: Context) -> None:
    """`/quarantine`: what waits. `/quarantine payment credit [who product]`: credit it after all, once confirmed."""
    say, args = _say(ctx), (command.args or "").split()
    if not args:
        async with ctx.app.db.read() as connection:
            waiting = await history.in_quarantine(connection, limit=QUARANTINE_SHOWN)
        ctx.reply(statements.quarantine(say, waiting, ctx.app.clock.now()))
        return
    if len(args) not in {2, 4} or args[1] != "credit":
        ctx.reply(say.say("admin-quarantine-usage"))
        return
    try:
        await _ask_credit(ctx, say, args[0], *args[2:])
    except Rejected as rejected:
        ctx.unsay()
        ctx.reply(say.say(rejected.code, **rejected.params))


async def _ask_credit(ctx: Context, say: Words, which: str, who: str = "", product: str = "") -> None:
    async with ctx.app.db.read() as connection:
        found = await refunding.find_purchase(connection, which)
        named = await reports.find_person(connection, who) if who else None
        if found is None or (who and named is None):
            query = which if found is None else who
            ctx.reply(say.say("admin-payment-none" if found is None else "admin-user-none", query=query[:64]))
            return
        person_id = named.id if named else None
        agreed = await quarantine.terms(connection, payment_id=found.id, person_id=person_id, product_id=product)
        person = named or await persons.find(connection, person_id=agreed.person_id)
    if person is None:  # paid by somebody who never wrote to the bot: there is no wallet to credit
        ctx.reply(say.say("admin-user-none", query=str(agreed.person_id)))
        return
    async with ctx.transaction() as tx:
        details = {"payment": found.id, "product": product, "person": person_id}
        request_id = await admin_requests.ask(
            tx,
            actor_id=ctx.person.id,
            action="credit",
            subject_id=agreed.person_id,
            details=details,
            now=ctx.app.clock.now(),
        )
        ctx.reply(
            say.say("admin-credit-confirm", **_said(say, found, agreed), name=person.first_name),
            keyboards.rows(
                [
                    keyboards.press(say.say("button-credit-confirm"), "credit", "yes", request_id, style="primary"),
                    keyboards.press(say.say("button-credit-cancel"), "credit", "no", request_id),
                ]
            ),
        )


async def resolve_credit(query: CallbackQuery, ctx: Context, is_admin: bool) -> None:
    """Credit a payment in quarantine, or leave it there: request, books, audit row, notice in one transaction."""
    say, now = _say(ctx), ctx.app.clock.now()
    _, verdict, raw_id = ((query.data or "") + "::").split(":")[:3]
    request_id = int(raw_id) if raw_id.isdecimal() and len(raw_id) <= refunding.ID_DIGITS_MAX else 0
    confirmed = verdict == "yes"
    try:
        async with ctx.transaction() as tx:
            request = await admin_requests.resolve(
                tx, request_id, actors=_actors(ctx, is_admin), confirmed=confirmed, actions=["credit"], now=now
            )
            text = await _credit(ctx, tx, request) if confirmed else say.say("admin-credit-cancelled")
            assert query.message is not None
            ctx.send(
                EditMessageText(chat_id=ctx.chat_id, message_id=query.message.message_id, text=text), kind=outbox.CALL
            )
    except Rejected as rejected:
        ctx.unsay()
        text = say.say("toast-request-gone") if isinstance(rejected, RequestGone) else say.say(rejected.code)
        await answer(ctx, query, text, alert=True)
        return
    await answer(ctx, query)


async def _credit(ctx: Context, tx: AsyncConnection, request: Request) -> str:
    say, details, now = _say(ctx), request.details, ctx.app.clock.now()
    found = await history.find(tx, details["payment"])
    agreed = await quarantine.terms(
        tx, payment_id=details["payment"], person_id=details["person"], product_id=details["product"]
    )
    person = await persons.find(tx, person_id=agreed.person_id)
    assert found is not None  # payments stay
    assert person is not None  # so do persons, and there was one when it was asked
    await refunding.credit_after_all(tx, agreed, actor_id=ctx.person.id, now=now)
    return say.say("admin-credit-done", **_said(say, found, agreed), name=person.first_name, by=ctx.person.first_name)


def _said(say: Words, found: Purchase, agreed: quarantine.Terms) -> dict[str, Any]:
    return {
        "payment_id": found.id,
        "amount": found.amount,
        "currency": found.currency,
        "person_id": agreed.person_id,
        "what": agreed.titles[say.language],
        "tokens": agreed.tokens,
    }
