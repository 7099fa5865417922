"""Free text in a private chat: into a turn. What cannot be used gets a kind word at once and costs nothing."""

import re

from aiogram import F, Router
from aiogram.enums import ChatType, ContentType
from aiogram.methods import SetMessageReaction
from aiogram.types import Message, MessageGenerationStopped, ReactionTypeEmoji

from app import service_lanes, turn_accept, turn_preview, turn_redo, turn_stop
from app.turn_accept import Accepted, Fate, Incoming
from bot import keyboards
from bot.context import Context
from bot.parts import is_visible
from inference.turns import Turn

# Clients split what is longer than 4096; a part near that length has a successor on the way.
SPLIT_CHARS_MIN = 3_500
# Of the message that a question replies to, so much is quoted to the model.
QUOTE_CHARS_MAX = 400
_COMMAND = re.compile(r"/(?:[^\W\d_]\w*(?:@\w+)?)?(?:\s|$)")
# What a person sends on purpose; all else in a private chat is Telegram's own note (a pinned message, a new timer).
_SENT = frozenset(
    {
        ContentType.ANIMATION,
        ContentType.AUDIO,
        ContentType.CHECKLIST,
        ContentType.CONTACT,
        ContentType.DICE,
        ContentType.DOCUMENT,
        ContentType.GAME,
        ContentType.LIVE_PHOTO,
        ContentType.LOCATION,
        ContentType.PAID_MEDIA,
        ContentType.PHOTO,
        ContentType.POLL,
        ContentType.STICKER,
        ContentType.STORY,
        ContentType.UNKNOWN,  # newer than our library
        ContentType.VENUE,
        ContentType.VIDEO,
        ContentType.VIDEO_NOTE,
        ContentType.VOICE,
    }
)


def questions() -> Router:
    """Return the router of what most messages are; none of them is a command, so they need not pass all of those."""
    made = Router(name="questions")
    made.message.register(text, F.chat.type == ChatType.PRIVATE, F.text, ~F.text.startswith("/"))
    return made


def router() -> Router:
    """Return the router of what no other takes: text that looks like a command, captions, edits, the stop button."""
    made = Router(name="chat")
    private = F.chat.type == ChatType.PRIVATE
    made.message.register(unknown_command, private, F.text.func(is_command))
    made.message.register(text, private, F.text)
    made.message.register(caption, private, F.caption)
    made.message.register(cannot_use, private)
    made.edited_message.register(edited, private, F.text | F.caption)
    made.stopped_message_generation.register(stop_button)
    return made


def is_command(text: str) -> bool:
    """Whether a text means to be a command: '/plan', '/план now', not '/5 of what?' and not half a long text."""
    return len(text) < SPLIT_CHARS_MIN and bool(_COMMAND.match(text))


async def text(message: Message, ctx: Context) -> None:
    """Accept a question, or a part of one."""
    assert message.text is not None
    gather = len(message.text) >= SPLIT_CHARS_MIN or message.forward_origin is not None
    await ask(ctx, message, gather=gather)


async def caption(message: Message, ctx: Context) -> None:
    """Answer the words under something that cannot be read yet."""
    ctx.reply(ctx.words.say("cannot-use-caption"), reply_to=message.message_id, once=_album(message))
    await ask(ctx, message, gather=message.media_group_id is not None or message.forward_origin is not None)


async def ask(
    ctx: Context, message: Message, *, gather: bool = False, words: str | None = None, think: bool = False
) -> None:
    """Give a person's words to the turn use case, and show what became of them. `words` are those of a command."""
    words = question(message) if words is None else words
    if not words:
        ctx.reply(ctx.words.say("message-empty"))
        return
    incoming = Incoming(ctx.person, ctx.chat_id, message.message_id, words, gather, think=think)
    accepted = await turn_accept.accept(ctx.app, incoming, ctx.transaction)
    if accepted.fate is Fate.OPENED and accepted.turn:
        show(ctx, accepted.turn)
    elif waits(ctx, accepted):
        saw(ctx, message)


def waits(ctx: Context, accepted: Accepted) -> bool:
    """Tell whether a message waits for an answer, or joined a question that does and is whole."""
    joined = accepted.turn if accepted.fate is Fate.JOINED else None
    return accepted.fate is Fate.WAITS or (joined is not None and joined.ready_at <= ctx.app.clock.now())


def saw(ctx: Context, message: Message) -> None:
    """Show that a message was seen which waits for its turn, or joins a question that waits."""
    seen = SetMessageReaction(
        chat_id=ctx.chat_id, message_id=message.message_id, reaction=[ReactionTypeEmoji(emoji="👀")]
    )
    key = f"seen:{ctx.chat_id}:{message.message_id}"
    ctx.room.sender.preview(ctx.chat_id, key, lambda: seen, is_group=ctx.in_group)


def question(message: Message) -> str:
    """Return what the model is asked: the words, below the quote of what they reply to; "" when there are none."""
    own = message.text or message.caption or ""
    if not is_visible(own):
        return ""
    replied = message.reply_to_message
    quoted = message.quote.text if message.quote else (replied.text or replied.caption or "") if replied else ""
    if not quoted.strip():
        return own
    if len(quoted) > QUOTE_CHARS_MAX:
        quoted = quoted[:QUOTE_CHARS_MAX].rstrip() + "…"
    return "\n".join(f"> {line}" for line in quoted.strip().splitlines()) + f"\n\n{own}"


def _album(message: Message) -> str | None:
    """Return what the messages of an album have in common, so that it is answered once."""
    return f"album:{message.chat.id}:{message.media_group_id}" if message.media_group_id else None


def show(ctx: Context, turn: Turn) -> None:
    """Begin the preview of a turn that was just opened, unless a maintenance window keeps it."""
    if not service_lanes.kept_by(ctx.app, turn):
        ctx.room.previews.opened(turn_preview.meta(ctx.app, turn, ctx.person))


async def cannot_use(message: Message, ctx: Context) -> None:
    """Say what a sticker, a poll or a voice message lacks."""
    if message.content_type in _SENT or message.forward_origin is not None:
        say = ctx.words.say("cannot-use", kind=message.content_type)
        ctx.reply(say, reply_to=message.message_id, once=_album(message))


async def unknown_command(message: Message, ctx: Context) -> None:
    ctx.reply(ctx.words.say("unknown-command"))


async def edited(message: Message, ctx: Context) -> None:
    """Offer a new answer to an edited question; it is not redone by itself, since typos would cost tokens."""
    words = question(message)
    if not words:
        return
    async with ctx.transaction() as tx:
        known = await turn_redo.note_edit(ctx.app, tx, chat_id=ctx.chat_id, message_id=message.message_id, text=words)
        if known is None:
            return
        button = keyboards.press(ctx.words.say("button-recount", tokens=known.tokens), "recount", known.turn_id)
        ctx.reply(ctx.words.say("edited"), keyboards.rows([button]), reply_to=message.message_id)


async def stop_button(event: MessageGenerationStopped, ctx: Context) -> None:
    """The native stop of a draft; the draft's id is the turn's."""
    await turn_stop.stop(ctx.app, chat_id=event.chat.id, turn_id=event.draft_id)
