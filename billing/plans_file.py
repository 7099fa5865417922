"""Finds the line of a setting in plans.toml, so that a mistake can be named where it stands.

tomllib keeps no positions. The file is simple enough to read twice: table headers and keys at the start of a line.
"""

import re
import tomllib

from kit.errors import Misconfigured

_HEADER = re.compile(r"""^\s*\[\[?\s*["']?([^"'\]]+?)["']?\s*\]""")
_KEY = re.compile(r"""^\s*["']?([A-Za-z0-9_-]+)["']?\s*[.=]""")


class PlansFile:
    """The text of a plans.toml that has parsed as TOML, with the lines of its tables and keys."""

    def __init__(self, name: str, text: str) -> None:
        self._name = name
        self._lines: dict[tuple[str, str], int] = {}
        table = ""
        for number, line in enumerate(text.splitlines(), start=1):
            if header := _HEADER.match(line):
                table = header[1]
                outer, _, inner = table.partition(".")
                # A table may stand for a plan ([lite]), for a setting of one ([lite.title]), or where neither belongs.
                for place in ((outer, inner), (outer, ""), ("", outer)):
                    self._lines.setdefault(place, number)
            elif key := _KEY.match(line):
                self._lines.setdefault((table, key[1]), number)

    @staticmethod
    def unreadable(name: str, text: str, error: tomllib.TOMLDecodeError) -> Misconfigured:
        """Return the error for a text that is no TOML: file, line, and the parser's words."""
        words, _, where = str(error).partition(" (at ")
        found = re.match(r"line (\d+)", where)
        line = int(found[1]) if found else max(1, len(text.splitlines()))
        return Misconfigured(f"{name}, line {line}: {words}")

    def mistake(self, table: str, key: str, what: str) -> Misconfigured:
        """Return the error to raise: file, line of the key (else of its table), plan, and what to write."""
        line = self._lines.get((table, key)) or self._lines.get((table, "")) or 1
        return Misconfigured(f"{self._name}, line {line}: {f'[{table}] ' if table else ''}{what}")
