"""`python -m cli.check_locales`: what is wrong with locales/, before a person reads it.

Errors: a file that does not parse, a key that one language lacks or has twice or keeps in another file, other arguments
than in the other language, an unknown function, a plural that is not complete, a message that cannot be formatted, a
text beyond Telegram's limits, a key that the source says but nobody wrote, a call with other arguments than the
message's, a Rejected code without a message. Unused keys are counted; with --unused they are errors too.

The source is read for `say("key", …)` and `Key("key")`, f-strings in them counting as patterns.
"""

import argparse
import ast
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from fluent.syntax import FluentParser, visitor
from fluent.syntax import ast as ftl

from kit.words import FUNCTIONS, LANGUAGES
from kit.words import words as words_of

ROOT: Final = Path(__file__).resolve().parent.parent
SOURCES: Final = ("app", "billing", "bot", "cli", "coach", "inference", "kit", "web")

PLURALS: Final = {"ru": frozenset({"one", "few", "many", "other"}), "en": frozenset({"one", "other"})}
_PLURAL_WORDS: Final = frozenset({"zero", "one", "two", "few", "many"})
_DATE_FUNCTIONS: Final = frozenset({"DAY", "DATE", "MOMENT"})
# Telegram's limits by the key's beginning: https://core.telegram.org/bots/api. A button's label has no limit there,
# 64 bytes is what a phone shows on one line.
LIMITS: Final = (
    ("button-", 64, "bytes"),
    ("toast-", 200, "characters"),
    ("command-", 256, "characters"),
    ("invoice-title-", 32, "characters"),
    ("invoice-description-", 255, "characters"),
    ("invoice-label", 32, "characters"),
    ("bot-description", 512, "characters"),
    ("bot-short-description", 120, "characters"),
    ("", 4096, "characters"),
)
# The longest usual arguments: a year of the largest plan, a plan's name of twelve letters.
_SAMPLE_NUMBER: Final = 72_000_000
_SAMPLE_TEXT: Final = "Двенадцать б"
_SAMPLE_DATE: Final = datetime(2026, 12, 23, 14, 5, tzinfo=UTC)


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """`where` is a path from the root, with a line where one is known."""

    where: str
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.text}"


@dataclass(slots=True)
class Message(visitor.Visitor):
    """One message of one language, with what its pattern refers to."""

    key: str
    file: str
    line: int
    variables: set[str] = field(default_factory=set)
    numbers: set[str] = field(default_factory=set)
    dates: set[str] = field(default_factory=set)
    plural_of: set[str] = field(default_factory=set)
    refers_to: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)
    language: str = "en"

    def visit_VariableReference(self, node: Any) -> None:  # noqa: N802 - the library's names
        self.variables.add(node.id.name)

    def visit_MessageReference(self, node: Any) -> None:  # noqa: N802
        self.refers_to.add(node.id.name)

    def visit_FunctionReference(self, node: Any) -> None:  # noqa: N802
        if node.id.name not in FUNCTIONS:
            self.problems.append(f"{self.key}: no function {node.id.name}()")
        names = {item.id.name for item in node.arguments.positional if isinstance(item, ftl.VariableReference)}
        (self.dates if node.id.name in _DATE_FUNCTIONS else self.numbers).update(names)
        self.generic_visit(node)

    def visit_SelectExpression(self, node: Any) -> None:  # noqa: N802
        name = node.selector.id.name if isinstance(node.selector, ftl.VariableReference) else ""
        found = {variant.key.name for variant in node.variants if isinstance(variant.key, ftl.Identifier)}
        if found & _PLURAL_WORDS:
            self.plural_of.add(name)
            self._check_plural(name, found, node.variants)
        if found & _PLURAL_WORDS or any(isinstance(variant.key, ftl.NumberLiteral) for variant in node.variants):
            self.numbers.add(name)
        self.generic_visit(node)

    def _check_plural(self, name: str, found: set[str], variants: list[Any]) -> None:
        missing = PLURALS[self.language] - found
        if missing:
            self.problems.append(f"{self.key}: the plural of ${name} lacks {', '.join(sorted(missing))}")
        default = next((v.key.name for v in variants if v.default and isinstance(v.key, ftl.Identifier)), "")
        if default != "other":
            self.problems.append(f"{self.key}: the default of the plural of ${name} must be other")


@dataclass(frozen=True, slots=True)
class Said:
    """A key in the source: `pattern` matches the keys it may be, `given` the arguments where they can be read."""

    pattern: str
    exact: bool
    where: str
    given: frozenset[str] | None = None
    superset: bool = False


