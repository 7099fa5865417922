"""A person's dialogs on the screen: the list, a card of each, the question before deleting, the file."""

import re
from typing import Final

from aiogram.types import ForceReply, InlineKeyboardMarkup, Message

from bot import keyboards, links
from inference.dialog_list import Entry, Line
from inference.dialogs import USER
from kit.words import LANGUAGES, Words, words

PAGE: Final = 6
LABEL_CHARS_MAX: Final = 34

_NUMBER: Final = re.compile(r"#([1-9]\d{0,17})\b", re.ASCII)

Screen = tuple[str, InlineKeyboardMarkup]


def pages(count: int) -> int:
    """Return how many pages the list has, one at least."""
    return max(1, -(-count // PAGE))


def title_of(say: Words, entry: Entry) -> str:
    """Return a dialog's title with no address in it that could become a link."""
    return links.strip_plain(entry.title, frozenset()) or say.say("dialog-untitled")


def listed(say: Words, entries: list[Entry], *, count: int, page: int) -> Screen:
    """Return one page of the list: a button each, and the way to the other pages."""
    if not count:
        return say.say("dialogs-none"), keyboards.rows()
    rows = [[keyboards.press(_label(say, entry), "dialog", entry.id, page)] for entry in entries]
    last = pages(count) - 1
    turn = [
        *([keyboards.press("←", "dialogs", page - 1)] if page else []),
        *([keyboards.press("→", "dialogs", page + 1)] if page < last else []),
    ]
    ends = [
        keyboards.press(say.say("button-dialog-new"), "dialog-new"),
        keyboards.press(say.say("button-dialogs-delete"), "dialogs-delete", page),
    ]
    return say.say("dialogs", count=count, page=page + 1, pages=last + 1), keyboards.rows(*rows, turn, ends)


def _label(say: Words, entry: Entry) -> str:
    title = title_of(say, entry)
    if len(title) > LABEL_CHARS_MAX:
        title = title[: LABEL_CHARS_MAX - 1].rstrip() + "…"
    return say.say("button-chosen", label=title) if entry.active else title


def card(say: Words, entry: Entry, page: int) -> Screen:
    """Return one dialog with what can be done with it."""
    text = say.say(
        "dialog-card",
        title=title_of(say, entry),
        messages=entry.messages,
        last_at=entry.last_at,
        state="active" if entry.active else "closed",
    )
    ahead = [] if entry.active else [keyboards.press(say.say("button-dialog-open"), "dialog-open", entry.id)]
    return text, keyboards.rows(
        ahead,
        [
            keyboards.press(say.say("button-dialog-rename"), "dialog-rename", entry.id),
            keyboards.press(say.say("button-dialog-export"), "dialog-export", entry.id),
        ],
        [keyboards.press(say.say("button-dialog-delete"), "dialog-delete", entry.id, page)],
        [keyboards.press(say.say("button-back"), "dialogs", page)],
    )


def opened(say: Words, entry: Entry) -> Screen:
    """Return what is said when a dialog goes on."""
    back = [keyboards.press(say.say("button-dialogs"), "dialogs", 0)]
    return say.say("dialog-opened", title=title_of(say, entry)), keyboards.rows(back)


def delete_question(say: Words, entry: Entry, page: int) -> Screen:
    """Return the question before one dialog is deleted."""
    return say.say("dialog-delete-sure", title=title_of(say, entry)), keyboards.rows(
        [keyboards.press(say.say("button-dialog-erase"), "dialog-erase", entry.id, page, style="danger")],
        [keyboards.press(say.say("button-dialog-keep"), "dialog", entry.id, page)],
    )


def delete_all_question(say: Words, count: int, page: int) -> Screen:
    """Return the question before all dialogs are deleted."""
    return say.say("dialogs-delete-sure", count=count), keyboards.rows(
        [keyboards.press(say.say("button-dialogs-erase"), "dialogs-erase", style="danger")],
        [keyboards.press(say.say("button-dialog-keep"), "dialogs", page)],
    )


def name_question(say: Words, entry: Entry) -> tuple[str, ForceReply]:
    """Return the question for a new title; its first line is the mark by which the answer finds the dialog."""
    mark = say.say("dialog-mark", id=entry.id)
    text = f"{mark}\n{say.say('dialog-rename-ask', title=title_of(say, entry))}"
    return text, ForceReply(input_field_placeholder=say.say("dialog-rename-hint"))


def asked_about(replied: Message | None, bot_username: str) -> int | None:
    """Return the dialog whose title a message of this bot asked for; None for any other message."""
    if replied is None or replied.from_user is None or replied.from_user.username != bot_username:
        return None
    mark = (replied.text or "").partition("\n")[0]
    found = _NUMBER.search(mark)
    if found is None:
        return None
    number = int(found[1])
    return number if mark in {words(language).say("dialog-mark", id=number) for language in LANGUAGES} else None


def exported(say: Words, entry: Entry, lines: list[Line], *, cut: bool) -> str:
    """Return a dialog as Markdown: whose words and when, then the words as they are."""
    parts = [f"# {entry.title or say.say('dialog-untitled')}"]
    if cut:
        parts.append(f"*{say.say('dialog-file-cut')}*")
    for line in lines:
        who = say.say("dialog-file-person") if line.role == USER else say.say("dialog-file-forma")
        parts.append(f"## {who} · {line.at:%Y-%m-%d %H:%M} UTC\n\n{line.text.strip()}")
    return "\n\n".join(parts) + "\n"
