"""A model's Markdown, made ready for conversion: what Telegram, the converter or a phone would stumble over goes.

    clean      drops characters that are invisible, break the line's direction or cannot be encoded
    prepare    \\(…\\) and \\[…\\] become $…$ and $$…$$; HTML tags go, their text stays
    flatten    tables become aligned monospace, wide ones a few lines a row; endless formulas lose their dollars

All three are linear in the text, but for the parser's own work.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator
from typing import Any, Final, cast

import pyromark

OPTIONS: Final = (
    pyromark.Options.ENABLE_TABLES
    | pyromark.Options.ENABLE_STRIKETHROUGH
    | pyromark.Options.ENABLE_TASKLISTS
    | pyromark.Options.ENABLE_MATH
)
"""What the converter parses with too, so that both see the same tables and formulas."""

# A phone shows about this many monospace columns without wrapping.
TABLE_COLUMNS_MAX: Final = 44
# LaTeX is turned into Unicode in quadratic time; no formula in an answer is longer.
FORMULA_CHARS_MAX: Final = 1_500
# Rows × columns beyond which a table is hostile: padding it out would make megabytes of blanks.
TABLE_CELLS_MAX: Final = 2_000

Event = tuple[Any, dict[str, int]]

# Controls but line feed and tab; zero-width space, word joiner, BOM, soft hyphen; marks that turn the writing around or
# hide text; interlinear marks; lone surrogates and noncharacters. Joiners that emoji and scripts need stay.
_UNWANTED: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ufffe\uffff"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
# Combining marks piled upon one letter reach across the neighbouring lines.
_MARKS: Final = "[\u0300-\u036f\u0483-\u0489\u20d0-\u20ff]"
_PILED_MARKS: Final = re.compile(f"({_MARKS}{{4}}){_MARKS}+")
_FENCE: Final = re.compile(r"^ {0,3}(`{3,}|~{3,})", re.MULTILINE)
_INLINE_MATH: Final = re.compile(r"\\\(((?:[^\\\n$]|\\[^()\n]){1,500})\\\)")
_DISPLAY_MATH: Final = re.compile(r"\\\[((?:[^\\$]|\\[^\[\]]){1,1500})\\\]")
_MATH_SIGNS: Final = re.compile(r"[\\^_=]")
_BREAK: Final = re.compile(r"<br\s*/?>", re.IGNORECASE)
_TAG: Final = re.compile(
    r"<!--.*?-->|</?(?:a|abbr|b|big|blockquote|center|code|del|details|div|em|font|h[1-6]|hr|i|img|ins|kbd|li|mark|ol|p|pre|q"
    r"|s|small|span|strike|strong|sub|summary|sup|table|tbody|td|tfoot|th|thead|think|tr|tt|u|ul)(?:\s[^<>]*)?/?>",
    re.IGNORECASE | re.DOTALL,
)


def clean(text: str) -> str:
    """Drop what nobody should see; \\r\\n becomes \\n."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\u2028", "\n").replace("\u2029", "\n\n")
    text = _UNWANTED.sub("", text)
    return text if text.isascii() else _PILED_MARKS.sub(r"\1", text)


def events(markdown: str) -> tuple[Event, ...]:
    """The parser's events with their ranges in UTF-8 bytes."""
    return cast("tuple[Event, ...]", tuple(pyromark.events_with_range(markdown, options=OPTIONS)))


def prepare(markdown: str) -> str:
    """Formulas in the one notation that the parser knows, and no HTML."""
    if "\\(" in markdown or "\\[" in markdown:
        markdown = _outside_fences(markdown, _dollars)
    if "<" in markdown:
        markdown = _edited(markdown, _html_edits(markdown, known=True))
        # Taking a tag out may have joined another; what is left now is shown as it stands.
        markdown = _edited(markdown, _html_edits(markdown, known=False))
    return markdown


def flatten(markdown: str) -> str:
    """Tables and endless formulas in a form that plain text with entities can carry."""
    if "|" not in markdown and len(markdown) <= FORMULA_CHARS_MAX:
        return markdown
    source = markdown.encode()
    found = events(markdown)
    edits: list[tuple[int, int, str]] = []
    depth = 0
    for place, (event, span) in enumerate(found):
        if not isinstance(event, dict):
            continue
        if "Start" in event:
            if isinstance(event["Start"], dict) and "Table" in event["Start"]:
                edits.append((span["start"], span["end"], _table(found, place, source, nested=depth > 0)))
            depth += _is_container(event["Start"])
        elif "End" in event:
            depth -= _is_container(event["End"])
        elif ("InlineMath" in event or "DisplayMath" in event) and span["end"] - span["start"] > FORMULA_CHARS_MAX:
            edits.append((span["start"], span["end"], source[span["start"] : span["end"]].decode().strip("$")))
    return _edited(markdown, edits)


def _is_container(tag: Any) -> bool:
    return tag == "Item" or (isinstance(tag, dict) and "BlockQuote" in tag)


