"""What is written into the outbox now is said later: its key must have words by then."""

import ast
import re
from collections.abc import Iterator

from cli.check_locales import ROOT
from kit.words import LANGUAGES, words

KEY = re.compile(r"[a-z]+(-[a-z]+)+")


def keys_of(source: str) -> Iterator[str]:
    """Every string that looks like a key, but for the names of tasks."""
    tree = ast.parse(source)
    names = {id(word.value) for word in ast.walk(tree) if isinstance(word, ast.keyword) and word.arg == "name"}
    for node in ast.walk(tree):
        said = isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in names
        if said and KEY.fullmatch(node.value):
            yield node.value


def test_whatever_the_use_cases_tell_has_words_in_every_language() -> None:
    found = {key for path in (ROOT / "app").glob("*.py") for key in keys_of(path.read_text(encoding="utf-8"))}
    assert {"paid-pack", "paid-twice", "admin-alert-job", "renewal-soon"} <= found
    silent = [
        (key, language)
        for key in sorted(found)
        for language in LANGUAGES
        if words(language).try_say(key)[1] == "no such key"
    ]
    assert silent == []
