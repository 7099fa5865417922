"""Faults on order: what a model server does on a bad day, chosen by count, probability and the request's text."""

import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

FAULTS_MAX: Final = 100
"""More rules than this at once are refused."""

KINDS: Final = {
    "reset": "the connection is reset before any byte of the response",
    "error": "HTTP 500 with vLLM's InternalServerError",
    "busy": "HTTP 429 with Retry-After",
    "hang": "accepts and never answers; with after_tokens, the stream stops moving",
    "reset_after": "the connection is reset after so many tokens (0: after the headers)",
    "half_stream": "the body ends in order after so many tokens, without a finish and without [DONE]",
    "invalid_json": "after so many tokens comes a chunk that is no JSON, then the stream goes on",
    "wrong_usage": "the usage is the one in the rule (default: a negative prompt, a huge completion)",
    "empty": "an answer without any text: the model ends at once",
    "no_usage": "no usage at all, though it was asked for",
    "engine_dead": "after so many tokens: vLLM's error in the stream, then [DONE]",
    "drop_keep_alive": "a whole answer, after which the kept-alive connection is reset by the next request",
    "slow": "ten times slower tokens",
}

_NEEDS_STREAM_POINT: Final = {"reset_after", "half_stream", "invalid_json", "engine_dead"}
_WRONG_USAGE: Final = {"prompt_tokens": -1, "completion_tokens": 10**12, "total_tokens": 10**12 - 1}


@dataclass(slots=True)
class Fault:
    """One rule. `count` None means for ever; `match` is a part of the last user text, empty for every request."""

    kind: str
    count: int | None = 1
    probability: float = 1.0
    after_tokens: int | None = None
    match: str = ""
    retry_after_s: float = 1.0
    usage: dict[str, Any] = field(default_factory=lambda: dict(_WRONG_USAGE))
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown fault: {self.kind}; known: {', '.join(KINDS)}")
        if not 0 <= self.probability <= 1:
            raise ValueError("probability must be from 0 to 1")
        if self.count is not None and self.count < 1:
            raise ValueError("count must be at least 1, or null for ever")
        if self.after_tokens is None and self.kind in _NEEDS_STREAM_POINT:
            self.after_tokens = 3


def from_mapping(values: Mapping[str, Any]) -> Fault:
    """Reads a rule from JSON. Raises ValueError."""
    try:
        return Fault(**values)
    except TypeError as error:
        raise ValueError(str(error)) from error


def from_argument(text: str) -> Fault:
    """Reads `KIND[:TOKENS[:PROBABILITY]]`, a rule for ever. Raises ValueError."""
    kind, *rest = text.split(":")
    return Fault(
        kind=kind,
        count=None,
        after_tokens=int(rest[0]) if rest and rest[0] else None,
        probability=float(rest[1]) if len(rest) > 1 else 1.0,
    )


class Faults:
    """The rules in force, in the order they were given; the first one that applies to a request is taken."""

    def __init__(self) -> None:
        self._rules: list[tuple[Fault, random.Random]] = []

    def add(self, fault: Fault) -> None:
        """Raises ValueError when there are too many rules already."""
        if len(self._rules) >= FAULTS_MAX:
            raise ValueError(f"more than {FAULTS_MAX} faults")
        self._rules.append((fault, random.Random(fault.seed)))

    def take(self, user_text: str) -> Fault | None:
        """The fault for this request, counted down; None for a good day."""
        if not self._rules:
            return None
        for index, (fault, dice) in enumerate(self._rules):
            if fault.match not in user_text or (fault.probability < 1 and dice.random() >= fault.probability):
                continue
            if fault.count is not None:
                fault.count -= 1
                if not fault.count:
                    del self._rules[index]
            return fault
        return None

    def clear(self) -> None:
        """Back to good days."""
        self._rules.clear()

    def listed(self) -> list[dict[str, Any]]:
        """The rules as JSON, counts as they are now."""
        return [asdict(fault) for fault, _ in self._rules]
