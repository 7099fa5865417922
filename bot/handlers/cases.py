"""/paysupport: a person says what is wrong with a payment, and speaks with the operator within that case.

Where a person's next message goes is a row (billing.cases.prompt): it ends with that message, with any command, with
its button, and by itself. A reply to the operator's words goes to their case without it.
"""

from datetime import timedelta
from typing import Any

from aiogram import F, Router
from aiogram.dispatcher.event.bases import SkipHandler
from aiogram.enums import ChatType
from aiogram.filters import Command, Filter
from aiogram.methods import EditMessageText
from aiogram.types import CallbackQuery, Message
from telegramify_markdown import utf16_len

from app import cases, refunding
from billing import cases as records
from billing import history
from billing.cases import TEXT_UNITS_MAX, Prompt
from bot import statements
from bot.buttons import answer
from bot.case_marks import case_of
from bot.context import Context, Room
from bot.handlers.chat import SPLIT_CHARS_MIN, is_command
from bot.handlers.commands import refund_rule
from bot.handlers.payments import number
from bot.parts import is_visible
from kit import outbox
from kit.errors import Rejected

# A client sends a long text in parts, each within so long of the one before.
PARTS_WITHIN = timedelta(seconds=3)
_SENT = F.text | F.caption | F.photo | F.voice | F.video | F.video_note | F.audio | F.document | F.sticker | F.animation


class Prompted(Filter):
    """Lets messages through that a person was asked for; the handler gets the prompt."""

    async def __call__(self, _: Message, ctx: Context) -> bool | dict[str, Any]:
        if not cases.are_open(ctx.app):
            return False
        async with ctx.app.db.read() as connection:
            found = await records.prompted(connection, person_id=ctx.person.id, now=ctx.app.clock.now())
        return {"prompted": found} if found else False


class ToTheCase(Filter):
    """Lets replies to the operator's words through; the handler gets a prompt for that case."""

    async def __call__(self, message: Message, room: Room) -> bool | dict[str, Any]:
        if not cases.are_open(room.app):
            return False
        case_id = case_of(message.reply_to_message, room.username)
        return {"prompted": Prompt(None, case_id, None)} if case_id is not None else False


def router() -> Router:
    """Return the router of the cases; it comes before whatever takes free text or commands."""
    made = Router(name="cases")
    private = F.chat.type == ChatType.PRIVATE
    made.message.register(paysupport, private, Command("paysupport"))
    made.message.register(cancel, private, Command("cancel"))
    made.message.register(other_command, private, F.text.func(is_command))
    made.message.register(take, private, F.text, ToTheCase())
    made.message.register(take, private, _SENT, Prompted())
    made.callback_query.filter(F.message.chat.type == ChatType.PRIVATE)
    made.callback_query.register(ask, F.data.startswith("case:"))
    made.callback_query.register(ask_more, F.data.startswith("case-add:"))
    made.callback_query.register(drop, F.data == "case-drop")
    return made


async def paysupport(message: Message, ctx: Context) -> None:
    """Say how questions about payments are settled, and offer to open a case."""
    contact, rule = ctx.app.settings.support_contact, refund_rule(ctx)
    if not cases.are_open(ctx.app):
        say = ctx.words.say
        ctx.reply(say("paysupport", contact=contact, **rule) if contact else say("paysupport-here", **rule))
        return
    async with ctx.app.db.transaction() as tx:
        await records.drop_prompt(tx, person_id=ctx.person.id)
        latest = await history.of_person(tx, person_id=ctx.person.id, limit=statements.PAYMENTS_OFFERED)
        mine = await records.of_person(tx, person_id=ctx.person.id)
    ctx.reply(*statements.paysupport(ctx.words, refunding.rule_of(ctx.app), contact, latest, mine))


