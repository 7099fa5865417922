"""The model's Markdown as what Telegram shows: finished answers as parts to send, growing ones as previews.

telegramify-markdown converts (Markdown to text and entities, MIT, parser in Rust); around it stands what it leaves to
its user: hostile input (bot.markdown), links (bot.links), cuts (bot.parts), rich messages (bot.rich). Nothing here
raises: where a conversion fails, the text is sent as it is. All of it is pure and bounded in time.
"""

import re
from dataclasses import dataclass, field
from typing import Final, Literal

import structlog
from aiogram import types
from aiogram.types import InputRichMessage, LinkPreviewOptions
from telegramify_markdown import MessageEntity, RenderConfig, convert

from bot import links, parts, rich
from bot import markdown as source

log = structlog.get_logger()

Style = Literal["plain-entities", "rich", "plain"]

# Beyond this an answer is sent as it stands, in parts: no model of ours writes so much, and parsing takes time.
MARKDOWN_CHARS_MAX: Final = 60_000
# How much of a growing answer is converted for a preview; a draft shows its end.
PREVIEW_CHARS_MAX: Final = 3_800
EMPTY: Final = "…"
NO_LINK_PREVIEW: Final = LinkPreviewOptions(is_disabled=True)


@dataclass(frozen=True, slots=True)
class TextPart:
    """For sendMessage: at most 4096 UTF-16 units and 100 entities, never blank. `text` alone is the fallback for
    "can't parse entities". Send it with NO_LINK_PREVIEW."""

    text: str
    entities: list[types.MessageEntity] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class RichPart:
    """For sendRichMessage; `fallback` says the same in plain messages, for clients and servers that refuse it."""

    message: InputRichMessage
    fallback: tuple[TextPart, ...]


Part = TextPart | RichPart


def render(
    markdown: str, *, style: Style, allowed_links: frozenset[str] = frozenset(), empty: str = EMPTY
) -> list[Part]:
    """What to send for a finished answer, in order, at least one part.

    'rich' gives one rich message where there is a table or a formula and it fits, else entities; 'plain' gives text
    without entities. `allowed_links` are hosts, in small letters (bot.links.hosts_of). `empty` is said when the answer
    holds nothing to see.
    """
    text = source.clean(markdown)
    try:
        ready = source.prepare(text) if len(text) <= MARKDOWN_CHARS_MAX else None
        texts = _texts(ready, allowed_links, plain=style == "plain") if ready is not None else []
        if style == "rich" and texts and ready is not None:
            message = rich.message(ready, allowed_links)
            if message is not None:
                return [RichPart(message, tuple(texts))]
    except Exception as error:
        log.error("render.failed", kind=type(error).__name__, chars=len(text))  # noqa: TRY400
        texts = []
    return [*(texts or _bare(text, allowed_links) or [TextPart(empty)])]


def preview(
    markdown_so_far: str, *, allowed_links: frozenset[str] = frozenset()
) -> tuple[str, list[types.MessageEntity]]:
    """A growing answer as it may be shown now: its end, at most 4096 UTF-16 units, maybe empty. Tolerates Markdown that
    is not finished. About half a millisecond for 2,000 characters."""
    text = source.clean(_recent(markdown_so_far))
    try:
        converted, found = _convert(_closed(text), allowed_links)
        shown, kept = parts.tail(converted.strip("\n").rstrip(), found)
        return (shown, _entities(kept)) if parts.is_visible(shown) else ("", [])
    except Exception as error:
        log.warning("preview.failed", kind=type(error).__name__, chars=len(text))
        shown, _ = parts.tail(links.strip_plain(text, allowed_links), [])
        return (shown, []) if parts.is_visible(shown) else ("", [])


def _config() -> RenderConfig:
    """Of our own: headings without pictures, links and images without signs, quotes never folded."""
    config = RenderConfig.isolated()
    symbol = config.markdown_symbol
    symbol.heading_level_1 = symbol.heading_level_2 = symbol.heading_level_3 = symbol.heading_level_4 = ""
    symbol.image = symbol.link = ""
    symbol.unordered_list_item = "•"
    symbol.task_completed, symbol.task_uncompleted = "☑", "☐"
    config.cite_expandable = False
    return config


_CONFIG: Final = _config()


def _convert(markdown: str, hosts: frozenset[str]) -> tuple[str, list[MessageEntity]]:
    # The library's own handling of \( and \[ is quadratic; bot.markdown has done it.
    text, entities = convert(markdown, latex_escape=False, config=_CONFIG)
    return links.strip(text, entities, hosts)


def _texts(markdown: str, hosts: frozenset[str], *, plain: bool) -> list[TextPart]:
    if plain:
        text, _ = convert(source.flatten(markdown), latex_escape=False, config=_CONFIG)
        return [TextPart(piece) for piece, _ in parts.split(links.strip_plain(text, hosts), [])]
    text, entities = _convert(source.flatten(markdown), hosts)
    return [TextPart(piece, _entities(found)) for piece, found in parts.split(text, entities)]


def _bare(text: str, hosts: frozenset[str]) -> list[TextPart]:
    return [TextPart(piece) for piece, _ in parts.split(links.strip_plain(text, hosts), [])]


def _entities(found: list[MessageEntity]) -> list[types.MessageEntity]:
    # model_construct: offsets and kinds are our own, and validating each costs more than making it.
    return [
        types.MessageEntity.model_construct(
            type=entity.type, offset=entity.offset, length=entity.length, url=entity.url, language=entity.language
        )
        for entity in found
    ]


_FENCE_LINE: Final = re.compile(r"^ {0,3}(?:```|~~~)[^\n]*", re.MULTILINE)
_HALF_LINK: Final = re.compile(r"!?\[([^\[\]\n]{0,300})(?:\](?:\([^()\n]{0,2000})?)?$")
_PAIRS: Final = ("**", "__", "~~", "`")


def _recent(markdown: str) -> str:
    """The end of a long text, from a line's beginning, with the fence that it stands in opened again."""
    if len(markdown) <= PREVIEW_CHARS_MAX:
        return markdown
    at = len(markdown) - PREVIEW_CHARS_MAX
    line = markdown.find("\n", at, at + PREVIEW_CHARS_MAX // 4)
    at = at if line < 0 else line + 1
    opened = ""
    if "```" in markdown or "~~~" in markdown:
        for match in _FENCE_LINE.finditer(markdown, 0, at):
            opened = "" if opened else match.group()
    return f"{opened}\n{markdown[at:]}" if opened else markdown[at:]


def _closed(text: str) -> str:
    """Unfinished Markdown, finished: what the last line has opened is closed, half a link shows its words."""
    if ("```" in text or "~~~" in text) and len(_FENCE_LINE.findall(text)) % 2:
        return text
    start = text.rfind("\n") + 1
    head, last = text[:start], text[start:].rstrip()
    last = _HALF_LINK.sub(r"\1", last)
    for mark in _PAIRS:
        if last.endswith(mark) and last.count(mark) % 2:
            last = last[: -len(mark)].rstrip()  # opened, and nothing in it yet
        elif last.count(mark) % 2:
            last += mark
    return head + last
