"""A modest converter of Markdown to rich blocks: headings, lists, tables, quotes, code, math, details, inline styles.

It shows what Forma sends; it is not Telegram's parser. Source of the block types: Bot API 10.3, RichBlock.
"""

import re
from typing import Any

from sandbox.telegram.errors import bad_request
from sandbox.telegram.html import unescape
from sandbox.telegram.state import Json

DEPTH_MAX = 32

_INLINE = re.compile(
    r"(?P<escape>\\[\\`*_{}\[\]()#+\-.!|~$>=<])"
    r"|`(?P<code>[^`\n]+)`"
    r"|\$(?P<math>[^\s$](?:[^$\n]*[^\s$])?)\$(?!\d)"
    r"|\*\*(?P<bold>(?:[^*]|\*(?!\*))+)\*\*"
    r"|__(?P<underline>(?:[^_]|_(?!_))+)__"
    r"|~~(?P<strike>(?:[^~]|~(?!~))+)~~"
    r"|\|\|(?P<spoiler>(?:[^|]|\|(?!\|))+)\|\|"
    r"|==(?P<marked>[^=\n]+)=="
    r"|\*(?P<italic>[^\s*](?:[^*\n]*[^\s*])?)\*"
    r"|(?<!\w)_(?P<italic2>[^\s_](?:[^_\n]*[^\s_])?)_(?!\w)"
    r"|!?\[(?P<label>[^\]\n]+)\]\((?P<url>[^\s)]+)\)"
    r"|<(?P<tag>b|i|u|s|code|mark|sub|sup|tg-spoiler|tg-math)>(?P<inner>.*?)</(?P=tag)>"
    r"|(?P<br><br\s*/?>)",
    re.DOTALL,
)
_STYLES = {
    "bold": "bold",
    "underline": "underline",
    "strike": "strikethrough",
    "spoiler": "spoiler",
    "marked": "marked",
    "italic": "italic",
    "italic2": "italic",
}
TAG_STYLES = {
    "b": "bold",
    "strong": "bold",
    "i": "italic",
    "em": "italic",
    "u": "underline",
    "s": "strikethrough",
    "del": "strikethrough",
    "code": "code",
    "mark": "marked",
    "sub": "subscript",
    "sup": "superscript",
    "tg-spoiler": "spoiler",
}
_HEADING = re.compile(r"(#{1,6})\s+(.*?)\s*#*$")
_DIVIDER = re.compile(r"\s*(?:-\s*){3,}$|\s*(?:\*\s*){3,}$|\s*(?:_\s*){3,}$")
_ITEM = re.compile(r"(\s*)(?:([-*+])|(\d{1,9})[.)])\s+(?:\[([ xX])\]\s+)?(.*)$")
_ALIGN_ROW = re.compile(r"\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*$")
_FENCE = re.compile(r"\s*(```+|~~~+)\s*([\w+#.-]*)\s*$")


def inline(text: str) -> Any:
    """Inline Markdown as a Bot API rich text: a string, an object, or a list of both."""
    parts: list[Any] = []
    position = 0
    for match in _INLINE.finditer(text):
        if match.start() > position:
            parts.append(unescape(text[position : match.start()]))
        position = match.end()
        parts.append(_styled(match))
    if position < len(text):
        parts.append(unescape(text[position:]))
    return parts[0] if len(parts) == 1 else (parts or "")


def _styled(match: re.Match[str]) -> Any:
    group = match.groupdict()
    if group["escape"]:
        return group["escape"][1]
    if group["br"]:
        return "\n"
    if group["code"]:
        return {"type": "code", "text": group["code"]}
    if group["math"]:
        return {"type": "mathematical_expression", "expression": group["math"]}
    if group["label"]:
        return {"type": "url", "text": inline(group["label"]), "url": group["url"]}
    if group["tag"] == "tg-math":
        return {"type": "mathematical_expression", "expression": unescape(group["inner"])}
    if group["tag"]:
        return {"type": TAG_STYLES[group["tag"]], "text": inline(group["inner"])}
    name = next(name for name in _STYLES if group[name])
    return {"type": _STYLES[name], "text": inline(group[name])}


def markdown_blocks(source: str, depth: int = 0) -> list[Json]:
    """Blocks of a Markdown document, nested where lists, quotes and details nest; raises 400 at DEPTH_MAX."""
    if depth > DEPTH_MAX:
        raise bad_request("rich message is nested too deep")
    lines = source.replace("\r\n", "\n").split("\n")
    blocks: list[Json] = []
    at = 0
    while at < len(lines):
        if not lines[at].strip():
            at += 1
            continue
        block, at = _block(lines, at, depth)
        blocks.append(block)
    return blocks


def _block(lines: list[str], at: int, depth: int) -> tuple[Json, int]:
    line = lines[at]
    stripped = line.strip()
    if fence := _FENCE.match(line):
        return _fenced(lines, at, fence)
    if stripped.startswith("$$"):
        return _math(lines, at)
    if stripped.lower().startswith("<details"):
        return _details(lines, at, depth + 1)
    if thinking := re.fullmatch(r"<tg-thinking>(.*?)</tg-thinking>", stripped):
        return {"type": "thinking", "text": inline(thinking[1])}, at + 1
    if heading := _HEADING.match(stripped):
        return {"type": "heading", "text": inline(heading[2]), "size": len(heading[1])}, at + 1
    if _DIVIDER.match(line):
        return {"type": "divider"}, at + 1
    if stripped.startswith(">"):
        return _quote(lines, at, depth + 1)
    if "|" in line and at + 1 < len(lines) and _ALIGN_ROW.match(lines[at + 1]) and "-" in lines[at + 1]:
        return _table(lines, at)
    if _ITEM.match(line):
        return _list(lines, at, depth + 1)
    return _paragraph(lines, at)


