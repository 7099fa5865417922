"""Faults on purpose: rules that tests set by the control API, each with a random generator of its own."""

import random
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from sandbox.telegram.errors import BadInput
from sandbox.telegram.state import Json

BEFORE = frozenset({"delay", "http_500", "rate_limit", "refuse", "reset"})
AFTER = frozenset({"drop_response", "malformed"})
DELIVERY = frozenset({"duplicate", "reorder"})
# By kind of update instead of a method: it is never queued.
LOSS = frozenset({"lose"})
FAULTS_MAX = 100


@dataclass(slots=True)
class Fault:
    """One rule; `hits` counts how often it struck, `count` bounds that."""

    id: int
    method: str
    kind: str
    chat_id: int | None = None
    probability: float = 1.0
    count: int | None = None
    seed: int = 0
    delay_s: float = 1.0
    retry_after_s: int = 1
    description: str = "Bad Request"
    hits: int = 0
    dice: random.Random = field(default_factory=random.Random, repr=False)

    def view(self) -> Json:
        """The rule as the control API shows it."""
        return {
            "id": self.id,
            "method": self.method,
            "kind": self.kind,
            "chat_id": self.chat_id,
            "probability": self.probability,
            "count": self.count,
            "seed": self.seed,
            "delay_s": self.delay_s,
            "retry_after_s": self.retry_after_s,
            "description": self.description,
            "hits": self.hits,
        }


class Faults:
    """The rules in the order they were set; the first that strikes wins."""

    def __init__(self) -> None:
        self.rules: list[Fault] = []
        self._last_id = 0

    def add(self, raw: Json) -> Fault:
        """Adds a rule from the control API's JSON; raises BadInput."""
        kind = raw.get("kind")
        if kind not in BEFORE | AFTER | DELIVERY | LOSS:
            raise BadInput(f"unknown kind {kind!r}")
        if len(self.rules) >= FAULTS_MAX:
            raise BadInput(f"at most {FAULTS_MAX} faults")
        self._last_id += 1
        try:
            fault = Fault(
                id=self._last_id,
                method=str(raw.get("method", "*")).lower(),
                kind=kind,
                chat_id=None if raw.get("chat_id") is None else int(raw["chat_id"]),
                probability=float(raw.get("probability", 1.0)),
                count=None if raw.get("count") is None else int(raw["count"]),
                seed=int(raw.get("seed", 0)),
                delay_s=float(raw.get("delay_s", 1.0)),
                retry_after_s=int(raw.get("retry_after_s", 1)),
                description=str(raw.get("description", "Bad Request")),
            )
        except (TypeError, ValueError) as error:
            raise BadInput(str(error)) from error
        fault.dice.seed(fault.seed)
        self.rules.append(fault)
        return fault

    def strike(self, method: str, chat_id: int | None, kinds: frozenset[str]) -> Fault | None:
        """The rule of these kinds that hits this call, counted, or None."""
        for fault in self.rules:
            if fault.kind not in kinds or (fault.count is not None and fault.hits >= fault.count):
                continue
            if fault.chat_id is not None and fault.chat_id != chat_id:
                continue
            if not fnmatchcase(method.lower(), fault.method):
                continue
            if fault.probability < 1.0 and fault.dice.random() >= fault.probability:
                continue
            fault.hits += 1
            return fault
        return None
