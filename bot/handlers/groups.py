"""Groups: who speaks to the bot there, and what is done about it. What is not said to it is neither read nor kept."""

import re

from aiogram import F, Router
from aiogram.enums import ChatType
from aiogram.filters import JOIN_TRANSITION, LEAVE_TRANSITION, ChatMemberUpdatedFilter, Command, CommandObject
from aiogram.types import ChatMemberUpdated, Message

from app import groups, persons, turn_accept, turn_stop
from app.turn_accept import Fate, Incoming
from billing import balance
from bot import whispers
from bot.context import ANONYMOUS_ADMIN_ID, Context, Room
from bot.handlers import thinking
from bot.handlers.chat import question, saw, show, waits
from inference import dialogs, speakers
from inference.dialogs import Author

GROUPS = F.chat.type.in_({ChatType.GROUP, ChatType.SUPERGROUP})


def router() -> Router:
    """Return the router of groups, the operator's excepted: that one keeps its updates to itself."""
    made = Router(name="groups")
    made.my_chat_member.filter(GROUPS, elsewhere)
    made.my_chat_member.register(added, ChatMemberUpdatedFilter(JOIN_TRANSITION))
    made.my_chat_member.register(removed, ChatMemberUpdatedFilter(LEAVE_TRANSITION))
    made.message.filter(GROUPS, F.func(_of_a_person))
    made.message.register(moved, F.migrate_to_chat_id)
    made.message.register(help_, Command("start", "help"))
    made.message.register(stop, Command("stop"))
    made.message.register(new, Command("new"))
    made.message.register(balance_, Command("balance"))
    made.message.register(think, Command("think"))
    made.message.register(talk, F.text | F.caption)
    return made


async def elsewhere(event: ChatMemberUpdated, room: Room) -> bool:
    """Filter: let through what happens outside of the operator's group, which is no place for questions."""
    return event.chat.id != room.admin_chat.id


def _of_a_person(message: Message) -> bool:
    """Let through what people write, anonymous administrators and the group itself; not what a channel posts."""
    return message.sender_chat is None or message.sender_chat.id == message.chat.id


async def added(event: ChatMemberUpdated, ctx: Context) -> None:
    """Say in short how the bot is spoken to."""
    ctx.reply(ctx.words.say("group-added", bot=ctx.room.username))


async def removed(event: ChatMemberUpdated, ctx: Context) -> None:
    """Forget the group."""
    await groups.forget(ctx.app, event.chat.id)


async def moved(message: Message, ctx: Context) -> None:
    """Follow a group to the supergroup that it became."""
    assert message.migrate_to_chat_id is not None
    async with ctx.transaction() as tx:
        await groups.migrate(tx, old=message.chat.id, new=message.migrate_to_chat_id, now=ctx.app.clock.now())


async def help_(message: Message, ctx: Context) -> None:
    ctx.reply(ctx.words.say("group-added", bot=ctx.room.username), reply_to=message.message_id)


async def stop(message: Message, ctx: Context) -> None:
    """Stop the answer to whoever says so; what others asked goes on."""
    if not await turn_stop.stop(ctx.app, chat_id=ctx.chat_id, person_id=ctx.person.id):
        ctx.whisper(ctx.words.say("nothing-to-stop"))


async def new(message: Message, ctx: Context) -> None:
    """Begin a new dialog of the group, or of the topic."""
    async with ctx.transaction() as tx:
        await dialogs.close_active(tx, chat_id=ctx.chat_id, thread_id=ctx.thread_id)
        ctx.reply(ctx.words.say("new-dialog"), reply_to=message.message_id)


async def balance_(message: Message, ctx: Context) -> None:
    """Tell a person alone what they have left."""
    async with ctx.app.db.read() as connection:
        held = await balance.of(connection, person_id=ctx.person.id, now=ctx.app.clock.now())
    text = ctx.words.say("group-balance", tokens=held.available)
    ctx.whisper(text, whispers.to_private_chat(ctx.words, ctx.room.username))