def main(arguments: list[str] | None = None) -> int:
    """Print the findings; 1 when there are any errors."""
    parser = argparse.ArgumentParser(prog="python -m cli.check_locales", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--unused", action="store_true", help="unused keys are errors too")
    options = parser.parse_args(arguments)
    findings, unused = check(ROOT)
    if options.unused:
        findings = sorted([*findings, *unused])
    for finding in findings:
        print(finding)
    keys = sum(1 for _ in messages(ROOT, "en", []))
    idle = f", {len(unused)} not said anywhere yet (--unused names them)" if unused and not options.unused else ""
    print(f"locales: {keys} keys in {' and '.join(LANGUAGES)}, {len(findings)} errors{idle}")
    return 1 if findings else 0


def check(root: Path) -> tuple[list[Finding], list[Finding]]:
    """Return (errors, unused keys) for the locales and the source under `root`."""
    errors: list[Finding] = []
    found = {language: _index(messages(root, language, errors), errors) for language in LANGUAGES}
    _check_agreement(found, errors)
    for language, by_key in found.items():
        _check_texts(root, language, by_key, errors)
    said, mentioned = _read_source(root)
    known = {key: message for by_key in found.values() for key, message in by_key.items()}
    _check_said(said, found["en"] or known, errors)
    used = mentioned | {ref for message in known.values() for ref in message.refers_to}
    patterns = [re.compile(item.pattern) for item in said]
    unused = [
        Finding(f"{message.file}:{message.line}", f"{key} is not said anywhere")
        for key, message in sorted(known.items())
        if key not in used and not any(pattern.fullmatch(key) for pattern in patterns)
    ]
    return sorted(set(errors)), unused


def messages(root: Path, language: str, errors: list[Finding]) -> Iterator[Message]:
    """Yield the messages of `language` under `root`; what does not parse becomes an error."""
    for path in sorted((root / "locales" / language).glob("*.ftl")):
        source = path.read_text(encoding="utf-8").replace("\r\n", "\n")
        name = path.relative_to(root).as_posix()
        for entry in FluentParser().parse(source).body:
            line = _line(source, entry)
            if isinstance(entry, ftl.Junk):
                for note in entry.annotations:
                    at = _line(source, note)
                    errors.append(Finding(f"{name}:{at}", f"does not parse: {note.message}"))
            elif isinstance(entry, ftl.Message):
                message = Message(entry.id.name, name, line, language=language)
                message.visit(entry)
                if entry.attributes or entry.value is None:
                    message.problems.append(f"{message.key}: a key is one text, without attributes")
                errors.extend(Finding(f"{name}:{line}", problem) for problem in message.problems)
                yield message


def _index(found: Iterable[Message], errors: list[Finding]) -> dict[str, Message]:
    by_key: dict[str, Message] = {}
    for message in found:
        if message.key in by_key:
            first = by_key[message.key]
            errors.append(Finding(f"{message.file}:{message.line}", f"{message.key} is also in {first.file}"))
        by_key.setdefault(message.key, message)
    for message in by_key.values():
        for key in message.refers_to:
            if key not in by_key:
                errors.append(Finding(f"{message.file}:{message.line}", f"{message.key} refers to {key}: no such key"))
            else:
                message.variables |= by_key[key].variables
                message.numbers |= by_key[key].numbers
                message.dates |= by_key[key].dates
    return by_key


def _check_agreement(found: dict[Any, dict[str, Message]], errors: list[Finding]) -> None:
    for language, by_key in found.items():
        for other in LANGUAGES:
            for key, message in by_key.items():
                where = f"{message.file}:{message.line}"
                twin = found[other].get(key)
                if twin is None:
                    errors.append(Finding(where, f"{key} is missing in {other}"))
                    continue
                extra = message.variables - twin.variables
                if extra:
                    errors.append(Finding(where, f"{key}: {other} does not use {_dollars(extra)}"))
                if Path(twin.file).name != Path(message.file).name:
                    errors.append(Finding(where, f"{key} is in {Path(twin.file).name} in {other}"))
                plurals = message.plural_of - twin.plural_of
                if plurals:
                    errors.append(Finding(where, f"{key}: {other} has no plural for {_dollars(plurals)}"))
        if not by_key:
            errors.append(Finding(f"locales/{language}", "holds no messages"))


def _check_texts(root: Path, language: str, by_key: dict[str, Message], errors: list[Finding]) -> None:
    """Say every message with long arguments, by the very code that says it to people."""
    speaker = words_of(language, root / "locales")
    for key, message in by_key.items():
        where = f"{message.file}:{message.line}"
        sample = {name: _sample(name, message) for name in message.variables}
        text, problem = speaker.try_say(key, **sample)
        if text is None:
            errors.append(Finding(where, f"{key} cannot be said: {problem}"))
            continue
        if not text.strip():
            errors.append(Finding(where, f"{key} is empty"))
        limit, unit = next((limit, unit) for prefix, limit, unit in LIMITS if key.startswith(prefix))
        size = len(text.encode()) if unit == "bytes" else len(text)
        if size > limit:
            errors.append(Finding(where, f"{key} is {size} {unit} long with long arguments, the limit is {limit}"))


def _sample(name: str, message: Message) -> Any:
    if name in message.dates:
        return _SAMPLE_DATE
    return _SAMPLE_NUMBER if name in message.numbers else _SAMPLE_TEXT


def _check_said(said: list[Said], known: dict[str, Message], errors: list[Finding]) -> None:
    for item in said:
        keys = [key for key in known if re.fullmatch(item.pattern, key)]
        if not keys:
            shown = item.pattern.replace(".+", "…").replace("\\", "")
            errors.append(Finding(item.where, f"no key {shown} in locales/"))
        for key in keys if item.exact and item.given is not None else ():
            missing = known[key].variables - (item.given or frozenset())
            extra = (item.given or frozenset()) - known[key].variables
            if missing:
                errors.append(Finding(item.where, f"{key} needs {_dollars(missing)}"))
            if extra and not item.superset:
                errors.append(Finding(item.where, f"{key} does not use {_dollars(extra)}"))


def _read_source(root: Path) -> tuple[list[Said], set[str]]:
    """Return what the source says, and every string in it (a key may stand in a table and be said from there)."""
    said: list[Said] = []
    mentioned: set[str] = set()
    classes: list[tuple[ast.ClassDef, str]] = []
    for path in sorted(path for folder in SOURCES for path in (root / folder).rglob("*.py")):
        name = path.relative_to(root).as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), filename=name)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                mentioned.add(node.value)
            elif isinstance(node, ast.ClassDef):
                classes.append((node, name))
            elif isinstance(node, ast.Call):
                said.extend(_said(node, f"{name}:{node.lineno}"))
    said.extend(_rejected_codes(classes))
    return said, mentioned


