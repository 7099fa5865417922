"""A modest converter of HTML to rich blocks: the tags that Forma sends, in Bot API 10.3's block types."""

from html.parser import HTMLParser
from typing import Any

from sandbox.telegram.errors import bad_request
from sandbox.telegram.rich_markdown import TAG_STYLES
from sandbox.telegram.state import Json

_BLOCKS = frozenset(
    {
        "p",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "pre",
        "ul",
        "ol",
        "li",
        "blockquote",
        "table",
        "tr",
        "td",
        "th",
        "details",
        "summary",
        "hr",
        "footer",
        "tg-math-block",
        "caption",
        "thead",
        "tbody",
        "tg-thinking",
    }
)
_VOID = frozenset({"br", "hr"})
_INLINE = frozenset(TAG_STYLES) | {"a", "tg-math", "br", "span", "tg-time", "ins", "strike"}
DEPTH_MAX = 64


class _Node:
    """An element; `children` are elements and strings."""

    __slots__ = ("attributes", "children", "tag")

    def __init__(self, tag: str, attributes: dict[str, str | None]) -> None:
        self.tag, self.attributes = tag, attributes
        self.children: list[_Node | str] = []

    def find_all(self, *tags: str) -> "list[_Node]":
        """Children of these tags, looking through thead and tbody."""
        found = []
        for child in self.children:
            if isinstance(child, _Node):
                if child.tag in tags:
                    found.append(child)
                elif child.tag in {"thead", "tbody"}:
                    found.extend(child.find_all(*tags))
        return found

    def text(self) -> str:
        """All text below."""
        return "".join(child if isinstance(child, str) else child.text() for child in self.children)


class _Tree(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = _Node("root", {})
        self.stack = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _BLOCKS and tag not in _INLINE:
            raise bad_request(f'can\'t parse rich message: unsupported tag "{tag}" in the sandbox')
        node = _Node(tag, dict(attrs))
        self.stack[-1].children.append(node)
        if tag not in _VOID:
            self.stack.append(node)
        if len(self.stack) > DEPTH_MAX:
            raise bad_request("can't parse rich message: nested too deep")

    def handle_endtag(self, tag: str) -> None:
        if tag in _VOID:
            return
        if self.stack[-1].tag != tag:
            raise bad_request(f'can\'t parse rich message: unexpected end tag "{tag}"')
        self.stack.pop()

    def handle_data(self, data: str) -> None:
        self.stack[-1].children.append(data)


def _inline(children: "list[_Node | str]") -> Any:
    parts: list[Any] = []
    for child in children:
        if isinstance(child, str):
            parts.append(child)
        elif child.tag == "br":
            parts.append("\n")
        elif child.tag == "tg-math":
            parts.append({"type": "mathematical_expression", "expression": child.text()})
        elif child.tag == "a":
            parts.append({"type": "url", "text": _inline(child.children), "url": child.attributes.get("href") or ""})
        elif child.tag == "tg-time":
            parts.append(
                {
                    "type": "date_time",
                    "text": _inline(child.children),
                    "unix_time": int(child.attributes.get("unix") or 0),
                    "date_time_format": child.attributes.get("format") or "",
                }
            )
        elif child.tag in TAG_STYLES:
            parts.append({"type": TAG_STYLES[child.tag], "text": _inline(child.children)})
        else:
            parts.append(_inline(child.children))
    return parts[0] if len(parts) == 1 else (parts or "")


def _flow(children: "list[_Node | str]") -> list[Json]:
    """Blocks, with loose inline content gathered into paragraphs."""
    blocks: list[Json] = []
    loose: list[_Node | str] = []

    def flush() -> None:
        if any(not isinstance(item, str) or item.strip() for item in loose):
            blocks.append({"type": "paragraph", "text": _inline(list(loose))})
        loose.clear()

    for child in children:
        if isinstance(child, _Node) and child.tag in _BLOCKS:
            flush()
            blocks.append(_block(child))
        else:
            loose.append(child)
    flush()
    return blocks


def _block(node: _Node) -> Json:
    tag = node.tag
    if tag in {"h1", "h2", "h3", "h4", "h5", "h6"}:
        return {"type": "heading", "text": _inline(node.children), "size": int(tag[1])}
    if tag == "hr":
        return {"type": "divider"}
    if tag == "pre":
        return _pre(node)
    if tag == "tg-math-block":
        return {"type": "mathematical_expression", "expression": node.text().strip()}
    if tag in {"footer", "tg-thinking"}:
        return {"type": tag.removeprefix("tg-"), "text": _inline(node.children)}
    if tag == "blockquote":
        if "collapsed" in node.attributes or "expandable" in node.attributes:
            return {"type": "expandable_blockquote", "text": _inline(node.children)}
        return {"type": "blockquote", "blocks": _flow(node.children)}
    if tag == "details":
        return _details(node)
    if tag in {"ul", "ol"}:
        return _list(node)
    if tag == "table":
        return _table(node)
    return {"type": "paragraph", "text": _inline(node.children)}


def _pre(node: _Node) -> Json:
    block: Json = {"type": "pre", "text": node.text()}
    for code in node.find_all("code"):
        css = code.attributes.get("class") or ""
        if css.startswith("language-"):
            block["language"] = css.removeprefix("language-")
    return block


def _details(node: _Node) -> Json:
    summary = node.find_all("summary")
    rest = [child for child in node.children if child not in summary]
    block: Json = {
        "type": "details",
        "summary": _inline(summary[0].children) if summary else "",
        "blocks": _flow(rest),
    }
    if "open" in node.attributes:
        block["is_open"] = True
    return block


def _list(node: _Node) -> Json:
    items = []
    for number, item in enumerate(node.find_all("li"), start=1):
        entry: Json = {"label": f"{number}." if node.tag == "ol" else "•", "blocks": _flow(item.children)}
        if node.tag == "ol":
            entry |= {"value": number, "type": "1"}
        items.append(entry)
    return {"type": "list", "items": items}


def _table(node: _Node) -> Json:
    cells = []
    for row in node.find_all("tr"):
        line = []
        for cell in row.find_all("td", "th"):
            entry: Json = {
                "text": _inline(cell.children),
                "align": cell.attributes.get("align") or "left",
                "valign": cell.attributes.get("valign") or "middle",
            }
            if cell.tag == "th":
                entry["is_header"] = True
            for span in ("colspan", "rowspan"):
                if (cell.attributes.get(span) or "").isdigit():
                    entry[span] = int(cell.attributes[span] or 1)
            line.append(entry)
        cells.append(line)
    block: Json = {"type": "table", "cells": cells}
    if "bordered" in node.attributes or "border" in node.attributes:
        block["is_bordered"] = True
    if caption := node.find_all("caption"):
        block["caption"] = _inline(caption[0].children)
    return block


def html_blocks(source: str) -> list[Json]:
    """Blocks of an HTML document; raises 400 for tags that do not match or that the sandbox does not show."""
    tree = _Tree()
    tree.feed(source)
    tree.close()
    if len(tree.stack) > 1:
        raise bad_request(f"can't parse rich message: can't find end tag for \"{tree.stack[-1].tag}\"")
    return _flow(tree.root.children)
