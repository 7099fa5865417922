"""Where a key stands in a TOML file: tomllib gives values without lines, and an operator needs the line.

The scan trusts that tomllib has accepted the text. It follows table headers, dotted and quoted keys, arrays of tables,
and skips what spans lines; a key inside an inline table or an array is found at the line where that value begins.
"""

import re
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any, TypeAlias

from kit.errors import Misconfigured

KeyPath: TypeAlias = tuple[str | int, ...]

_KEY = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*')"""
_DOTTED = re.compile(rf"\s*({_KEY}(?:\s*\.\s*{_KEY})*)\s*")
_PART = re.compile(_KEY)
_HEADER = re.compile(rf"\s*(\[\[?){_DOTTED.pattern}\]")
# What matters for the end of a value: strings (kept whole), comments and brackets.
_VALUE = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'|#[^\n]*|[\[\]{}\n]', re.DOTALL
)
_SYNTAX_LINE = re.compile(r"\(at line (\d+)")


class TomlSource:
    """A parsed TOML file that can say on which line a key stands."""

    def __init__(self, path: Path, text: str, data: dict[str, Any]) -> None:
        self.path, self.data = path, data
        self._lines = _scan(text)

    @classmethod
    def read(cls, path: Path) -> "TomlSource":
        """Raises Misconfigured for a file that is missing, unreadable, no UTF-8 or no TOML."""
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise Misconfigured(f"{path}: there is no such file") from error
        except (OSError, UnicodeDecodeError) as error:
            raise Misconfigured(f"{path}: cannot be read: {error}") from error
        try:
            return cls(path, text, tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            found = _SYNTAX_LINE.search(str(error))
            line = int(found.group(1)) if found else text.count("\n") + 1
            raise Misconfigured(f"{path}:{line}: {error}") from error
        except RecursionError as error:
            raise Misconfigured(f"{path}: brackets stand in brackets too deep to be read") from error

    def line(self, *key: str | int) -> int:
        """The line (from 1) of the key, or of the nearest thing around it; array items are given by index from 0."""
        path: KeyPath = key
        while path:
            if path in self._lines:
                return self._lines[path]
            path = path[:-1]
        return 1

    def wrong(self, key: KeyPath, says: str) -> Misconfigured:
        """The error to raise: file, line, the key in full, and what is wrong with it."""
        shown = ".".join(f"[{part + 1}]" if isinstance(part, int) else part for part in key).replace(".[", "[")
        return Misconfigured(f"{self.path}:{self.line(*key)}: {shown} {says}" if shown else f"{self.path}: {says}")


def _scan(text: str) -> dict[KeyPath, int]:
    found: dict[KeyPath, int] = {}
    counts: Counter[KeyPath] = Counter()
    table: KeyPath = ()
    position = 0
    while position < len(text):
        end = text.find("\n", position)
        end = len(text) if end < 0 else end
        row = text[position:end]
        line = text.count("\n", 0, position) + 1
        if header := _HEADER.match(row):
            table = _enter(_parts(header.group(2)), counts, is_array=header.group(1) == "[[")
            found.setdefault(table, line)
        elif (key := _DOTTED.match(row)) and row[key.end() :].startswith("="):
            path = table + _parts(key.group(1))
            for length in range(len(table) + 1, len(path) + 1):
                found.setdefault(path[:length], line)
            end = _value_end(text, position + key.end() + 1)
        position = end + 1
    return found


def _enter(parts: KeyPath, counts: Counter[KeyPath], *, is_array: bool) -> KeyPath:
    """The path of a table header, with the index of the array item that it belongs to."""
    table: KeyPath = ()
    for depth, part in enumerate(parts):
        table = (*table, part)
        is_last = depth == len(parts) - 1
        if is_last and is_array:
            counts[table] += 1
        if counts[table]:
            table = (*table, counts[table] - 1)
    return table


def _parts(dotted: str) -> KeyPath:
    return tuple(part[1:-1] if part[0] in "\"'" else part for part in _PART.findall(dotted))


def _value_end(text: str, position: int) -> int:
    """The newline that ends the value: the first one outside of strings and brackets."""
    depth = 0
    for token in _VALUE.finditer(text, position):
        if token.group() in "[{":
            depth += 1
        elif token.group() in "]}":
            depth -= 1
        elif token.group() == "\n" and not depth:
            return token.start()
    return len(text)
