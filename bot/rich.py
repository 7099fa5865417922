"""A model's Markdown as a Telegram rich message, built of typed blocks.

Blocks and not Telegram's own Markdown: what the model wrote is then read by one parser only, ours, and can't mean a
link or a picture to another one. https://core.telegram.org/bots/api#inputrichmessage
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from aiogram.types import (
    InputRichBlockBlockQuotation,
    InputRichBlockDivider,
    InputRichBlockList,
    InputRichBlockListItem,
    InputRichBlockMathematicalExpression,
    InputRichBlockParagraph,
    InputRichBlockPreformatted,
    InputRichBlockSectionHeading,
    InputRichBlockTable,
    InputRichMessage,
    RichBlockTableCell,
    RichTextBold,
    RichTextCode,
    RichTextItalic,
    RichTextMathematicalExpression,
    RichTextStrikethrough,
    RichTextUrl,
)

from bot import links
from bot.markdown import events, is_formula

CHARS_MAX: Final = 32_768
BLOCKS_MAX: Final = 500
DEPTH_MAX: Final = 16
COLUMNS_MAX: Final = 20

Inline = list[Any]
_STYLES: Final[dict[str, Callable[..., Any]]] = {
    "Strong": RichTextBold,
    "Emphasis": RichTextItalic,
    "Strikethrough": RichTextStrikethrough,
}
_ALIGN: Final = {"Left": "left", "None": "left", "Center": "center", "Right": "right"}


class TooMuch(Exception):
    """The answer is beyond what one rich message holds."""


def message(markdown: str, hosts: frozenset[str]) -> InputRichMessage | None:
    """The answer as one rich message, or None where plain text says the same (no table, no formula) or it does not fit.

    `markdown` must be cleaned and free of HTML (bot.markdown). Only links to `hosts` stay links; no media, ever.
    """
    found = events(markdown)
    has_table = any(isinstance(event, dict) and _tag(event, "Start") == "Table" for event, _ in found)
    if not has_table and not any(is_formula(event) for event, _ in found):
        return None
    builder = _Builder(hosts)
    try:
        for event, _ in found:
            builder.take(event)
        blocks = builder.finish()
    except TooMuch:
        return None
    return InputRichMessage(blocks=blocks, skip_entity_detection=True) if blocks else None


def _tag(event: dict[str, Any], side: str) -> str:
    """'Paragraph', 'Table', …: the name of the block or style that an event starts or ends."""
    tag = event.get(side)
    return tag if isinstance(tag, str) else next(iter(tag)) if isinstance(tag, dict) else ""


@dataclass(slots=True)
class _Open:
    """A block or style that is still open: `blocks` in a container, `text` in what holds text."""

    tag: str
    data: Any = None
    blocks: list[Any] = field(default_factory=list)
    text: Inline = field(default_factory=list)


class _Builder:
    """Takes the parser's events one by one. Depth, blocks and characters are bounded on the way: TooMuch."""

    def __init__(self, hosts: frozenset[str]) -> None:
        self._hosts = hosts
        self._stack: list[_Open] = [_Open("Root")]
        self._chars = 0
        self._blocks = 0

    def take(self, event: Any) -> None:
        if event == "Rule":
            self._close_loose()
            self._add_block(InputRichBlockDivider())
        elif isinstance(event, str):
            self._write("\n" if not self._within("TableCell") else " ")
        elif "Start" in event:
            self._start(_tag(event, "Start"), event["Start"])
        elif "End" in event:
            self._end(_tag(event, "End"))
        else:
            self._inline(event)

    def finish(self) -> list[Any]:
        self._close_loose()
        return self._stack[0].blocks

    def _start(self, tag: str, value: Any) -> None:
        if tag not in {*_STYLES, "Link", "Image"}:
            self._close_loose()
        data = value[tag] if isinstance(value, dict) else None
        if tag == "Table" and len(value[tag]) > COLUMNS_MAX:
            raise TooMuch
        if tag in {*_STYLES, "Link", "Image"} and self._top.tag in {"Root", "BlockQuote", "Item"}:
            self._push(_Open("Loose"))
        self._push(_Open(tag, data))

    def _end(self, tag: str) -> None:
        if tag not in {*_STYLES, "Link", "Image"}:
            self._close_loose()
        done = self._stack.pop()
        if tag in _STYLES or tag in {"Link", "Image"}:
            self._end_style(done)
        elif tag in {"Item", "TableHead", "TableRow", "TableCell"}:
            self._end_part(done)
        elif done.text:
            self._end_text(done)
        elif done.blocks:
            self._end_container(done)

    def _end_text(self, done: _Open) -> None:
        if done.tag == "Heading":
            size = int(str(done.data["level"])[1:])
            self._add_block(InputRichBlockSectionHeading(text=self._closed(done.text), size=size))
        elif done.tag == "CodeBlock":
            self._end_code(done)
        else:
            self._add_text(done.text)

    def _end_container(self, done: _Open) -> None:
        if done.tag == "BlockQuote":
            self._add_block(InputRichBlockBlockQuotation(blocks=done.blocks))
        elif done.tag == "List":
            self._add_block(InputRichBlockList(items=done.blocks))
        elif done.tag == "Table":
            self._add_block(InputRichBlockTable(cells=done.blocks, is_bordered=True, is_striped=True))
        else:
            self._top.blocks.extend(done.blocks)

    def _inline(self, event: dict[str, Any]) -> None:
        kind, value = next(iter(event.items()))
        if kind == "TaskListMarker":
            item = next((frame for frame in reversed(self._stack) if frame.tag == "Item"), None)
            if item is not None:
                item.data = value
        elif kind == "DisplayMath" and self._top.tag in {"Paragraph", "Loose"}:
            # A formula of its own is a block: the paragraph around it is closed before and goes on behind.
            text, self._top.text = self._top.text, []
            self._count(value)
            host = self._stack.pop()
            self._add_text(text)
            self._add_block(InputRichBlockMathematicalExpression(expression=value))
            self._stack.append(host)
        elif kind in {"DisplayMath", "InlineMath"}:
            # Two prices in dollars may read as one formula; they stay what they were. A letter is a variable.
            shown = is_formula(event) or (len(value) == 1 and value.isalpha())
            self._write(RichTextMathematicalExpression(expression=value) if shown else f"${value}$", value)
        elif kind == "Code":
            self._write(RichTextCode(text=value), value)
        else:
            self._write(str(value))

    def _end_style(self, done: _Open) -> None:
        if not done.text:
            return
        text = self._closed(done.text)
        if done.tag == "Link" and links.allowed(str(done.data["dest_url"]), self._hosts):
            self._top.text.append(RichTextUrl(text=text, url=done.data["dest_url"]))
        elif done.tag in _STYLES:
            self._top.text.append(_STYLES[done.tag](text=text))
        else:
            self._top.text.extend(done.text)

    def _end_code(self, done: _Open) -> None:
        text = "".join(str(piece) for piece in done.text).removesuffix("\n")
        kind = done.data.get("Fenced", "") if isinstance(done.data, dict) else ""
        if text.strip():
            self._add_block(InputRichBlockPreformatted(text=text, language=kind.split(",")[0].strip()[:32] or None))

    def _end_item(self, done: _Open) -> None:
        parent = self._top
        number = parent.data
        if number is not None:
            parent.data = number + 1
        self._bound()
        parent.blocks.append(
            InputRichBlockListItem(
                blocks=done.blocks or [InputRichBlockParagraph(text="\u00a0")],
                value=number,
                type="1" if number is not None else None,
                has_checkbox=True if done.data is not None else None,
                is_checked=True if done.data else None,
            )
        )

    def _end_part(self, done: _Open) -> None:
        if done.tag == "Item":
            self._end_item(done)
        elif done.tag == "TableCell":
            table = next(frame for frame in reversed(self._stack) if frame.tag == "Table")
            align = table.data[min(len(self._top.blocks), len(table.data) - 1)]
            self._top.blocks.append(
                RichBlockTableCell(
                    text=self._closed(done.text) if done.text else "\u00a0",
                    align=_ALIGN.get(str(align), "left"),
                    valign="top",
                    is_header=True if self._top.tag == "TableHead" else None,
                )
            )
        else:
            self._bound()
            self._top.blocks.append(done.blocks)

    @property
    def _top(self) -> _Open:
        return self._stack[-1]

    def _within(self, tag: str) -> bool:
        return any(frame.tag == tag for frame in self._stack)

    def _push(self, frame: _Open) -> None:
        # The root is no level; a table's own frames are four.
        if len(self._stack) > DEPTH_MAX:
            raise TooMuch
        self._stack.append(frame)

    def _write(self, piece: Any, source: str | None = None) -> None:
        """Add text to what is open; in a tight list or a bare container a paragraph is opened for it."""
        if self._top.tag in {"Root", "BlockQuote", "Item"}:
            self._push(_Open("Loose"))
        self._count(piece if source is None else source)
        text = self._top.text
        if isinstance(piece, str) and text and isinstance(text[-1], str):
            text[-1] += piece
        else:
            text.append(piece)

    def _close_loose(self) -> None:
        if self._top.tag == "Loose":
            self._add_text(self._stack.pop().text)

    def _add_text(self, text: Inline) -> None:
        if any(not isinstance(piece, str) or piece.strip() for piece in text):
            self._add_block(InputRichBlockParagraph(text=self._closed(text)))

    def _add_block(self, block: Any) -> None:
        self._bound()
        self._top.blocks.append(block)

    def _closed(self, text: Inline) -> Any:
        """A finished run of text without forbidden addresses; a single piece stands for itself."""
        clean = [
            links.strip_plain(piece, self._hosts, joiner="") if isinstance(piece, str) else piece for piece in text
        ]
        return clean[0] if len(clean) == 1 else clean

    def _bound(self) -> None:
        self._blocks += 1
        if self._blocks > BLOCKS_MAX:
            raise TooMuch

    def _count(self, text: str) -> None:
        self._chars += len(text)
        if self._chars > CHARS_MAX:
            raise TooMuch
