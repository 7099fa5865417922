"""One turn's preview: what there is to show, and the Bot API call that shows it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiogram.methods import EditMessageText, SendChatAction, SendMessage, SendMessageDraft, SendRichMessage
from aiogram.methods import TelegramMethod as Method
from aiogram.types import InlineKeyboardMarkup, LinkPreviewOptions, MessageEntity, ReplyParameters

from bot.budget import Lane
from inference.streams import Mode, PreviewMeta, Transcript

Render = Callable[[str], tuple[str, list[MessageEntity]]]
TYPING = ("typing",)
_NO_LINK = LinkPreviewOptions(is_disabled=True)


@dataclass(frozen=True, slots=True)
class PreviewLimits:
    """When previews go."""

    interval_s: float = 1.2
    edit_interval_s: float = 1.5  # edits every 0.5 s cost another bot a penalty of 126 s, every 1.5 s did not
    group_interval_s: float = 5.0  # previews and finals share a group's 20 messages a minute
    streams_per_s: float = 20.0
    quiet_s: float = 3.0
    queue_refresh_s: float = 18.0
    heartbeat_s: float = 18.0  # 20 s at most, less the time that a preview waits for its turn
    typing_s: float = 5.0
    retry_s: float = 1.0  # after a preview that was passed over
    position_timeout_s: float = 3.0
    streams_max: int = 5_000
    finished_max: int = 10_000
    age_s_max: float = 30 * 60
    drafts_refused_s: float = 3_600
    drafts_refused_max: int = 10_000


@dataclass(slots=True, eq=False)
class Stream:
    """The preview of one turn: what arrived, what is under way and what was shown."""

    meta: PreviewMeta
    mode: Mode
    opened_at: float
    transcript: Transcript = field(default_factory=Transcript)
    queue_line: str = ""  # what stands there before any text: the place in the queue, or that the model thinks
    asked: tuple[Any, ...] = ()  # what the preview under way shows, in short
    shown: tuple[Any, ...] = ()
    shown_at: float = 0.0
    pending: bool = False  # a preview waits in the sender or is under way
    offers: int = 0  # previews given to the sender so far
    lane: Lane = Lane.PREVIEW  # of the last of them
    placing: bool = False  # the place in the queue is being asked for
    text_planned: bool = False  # the timer is for text that is not shown yet
    not_before: float = 0.0  # a pause after a failure
    message_id: int | None = None
    plain: bool = False  # Telegram refused the entities
    failures: int = 0
    dead: bool = False
    timer: asyncio.TimerHandle | None = None

    @property
    def turn_id(self) -> int:
        return self.meta.draft_id

    @property
    def has_text(self) -> bool:
        """Whether there is something to read; the blank lines that some answers begin with are nothing yet."""
        text = self.transcript.text
        return bool(text) and not text.isspace()

    @property
    def state(self) -> tuple[Any, ...]:
        """What there is to show, in short: two equal states need no second call."""
        if self.mode == "off":
            return TYPING
        if self.has_text:
            return ("text", self.transcript.fence, len(self.transcript.text))
        if self.mode == "edit" and (not self.queue_line or (self.meta.is_group and not self.meta.thinking)):
            return TYPING
        return ("queue", self.queue_line)

    @property
    def begins(self) -> bool:
        """Whether the answer has text and none of it was shown yet."""
        return self.state[0] == "text" and self.shown[:1] != ("text",)


def call_for(stream: "Stream", render: Render) -> Method[Any]:
    """Build the call that shows the stream as it is now, and note in `asked` what that is."""
    meta, state = stream.meta, stream.state
    stream.asked = state
    if state == TYPING:
        return SendChatAction(chat_id=meta.chat_id, action="typing", message_thread_id=meta.thread_id)
    has_text = state[0] == "text"
    text, entities = render(stream.transcript.text) if has_text else (stream.queue_line, [])
    if stream.plain:
        entities = []
    if stream.mode == "draft":
        return SendMessageDraft(
            chat_id=meta.chat_id,
            draft_id=meta.draft_id,
            text=text,
            entities=entities or None,
            parse_mode=None,
            can_stop=True,
            keep_on_stop=True if has_text else None,
        )
    # Only a draft may be empty: a beginning such as a lone heading mark renders to nothing.
    text = text if text.strip() else "…"
    if stream.message_id is not None:
        return EditMessageText(
            chat_id=meta.chat_id,
            message_id=stream.message_id,
            text=text,
            entities=entities or None,
            parse_mode=None,
            link_preview_options=_NO_LINK,
        )
    reply_to = meta.reply_to_message_id
    return SendMessage(
        chat_id=meta.chat_id,
        message_thread_id=meta.thread_id,
        text=text,
        entities=entities or None,
        parse_mode=None,
        link_preview_options=_NO_LINK,
        reply_parameters=ReplyParameters(message_id=reply_to, allow_sending_without_reply=True)
        if reply_to is not None
        else None,
    )


def as_edit(call: Method[Any], message_id: int) -> EditMessageText | None:
    """The edit that turns the preview into `call`'s message; None for what an edit cannot say."""
    keyboard = getattr(call, "reply_markup", None)
    if keyboard is not None and not isinstance(keyboard, InlineKeyboardMarkup):
        return None
    if isinstance(call, SendRichMessage):
        return EditMessageText(
            chat_id=call.chat_id, message_id=message_id, rich_message=call.rich_message, reply_markup=keyboard
        )
    if isinstance(call, SendMessage):
        return EditMessageText(
            chat_id=call.chat_id,
            message_id=message_id,
            text=call.text,
            entities=call.entities,
            parse_mode=call.parse_mode,
            link_preview_options=call.link_preview_options,
            reply_markup=keyboard,
        )
    return None
