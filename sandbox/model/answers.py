"""What the simulated model says: built from the prompt, marked as simulated, steered by directives in the text.

Directives are read from the last user message only; docs/model-server.md lists them.
"""

import random
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from sandbox.model import phrases, tokens

DIRECTIVES: Final = (
    "echo", "tokens", "table", "formula", "code", "markdown", "long", "prompt", "reasoning", "slow", "fault",
)  # fmt: skip
_DIRECTIVE: Final = re.compile(rf"\[\[({'|'.join(DIRECTIVES)})(?::\s?(.*?))?\]\]", re.DOTALL)
_CYRILLIC: Final = re.compile(r"[а-яё]", re.IGNORECASE)
_LATIN: Final = re.compile(r"[a-z]", re.IGNORECASE)
_QUOTE_CHARACTERS_MAX: Final = 200
_LONG_TOKENS: Final = 1_500
_LINE_TOKENS: Final = range(24, 49)
"""Whoever allows so many tokens wants a line, a title for example."""

_LINE_WORDS: Final = 6


@dataclass(frozen=True, slots=True)
class Wish:
    """What a request asks of its answer; token counts include the end token."""

    max_tokens: int
    min_tokens: int = 0
    ignore_eos: bool = False
    stop: tuple[str, ...] = ()
    seed: int = 0
    reasoning: bool = False
    choice: str | None = None
    length_min: int = 80
    length_max: int = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """The tokens that will be emitted: first the reasoning, then the text, then an end token unless it is cut."""

    tokens: list[str]
    reasoning_tokens: int
    total: int
    finish_reason: str
    stop_reason: str | None
    slow: bool
    fault: str | None

    @property
    def text(self) -> str:
        """The answer without its reasoning."""
        return "".join(self.tokens[self.reasoning_tokens :])

    @property
    def reasoning(self) -> str:
        """The reasoning alone."""
        return "".join(self.tokens[: self.reasoning_tokens])


def last_user_text(messages: Sequence[Mapping[str, Any]]) -> str:
    """The text of the last message of the role user; empty where there is none."""
    for message in reversed(messages):
        if message.get("role") == "user":
            return tokens.content_text(message.get("content"))
    return ""


def compose(messages: Sequence[Mapping[str, Any]], wish: Wish) -> Answer:
    """The answer to a chat. The same chat and wish always give the same answer."""
    asked = last_user_text(messages)
    directives: dict[str, str] = dict(_DIRECTIVE.findall(asked))
    language = _language(_DIRECTIVE.sub("", asked))
    dice = random.Random(zlib.crc32(asked.encode()) ^ wish.seed)
    # The length is fixed by the directive, so neither a stop word nor a shorter text may end it.
    wanted = _number(directives.get("tokens"))
    if wish.choice is not None:
        said = tokens.pieces(wish.choice)
    elif wanted is not None:
        said = _exactly(_default(messages, asked, language, dice, wanted), max(0, wanted - 1), language)
    else:
        said = tokens.pieces(_body(directives, messages, asked, language, dice, wish))
    thought = directives.get("reasoning") or (phrases.REASONING[language] if wish.reasoning else "")
    thinking = tokens.pieces(thought)
    said, stop_reason = _stopped(said, wish.stop, max(0, wish.min_tokens - len(thinking)))
    return _cut(thinking, said, stop_reason, wish, directives, language)


def silence() -> Answer:
    """An answer that ends with its first token, which is the invisible end token."""
    return Answer([], 0, 1, "stop", None, slow=False, fault=None)


def _cut(
    thinking: list[str],
    said: list[str],
    stop_reason: str | None,
    wish: Wish,
    directives: Mapping[str, str],
    language: str,
) -> Answer:
    everything = thinking + said
    if wish.ignore_eos:
        everything = _exactly(everything, wish.max_tokens, language)
    elif len(everything) + 1 < wish.min_tokens:
        everything = _exactly(everything, wish.min_tokens - 1, language)
    cut = wish.ignore_eos or len(everything) + 1 > wish.max_tokens
    emitted = everything[: wish.max_tokens]
    return Answer(
        tokens=emitted,
        reasoning_tokens=min(len(thinking), len(emitted)),
        total=len(emitted) if cut else len(emitted) + 1,
        finish_reason="length" if cut else "stop",
        stop_reason=None if cut else stop_reason,
        slow="slow" in directives,
        fault=directives.get("fault") or None,
    )


