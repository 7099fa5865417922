"""parse_mode HTML, as the Bot API reads it: a small set of tags, strict nesting, Telegram's own error words.

Source: https://core.telegram.org/bots/api#html-style
"""

import re

from sandbox.telegram.errors import ApiError, bad_request
from sandbox.telegram.state import Json

_PLAIN = {
    "b": "bold",
    "strong": "bold",
    "i": "italic",
    "em": "italic",
    "u": "underline",
    "ins": "underline",
    "s": "strikethrough",
    "strike": "strikethrough",
    "del": "strikethrough",
    "tg-spoiler": "spoiler",
    "code": "code",
    "pre": "pre",
}
_ENTITY = re.compile(r"&(?:#(\d{1,7})|#x([0-9a-fA-F]{1,6})|(lt|gt|amp|quot));?")
_NAMED = {"lt": "<", "gt": ">", "amp": "&", "quot": '"'}
_TAG = re.compile(r"<(/?)\s*([a-zA-Z][\w-]*)((?:[^<>\"']|\"[^\"]*\"|'[^']*')*)>")
_ATTRIBUTE = re.compile(r"([\w-]+)(?:\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'>]+)))?")


def unescape(text: str) -> str:
    """Replaces the four named and all numeric character references; others stay as they are."""

    def char(match: re.Match[str]) -> str:
        decimal, hexadecimal, name = match.groups()
        if name:
            return _NAMED[name]
        code = int(decimal) if decimal else int(hexadecimal, 16)
        return chr(code) if 0 < code < 0x110000 and not 0xD800 <= code < 0xE000 else match.group()

    return _ENTITY.sub(char, text) if "&" in text else text


def attributes(raw: str) -> dict[str, str]:
    """Attributes of a tag by lower-case name; one without a value has an empty one."""
    return {m[1].lower(): unescape(m[2] or m[3] or m[4] or "") for m in _ATTRIBUTE.finditer(raw)}


def _broken(words: str) -> ApiError:
    return bad_request(f"can't parse entities: {words}")


def _entity(tag: str, given: dict[str, str], at_byte: int) -> Json:
    """The entity that a start tag opens; an empty one for a tag that only groups (span-less, link without href)."""
    if tag in _PLAIN:
        entity: Json = {"type": _PLAIN[tag]}
        if tag == "code" and given.get("class", "").startswith("language-"):
            entity["language"] = given["class"].removeprefix("language-")
        return entity
    if tag == "a":
        return {"type": "text_link", "url": given["href"]} if given.get("href") else {}
    if tag == "span" and given.get("class") == "tg-spoiler":
        return {"type": "spoiler"}
    if tag == "blockquote":
        return {"type": "expandable_blockquote" if "expandable" in given else "blockquote"}
    if tag == "tg-emoji" and given.get("emoji-id"):
        return {"type": "custom_emoji", "custom_emoji_id": given["emoji-id"]}
    if tag == "tg-time" and given.get("unix", "").isdigit():
        return {"type": "date_time", "unix_time": int(given["unix"]), "date_time_format": given.get("format", "")}
    if tag == "span":
        raise _broken(f'Tag "span" must have class "tg-spoiler" at byte offset {at_byte}')
    raise _broken(f'Unsupported start tag "{tag}" at byte offset {at_byte}')


def parse_html(source: str) -> tuple[str, list[Json]]:
    """Text and entities (offsets in UTF-16 units); raises 400 "can't parse entities"."""
    out: list[str] = []
    length = 0
    open_tags: list[tuple[str, Json, int]] = []
    entities: list[Json] = []
    position = 0
    while position < len(source):
        start = source.find("<", position)
        chunk = unescape(source[position : start if start >= 0 else len(source)])
        out.append(chunk)
        length += len(chunk.encode("utf-16-le")) // 2
        if start < 0:
            break
        at_byte = len(source[:start].encode())
        match = _TAG.match(source, start)
        if match is None:
            raise _broken(f"Unclosed start tag at byte offset {at_byte}")
        position = match.end()
        closing, tag = match[1], match[2].lower()
        if not closing:
            open_tags.append((tag, _entity(tag, attributes(match[3]), at_byte), length))
            continue
        if not open_tags:
            raise _broken(f"Unexpected end tag at byte offset {at_byte}")
        name, entity, offset = open_tags.pop()
        if name != tag:
            raise _broken(f'Unmatched end tag at byte offset {at_byte}, expected "</{name}>", found "</{tag}>"')
        if entity and length > offset:
            entities.append({**entity, "offset": offset, "length": length - offset})
    if open_tags:
        raise _broken(f'Can\'t find end tag corresponding to start tag "{open_tags[-1][0]}"')
    return "".join(out), _merge_code(entities)


def _merge_code(entities: list[Json]) -> list[Json]:
    """`<pre><code class="language-x">` is one pre entity with a language."""
    merged = []
    pres = {(entity["offset"], entity["length"]): entity for entity in entities if entity["type"] == "pre"}
    for entity in entities:
        if entity["type"] == "code":
            language = entity.pop("language", None)
            if outer := pres.get((entity["offset"], entity["length"])):
                if language:
                    outer["language"] = language
                continue
        merged.append(entity)
    return merged
