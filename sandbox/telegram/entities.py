"""Message entities: offsets in UTF-16 units, bounds, what Telegram finds by itself in a text."""

import re
from typing import Any

from sandbox.telegram.errors import bad_request
from sandbox.telegram.state import Json

TEXT_MAX = 4096
CAPTION_MAX = 1024
ENTITIES_MAX = 100

_DETECT = re.compile(
    r"(?P<url>https?://[^\s<>\"]+[^\s<>\".,!?;:)])"
    r"|(?P<email>\b[\w.+-]+@[\w-]+\.[\w.-]*\w)"
    r"|(?:(?<=^)|(?<=[\s(]))(?P<bot_command>/[A-Za-z0-9_]{1,64}(?:@[A-Za-z0-9_]{3,32})?)(?![\w/])"
    r"|(?<![\w@])(?P<mention>@[A-Za-z0-9_]{4,32})"
    r"|(?<![\w#&])(?P<hashtag>#\w*[^\W\d]\w*)",
    re.MULTILINE,
)


def utf16_len(text: str) -> int:
    """Length in UTF-16 code units, as Telegram counts."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2


def detect(text: str, taken: list[Json] | None = None) -> list[Json]:
    """Entities that Telegram adds by itself (commands, links, mentions, …), where none of `taken` is."""
    if not any(mark in text for mark in "/@#"):
        return []
    found = []
    for match in _DETECT.finditer(text):
        offset = utf16_len(text[: match.start()])
        length = utf16_len(match.group())
        if any(e["offset"] < offset + length and offset < e["offset"] + e["length"] for e in taken or ()):
            continue
        found.append({"type": match.lastgroup, "offset": offset, "length": length})
    return found


def _check_bounds(text: str, entities: list[Json]) -> None:
    """Raises Telegram's 400 for an entity that leaves the text or cuts a surrogate pair."""
    total = utf16_len(text)
    middles: set[int] = set()
    if total != len(text):
        position = 0
        for char in text:
            if char > "\uffff":
                middles.add(position + 1)
                position += 1
            position += 1
    for entity in entities:
        begin, end = entity["offset"], entity["offset"] + entity["length"]
        if begin in middles or end in middles:
            where = "begins" if begin in middles else "ends"
            raise bad_request(f"entity {where} in a middle of a UTF-16 symbol at UTF-16 offset {begin}")
        if begin > total:
            raise bad_request(f"entity begins after the end of the text at UTF-16 offset {begin}")
        if end > total:
            raise bad_request(
                f"entity beginning at UTF-16 offset {begin} ends after the end of the text at UTF-16 offset {end}"
            )


def _trim(text: str, entities: list[Json]) -> tuple[str, list[Json]]:
    """Takes white space off both ends, as Telegram does, and moves the entities along."""
    left = text.lstrip()
    shift = utf16_len(text) - utf16_len(left)
    stripped = left.rstrip()
    if shift == 0 and len(stripped) == len(text):
        return text, entities
    total, kept = utf16_len(stripped), []
    for entity in entities:
        begin = max(0, entity["offset"] - shift)
        end = min(total, entity["offset"] + entity["length"] - shift)
        if end > begin:
            kept.append({**entity, "offset": begin, "length": end - begin})
    return stripped, kept


def formatted(
    text: str, parse_mode: Any, entities: list[Json] | None, *, text_max: int = TEXT_MAX, empty_ok: bool = False
) -> tuple[str, list[Json]]:
    """Text and entities as they will be stored; raises Telegram's 400 for too long, empty or unreadable ones."""
    from sandbox.telegram.html import parse_html

    found = [entity for entity in entities or () if entity["length"] > 0 and entity["offset"] >= 0]
    if isinstance(parse_mode, str) and parse_mode:
        if parse_mode.lower() != "html":
            raise bad_request("can't parse entities: the sandbox reads parse_mode HTML only")
        text, found = parse_html(text)
    _check_bounds(text, found)
    text, found = _trim(text, found)
    if not text and not empty_ok:
        raise bad_request("message text is empty")
    if utf16_len(text) > text_max:
        raise bad_request("message is too long" if text_max == TEXT_MAX else "message caption is too long")
    found = sorted(found[:ENTITIES_MAX], key=lambda entity: (entity["offset"], -entity["length"]))
    if text and (auto := detect(text, found)):
        found = sorted([*found, *auto], key=lambda entity: (entity["offset"], -entity["length"]))
    return text, found


def split_text(text: str) -> list[str]:
    """Parts of at most TEXT_MAX UTF-16 units, as clients split a long paste, at the end of a line or word."""
    parts = []
    while utf16_len(text) > TEXT_MAX:
        cut = len(text.encode("utf-16-le")[: TEXT_MAX * 2].decode("utf-16-le", "ignore"))
        for mark in ("\n", " "):
            at = text.rfind(mark, cut - 400, cut)
            if at > 0:
                cut = at + 1
                break
        parts.append(text[:cut])
        text = text[cut:]
    return [*parts, text]
