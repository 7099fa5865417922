"""The mark of a case in a message: its first words, by which a reply to that message finds the case.

A card's message id is known to Telegram only; the card itself comes back with every reply to it. So that nobody's name
passes for a mark, no message to the admin group begins with a name.
"""

import re
from typing import Final

from aiogram.types import Message

from kit.words import LANGUAGES, words

# A reminder begins with a sign of its own.
_SIGN: Final = "⚠️ "
_NUMBER: Final = re.compile(r"#([1-9]\d{0,17})\b", re.ASCII)


def case_of(replied: Message | None, bot_username: str) -> int | None:
    """Return the case that a message of this bot is about, None if it is about none or is somebody else's."""
    if replied is None or replied.from_user is None or replied.from_user.username != bot_username:
        return None
    text = (replied.text or "").partition("\n")[0].removeprefix(_SIGN)
    found = _NUMBER.search(text)
    if found is None:
        return None
    number = int(found[1])
    marks = (words(language).say("case-mark", id=number) for language in LANGUAGES)
    return number if any(re.match(rf"{re.escape(mark)}(?!\d)", text) for mark in marks) else None
