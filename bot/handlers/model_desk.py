"""The operator's side of models: /models, with drain, resume, weight and reload behind it."""

from aiogram import Router
from aiogram.filters import Command, CommandObject
from aiogram.types import Message

from app import model_groups, replica_desk
from app.replica_desk import WEIGHT_MAX, NoSuchReplica
from bot import model_cards
from bot.context import Context
from kit import audit, signals
from kit.errors import Misconfigured
from kit.words import Words, words

NUMBER_DIGITS_MAX = 4


def router() -> Router:
    """Return the router of models; the admin group's filters and middleware stand before it."""
    made = Router(name="model-desk")
    made.message.register(models, Command("models"))
    return made


def _say(ctx: Context) -> Words:
    return words(ctx.app.settings.admin_language)


async def models(message: Message, command: CommandObject, ctx: Context) -> None:
    """Without a word the list; else what the first word says."""
    match (command.args or "").split():
        case []:
            ctx.reply(model_cards.models(_say(ctx), await replica_desk.report(ctx.app)))
        case ["reload"]:
            await _reload(ctx)
        case ["drain" | "resume" as verb, model_id, number]:
            await _drain(ctx, model_id, _number(number), drained=verb == "drain")
        case ["weight", model_id, number, weight]:
            await _weigh(ctx, model_id, _number(number), _number(weight))
        case _:
            ctx.reply(_say(ctx).say("admin-models-usage"))


def _number(raw: str) -> int:
    """Return what a person typed as a number, 0 where it is none."""
    return int(raw) if raw.isdecimal() and raw.isascii() and len(raw) <= NUMBER_DIGITS_MAX else 0


async def _drain(ctx: Context, model_id: str, number: int, *, drained: bool) -> None:
    say = _say(ctx)
    try:
        replica = replica_desk.find(ctx.app, model_id, number)
    except NoSuchReplica as error:
        ctx.reply(say.say("admin-models-none", **error.params))
        return
    async with ctx.transaction() as tx:
        await replica_desk.drain(
            tx, actor_id=ctx.person.id, model_id=model_id, replica=replica, drained=drained, now=ctx.app.clock.now()
        )
        ctx.reply(say.say("admin-models-drained" if drained else "admin-models-resumed", model=model_id, number=number))
    await _tell(ctx)


async def _weigh(ctx: Context, model_id: str, number: int, weight: int) -> None:
    say = _say(ctx)
    if not 1 <= weight <= WEIGHT_MAX:
        ctx.reply(say.say("admin-models-weight-range", max=WEIGHT_MAX))
        return
    try:
        replica = replica_desk.find(ctx.app, model_id, number)
    except NoSuchReplica as error:
        ctx.reply(say.say("admin-models-none", **error.params))
        return
    async with ctx.transaction() as tx:
        await replica_desk.weigh(
            tx, actor_id=ctx.person.id, model_id=model_id, replica=replica, weight=weight, now=ctx.app.clock.now()
        )
        ctx.reply(say.say("admin-models-weighed", model=model_id, number=number, weight=weight))
    await _tell(ctx)


async def _tell(ctx: Context) -> None:
    """After the commit: all processes read the orders, this one at once."""
    await model_groups.refresh_orders(ctx.app)
    await signals.send(ctx.app.redis, signals.MODELS)


async def _reload(ctx: Context) -> None:
    say = _say(ctx)
    try:
        done = await model_groups.reload(ctx.app)
    except Misconfigured as error:
        ctx.reply(say.say("admin-models-mistake", mistake=str(error)))
        return
    details = {"added": done.added, "changed": done.changed, "removed": done.removed}
    async with ctx.transaction() as tx:
        now = ctx.app.clock.now()
        await audit.record(
            tx, actor_id=ctx.person.id, action="models_reload", subject_id=None, details=details, now=now
        )
        ctx.reply(model_cards.reloaded(say, done))
