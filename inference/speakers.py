"""Speakers: how the model tells the people of a group apart, by names that cannot pass for instructions.

Each message is said as "[Name]: text". A name is letters, digits and a few marks; one that means a role of the dialog
is not kept; two people of one name get numbers; a line of a message that looks like another speaker's is quoted.
"""

import re
import unicodedata
from collections.abc import Iterable

NAME_CHARS_MAX = 32
_UNWANTED = re.compile(r"[^\w .'’\-]|_")
_ROLES = re.compile(
    r"system|assistant|user|developer|tool|admin|forma|bot|систем|ассистент|пользовател|админ|форма|бот|инструкц|instruct",
    re.IGNORECASE,
)
_LIKE_A_SPEAKER = re.compile(r"^(\s*)(?=\[[^\]\n]{1,64}\]\s*:)", re.MULTILINE)


def name(given: str, person_id: int) -> str:
    """Return a name that the model may read; one of ours where nothing of the given one can be kept."""
    plain = unicodedata.normalize("NFKC", given)
    kept = " ".join(_UNWANTED.sub(" ", plain).split())[:NAME_CHARS_MAX].strip(" .'’-")
    if not any(char.isalnum() for char in kept) or _ROLES.search(kept):
        return f"Id {person_id % 10_000:04}"
    return kept


def said(speaker: str, text: str) -> str:
    """Return a message as the model reads it."""
    quoted = _LIKE_A_SPEAKER.sub(r"\1> ", text)
    return f"[{speaker}]: {quoted}"


def told_apart(authors: Iterable[tuple[int | None, str | None]]) -> dict[int, str]:
    """Return each author's name, the newest that they had, with a number where another bears it already."""
    newest = {author_id: given for author_id, given in authors if author_id is not None and given}
    names: dict[int, str] = {}
    taken: set[str] = set()
    for author_id, given in newest.items():
        chosen, number = given, 1
        while chosen.casefold() in taken:
            number += 1
            chosen = f"{given} {number}"
        taken.add(chosen.casefold())
        names[author_id] = chosen
    return names