async def think(message: Message, command: CommandObject, ctx: Context) -> None:
    """Answer the question behind the command, and reason about it first."""
    if not await thinking.offered(ctx):
        ctx.whisper(ctx.words.say("thinking-not-offered"))
    elif command.args:
        await ask(ctx, message, command.args, think=True)
    else:
        ctx.whisper(ctx.words.say("group-think"))


async def talk(message: Message, ctx: Context) -> None:
    """Answer what is said to the bot: by its @name, by a name of its own, or as a reply to it."""
    names = _names(ctx)
    if not (_replies_to_us(message, ctx) or _mentioned(message, ctx) or (names and names.search(_words_of(message)))):
        return
    asked = _without_mention(question(message), ctx)
    if not asked:
        ctx.reply(ctx.words.say("group-added", bot=ctx.room.username), reply_to=message.message_id)
        return
    await ask(ctx, message, asked)


async def ask(ctx: Context, message: Message, words: str, *, think: bool = False) -> None:
    """Give a question of a group to the turn use case; its person pays, within the group's limit and their own."""
    if ctx.person.id == ANONYMOUS_ADMIN_ID or message.from_user is None:
        ctx.reply(ctx.words.say("group-anonymous"), reply_to=message.message_id)
        return
    await groups.count_question(ctx.app, ctx.chat_id)
    await _make_known(ctx, message)
    incoming = Incoming(
        ctx.person,
        ctx.chat_id,
        message.message_id,
        words,
        thread_id=ctx.thread_id,
        author=Author(ctx.person.id, speakers.name(message.from_user.first_name, ctx.person.id)),
        think=think,
    )
    accepted = await turn_accept.accept(ctx.app, incoming, ctx.transaction)
    if accepted.fate is Fate.OPENED and accepted.turn:
        show(ctx, accepted.turn)
    elif waits(ctx, accepted):
        saw(ctx, message)


async def _make_known(ctx: Context, message: Message) -> None:
    """Store whoever asks for the first time. Being in a group says nothing of whether they blocked the private chat."""
    user = message.from_user
    assert user is not None
    async with ctx.app.db.transaction() as tx:
        if await persons.find(tx, person_id=user.id) is None:
            ctx.person = await persons.ensure(
                tx,
                person_id=user.id,
                first_name=user.full_name,
                username=user.username,
                language=ctx.person.language,
                now=ctx.app.clock.now(),
            )


def _words_of(message: Message) -> str:
    return message.text or message.caption or ""


def _replies_to_us(message: Message, ctx: Context) -> bool:
    """Whether it replies to a message of the bot's; in a forum every message replies to its topic's beginning."""
    reply = message.reply_to_message
    if reply is None or reply.from_user is None or reply.forum_topic_created is not None:
        return False
    return reply.from_user.is_bot and (reply.from_user.username or "").lower() == ctx.room.username.lower()


def _mentioned(message: Message, ctx: Context) -> bool:
    wanted = ctx.room.username.lower()
    for entity in message.entities or message.caption_entities or ():
        if entity.type == "mention" and entity.extract_from(_words_of(message)).lower() == f"@{wanted}":
            return True
        if entity.type == "text_mention" and entity.user and (entity.user.username or "").lower() == wanted:
            return True
    return False


def _names(ctx: Context) -> re.Pattern[str] | None:
    """Return what finds the names that the operator gave the bot for groups, as whole words in any case."""
    names = [re.escape(name.strip()) for name in ctx.app.settings.group_names.split(",") if name.strip()]
    return re.compile(rf"(?<!\w)(?:{'|'.join(names)})(?!\w)", re.IGNORECASE) if names else None


def _without_mention(words: str, ctx: Context) -> str:
    """Return a question without the bot's @name, which tells the model nothing."""
    bare = re.sub(rf"(?<!\w)@{re.escape(ctx.room.username)}(?!\w)[,:]?", "", words, flags=re.IGNORECASE)
    return bare.strip()