def _starts_block(line: str) -> bool:
    stripped = line.strip()
    return (
        not stripped
        or stripped.startswith((">", "$$", "<details", "<tg-thinking"))
        or bool(_FENCE.match(line) or _HEADING.match(stripped) or _DIVIDER.match(line) or _ITEM.match(line))
    )


def _paragraph(lines: list[str], at: int) -> tuple[Json, int]:
    end = at + 1
    while end < len(lines) and not _starts_block(lines[end]):
        end += 1
    return {"type": "paragraph", "text": inline("\n".join(line.strip() for line in lines[at:end]))}, end


def _fenced(lines: list[str], at: int, fence: re.Match[str]) -> tuple[Json, int]:
    end = at + 1
    while end < len(lines) and not lines[end].strip().startswith(fence[1]):
        end += 1
    code = "\n".join(lines[at + 1 : end])
    if fence[2].lower() in {"math", "latex"}:
        return {"type": "mathematical_expression", "expression": code}, end + 1
    block: Json = {"type": "pre", "text": code}
    if fence[2]:
        block["language"] = fence[2]
    return block, end + 1


def _math(lines: list[str], at: int) -> tuple[Json, int]:
    first = lines[at].strip()
    if len(first) > 4 and first.endswith("$$"):
        return {"type": "mathematical_expression", "expression": first[2:-2].strip()}, at + 1
    end = at + 1
    while end < len(lines) and not lines[end].strip().endswith("$$"):
        end += 1
    body = [first[2:], *lines[at + 1 : end]]
    if end < len(lines):
        body.append(lines[end].strip()[:-2])
    return {"type": "mathematical_expression", "expression": "\n".join(body).strip()}, end + 1


def _details(lines: list[str], at: int, depth: int) -> tuple[Json, int]:
    end, depth = at, 0
    while end < len(lines):
        low = lines[end].lower()
        depth += low.count("<details") - low.count("</details>")
        end += 1
        if depth <= 0:
            break
    source = "\n".join(lines[at:end]).strip()
    match = re.match(
        r"<details([^>]*)>\s*(?:<summary>(.*?)</summary>)?(.*?)(?:</details>)?\s*$", source, re.DOTALL | re.IGNORECASE
    )
    if match is None:
        return {"type": "paragraph", "text": source}, end
    block: Json = {
        "type": "details",
        "summary": inline((match[2] or "").strip()),
        "blocks": markdown_blocks(match[3], depth),
    }
    if "open" in match[1].lower():
        block["is_open"] = True
    return block, end


def _quote(lines: list[str], at: int, depth: int) -> tuple[Json, int]:
    end = at
    while end < len(lines) and lines[end].strip().startswith(">"):
        end += 1
    inner = [re.sub(r"^\s*> ?", "", line) for line in lines[at:end]]
    return {"type": "blockquote", "blocks": markdown_blocks("\n".join(inner), depth)}, end


def _cells(line: str) -> list[str]:
    row = line.strip().removeprefix("|")
    if row.endswith("|") and not row.endswith("\\|"):
        row = row[:-1]
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", row)]


def _table(lines: list[str], at: int) -> tuple[Json, int]:
    aligns = []
    for mark in _cells(lines[at + 1]):
        left, right = mark.startswith(":"), mark.endswith(":")
        aligns.append("center" if left and right else "right" if right else "left")
    rows, end = [_cells(lines[at])], at + 2
    while end < len(lines) and "|" in lines[end] and lines[end].strip():
        rows.append(_cells(lines[end]))
        end += 1
    cells = []
    for number, row in enumerate(rows):
        line = []
        for column, align in enumerate(aligns):
            cell: Json = {"text": inline(row[column] if column < len(row) else ""), "align": align, "valign": "middle"}
            if number == 0:
                cell["is_header"] = True
            line.append(cell)
        cells.append(line)
    return {"type": "table", "cells": cells, "is_bordered": True}, end


def _list(lines: list[str], at: int, depth: int) -> tuple[Json, int]:
    first = _ITEM.match(lines[at])
    assert first is not None, "the caller matched it"
    indent, ordered = len(first[1]), first[3] is not None
    items: list[Json] = []
    while at < len(lines):
        match = _ITEM.match(lines[at])
        if match is None or len(match[1]) != indent or (match[3] is not None) != ordered:
            break
        content, at = [match[5]], at + 1
        while at < len(lines):
            deeper = lines[at].startswith(" " * (indent + 1)) and lines[at].strip()
            lazy = not _starts_block(lines[at])
            if not deeper and not lazy:
                break
            content.append(lines[at][min(indent + 2, len(lines[at]) - len(lines[at].lstrip())) :])
            at += 1
        item: Json = {"label": f"{match[3]}." if ordered else "•", "blocks": markdown_blocks("\n".join(content), depth)}
        if ordered:
            item |= {"value": int(match[3]), "type": "1"}
        if match[4]:
            item |= {"has_checkbox": True} | ({"is_checked": True} if match[4] in "xX" else {})
        items.append(item)
        if at + 1 < len(lines) and not lines[at].strip():
            after = _ITEM.match(lines[at + 1])
            if after and len(after[1]) == indent and (after[3] is not None) == ordered:
                at += 1
    return {"type": "list", "items": items}, at
