"""The admin group: its commands work there alone and only for its members; elsewhere they do not exist."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

from aiogram import F, Router
from aiogram.enums import ChatMemberStatus
from aiogram.filters import Command, CommandObject, Filter
from aiogram.methods import EditMessageText, GetChatMember
from aiogram.types import CallbackQuery, Message, TelegramObject
from sqlalchemy.ext.asyncio import AsyncConnection

from app import admin_requests, diagnosis, persons, reports
from app.admin_requests import RequestGone, RequestOfAnother
from billing import balance, lots
from bot import cards, keyboards
from bot.buttons import answer
from bot.context import ANONYMOUS_ADMIN_ID, Context, Room
from bot.handlers import casework, cashier, model_desk, promo_admin, receipt_desk, service_desk, star_books
from bot.refusals import Refused, Unreachable
from kit import audit, outbox
from kit.words import Words, words

Handler = Callable[[TelegramObject, dict[str, Any]], Awaitable[Any]]

GRANT_TOKENS_MAX = 10_000_000
AMOUNT_DIGITS_MAX = 18
REASON_CHARS_MAX = 200
STATS_HOURS = (24, 24 * 30)
_ADMINS = frozenset({ChatMemberStatus.CREATOR, ChatMemberStatus.ADMINISTRATOR})
_MEMBERS = _ADMINS | {ChatMemberStatus.MEMBER}


class InAdminGroup(Filter):
    """Lets updates of the admin group through, and of nobody else."""

    async def __call__(self, event: TelegramObject, room: Room) -> bool:
        message = event.message if isinstance(event, CallbackQuery) else event
        chat = getattr(message, "chat", None)
        return chat is not None and room.admin_chat.id != 0 and chat.id == room.admin_chat.id


def router() -> Router:
    """Return the router of the admin group."""
    made = Router(name="admin")
    made.message.filter(InAdminGroup())
    made.callback_query.filter(InAdminGroup())
    commands = Router(name="admin-commands")
    commands.message.middleware(_only_members)
    commands.callback_query.middleware(_only_members)
    commands.message.register(stats, Command("stats"))
    commands.message.register(user, Command("user"))
    commands.message.register(grant, Command("grant"))
    commands.message.register(queue, Command("queue"))
    commands.message.register(health, Command("health"))
    commands.message.register(help_, Command("help", "start"))
    commands.callback_query.register(resolve_grant, F.data.startswith("grant:"))
    star_books.register(commands)
    promo_admin.register(commands)
    service_desk.register(commands)
    commands.include_routers(cashier.router(), casework.router(), receipt_desk.router(), model_desk.router())
    talk = Router(name="admin-talk")
    talk.message.register(ignore)
    made.include_routers(commands, talk)
    return made


async def _only_members(handler: Handler, event: TelegramObject, data: dict[str, Any]) -> Any:
    """Ask Telegram whether the sender is in the group now; an anonymous admin speaks as the group itself."""
    ctx: Context = data["ctx"]
    sender_chat = getattr(event, "sender_chat", None)
    if sender_chat is not None and sender_chat.id == ctx.room.admin_chat.id:
        return await handler(event, data | {"is_admin": True})
    try:
        member = await ctx.room.sender.answer(GetChatMember(chat_id=ctx.chat_id, user_id=ctx.person.id))
    except (Refused, Unreachable):
        member = None
    if member is not None and member.status in _MEMBERS:
        return await handler(event, data | {"is_admin": member.status in _ADMINS})
    if isinstance(event, CallbackQuery):
        await answer(ctx, event, _say(ctx).say("admin-not-member"))
    return None


def _say(ctx: Context) -> Words:
    return words(ctx.app.settings.admin_language)


async def help_(message: Message, ctx: Context) -> None:
    ctx.reply(_say(ctx).say("admin-help"))


async def ignore(message: Message, ctx: Context) -> None:
    """The operators' own talk is not for the bot."""


async def stats(message: Message, ctx: Context) -> None:
    """The last day and the last thirty."""
    now = ctx.app.clock.now()
    async with ctx.app.db.read() as connection:
        found = [await reports.stats(connection, hours=hours, now=now) for hours in STATS_HOURS]
        plans = await reports.plans_held(connection, now=now)
        subscribers = await reports.subscribers(connection)
        sources = await reports.sources(connection, hours=STATS_HOURS[-1], now=now)
    ctx.reply(cards.stats(_say(ctx), found, subscribers, plans) + cards.sources(_say(ctx), sources))


async def user(message: Message, command: CommandObject, ctx: Context) -> None:
    """A person's card, by id, @name or error code."""
    say = _say(ctx)
    query = (command.args or "").strip()
    if not query:
        ctx.reply(say.say("admin-user-usage"))
        return
    async with ctx.app.db.read() as connection:
        person = await reports.find_person(connection, query)
        if person is None:
            ctx.reply(say.say("admin-user-none", query=query[:64]))
            return
        card = await reports.card(connection, person)
    async with ctx.app.db.transaction() as tx:
        held = await balance.of(tx, person_id=person.id, now=ctx.app.clock.now())
    ctx.reply(cards.person(say, card, held))


