"""Answers: a turn's stored text as the messages that are sent, with what must be said below it."""

from dataclasses import dataclass
from typing import Any

from aiogram.methods import SendMessage, SendRichMessage, TelegramMethod
from aiogram.types import InlineKeyboardMarkup

from billing.catalog import Catalog
from bot import keyboards, notices
from bot.render import NO_LINK_PREVIEW, Part, Style, TextPart, render
from bot.thoughts import above as thoughts_above
from kit.words import Words

FINISH_LENGTH = "length"
STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Message:
    """One message to send, and what says the same more plainly if Telegram refuses it."""

    call: TelegramMethod[Any]
    plainer: tuple[TelegramMethod[Any], ...] = ()
    has_buttons: bool = False
    """Whether the answer's own buttons stand under it: they go when the next answer comes."""

    def with_buttons(self, keyboard: InlineKeyboardMarkup) -> "Message":
        """Return the same message with the answer's buttons under its last call."""
        given = {"reply_markup": keyboard}
        plainer = (*self.plainer[:-1], *(call.model_copy(update=given) for call in self.plainer[-1:]))
        return Message(self.call.model_copy(update=given), plainer, has_buttons=True)


def messages(
    *,
    chat_id: int,
    turn_id: int,
    text: str,
    payload: dict[str, Any],
    words: Words,
    style: Style,
    allowed_hosts: frozenset[str],
    catalog: Catalog,
    trial: bool = False,
    thoughts: str = "",
    can_think: bool = False,
    in_group: bool = False,
) -> list[Message]:
    """Return the messages that deliver an answer, in order; notes and buttons come in one of their own at the end.

    `payload` is the outbox row's: status, finish_reason, billed, courtesy, available. `trial`: whether the person may
    start the trial. `thoughts`: what the model reasoned; `can_think`: whether it may be asked to. `in_group`: nothing
    is said of what the person has or spent (`wallet_note` is for them alone). Pure: a retry after a crash makes the
    same list, and goes on behind the parts that were sent.
    """
    parts = render(text, style=style, allowed_links=allowed_hosts, empty=words.say("answer-empty"))
    found = [_message(chat_id, part) for part in thoughts_above(parts, thoughts, words, allowed_hosts)]
    note, keyboard = (_below_in_group(words, payload), None) if in_group else _below(words, payload, catalog, trial)
    buttons = _buttons(words, turn_id, payload, can_think=can_think and not thoughts)
    if note and keyboard is None:
        found.append(Message(SendMessage(chat_id=chat_id, text=note)).with_buttons(buttons))
        return found
    found[-1] = found[-1].with_buttons(buttons)
    if note:
        found.append(Message(SendMessage(chat_id=chat_id, text=note, reply_markup=keyboard)))
    return found


def _message(chat_id: int, part: Part) -> Message:
    if isinstance(part, TextPart):
        return _text(chat_id, part)
    plainer = tuple(call for text in part.fallback for call in (_text(chat_id, text).call,))
    return Message(SendRichMessage(chat_id=chat_id, rich_message=part.message), plainer)


def _text(chat_id: int, part: TextPart) -> Message:
    bare = SendMessage(chat_id=chat_id, text=part.text, link_preview_options=NO_LINK_PREVIEW)
    if not part.entities:
        return Message(bare)
    return Message(bare.model_copy(update={"entities": part.entities}), (bare,))


def _below(
    words: Words, payload: dict[str, Any], catalog: Catalog, trial: bool
) -> tuple[str, InlineKeyboardMarkup | None]:
    """Return the note below an answer, at most one, the most important; the answer's buttons stand under a note that
    has none of its own."""
    if payload["status"] == STOPPED:
        return words.say("stopped", tokens=payload["billed"]), None
    if payload["finish_reason"] == FINISH_LENGTH and not payload["courtesy"]:
        return words.say("answer-cut", **notices.revived(words, {"plan": payload.get("plan")})), None
    note = wallet_note(words, payload)
    return note, notices.ways_on(words, catalog, trial=trial) if note else None


def _below_in_group(words: Words, payload: dict[str, Any]) -> str:
    if payload["status"] == STOPPED:
        return words.say("group-stopped")
    return words.say("answer-cut", plan="none") if payload["finish_reason"] == FINISH_LENGTH else ""


def wallet_note(words: Words, payload: dict[str, Any]) -> str:
    """Return what a person is told of their tokens after an answer: that we finished it, or that little is left."""
    next_s = payload.get("next_s")
    if payload["courtesy"]:
        return words.say("courtesy-next", next_s=next_s) if next_s else words.say("courtesy")
    if payload.get("low_percent"):
        left = {"percent": payload["low_percent"], "tokens": payload["available"]}
        return words.say("low-balance-next", **left, next_s=next_s) if next_s else words.say("low-balance", **left)
    return ""


def _buttons(words: Words, turn_id: int, payload: dict[str, Any], *, can_think: bool) -> InlineKeyboardMarkup:
    """Return the answer's own buttons: what was cut goes on, what is whole can be made shorter or deeper."""
    again = keyboards.press(words.say("button-redo"), "redo", turn_id)
    go_on = keyboards.press(words.say("button-continue"), "continue", turn_id)
    if payload["status"] == STOPPED:
        return keyboards.rows([go_on, again])
    rest = [
        keyboards.press(words.say("button-shorter"), "shorter", turn_id),
        keyboards.press(words.say("button-deeper"), "deeper", turn_id),
    ]
    think = [keyboards.press(words.say("button-think"), "think", turn_id)] if can_think else []
    return keyboards.rows([go_on] if payload["finish_reason"] == FINISH_LENGTH else [], [again, *rest], think)