async def ask(query: CallbackQuery, ctx: Context) -> None:
    """Ask for the words of a new case, about a payment of the person's own or about none."""
    now, payment_id = ctx.app.clock.now(), number(query) or None
    if not cases.are_open(ctx.app):
        await answer(ctx, query, ctx.words.say("toast-expired"))
        return
    async with ctx.transaction() as tx:
        about = await history.find(tx, payment_id) if payment_id is not None else None
        if payment_id is not None and (about is None or about.payer_id != ctx.person.id):
            raise refunding.NotYours
        await records.check_room(tx, person_id=ctx.person.id, now=now)
        await records.prompt(tx, person_id=ctx.person.id, payment_id=payment_id, case_id=None, now=now)
        ctx.reply(*statements.case_prompt(ctx.words, about))
    await answer(ctx, query)


async def ask_more(query: CallbackQuery, ctx: Context) -> None:
    """Ask for further words in a case of the person's own."""
    now, case_id = ctx.app.clock.now(), number(query)
    async with ctx.transaction() as tx:
        case = await records.find(tx, case_id)
        if case is None or case.person_id != ctx.person.id or case.status == "closed":
            raise records.CaseClosed(id=case_id)
        await records.prompt(tx, person_id=ctx.person.id, payment_id=None, case_id=case_id, now=now)
        ctx.reply(*statements.case_prompt(ctx.words, None))
    await answer(ctx, query)


async def drop(query: CallbackQuery, ctx: Context) -> None:
    """The person would rather not write."""
    assert query.message is not None
    async with ctx.transaction() as tx:
        await records.drop_prompt(tx, person_id=ctx.person.id)
        text = ctx.words.say("case-dropped")
        ctx.send(EditMessageText(chat_id=ctx.chat_id, message_id=query.message.message_id, text=text), kind=outbox.CALL)
    await answer(ctx, query)


async def cancel(message: Message, ctx: Context) -> None:
    """/cancel: the next message is a question again."""
    async with ctx.transaction() as tx:
        dropped = await records.drop_prompt(tx, person_id=ctx.person.id)
        ctx.reply(ctx.words.say("case-dropped") if dropped else ctx.words.say("nothing-to-cancel"))


async def other_command(message: Message, ctx: Context) -> None:
    """Whoever turns to something else is not asked any more; the command goes on to its handler."""
    async with ctx.app.db.transaction() as tx:
        await records.drop_prompt(tx, person_id=ctx.person.id)
    raise SkipHandler


async def take(message: Message, ctx: Context, prompted: Prompt) -> None:
    """Take a person's words to their case; what cannot be taken is said, and the prompt stays for another try."""
    say, text = ctx.words.say, message.text or ""
    if not message.text:
        album = f"case-album:{ctx.chat_id}:{message.media_group_id}" if message.media_group_id else None
        ctx.reply(say("case-text-only"), reply_to=message.message_id, once=album)
        return
    if not is_visible(text):
        ctx.reply(say("message-empty"))
        return
    if prompted.refused_at is not None and message.date - prompted.refused_at <= PARTS_WITHIN:
        return  # the rest of a text that was refused
    if utf16_len(text) > TEXT_UNITS_MAX:
        async with ctx.transaction() as tx:
            if len(text) >= SPLIT_CHARS_MIN:  # another part may be on its way
                await records.refuse_prompted(tx, person_id=ctx.person.id, at=message.date)
            ctx.reply(say("case-too-long", chars_max=TEXT_UNITS_MAX), reply_to=message.message_id)
        return
    try:
        async with ctx.transaction() as tx:
            case = await cases.tell(ctx.app, tx, ctx.person, prompted, text, now=ctx.app.clock.now())
            key = "case-opened" if prompted.case_id is None else "case-added"
            ctx.reply(say(key, id=case.id, due_at=case.due_at), reply_to=message.message_id)
    except Rejected as rejected:
        ctx.unsay()
        async with ctx.transaction() as tx:
            await records.drop_prompt(tx, person_id=ctx.person.id)
            ctx.reply(say(rejected.code, **rejected.params), reply_to=message.message_id)