def is_formula(event: Any) -> bool:
    """Whether an event is a formula, and not two prices in dollars."""
    if not isinstance(event, dict):
        return False
    return "DisplayMath" in event or ("InlineMath" in event and bool(_MATH_SIGNS.search(event["InlineMath"])))


def _dollars(text: str) -> str:
    def turn(match: re.Match[str], mark: str) -> str:
        body = match.group(1).strip()
        return f"{mark}{body}{mark}" if _MATH_SIGNS.search(body) and "\n\n" not in body else match.group()

    text = _DISPLAY_MATH.sub(lambda match: turn(match, "$$"), text)
    return _INLINE_MATH.sub(lambda match: turn(match, "$"), text)


def _outside_fences(markdown: str, change: Callable[[str], str]) -> str:
    """Apply `change` to all but fenced code; an open fence reaches to the end."""
    parts: list[str] = []
    at = 0
    opened: tuple[int, str] | None = None
    for match in _FENCE.finditer(markdown):
        fence = match.group(1)
        if opened is None:
            opened = (match.start(), fence)
            parts.append(change(markdown[at : match.start()]))
            at = match.start()
        elif fence.startswith(opened[1]):
            opened = None
            parts.append(markdown[at : match.end()])
            at = match.end()
    parts.append(markdown[at:] if opened else change(markdown[at:]))
    return "".join(parts)


def _html_edits(markdown: str, *, known: bool) -> Iterator[tuple[int, int, str]]:
    for event, span in events(markdown):
        if isinstance(event, dict) and ("InlineHtml" in event or "Html" in event):
            text = event.get("InlineHtml") or event.get("Html") or ""
            if known:
                # A line break would end a table's row.
                text = _TAG.sub("", _BREAK.sub(" " if "InlineHtml" in event else "\n", text))
            yield span["start"], span["end"], text.replace("<", "\\<")


def _edited(markdown: str, edits: Any) -> str:
    source = markdown.encode()
    parts: list[bytes] = []
    at = 0
    for start, end, text in edits:
        if start >= at:
            parts += [source[at:start], text.encode()]
            at = end
    return b"".join([*parts, source[at:]]).decode() if parts else markdown


def _table(found: tuple[Event, ...], place: int, source: bytes, *, nested: bool) -> str:
    """The table whose Start stands at `place`, as Markdown without a table."""
    aligns = found[place][0]["Start"]["Table"]
    shown: list[list[str]] = []
    raw: list[list[str]] = []
    for event, span in found[place + 1 :]:
        if event in ({"Start": "TableHead"}, {"Start": "TableRow"}):
            shown.append([])
            raw.append([])
        elif event == {"Start": "TableCell"}:
            shown[-1].append("")
            raw[-1].append(source[span["start"] : span["end"]].decode().strip(" |\t\n"))
        elif event == {"End": "Table"}:
            break
        elif isinstance(event, dict) and shown and shown[-1]:
            shown[-1][-1] += str(event.get("Text") or event.get("Code") or event.get("InlineMath") or "")
    if len(shown) * len(aligns) > TABLE_CELLS_MAX or nested:
        # Inside a list or a quote the lines carry prefixes: one line a row needs none.
        return "; ".join(", ".join(cell for cell in row if cell) for row in raw) + "\n"
    lines = _aligned([[" ".join(cell.split()) for cell in row] for row in shown], aligns)
    if max(map(_width, lines)) <= TABLE_COLUMNS_MAX:
        # The fence is longer than any run of backticks inside it.
        fence = "`" * max(3, 1 + max((len(run) for line in lines for run in re.findall("`+", line)), default=0))
        return "\n".join([fence, *lines, fence]) + "\n\n"
    return "\n\n".join(_card(raw[0], row) for row in raw[1:] or raw) + "\n\n"


def _aligned(rows: list[list[str]], aligns: tuple[str, ...]) -> list[str]:
    widths = [max(_width(row[column]) for row in rows if column < len(row)) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = []
        for cell, width, align in zip(row, widths, aligns, strict=False):
            blank = " " * (width - _width(cell))
            cells.append(blank + cell if align == "Right" else cell + blank)
        lines.append(" │ ".join(cells).rstrip())
    lines.insert(1, "─┼─".join("─" * width for width in widths))
    return lines


def _card(head: list[str], row: list[str]) -> str:
    """A row too wide for a phone: its first cell in bold, then a line for each other one."""
    title = row[0] if row else ""
    first = title if not title or "*" in title or "`" in title else f"**{title}**"
    pairs = zip(head[1:], row[1:], strict=False)
    return "\n".join([first, *(f"{name}: {cell}" if name else cell for name, cell in pairs if cell)])


def _width(text: str) -> int:
    """Monospace columns: wide letters and emoji take two, combining marks none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) or char in "\u200d\ufe0f" else 1 + (unicodedata.east_asian_width(char) in "WF")
        for char in text
    )
