"""A long text with entities, cut into messages that Telegram takes.

Cuts fall between blocks, else between lines, sentences, words, in this order, and never inside a surrogate pair or a
grapheme where that can be helped. An entity across a cut is closed before it and opened again behind it.
"""

import unicodedata
from collections.abc import Sequence
from typing import Final

from telegramify_markdown import MessageEntity, utf16_len

TEXT_UNITS_MAX: Final = 4096  # UTF-16: https://core.telegram.org/bots/api#sendmessage
ENTITIES_MAX: Final = 100  # more are ignored by Telegram
# A cut may leave this much of the budget unused to fall at a better place.
_SLACK: Final = {"\n\n": 0.5, "\n": 0.6, ". ": 0.7, " ": 0.9}
_GRAPHEME_CHARS_MAX: Final = 32
# Entities beyond this in one part are not even looked at: only hostile texts have them.
_ENTITIES_SEEN_MAX: Final = 400
_FIRST: Final = ("pre", "code", "text_link", "blockquote", "expandable_blockquote", "spoiler", "bold")
_STYLES: Final = frozenset({"bold", "italic", "underline", "strikethrough", "spoiler"})
_BLANK_LETTERS: Final = "\u2800\u3164\u115f\u1160\uffa0"
_QUOTES: Final = frozenset({"blockquote", "expandable_blockquote"})

Part = tuple[str, list[MessageEntity]]


def split(text: str, entities: Sequence[MessageEntity], limit: int = TEXT_UNITS_MAX) -> list[Part]:
    """Cut into parts of at most `limit` UTF-16 units, none of them blank. Joined, they miss nothing but the whitespace
    at the cuts. `limit` ≥ 2."""
    rest = _outer_quotes(entities)
    parts: list[Part] = []
    start = 0  # Python index
    start16 = 0
    while start < len(text):
        end, end16 = _cut(text, start, start16, rest, limit)
        piece = text[start:end]
        body = piece.strip("\n").rstrip()
        if is_visible(body):
            lead = len(piece) - len(piece.lstrip("\n"))
            begin16 = start16 + lead
            parts.append((body, _clipped(rest, begin16, begin16 + utf16_len(body))))
        start, start16 = end, end16
        rest = [entity for entity in rest if entity.offset + entity.length > start16]
    return parts


