"""/slow, /maintenance and /service in the admin group: who waits in the slow lane, and what is kept back for a while.

They work at once, without asking back: in an emergency seconds count, and each is undone by one word.
"""

import re
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final

from aiogram import Router
from aiogram.filters import Command, CommandObject
from aiogram.types import Message

from app import reports, service_lanes, service_orders
from app.service_orders import EVERYBODY, LONGEST, MODEL_PREFIX, REASON_CHARS_MAX, SHORTEST, Kind, Order, Subject
from bot.context import Context
from inference import turns
from kit.words import Words, words

ECHO_CHARS_MAX: Final = 64
SHOWN_MAX: Final = 30
COUNTED_MAX: Final = 1_000
OFF: Final = "off"
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days", "м": "minutes", "ч": "hours", "д": "days"}
_SPAN: Final = re.compile(r"(\d{1,5})([mhdмчд])")


def register(commands: Router) -> None:
    """Add the commands to the admin group's router, which lets only members through."""
    commands.message.register(_command("slow"), Command("slow"))
    commands.message.register(_command("maintenance"), Command("maintenance"))
    commands.message.register(service, Command("service"))


def _say(ctx: Context) -> Words:
    return words(ctx.app.settings.admin_language)


def _command(kind: Kind) -> Callable[[Message, CommandObject, Context], Awaitable[None]]:
    async def handle(message: Message, command: CommandObject, ctx: Context) -> None:
        """Put `WHOM TIME REASON` in force, or end it with `WHOM off`."""
        whom, span, reason = [*(command.args or "").split(maxsplit=2), "", "", ""][:3]
        if not whom or not span:
            ctx.reply(_say(ctx).say("admin-service-usage", kind=kind))
            return
        found = await _subject(ctx, whom, ending=span == OFF)
        if found is None:
            ctx.reply(_say(ctx).say("admin-service-unknown", whom=whom[:ECHO_CHARS_MAX]))
        elif span == OFF:
            await _end(ctx, kind, found)
        else:
            await _place(ctx, kind, found, span, reason.strip())

    return handle


async def _subject(ctx: Context, whom: str, *, ending: bool) -> Subject | None:
    """Return whom an order is about; one that is ended may be about a model that has left models.toml since."""
    if whom == EVERYBODY:
        return Subject()
    if whom.startswith(MODEL_PREFIX):
        model = whom.removeprefix(MODEL_PREFIX)
        return Subject(model=model) if ending or model in ctx.app.queues else None
    async with ctx.app.db.read() as connection:
        person = await reports.find_person(connection, whom)
    return Subject(person_id=person.id) if person else None


def _until(kind: Kind, span: str, now: datetime) -> datetime | None:
    """Return when an order of so long ends; None if that is no time, or out of bounds."""
    matched = _SPAN.fullmatch(span.lower())
    if matched is None:
        return None
    lasts = timedelta(**{_UNITS[matched[2]]: int(matched[1])})
    return now + lasts if SHORTEST <= lasts <= LONGEST[kind] else None


async def _place(ctx: Context, kind: Kind, subject: Subject, span: str, reason: str) -> None:
    say, now = _say(ctx), ctx.app.clock.now()
    until = _until(kind, span, now)
    if until is None:
        ctx.reply(say.say("admin-service-span", longest_s=LONGEST[kind]))
        return
    if not 0 < len(reason) <= REASON_CHARS_MAX:
        ctx.reply(say.say("admin-service-reason", most=REASON_CHARS_MAX))
        return
    async with ctx.transaction() as tx:
        order = await service_orders.place(
            tx, kind=kind, subject=subject, until=until, reason=reason, by=ctx.person.id, now=now
        )
        ctx.reply(f"{_line(say, order)}\n\n{say.say('admin-service-set', kind=kind, end=_end_command(order))}")
    await service_lanes.changed(ctx.app)


async def _end(ctx: Context, kind: Kind, subject: Subject) -> None:
    say = _say(ctx)
    async with ctx.transaction() as tx:
        ended = await service_orders.end(tx, kind=kind, subject=subject, by=ctx.person.id, now=ctx.app.clock.now())
        ctx.reply(say.say("admin-service-ended", kind=kind) if ended else say.say("admin-service-not-on"))
    if ended:
        await service_lanes.changed(ctx.app)


def _line(say: Words, order: Order) -> str:
    return say.say(
        "admin-service-row",
        kind=order.kind,
        about=order.subject.about,
        id=order.person_id or 0,
        model=order.model,
        until=order.until,
        reason=order.reason,
    )


def _end_command(order: Order) -> str:
    return f"/{order.kind} {order.subject.named} {OFF}"


async def service(message: Message, ctx: Context) -> None:
    """What is on, with the command that ends it, and how many questions are kept."""
    say, now = _say(ctx), ctx.app.clock.now()
    async with ctx.app.db.read() as connection:
        on = [order for order in await service_orders.current(connection, now=now) if order.is_on(now)]
        waiting = await turns.unstarted(connection, person_id=None, model=None, limit=COUNTED_MAX)
    if not on:
        ctx.reply(say.say("admin-service-none"))
        return
    lines = [f"{_line(say, order)}\n{_end_command(order)}" for order in on[:SHOWN_MAX]]
    if len(on) > SHOWN_MAX:
        lines.append(say.say("admin-service-more", count=len(on) - SHOWN_MAX))
    kept = sum(service_lanes.kept_by(ctx.app, turn) is not None for turn in waiting)
    if any(order.kind == "maintenance" for order in on):
        lines.append(say.say("admin-service-kept", count=kept))
    ctx.reply("\n\n".join(lines))
