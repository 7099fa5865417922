"""Thoughts: what a model reasoned before its answer, as a folded quote above it."""

from typing import Final

from aiogram.types import MessageEntity
from telegramify_markdown import utf16_len

from bot import links
from bot.markdown import clean
from bot.parts import TEXT_UNITS_MAX
from bot.render import Part, TextPart
from kit.words import Words

# Whoever unfolds it looks how the answer came about; nobody reads pages of it on a phone.
SHOWN_CHARS_MAX: Final = 1_500


def above(parts: list[Part], thoughts: str, words: Words, allowed_hosts: frozenset[str]) -> list[Part]:
    """Return an answer's parts with its thoughts: in the first message if there is room, else in one of their own."""
    told = " ".join(clean(thoughts).split())
    if not told:
        return parts
    if len(told) > SHOWN_CHARS_MAX:
        told = told[:SHOWN_CHARS_MAX].rstrip() + "…"
    title = words.say("thoughts")
    quote = f"{title}\n{links.strip_plain(told, allowed_hosts)}"
    length = utf16_len(quote)
    folded = [
        MessageEntity(type="expandable_blockquote", offset=0, length=length),
        MessageEntity(type="bold", offset=0, length=utf16_len(title)),
    ]
    first = parts[0]
    if not isinstance(first, TextPart) or length + 1 + utf16_len(first.text) > TEXT_UNITS_MAX:
        return [TextPart(quote, folded), *parts]
    moved = [entity.model_copy(update={"offset": entity.offset + length + 1}) for entity in first.entities]
    return [TextPart(f"{quote}\n{first.text}", [*folded, *moved]), *parts[1:]]
