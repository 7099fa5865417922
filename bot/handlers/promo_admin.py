"""/promo in the admin group: codes are made and ended there, after a confirmation, and listed with their uses."""

from datetime import timedelta
from typing import Any

from aiogram import F, Router
from aiogram.filters import Command, CommandObject
from aiogram.methods import EditMessageText
from aiogram.types import CallbackQuery, Message
from sqlalchemy.ext.asyncio import AsyncConnection

from app import admin_requests, promo
from app.admin_requests import RequestGone, RequestOfAnother
from billing import promos
from billing.promos import Code, PromoExists, Terms
from bot import keyboards, promo_form
from bot.buttons import answer
from bot.context import ANONYMOUS_ADMIN_ID, Context
from bot.handlers.promo import LINK_PREFIX
from kit import outbox
from kit.words import Words, words

SHOWN_MAX = 20
ECHO_CHARS_MAX = 64
ACTIONS = ("promo_new", "promo_end")


def register(commands: Router) -> None:
    """Add the commands to the admin group's router, which lets only members through."""
    commands.message.register(promo_command, Command("promo"))
    commands.callback_query.register(resolve, F.data.startswith("promo:"))


def _say(ctx: Context) -> Words:
    return words(ctx.app.settings.admin_language)


async def promo_command(message: Message, command: CommandObject, ctx: Context) -> None:
    """List the codes, or ask for the confirmation of a new one or of an end; else say how to write it."""
    verb, _, rest = (command.args or "list").partition(" ")
    if verb == "list" and not rest:
        await _list(ctx)
    elif verb == "new" and rest:
        await _ask_new(ctx, rest)
    elif verb == "end" and rest:
        await _ask_end(ctx, rest)
    else:
        ctx.reply(_say(ctx).say("admin-promo-usage"))


async def _list(ctx: Context) -> None:
    say = _say(ctx)
    async with ctx.app.db.read() as connection:
        found = await promos.latest(connection, limit=SHOWN_MAX)
    if not found:
        ctx.reply(say.say("admin-promo-none") + "\n\n" + say.say("admin-promo-usage"))
        return
    ctx.reply("\n".join([say.say("admin-promo-head"), *(_line(ctx, code) for code in found)]))


def _line(ctx: Context, code: Code) -> str:
    now = ctx.app.clock.now()
    terms, spent = code.terms, code.terms.uses_max is not None and code.uses >= code.terms.uses_max
    ended = code.ended_at is not None or (terms.valid_until is not None and terms.valid_until <= now)
    waits = terms.valid_from is not None and terms.valid_from > now
    state = "ended" if ended else "spent" if spent else "waits" if waits else "open"
    return _say(ctx).say(
        "admin-promo-row", promo=code.code, what=_what(ctx, terms), uses=code.uses, most=terms.uses_max, state=state
    )


def _what(ctx: Context, terms: Terms) -> str:
    """Return a code's terms in a line: what it brings, then its limits."""
    say = _say(ctx)
    if terms.kind == "tokens":
        parts = [say.say("admin-promo-tokens", tokens=terms.tokens, days=terms.days)]
    elif terms.kind == "days":
        parts = [say.say("admin-promo-days", plan=_title(ctx, terms.plan_id or ""), days=terms.days)]
    else:
        parts = [say.say("admin-promo-percent", percent=terms.percent)]
    if terms.plans:
        parts.append(say.say("admin-promo-plans", plans=", ".join(_title(ctx, one) for one in terms.plans)))
    if terms.first_purchase:
        parts.append(say.say("admin-promo-first"))
    if terms.valid_from:
        parts.append(say.say("admin-promo-from", at=terms.valid_from))
    if terms.valid_until:
        # The midnight that ends the last day is the next one's; whoever reads thinks of the day.
        parts.append(say.say("admin-promo-until", until=terms.valid_until - timedelta(seconds=1)))
    return ", ".join(parts)


def _title(ctx: Context, plan_id: str) -> str:
    plan = ctx.app.plans.plan(plan_id)
    return plan.titles[_say(ctx).language] if plan else plan_id


