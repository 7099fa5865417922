"""Rich messages: one of markdown, html or blocks comes in, blocks go out, within Telegram's bounds."""

from typing import Any

from aiogram.types import InputRichMessage, RichMessage
from pydantic import ValidationError

from sandbox.telegram.entities import utf16_len
from sandbox.telegram.errors import bad_request
from sandbox.telegram.rich_html import html_blocks
from sandbox.telegram.rich_markdown import markdown_blocks
from sandbox.telegram.state import Json

RICH_TEXT_MAX = 32_768
RICH_BLOCKS_MAX = 500
RICH_DEPTH_MAX = 16
RICH_COLUMNS_MAX = 20
_MEDIA = frozenset({"animation", "audio", "document", "photo", "video", "voice_note", "collage", "slideshow", "map"})


def plain_text(value: Any) -> str:
    """The words of a rich text, a block, or a list of either, without any style."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        if any(isinstance(item, dict) and _is_block(item) for item in value):
            return "\n".join(plain_text(item) for item in value)
        return "".join(plain_text(item) for item in value)
    if not isinstance(value, dict):
        return ""
    if value.get("type") == "table":
        rows = [" | ".join(plain_text(cell.get("text", "")) for cell in row) for row in value["cells"]]
        caption = [plain_text(value["caption"])] if "caption" in value else []
        return "\n".join(caption + rows)
    if value.get("type") == "list":
        return "\n".join(f"{item.get('label', '•')} {plain_text(item['blocks'])}" for item in value["items"])
    if "expression" in value:
        return str(value["expression"])
    parts = [plain_text(value[name]) for name in ("summary", "text", "blocks", "button", "buttons") if name in value]
    return "\n".join(part for part in parts if part)


_BLOCK_TYPES = frozenset(
    {
        "paragraph",
        "heading",
        "pre",
        "footer",
        "divider",
        "list",
        "blockquote",
        "expandable_blockquote",
        "pull_quotation",
        "table",
        "details",
        "thinking",
        "buttons",
    }
)


def _is_block(value: Json) -> bool:
    return value.get("type") in _BLOCK_TYPES or "blocks" in value or "cells" in value


def _check(blocks: list[Json], *, draft: bool) -> None:
    """Raises 400 when the tree is too large, too deep or too wide, or has what the sandbox cannot show."""
    count = 0
    stack = [(block, 1) for block in blocks]
    while stack:
        block, depth = stack.pop()
        count += 1
        kind = block["type"]
        if kind in _MEDIA:
            raise bad_request(f"the sandbox does not simulate rich blocks of type {kind}")
        if kind == "thinking" and not draft:
            raise bad_request("thinking blocks are allowed only in drafts")
        if depth > RICH_DEPTH_MAX:
            raise bad_request("rich message is nested too deep")
        if kind == "table" and max((len(row) for row in block["cells"]), default=0) > RICH_COLUMNS_MAX:
            raise bad_request("rich message table has too many columns")
        stack.extend((child, depth + 1) for child in block.get("blocks", ()))
        stack.extend((child, depth + 1) for item in block.get("items", ()) for child in item["blocks"])
    if count > RICH_BLOCKS_MAX:
        raise bad_request("rich message has too many blocks")
    if utf16_len(plain_text(blocks)) > RICH_TEXT_MAX:
        raise bad_request("message is too long")


def _label_items(blocks: list[Json]) -> None:
    """Received list items have a label that sent ones lack."""
    for block in blocks:
        _label_items(block.get("blocks", []))
        for number, item in enumerate(block.get("items", ()), start=1):
            value = item.get("value", number)
            item.setdefault("label", f"{value}." if item.get("type") or item.get("value") else "•")
            _label_items(item["blocks"])


def rich_message(given: InputRichMessage, *, draft: bool = False) -> tuple[Json, Json]:
    """(RichMessage as JSON, its source); raises Telegram's 400 where the content is none, twofold or too large."""
    source: Json = {name: value for name in ("markdown", "html") if (value := getattr(given, name)) is not None}
    if given.blocks is not None:
        source["blocks"] = [block.model_dump(mode="json", exclude_none=True) for block in given.blocks]
    if len(source) != 1:
        raise bad_request("exactly one of the fields html, markdown and blocks of the rich message must be used")
    if given.media:
        raise bad_request("the sandbox does not simulate media in rich messages")
    if "markdown" in source:
        blocks = markdown_blocks(source["markdown"])
    elif "html" in source:
        blocks = html_blocks(source["html"])
    else:
        blocks = source["blocks"]
        _label_items(blocks)
    if not blocks and not draft:
        raise bad_request("message text is empty")
    _check(blocks, draft=draft)
    message: Json = {"blocks": blocks}
    if given.is_rtl:
        message["is_rtl"] = True
    try:
        RichMessage.model_validate(message)
    except ValidationError as error:
        raise bad_request(f"can't parse rich message: {error.errors()[0]['msg']}") from error
    return message, source
