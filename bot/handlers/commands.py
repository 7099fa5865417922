"""The commands of a private chat that need no state of their own."""

from aiogram import F, Router
from aiogram.enums import ChatType
from aiogram.filters import Command, CommandObject, CommandStart
from aiogram.types import Message

from app import invitations, turn_stop
from bot import keyboards
from bot.context import Context
from bot.handlers import promo
from inference import dialogs

EXAMPLES = ("training", "sleep", "protein")


def router() -> Router:
    """Return the router of the plain commands."""
    made = Router(name="commands")
    made.message.filter(F.chat.type == ChatType.PRIVATE)
    made.message.register(start, CommandStart())
    made.message.register(help_, Command("help"))
    made.message.register(new, Command("new"))
    made.message.register(stop, Command("stop"))
    made.message.register(terms, Command("terms"))
    made.message.register(privacy, Command("privacy"))
    made.message.register(support, Command("support"))
    return made


async def start(message: Message, command: CommandObject, ctx: Context) -> None:
    """Greet; the deep link's payload was stored with the person (bot.dispatch), and is followed here."""
    await _greet(ctx)
    payload = command.args or ""
    if payload.startswith(promo.LINK_PREFIX):
        await promo.use(ctx, payload.removeprefix(promo.LINK_PREFIX))
    elif payload.startswith(invitations.LINK_PREFIX):
        async with ctx.transaction() as tx:
            await invitations.bind(ctx.app, tx, ctx.person, now=ctx.app.clock.now())


async def _greet(ctx: Context) -> None:
    say = ctx.words.say
    async with ctx.app.db.read() as connection:
        known = await dialogs.exists(connection, person_id=ctx.person.id)
    if known:
        ctx.reply(say("start-again"))
        return
    examples = {
        "training": say("button-example-training"),
        "sleep": say("button-example-sleep"),
        "protein": say("button-example-protein"),
    }
    ctx.reply(say("start"), keyboards.rows(*[[keyboards.press(examples[name], "example", name)] for name in EXAMPLES]))


async def help_(message: Message, ctx: Context) -> None:
    ctx.reply(ctx.words.say("help", think=ctx.app.reasons))


async def new(message: Message, ctx: Context) -> None:
    """Begin a new dialog; an answer that runs is stopped first."""
    await turn_stop.stop(ctx.app, chat_id=ctx.chat_id)
    async with ctx.transaction() as tx:
        await dialogs.close_active(tx, chat_id=ctx.chat_id)
        ctx.reply(ctx.words.say("new-dialog"))


async def stop(message: Message, ctx: Context) -> None:
    """Stop the answer that runs or waits; its own message tells what was charged."""
    if not await turn_stop.stop(ctx.app, chat_id=ctx.chat_id):
        ctx.reply(ctx.words.say("nothing-to-stop"))


async def terms(message: Message, ctx: Context) -> None:
    ctx.reply(ctx.words.say("terms", **refund_rule(ctx)))


async def privacy(message: Message, ctx: Context) -> None:
    ctx.reply(ctx.words.say("privacy"))


async def support(message: Message, ctx: Context) -> None:
    contact = ctx.app.settings.support_contact
    ctx.reply(ctx.words.say("support", contact=contact) if contact else ctx.words.say("support-here"))


def refund_rule(ctx: Context) -> dict[str, int]:
    """Return the refund rule as the words' arguments."""
    settings = ctx.app.settings
    return {"refund_hours": settings.refund_hours, "refund_percent": settings.refund_percent}
