"""Server-sent events of a streamed chat completion, turned into text and usage; no I/O.

All events of one network read are handled in one go, since waking a task for each token is what costs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from inference.errors import BadUsage, BrokenAnswer, ServerFailed

LINE_BYTES_MAX: Final = 4 * 1_048_576
"""A line that grows beyond this without an end is no answer."""

TOKENS_MAX: Final = 100_000_000
"""More tokens than this in a usage are a mistake of the server."""

TOKEN_CHARS_MAX: Final = 512
"""No vocabulary has a token of more characters: a text that is longer than so many for each token was miscounted, and
one that is longer than so many for each token that it may have is read no further."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the server counts them. `cached_tokens` is part of `prompt_tokens`.

    vLLM tells the cached ones only at the end of an answer, so in the usage of an unfinished one they are 0.
    """

    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class Delta:
    """What one network read brought. `reasoning` is the model's thinking, apart from the answer's text."""

    text: str
    usage: Usage | None
    finish_reason: str | None
    reasoning: str = ""


class EventReader:
    """Reads one stream. `feed` it what the network brings; `close` it when the network has ended."""

    __slots__ = ("_chars", "_completion_tokens", "_finished", "_max_tokens", "_tail", "done", "started", "usage")

    def __init__(self, max_tokens: int) -> None:
        self._max_tokens = max_tokens
        self._tail = b""
        self._chars = self._completion_tokens = 0
        self._finished = False
        self.started = self.done = False
        self.usage: Usage | None = None

    def feed(self, data: bytes) -> Delta | None:
        """The text and the last usage in this read; None where it brought neither.

        Raises BrokenAnswer, BadUsage, ServerFailed.
        """
        *lines, self._tail = (self._tail + data if self._tail else data).split(b"\n")
        if len(self._tail) > LINE_BYTES_MAX:
            raise BrokenAnswer("a line without an end", started=self.started)
        texts: list[str] = []
        thoughts: list[str] = []
        usage: Any = None
        finish_reason: Any = None
        for line in lines:
            # Empty lines end events; comments, names and ids carry nothing here.
            if not line.startswith(b"data:"):
                continue
            if line.endswith((b"[DONE]", b"[DONE]\r")):
                self.done = True
                break
            event = self._event(line)
            usage = event.get("usage") or usage
            try:
                choices = event["choices"]
                if choices:
                    choice = choices[0]
                    delta = choice["delta"]
                    if text := delta.get("content"):
                        texts.append(text)
                    if thought := delta.get("reasoning") or delta.get("reasoning_content"):
                        thoughts.append(thought)
                    finish_reason = choice.get("finish_reason") or finish_reason
            except (KeyError, IndexError, TypeError, AttributeError) as error:
                raise BrokenAnswer("an event of another shape", started=self.started) from error
        return self._delta(texts, thoughts, usage, finish_reason)

    def close(self) -> None:
        """Raises BrokenAnswer where the answer stopped half-way, BadUsage where no usage came or it is too small."""
        if not self.done or not self._finished:
            raise BrokenAnswer("the stream ended before the answer", started=self.started)
        if self.usage is None:
            raise BadUsage("no usage", started=self.started)
        if not self.usage.prompt_tokens or self.usage.completion_tokens * TOKEN_CHARS_MAX < self._chars:
            raise BadUsage("fewer tokens than there must be", started=self.started)

    def _event(self, line: bytes) -> dict[str, Any]:
        try:
            event = orjson.loads(line[5:])
        except orjson.JSONDecodeError as error:
            raise BrokenAnswer("an event that is no JSON", started=self.started) from error
        if not isinstance(event, dict):
            raise BrokenAnswer("an event of another shape", started=self.started)
        if said := event.get("error"):
            code = said.get("code") if isinstance(said, dict) else None
            raise ServerFailed(code if isinstance(code, int) else 500, "error in the stream", started=self.started)
        return event

    def _delta(self, texts: list[str], thoughts: list[str], usage: Any, finish_reason: Any) -> Delta | None:
        try:
            # A vocabulary has the character NUL, Postgres has not.
            text, reasoning = "".join(texts).replace("\0", ""), "".join(thoughts).replace("\0", "")
        except TypeError as error:
            raise BrokenAnswer("text of another type", started=self.started) from error
        if text or reasoning:
            self.started = True
            self._chars += len(text) + len(reasoning)
            if self._chars > self._max_tokens * TOKEN_CHARS_MAX:
                raise BrokenAnswer("an answer without an end", started=True)
        if usage is not None:
            usage = self._checked(usage)
        if finish_reason is not None:
            if not isinstance(finish_reason, str):
                raise BrokenAnswer("an event of another shape", started=self.started)
            self._finished = True
        if not text and not reasoning and usage is None and finish_reason is None:
            return None
        return Delta(text, usage, finish_reason, reasoning)

    def _checked(self, raw: Any) -> Usage:
        usage = read_usage(raw, self._max_tokens, started=self.started)
        if usage.completion_tokens < self._completion_tokens:
            raise BadUsage("completion tokens went down", started=self.started)
        self._completion_tokens = usage.completion_tokens
        self.usage = usage
        return usage


def read_usage(raw: Any, max_tokens: int, *, started: bool = False) -> Usage:
    """A usage object, believed only if it can be true. Raises BadUsage."""
    if not isinstance(raw, Mapping):
        raise BadUsage("usage of another shape", started=started)
    details = raw.get("prompt_tokens_details") or {}
    if not isinstance(details, Mapping):
        raise BadUsage("usage of another shape", started=started)
    usage = Usage(
        prompt_tokens=_count(raw.get("prompt_tokens"), started),
        cached_tokens=_count(details.get("cached_tokens") or 0, started),
        completion_tokens=_count(raw.get("completion_tokens", 0), started),
    )
    if usage.cached_tokens > usage.prompt_tokens or usage.completion_tokens > max_tokens:
        raise BadUsage("more tokens than there can be", started=started)
    return usage


def _count(value: Any, started: bool) -> int:
    if type(value) is not int or not 0 <= value <= TOKENS_MAX:
        raise BadUsage("token counts out of bounds", started=started)
    return value