def _body(
    directives: Mapping[str, str],
    messages: Sequence[Mapping[str, Any]],
    asked: str,
    language: str,
    dice: random.Random,
    wish: Wish,
) -> str:
    if "echo" in directives:
        return directives["echo"]
    if "prompt" in directives:
        shown = orjson.dumps(list(messages), option=orjson.OPT_INDENT_2).decode()
        # A prompt that holds a fence of its own needs a longer one around it.
        fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", shown)), default=0))
        return f"{fence}json\n{shown}\n{fence}"
    for name, demo in phrases.DEMOS.items():
        if name in directives:
            return f"{phrases.SIMULATED[language].format(count=len(messages))}\n\n{demo[language]}"
    if wish.max_tokens in _LINE_TOKENS and not directives:
        return _line(messages, language)
    length = _LONG_TOKENS if "long" in directives else dice.randint(wish.length_min, wish.length_max)
    return _default(messages, asked, language, dice, length)


def _line(messages: Sequence[Mapping[str, Any]], language: str) -> str:
    """The first words of the chat, in one line that says what it is."""
    first = next((one for one in messages if one.get("role") == "user"), {})
    words = _DIRECTIVE.sub("", tokens.content_text(first.get("content"))).split()[:_LINE_WORDS]
    return phrases.LINE[language].format(text=" ".join(words))


def _default(messages: Sequence[Mapping[str, Any]], asked: str, language: str, dice: random.Random, length: int) -> str:
    quoted = " ".join(_DIRECTIVE.sub("", asked).split())
    if len(quoted) > _QUOTE_CHARACTERS_MAX:
        quoted = quoted[:_QUOTE_CHARACTERS_MAX].rstrip() + "…"
    opening, closing = phrases.OPENINGS[language], phrases.CLOSINGS[language]
    head = (
        f"{phrases.SIMULATED[language].format(count=len(messages))}\n\n"
        f"{phrases.QUOTED[language].format(text=quoted)}\n\n"
        f"{dice.choice(opening)}\n\n"
    )
    tail = f"\n{dice.choice(closing)}"
    left = length - len(tokens.pieces(head)) - len(tokens.pieces(tail))
    advice = list(phrases.ADVICE[language])
    dice.shuffle(advice)
    lines: list[str] = []
    while left > 0 or not lines:
        line = f"- {advice[len(lines) % len(advice)]}\n"
        lines.append(line)
        left -= len(tokens.pieces(line))
    return head + "".join(lines) + tail


def _exactly(text: str | list[str], length: int, language: str) -> list[str]:
    """Cut or filled up to so many tokens."""
    found = tokens.pieces(text) if isinstance(text, str) else list(text)
    filler = tokens.pieces(" ".join(["", *phrases.ADVICE[language]]))
    while len(found) < length:
        found += filler
    return found[:length]


def _stopped(said: list[str], stops: Sequence[str], tokens_min: int) -> tuple[list[str], str | None]:
    """Cut before the first stop string that begins after `tokens_min` tokens."""
    stops = [stop for stop in stops if stop]
    if not stops:
        return said, None
    text = "".join(said)
    begin = len("".join(said[:tokens_min]))
    found = [(text.find(stop, begin), stop) for stop in stops]
    places = [place for place in found if place[0] >= 0]
    if not places:
        return said, None
    at, stop = min(places)
    return tokens.pieces(text[:at]), stop


def _language(text: str) -> str:
    cyrillic, latin = len(_CYRILLIC.findall(text)), len(_LATIN.findall(text))
    return "ru" if cyrillic and cyrillic * 2 >= latin else "en"


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.strip().isdecimal() else None