async def grant(message: Message, command: CommandObject, ctx: Context) -> None:
    """Ask for a confirmation of `/grant who tokens reason`."""
    say = _say(ctx)
    who, amount, reason = _grant_arguments(command.args or "")
    if not who or not amount.isdecimal() or not reason:
        ctx.reply(say.say("admin-grant-usage"))
        return
    tokens = int(amount) if len(amount) <= AMOUNT_DIGITS_MAX else 0
    if not 1 <= tokens <= GRANT_TOKENS_MAX:
        ctx.reply(say.say("admin-grant-amount", max=GRANT_TOKENS_MAX))
        return
    async with ctx.app.db.read() as connection:
        person = await reports.find_person(connection, who)
    if person is None:
        ctx.reply(say.say("admin-user-none", query=who[:64]))
        return
    async with ctx.transaction() as tx:
        request_id = await admin_requests.ask(
            tx,
            actor_id=ctx.person.id,
            action="grant",
            subject_id=person.id,
            details={"tokens": tokens, "reason": reason, "asked_by": ctx.person.first_name},
            now=ctx.app.clock.now(),
        )
        ctx.reply(
            say.say("admin-grant-confirm", tokens=tokens, name=person.first_name, id=person.id, reason=reason),
            keyboards.rows(
                [
                    keyboards.press(say.say("button-grant-confirm"), "grant", "yes", request_id, style="primary"),
                    keyboards.press(say.say("button-grant-cancel"), "grant", "no", request_id),
                ]
            ),
        )


async def resolve_grant(query: CallbackQuery, ctx: Context, is_admin: bool) -> None:
    """Carry out or drop a grant: request, tokens, audit row and the person's notice in one transaction.

    Who asked decides. Telegram names who presses even where they asked anonymously, so any administrator decides then.
    """
    say = _say(ctx)
    _, verdict, raw_id = ((query.data or "") + "::").split(":")[:3]
    confirmed, now = verdict == "yes", ctx.app.clock.now()
    speaks_for = {ctx.person.id, ANONYMOUS_ADMIN_ID} if is_admin else {ctx.person.id}
    try:
        async with ctx.transaction() as tx:
            request = await admin_requests.resolve(
                tx,
                int(raw_id) if raw_id.isdecimal() and len(raw_id) < 18 else 0,
                actions=["grant"],
                actors=speaks_for,
                confirmed=confirmed,
                now=now,
            )
            text = await _grant(ctx, tx, request, now) if confirmed else say.say("admin-grant-cancelled")
            assert query.message is not None
            ctx.send(
                EditMessageText(chat_id=ctx.chat_id, message_id=query.message.message_id, text=text), kind=outbox.CALL
            )
    except (RequestGone, RequestOfAnother) as rejected:
        await answer(ctx, query, say.say(rejected.code), alert=True)
        return
    await answer(ctx, query)


async def _grant(ctx: Context, tx: AsyncConnection, request: admin_requests.Request, now: datetime) -> str:
    tokens, reason = request.details["tokens"], request.details["reason"]
    person = await persons.find(tx, person_id=request.subject_id)
    assert person is not None
    await lots.grant(
        tx,
        person_id=person.id,
        tokens=tokens,
        kind="grant",
        ref_type="admin_request",
        ref_id=str(request.id),
        expires_at=None,
        now=now,
    )
    await audit.record(
        tx, actor_id=ctx.person.id, action="grant", subject_id=person.id, details=request.details, now=now
    )
    await outbox.add(
        tx,
        kind=outbox.NOTICE,
        chat_id=person.id,
        payload={"notice": "grant-received", "args": {"tokens": tokens}},
        dedup_key=f"grant:{request.id}",
        now=now,
    )
    return _say(ctx).say(
        "admin-grant-done",
        tokens=tokens,
        name=person.first_name,
        id=person.id,
        reason=reason,
        by=ctx.person.first_name,
    )


def _grant_arguments(raw: str) -> tuple[str, str, str]:
    parts = raw.split(maxsplit=2)
    who, amount, reason = [*parts, "", "", ""][:3]
    return who, amount.replace("_", ""), reason[:REASON_CHARS_MAX]


async def queue(message: Message, ctx: Context) -> None:
    """Who waits and who is being answered, per model."""
    say = _say(ctx)
    states = {name: await fair.snapshot() for name, fair in list(ctx.app.queues.items())}
    ctx.reply("\n\n".join(cards.queue(say, name, state) for name, state in states.items()))


async def health(message: Message, ctx: Context) -> None:
    """Whether every part works, asked now."""
    ctx.reply(cards.health(_say(ctx), [*await diagnosis.parts(ctx.app), await diagnosis.books(ctx.app)]))
