"""Free text in a private chat: into a turn. What cannot be used gets a kind word at once and costs nothing."""

from aiogram import F, Router
from aiogram.enums import ChatType, ContentType
from aiogram.methods import SetMessageReaction
from aiogram.types import Message, MessageGenerationStopped, ReactionTypeEmoji

from app import preferences, turn_accept, turn_redo, turn_stop
from app.turn_accept import Fate, Incoming
from bot import keyboards
from bot.context import Context
from inference import prompt
from inference.streams import PreviewMeta

# Clients split what is longer than 4096; a part near that length has a successor on the way.
SPLIT_CHARS_MIN = 3_500
# What Telegram attaches on top of a message that is ordinary otherwise.
_SERVICE = frozenset({ContentType.UNKNOWN, ContentType.PINNED_MESSAGE, ContentType.NEW_CHAT_TITLE})


def router() -> Router:
    """Return the router of free text, edits and the stop button."""
    made = Router(name="chat")
    private = F.chat.type == ChatType.PRIVATE
    made.message.register(unknown_command, private, F.text.startswith("/"))
    made.message.register(text, private, F.text)
    made.message.register(caption, private, F.caption)
    made.message.register(cannot_use, private)
    made.message.register(group, F.chat.type != ChatType.PRIVATE)
    made.edited_message.register(edited, private, F.text)
    made.stopped_message_generation.register(stop_button)
    return made


async def text(message: Message, ctx: Context) -> None:
    """Accept a question, or a part of one."""
    assert message.text is not None
    gather = (
        len(message.text) >= SPLIT_CHARS_MIN or message.forward_origin is not None or message.media_group_id is not None
    )
    await ask(ctx, message, message.text, gather=gather)


async def caption(message: Message, ctx: Context) -> None:
    """Answer the words under something that cannot be read yet."""
    assert message.caption is not None
    ctx.reply(ctx.words.say("cannot-use-caption"), reply_to=message.message_id)
    await ask(ctx, message, message.caption, gather=message.media_group_id is not None)


async def ask(ctx: Context, message: Message, words: str, *, gather: bool = False) -> None:
    """Give a person's words to the turn use case, and show what became of them."""
    if not words.strip():
        ctx.reply(ctx.words.say("message-empty"))
        return
    incoming = Incoming(ctx.person, ctx.chat_id, message.message_id, words, gather)
    accepted = await turn_accept.accept(ctx.app, incoming, ctx.transaction)
    if accepted.fate is Fate.OPENED and accepted.turn:
        show(ctx, accepted.turn.id)
    elif accepted.fate is Fate.WAITS:
        seen = SetMessageReaction(
            chat_id=ctx.chat_id, message_id=message.message_id, reaction=[ReactionTypeEmoji(emoji="👀")]
        )
        ctx.room.sender.preview(ctx.chat_id, f"seen:{message.message_id}", lambda: seen)


def show(ctx: Context, turn_id: int) -> None:
    """Begin the preview of a turn that was just opened."""
    wanted = preferences.of(ctx.person.settings, preview_default=ctx.app.settings.preview)
    ctx.room.previews.opened(
        PreviewMeta(
            chat_id=ctx.chat_id,
            is_group=False,
            draft_id=turn_id,
            mode=wanted.preview,
            lang=ctx.person.language,
        )
    )


async def cannot_use(message: Message, ctx: Context) -> None:
    """Say what a sticker, a poll or a voice message lacks."""
    if message.content_type in _SERVICE or message.successful_payment or message.refunded_payment:
        return
    ctx.reply(ctx.words.say("cannot-use", kind=message.content_type), reply_to=message.message_id)


async def unknown_command(message: Message, ctx: Context) -> None:
    ctx.reply(ctx.words.say("unknown-command"))


async def group(message: Message, ctx: Context) -> None:
    """In groups, say once per mention where the answers are; group dialogs come later."""
    addressed = (message.text or "").lower()
    reply = message.reply_to_message
    to_us = reply is not None and reply.from_user is not None and reply.from_user.username == ctx.room.username
    if f"@{ctx.room.username}".lower() in addressed or to_us:
        url = f"https://t.me/{ctx.room.username}"
        button = keyboards.rows([keyboards.link(ctx.words.say("button-open-chat"), url)])
        ctx.reply(ctx.words.say("group-line"), button, reply_to=message.message_id)


async def edited(message: Message, ctx: Context) -> None:
    """Offer a new answer to an edited question; it is not redone by itself, since typos would cost tokens."""
    assert message.text is not None
    async with ctx.transaction() as tx:
        turn = await turn_redo.note_edit(tx, chat_id=ctx.chat_id, message_id=message.message_id, text=message.text)
        if turn is None:
            return
        tokens = turn.cost(
            input_tokens=prompt.bound(len(message.text.encode()), 1) // 3, cached_tokens=0, output_tokens=450
        )
        button = keyboards.press(ctx.words.say("button-recount", tokens=tokens), "recount", turn.id)
        ctx.reply(ctx.words.say("edited"), keyboards.rows([button]), reply_to=message.message_id)


async def stop_button(event: MessageGenerationStopped, ctx: Context) -> None:
    """The native stop of a draft; the draft's id is the turn's."""
    await turn_stop.stop(ctx.app, chat_id=event.chat.id, turn_id=event.draft_id)