def tail(text: str, entities: Sequence[MessageEntity], limit: int = TEXT_UNITS_MAX) -> Part:
    """The last `limit` UTF-16 units at most, from a line's beginning where one is near."""
    units = utf16_len(text)
    if units <= limit:
        return text, _clipped(_outer_quotes(entities), 0, units)
    start = _index_at(text, 0, units - limit)
    start += start < len(text) and utf16_len(text[start:]) > limit
    line = text.find("\n", start, start + limit // 4)
    start = _grapheme_end(text, start) if line < 0 else line + 1
    start16 = units - utf16_len(text[start:])
    return text[start:], _clipped(_outer_quotes(entities), start16, units)


def is_visible(text: str) -> bool:
    """Whether a person would see anything: Telegram refuses a text of nothing but blanks and marks."""
    return any(unicodedata.category(char)[0] not in "ZCM" and char not in _BLANK_LETTERS for char in text)


def _outer_quotes(entities: Sequence[MessageEntity]) -> list[MessageEntity]:
    """In order, without quotes inside quotes: Telegram does not nest them."""
    kept = []
    quoted_to = -1
    for entity in sorted(entities, key=lambda entity: (entity.offset, -entity.length)):
        if entity.type in _QUOTES:
            if entity.offset < quoted_to:
                continue
            quoted_to = entity.offset + entity.length
        kept.append(entity)
    return kept


def _cut(text: str, start: int, start16: int, entities: Sequence[MessageEntity], limit: int) -> tuple[int, int]:
    """The Python index and the UTF-16 offset at which the part that begins at `start` ends."""
    if len(text) - start <= limit and utf16_len(text[start:]) <= limit:
        return len(text), start16 + utf16_len(text[start:])
    hard = _index_at(text, start, limit)
    code = [(e.offset, e.offset + e.length) for e in entities[:_ENTITIES_SEEN_MAX] if e.type == "pre"]
    for mark, share in _SLACK.items():
        floor = start + max(int((hard - start) * share), 1)
        at = text.rfind(mark, floor, hard)
        while at >= 0:
            end = at + len(mark)
            end16 = start16 + utf16_len(text[start:end])
            inside = next(((a, b) for a, b in code if a < end16 < b), None) if mark == "\n\n" else None
            if inside is None:
                return end, end16
            # A blank line inside code is not a border of blocks: look before the code.
            at = text.rfind(mark, floor, max(_index_at(text, start, max(inside[0] - start16, 0)), floor))
    end = _grapheme_start(text, start, hard)
    return end, start16 + utf16_len(text[start:end])


def _index_at(text: str, start: int, units: int) -> int:
    """The largest index whose distance from `start` is at most `units` UTF-16 units."""
    piece = text[start : start + units]
    over = utf16_len(piece) - units
    while over > 0:
        # Each dropped character gives back one unit or two, so this halves quickly.
        piece = piece[: len(piece) - max(over // 2, 1)]
        over = utf16_len(piece) - units
    return start + len(piece)


def _joins(before: str, char: str) -> bool:
    """Whether `char` belongs to the grapheme that `before` ends (the common cases of UAX #29)."""
    if before == "\u200d" or char in "\u200d\ufe0e\ufe0f\u20e3" or "\U0001f3fb" <= char <= "\U0001f3ff":
        return True
    if "\U0001f1e6" <= char <= "\U0001f1ff" and "\U0001f1e6" <= before <= "\U0001f1ff":
        return True
    return (before == "\r" and char == "\n") or unicodedata.category(char)[0] == "M"


def _grapheme_start(text: str, start: int, at: int) -> int:
    floor = max(start + 1, at - _GRAPHEME_CHARS_MAX)
    for index in range(at, floor, -1):
        if index >= len(text) or not _joins(text[index - 1], text[index]):
            return index
    return max(at, start + 1)


def _grapheme_end(text: str, at: int) -> int:
    for index in range(max(at, 1), min(at + _GRAPHEME_CHARS_MAX, len(text))):
        if not _joins(text[index - 1], text[index]):
            return index
    return at


def _clipped(entities: Sequence[MessageEntity], start: int, end: int) -> list[MessageEntity]:
    """The entities of text[start:end], from zero, nested as Telegram allows, the most telling where they are many."""
    inside: list[MessageEntity] = []
    for entity in entities:
        if entity.offset >= end or len(inside) >= _ENTITIES_SEEN_MAX:
            break
        first, last = max(entity.offset, start), min(entity.offset + entity.length, end)
        if last > first:
            inside.append(entity.copy_with(offset=first - start, length=last - first))
    kept = _outside_code(inside)
    if len(kept) > ENTITIES_MAX:
        rank = {kind: place for place, kind in enumerate(_FIRST)}
        kept = sorted(kept, key=lambda entity: rank.get(entity.type, len(_FIRST)))[:ENTITIES_MAX]
    return sorted(kept, key=lambda entity: (entity.offset, -entity.length))


def _outside_code(entities: list[MessageEntity]) -> list[MessageEntity]:
    """Styles and links stop where code begins and go on behind it: code contains nothing and lies in nothing but a
    quote (https://core.telegram.org/bots/api#messageentity)."""
    code = [entity for entity in entities if entity.type in {"code", "pre"}]
    if not code:
        return entities
    kept = []
    for entity in entities:
        if entity.type not in _STYLES and entity.type != "text_link":
            kept.append(entity)
            continue
        at, end = entity.offset, entity.offset + entity.length
        for hole in code:
            if hole.offset >= end or hole.offset + hole.length <= at:
                continue
            if hole.offset > at:
                kept.append(entity.copy_with(offset=at, length=hole.offset - at))
            at = hole.offset + hole.length
        if at < end:
            kept.append(entity.copy_with(offset=at, length=end - at))
    return kept