def _said(call: ast.Call, where: str) -> Iterator[Said]:
    callee = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if callee not in {"say", "Key"} or not call.args:
        return
    given = None
    if callee == "say" and all(keyword.arg is not None for keyword in call.keywords):
        given = frozenset(keyword.arg for keyword in call.keywords if keyword.arg is not None)
    yield from _keys(call.args[0], where, given)


def _keys(node: ast.expr, where: str, given: frozenset[str] | None) -> Iterator[Said]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield Said(re.escape(node.value), exact=True, where=where, given=given)
    elif isinstance(node, ast.JoinedStr):
        parts = [re.escape(str(p.value)) if isinstance(p, ast.Constant) else ".+" for p in node.values]
        yield Said("".join(parts), exact=False, where=where)
    elif isinstance(node, ast.IfExp):
        yield from _keys(node.body, where, given)
        yield from _keys(node.orelse, where, given)


def _rejected_codes(classes: list[tuple[ast.ClassDef, str]]) -> Iterator[Said]:
    """The codes of Rejected and of all that descend from it by name, with the params their constructor hands on."""
    family = {"Rejected"}
    size = 0
    while size != len(family):
        size = len(family)
        family |= {node.name for node, _ in classes if {_base_name(base) for base in node.bases} & family}
    for node, name in classes:
        if node.name not in family:
            continue
        params = None
        for inner in ast.walk(node):
            if isinstance(inner, ast.Call) and isinstance(inner.func, ast.Attribute) and inner.func.attr == "__init__":
                given = [keyword.arg for keyword in inner.keywords]
                params = None if None in given else frozenset(arg for arg in given if arg)
        for statement in node.body:
            if _assigns_code(statement) and isinstance(statement.value, ast.Constant):  # type: ignore[attr-defined]
                code = str(statement.value.value)  # type: ignore[attr-defined]
                known = None if node.name == "Rejected" else params
                where = f"{name}:{statement.lineno}"
                yield Said(re.escape(code), exact=True, where=where, given=known, superset=True)


def _assigns_code(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.AnnAssign):
        return getattr(statement.target, "id", "") == "code"
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    return any(getattr(target, "id", "") == "code" for target in targets)


def _base_name(base: ast.expr) -> str:
    return base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "")


def _line(source: str, node: Any) -> int:
    return source.count("\n", 0, node.span.start) + 1 if node.span else 1


def _dollars(names: Iterable[str]) -> str:
    return ", ".join(f"${name}" for name in sorted(names))


if __name__ == "__main__":
    sys.exit(main())
