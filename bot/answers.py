"""Answers: a turn's stored text as the messages that are sent, with what must be said below it."""

from typing import Any

from aiogram.methods import SendMessage, SendRichMessage, TelegramMethod
from aiogram.types import InlineKeyboardMarkup, InputRichMessage, LinkPreviewOptions

from bot import keyboards
from bot.render import RichPart, Style, TextPart, render
from kit.words import Words

FINISH_LENGTH = "length"
STOPPED = "stopped"
_NO_PREVIEW = LinkPreviewOptions(is_disabled=True)


def messages(
    *,
    chat_id: int,
    turn_id: int,
    text: str,
    payload: dict[str, Any],
    words: Words,
    style: Style,
    allowed_hosts: frozenset[str],
) -> list[TelegramMethod[Any]]:
    """Return the calls that deliver an answer, in order; the keyboard, if any, hangs on the last one.

    `payload` is the outbox row's: status, finish_reason, billed, courtesy, available. Pure: a retry after a crash
    makes the same list, and goes on behind the parts that were sent.
    """
    parts = render(text, style=style, allowed_links=allowed_hosts)
    calls = [_call(chat_id, part) for part in parts]
    note, keyboard = _below(words, turn_id, payload)
    if note:
        calls.append(SendMessage(chat_id=chat_id, text=note, reply_markup=keyboard))
    return calls


def plain(call: TelegramMethod[Any], text: str) -> SendMessage:
    """Return the same part as bare text: what is left when Telegram refuses its formatting."""
    return SendMessage(
        chat_id=call.chat_id,  # type: ignore[attr-defined]  # both kinds of part have one
        text=text[:4096] or "…",
        link_preview_options=_NO_PREVIEW,
        reply_markup=getattr(call, "reply_markup", None),
    )


def _call(chat_id: int, part: TextPart | RichPart) -> TelegramMethod[Any]:
    if isinstance(part, RichPart):
        return SendRichMessage(chat_id=chat_id, rich_message=InputRichMessage(markdown=part.markdown))
    return SendMessage(
        chat_id=chat_id, text=part.text, entities=part.entities or None, link_preview_options=_NO_PREVIEW
    )


def _below(words: Words, turn_id: int, payload: dict[str, Any]) -> tuple[str, InlineKeyboardMarkup | None]:
    """Return the note below an answer and its buttons: at most one, the most important."""
    if payload["status"] == STOPPED:
        return words.say("stopped", tokens=payload["billed"]), keyboards.rows(
            [
                keyboards.press(words.say("button-continue"), "continue", turn_id),
                keyboards.press(words.say("button-redo"), "redo", turn_id),
            ]
        )
    if payload["courtesy"]:
        next_s = payload.get("next_s")
        text = words.say("courtesy-next", next_s=next_s) if next_s else words.say("courtesy")
        return text, keyboards.rows([keyboards.press(words.say("button-plans"), "plans")])
    if payload["finish_reason"] == FINISH_LENGTH:
        return words.say("answer-cut"), keyboards.rows(
            [keyboards.press(words.say("button-continue"), "continue", turn_id)]
        )
    if payload.get("low_percent"):
        return words.say("low-balance", percent=payload["low_percent"], tokens=payload["available"]), None
    return "", None
