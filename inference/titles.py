"""Titles of dialogs: a person's own words or the model's, made fit for one line of a list."""

import unicodedata
from typing import Final

TITLE_CHARS_MAX: Final = 60
_MARKS: Final = "\"'«»“”„`*_#>-–—•.,:;!… "
_HEAD_CHARS: Final = 1_000


def of_words(text: str) -> str:
    """Return the first words of a text as a title, quoted lines left out; "" when it holds none."""
    lines = [line for line in text[:_HEAD_CHARS].splitlines() if not line.lstrip().startswith(">")]
    return _cut(_one_line(" ".join(lines)))


def of_person(text: str) -> str:
    """Return what a person wrote as a title; "" when nothing of it can be seen."""
    return _cut(_one_line(text[:_HEAD_CHARS]))


def of_model(text: str) -> str:
    """Return what a model answered when it was asked for a title: its first line without marks; "" for none."""
    for line in text[:_HEAD_CHARS].splitlines():
        title = _one_line(line).strip(_MARKS)
        if title:
            return _cut(title)
    return ""


def file_name(title: str) -> str:
    """Return a name that every system takes: letters, digits, spaces and hyphens of the title, and .md."""
    kept = "".join(char if char.isalnum() or char in " -_" else " " for char in unicodedata.normalize("NFC", title))
    return f"{' '.join(kept.split())[:TITLE_CHARS_MAX].strip() or 'dialog'}.md"


def _one_line(text: str) -> str:
    # Control and format characters would turn lines around or hide words in them.
    seen = "".join(" " if unicodedata.category(char)[0] in "CZ" else char for char in text)
    return " ".join(seen.split())


def _cut(title: str) -> str:
    if len(title) <= TITLE_CHARS_MAX:
        return title
    head = title[: TITLE_CHARS_MAX - 1]
    words = head.rsplit(" ", 1)[0]
    return (words if len(words) > TITLE_CHARS_MAX // 2 else head).rstrip(" ,;:-–—") + "…"