async def _ask_new(ctx: Context, raw: str) -> None:
    say = _say(ctx)
    try:
        code, terms = promo_form.read(raw, ctx.app.plans, ctx.app.clock.now())
    except promo_form.BadForm as bad:
        head = [say.say("admin-promo-bad", what=bad.what[:ECHO_CHARS_MAX])] if bad.what else []
        ctx.reply("\n\n".join([*head, say.say("admin-promo-usage")]))
        return
    async with ctx.app.db.read() as connection:
        known = await promos.find(connection, code)
    if known is not None:
        ctx.reply(say.say(PromoExists.code, promo=known.code))
        return
    text = say.say("admin-promo-confirm", promo=code, what=_what(ctx, terms), most=terms.uses_max)
    await _ask(ctx, "promo_new", promo.frozen(code, terms), text, say.say("button-promo-confirm"))


async def _ask_end(ctx: Context, typed: str) -> None:
    say = _say(ctx)
    async with ctx.app.db.read() as connection:
        known = await promos.find(connection, typed)
    if known is None:
        ctx.reply(say.say("admin-promo-unknown", promo=typed[:ECHO_CHARS_MAX]))
        return
    details = {"code": known.code, "code_id": known.id}
    text = say.say("admin-promo-end-confirm", promo=known.code, uses=known.uses)
    await _ask(ctx, "promo_end", details, text, say.say("button-promo-end"))


async def _ask(ctx: Context, action: str, details: dict[str, Any], text: str, label: str) -> None:
    async with ctx.transaction() as tx:
        request_id = await admin_requests.ask(
            tx, actor_id=ctx.person.id, action=action, subject_id=0, details=details, now=ctx.app.clock.now()
        )
        no = keyboards.press(_say(ctx).say("button-promo-drop"), "promo", "no", request_id)
        yes = keyboards.press(label, "promo", "yes", request_id, style="primary")
        ctx.reply(text, keyboards.rows([yes, no]))


async def resolve(query: CallbackQuery, ctx: Context, is_admin: bool) -> None:
    """Carry out or drop what was asked: request, code and audit row in one transaction; whoever asked decides."""
    say = _say(ctx)
    _, verdict, raw_id = ((query.data or "") + "::").split(":")[:3]
    speaks_for = {ctx.person.id, ANONYMOUS_ADMIN_ID} if is_admin else {ctx.person.id}
    try:
        async with ctx.transaction() as tx:
            request = await admin_requests.resolve(
                tx,
                int(raw_id) if raw_id.isdecimal() and len(raw_id) < 18 else 0,
                actions=ACTIONS,
                actors=speaks_for,
                confirmed=verdict == "yes",
                now=ctx.app.clock.now(),
            )
            text = await _carry_out(ctx, tx, request) if verdict == "yes" else say.say("admin-promo-dropped")
            assert query.message is not None
            ctx.send(
                EditMessageText(chat_id=ctx.chat_id, message_id=query.message.message_id, text=text), kind=outbox.CALL
            )
    except RequestGone:
        await answer(ctx, query, say.say("admin-promo-expired"), alert=True)
        return
    except RequestOfAnother as rejected:
        await answer(ctx, query, say.say(rejected.code), alert=True)
        return
    await answer(ctx, query)


async def _carry_out(ctx: Context, tx: AsyncConnection, request: admin_requests.Request) -> str:
    say, now, details = _say(ctx), ctx.app.clock.now(), request.details
    if request.action == "promo_end":
        await promo.end(tx, details, ended_by=ctx.person.id, now=now)
        return say.say("admin-promo-ended", promo=details["code"], by=ctx.person.first_name)
    try:
        made = await promo.create(tx, details, created_by=ctx.person.id, now=now)
    except PromoExists as rejected:
        return say.say(rejected.code, **rejected.params)
    text = say.say("admin-promo-made", promo=made.code, what=_what(ctx, made.terms), by=ctx.person.first_name)
    if not made.code.isascii():  # a link carries Latin letters alone
        return text
    url = f"https://t.me/{ctx.room.username}?start={LINK_PREFIX}{made.code}"
    return f"{text}\n{say.say('admin-promo-link', url=url)}"
