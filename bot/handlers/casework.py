"""The operator's side of the cases: /cases, answers by replying to a card, the button that closes one."""

from aiogram import F, Router
from aiogram.filters import Command, CommandObject, Filter
from aiogram.methods import EditMessageReplyMarkup
from aiogram.types import CallbackQuery, Message
from telegramify_markdown import utf16_len

from app import cases, persons
from billing import cases as records
from billing.cases import TEXT_UNITS_MAX, CaseClosed
from bot import notices, statements
from bot.buttons import answer
from bot.case_marks import case_of
from bot.context import Context, Room
from bot.parts import is_visible
from kit import outbox
from kit.words import Words, words

CASES_SHOWN = 20
ID_DIGITS_MAX = 18
# Of each thing that was said, so much is shown again.
SAID_CHARS_MAX = 400


class RepliesToCard(Filter):
    """Lets replies to a case's card through, but for commands; the handler gets the case's number."""

    async def __call__(self, message: Message, room: Room) -> bool | dict[str, int]:
        case_id = case_of(message.reply_to_message, room.username)
        if case_id is None or (message.text or "").startswith("/"):
            return False
        return {"case_id": case_id}


def router() -> Router:
    """Return the router of casework; the admin group's filters and middleware stand before it."""
    made = Router(name="casework")
    made.message.register(show, Command("cases"))
    made.message.register(reply, RepliesToCard())
    made.callback_query.register(close, F.data.startswith("case-close:"))
    return made


def _say(ctx: Context) -> Words:
    return words(ctx.app.settings.admin_language)


async def show(message: Message, command: CommandObject, ctx: Context) -> None:
    """`/cases`: what is open, the most urgent first. `/cases number`: its card again, with what was said."""
    query = (command.args or "").strip().removeprefix("#")
    if query:
        await _show_one(ctx, query)
        return
    now = ctx.app.clock.now()
    async with ctx.app.db.read() as connection:
        waiting = await records.waiting(connection, limit=CASES_SHOWN)
        who = [await persons.find(connection, person_id=one.person_id) for one in waiting]
    say = _say(ctx)
    if not waiting:
        ctx.reply(say.say("admin-cases-none"))
        return
    lines = [statements.cases_line(say, one, person, now) for one, person in zip(waiting, who, strict=True)]
    ctx.reply("\n".join([say.say("admin-cases"), *lines, "", say.say("admin-cases-usage")]))


async def _show_one(ctx: Context, query: str) -> None:
    say = _say(ctx)
    wanted = int(query) if query.isdecimal() and query.isascii() and len(query) <= ID_DIGITS_MAX else 0
    async with ctx.app.db.read() as connection:
        case = await records.find(connection, wanted)
        person = await persons.find(connection, person_id=case.person_id) if case else None
        if case is None or person is None:
            ctx.reply(say.say("admin-case-none", query=query[:64]))
            return
        said = await records.said(connection, case_id=case.id)
        args = await cases.card_args(connection, case, person)
    lines = [say.say("admin-case-said", at=one.at, author=one.author, text=_cut(one.text)) for one in said]
    text = statements.case_card(say, args, "\n\n".join(lines))
    ctx.reply(text, notices.of_case(say, args) if case.status != "closed" else None)


def _cut(text: str) -> str:
    return text if len(text) <= SAID_CHARS_MAX else text[: SAID_CHARS_MAX - 1] + "…"


async def reply(message: Message, ctx: Context, case_id: int) -> None:
    """Send an operator's reply to whoever opened the case."""
    say, text = _say(ctx), message.text or ""
    if not is_visible(text) or utf16_len(text) > TEXT_UNITS_MAX:
        ctx.reply(say.say("admin-case-text-only", chars_max=TEXT_UNITS_MAX), reply_to=message.message_id)
        return
    try:
        async with ctx.transaction() as tx:
            case = await cases.answer(tx, case_id=case_id, actor_id=ctx.person.id, text=text, now=ctx.app.clock.now())
            person = await persons.find(tx, person_id=case.person_id)
            away = person is not None and person.blocked
            ctx.reply(
                say.say("admin-case-sent-later" if away else "admin-case-sent", id=case.id),
                reply_to=message.message_id,
            )
    except CaseClosed:
        ctx.unsay()
        ctx.reply(say.say("admin-case-gone", id=case_id), reply_to=message.message_id)


async def close(query: CallbackQuery, ctx: Context) -> None:
    """Close a case; whoever presses second learns that it is closed."""
    say, raw = _say(ctx), (query.data or "").partition(":")[2]
    wanted = int(raw) if raw.isdecimal() and raw.isascii() and len(raw) <= ID_DIGITS_MAX else 0
    assert query.message is not None
    try:
        async with ctx.transaction() as tx:
            case = await cases.close(tx, case_id=wanted, actor_id=ctx.person.id, now=ctx.app.clock.now())
            card = EditMessageReplyMarkup(chat_id=ctx.chat_id, message_id=query.message.message_id)
            ctx.send(card, kind=outbox.CALL)
            ctx.reply(say.say("admin-case-closed", id=case.id, by=ctx.person.first_name))
    except CaseClosed:
        ctx.unsay()
        await answer(ctx, query, say.say("toast-already"), alert=True)
        return
    await answer(ctx, query)
