"""Inline keyboards and the form of their callback data: `action:argument:argument`, at most 64 bytes."""

from typing import Literal

from aiogram.types import CopyTextButton, DisabledButton, InlineKeyboardButton, InlineKeyboardMarkup

DATA_BYTES_MAX = 64
Style = Literal["primary", "success", "danger"]


def data(action: str, *arguments: object) -> str:
    """Return callback data; the caller's arguments are short ids and names of ours."""
    joined = ":".join([action, *(str(argument) for argument in arguments)])
    assert len(joined.encode()) <= DATA_BYTES_MAX, action
    return joined


def press(text: str, action: str, *arguments: object, style: Style | None = None) -> InlineKeyboardButton:
    """Return a button that calls back."""
    return InlineKeyboardButton(text=text, callback_data=data(action, *arguments), style=style)


def link(text: str, url: str) -> InlineKeyboardButton:
    return InlineKeyboardButton(text=text, url=url)


def copy(text: str, value: str) -> InlineKeyboardButton:
    """Return a button that copies `value` on the person's device."""
    return InlineKeyboardButton(text=text, copy_text=CopyTextButton(text=value))


def disabled(text: str) -> InlineKeyboardButton:
    """Return a button that only says something."""
    return InlineKeyboardButton(text=text, disabled=DisabledButton())


def rows(*lines: list[InlineKeyboardButton]) -> InlineKeyboardMarkup:
    """Return a keyboard of the lines that have buttons."""
    return InlineKeyboardMarkup(inline_keyboard=[line for line in lines if line])
