"""Which links of a model's answer may reach a person.

A model can be talked into writing a link: to a phishing page, or to a server that learns what stood in the prompt. So
links go unless their host is on the operator's list. The words of a link stay, its address goes; an address in the open
is replaced by a mark; a bare domain, which Telegram would make a link of by itself, is set as code, where it does not.
Code is left alone: nothing in it is a link. tg:, javascript: and the like never pass, whatever the list says.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from telegramify_markdown import MessageEntity, utf16_len

MARK: Final = "[…]"
"""Stands where an address was taken out; it needs no translation."""

_ADDRESS_END: Final = r"[^\s<>\"'«»`|\[\]]"
_ADDRESS: Final = re.compile(
    r"(?:[a-z][a-z0-9+.\-]{1,15}://|(?:javascript|vbscript):|data:[a-z]+/|www\.)" + _ADDRESS_END + "+", re.IGNORECASE
)
# The endings that stand behind most bare domains, and those that make links of file names (README.md, main.py).
_DOMAIN: Final = re.compile(
    r"(?<![\w@./\-])(?:[\w\-]{1,63}\.){1,8}"
    r"(?:com|net|org|info|biz|io|ai|me|app|dev|co|ru|su|рф|ua|by|kz|uk|de|fr|eu|us|cn|in|tv|cc|ly|to|gg|gl|be|xyz|top|site"
    r"|online|store|shop|club|pro|link|click|live|page|space|website|tech|cloud|news|blog|bot|health|fit|life|clinic"
    r"|py|md|sh|rs|pl|so|zip|mov|ps|ms|am|fm|ws|gov|edu|int|museum|name|mobi|one|win|bid|loan|wiki|chat|fun|vip|icu)"
    r"(?![\w\-]|\.\w)(?P<rest>(?::\d+)?(?:[/?#]" + _ADDRESS_END + "*)?)",
    re.IGNORECASE,
)
_TRAILING: Final = ".,;:!?…)*_~"
_CODE: Final = frozenset({"code", "pre"})


def hosts_of(setting: str) -> frozenset[str]:
    """The hosts in a setting: 'who.int, ncbi.nlm.nih.gov' (commas or blanks); all below each are meant too."""
    return frozenset(host.strip(".").lower() for host in re.split(r"[,;\s]+", setting) if host.strip("."))


def allowed(url: str, hosts: Iterable[str]) -> bool:
    """Whether `url` is plain http(s) to one of `hosts` or below it. Anything unusual in it is a no."""
    # What browsers read in another way than urlsplit does, or what a person reads in another way than a browser.
    if not url.isascii() or not url.isprintable() or any(mark in url for mark in "\\ @"):
        return False
    try:
        parts = urlsplit(url if "://" in url else f"https://{url}")
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        return False
    if parts.scheme not in {"http", "https"} or not host or port not in {None, 80, 443}:
        return False
    return any(host == one or host.endswith(f".{one}") for one in hosts)


@dataclass(frozen=True, slots=True)
class _Edit:
    """In Python indices: text[start:end] becomes `text`, set as code when `code`."""

    start: int
    end: int
    text: str
    code: bool


def strip(text: str, entities: Sequence[MessageEntity], hosts: frozenset[str]) -> tuple[str, list[MessageEntity]]:
    """Take out of a converted answer what `hosts` do not allow; offsets stay right. Linear in the text."""
    kept = [entity for entity in entities if _kept(entity, hosts)]
    if "." not in text and ":" not in text:
        return text, kept
    edits = _edits(_outside_code(text, kept), hosts)
    return _apply(text, kept, edits, _Offsets(text)) if edits else (text, kept)


def strip_plain(text: str, hosts: frozenset[str], *, joiner: str = "\u2060") -> str:
    """The same for text that is sent without entities: a word joiner keeps a bare domain from becoming a link."""
    parts: list[str] = []
    at = 0
    for edit in _edits(text, hosts):
        parts += [text[at : edit.start], edit.text.replace(".", f"{joiner}.") if edit.code else edit.text]
        at = edit.end
    return "".join([*parts, text[at:]])


def _kept(entity: MessageEntity, hosts: frozenset[str]) -> bool:
    if entity.type == "text_link":
        return allowed(entity.url or "", hosts)
    return entity.type not in {"custom_emoji", "text_mention", "underline"}


def _outside_code(text: str, entities: Sequence[MessageEntity]) -> str:
    """The text with its code blanked out, so that no address begins in code and goes on behind it."""
    encoded = text.encode("utf-16-le")
    parts: list[str] = []
    at = 0
    for start, end in sorted((e.offset, e.offset + e.length) for e in entities if e.type in _CODE):
        if end <= at:
            continue
        begin = max(start, at)
        parts.append(encoded[2 * at : 2 * begin].decode("utf-16-le"))
        parts.append(" " * len(encoded[2 * begin : 2 * end].decode("utf-16-le")))
        at = end
    return "".join([*parts, encoded[2 * at :].decode("utf-16-le")])


def _edits(text: str, hosts: frozenset[str]) -> list[_Edit]:
    """In order and without overlap."""
    edits = []
    for match in _ADDRESS.finditer(text):
        url = match.group().rstrip(_TRAILING)
        if not allowed(url, hosts):
            edits.append(_Edit(match.start(), match.start() + len(url), MARK, code=False))
    taken = [(match.start(), match.end()) for match in _ADDRESS.finditer(text)]
    starts = [start for start, _ in taken]
    for match in _DOMAIN.finditer(text):
        # The last address that begins before this domain ends: of the two the address counts.
        at = bisect_left(starts, match.end()) - 1
        if at >= 0 and taken[at][1] > match.start():
            continue
        found = match.group().rstrip(_TRAILING)
        if not allowed(found, hosts):
            bare = not match.group("rest").rstrip(_TRAILING)
            edits.append(_Edit(match.start(), match.start() + len(found), found if bare else MARK, code=bare))
    return sorted(edits, key=lambda edit: edit.start)


class _Offsets:
    """Python indices to UTF-16 units; free of charge while the text has no surrogate pairs."""

    def __init__(self, text: str) -> None:
        self._wide = (
            [] if utf16_len(text) == len(text) else [index for index, char in enumerate(text) if char > "\uffff"]
        )

    def __call__(self, index: int) -> int:
        return index + bisect_right(self._wide, index - 1)


def _apply(
    text: str, entities: list[MessageEntity], edits: list[_Edit], to_utf16: _Offsets
) -> tuple[str, list[MessageEntity]]:
    parts: list[str] = []
    olds: list[int] = []  # UTF-16 ends of the edits in the old text
    shifts: list[int] = [0]  # how far what stands behind each edit moved
    added: list[MessageEntity] = []
    at = 0
    for edit in edits:
        parts += [text[at : edit.start], edit.text]
        at = edit.end
        start, end = to_utf16(edit.start), to_utf16(edit.end)
        size = utf16_len(edit.text)
        if edit.code:
            added.append(MessageEntity(type="code", offset=start + shifts[-1], length=size))
        olds.append(end)
        shifts.append(shifts[-1] + size - (end - start))
    starts = [to_utf16(edit.start) for edit in edits]

    def moved(position: int) -> int:
        passed = bisect_right(olds, position)
        if passed < len(edits) and starts[passed] < position:  # inside an edit: to its start
            position = starts[passed]
        return position + shifts[passed]

    result = []
    for entity in entities:
        start, end = moved(entity.offset), moved(entity.offset + entity.length)
        if end > start:
            result.append(entity.copy_with(offset=start, length=end - start))
    return "".join([*parts, text[at:]]), result + added
