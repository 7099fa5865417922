"""Faults on purpose: rules that tests set by the control API, each with a random generator of its own."""

import random
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from sandbox.shop.errors import BadInput
from sandbox.shop.state import Json

BEFORE = frozenset({"http_500", "forbidden", "rate_limit", "html", "hang", "reset", "delay"})
AFTER = frozenset({"http_500_after", "html_after", "hang_after", "reset_after", "half_after"})
DELIVERY = frozenset({"drop", "duplicate", "reorder", "delay_notification"})
FAULTS_MAX = 100
DELAY_S_MAX = 30 * 24 * 3600.0


@dataclass(slots=True)
class Fault:
    """One rule; `hits` counts how often it struck, `count` bounds that. `event` is for notifications, the rest not."""

    id: int
    kind: str
    method: str = "*"
    path: str = "*"
    event: str = "*"
    probability: float = 1.0
    count: int | None = None
    seed: int = 0
    delay_s: float = 1.0
    hits: int = 0
    dice: random.Random = field(default_factory=random.Random, repr=False)

    def view(self) -> Json:
        """The rule as the control API shows it."""
        return {name: getattr(self, name) for name in self.__slots__ if name != "dice"}

    def strikes(self, kinds: frozenset[str]) -> bool:
        """Whether a request or notification that matches is hit; counts it if so."""
        if self.kind not in kinds or (self.count is not None and self.hits >= self.count):
            return False
        if self.probability < 1.0 and self.dice.random() >= self.probability:
            return False
        self.hits += 1
        return True


class Faults:
    """The rules in the order they were set; the first that strikes wins."""

    def __init__(self) -> None:
        self.rules: list[Fault] = []
        self._last_id = 0

    def add(self, raw: Json) -> Fault:
        """Adds a rule from the control API's JSON; raises BadInput."""
        if raw.get("kind") not in BEFORE | AFTER | DELIVERY:
            raise BadInput(f"unknown kind {raw.get('kind')!r}")
        if len(self.rules) >= FAULTS_MAX:
            raise BadInput(f"at most {FAULTS_MAX} faults")
        self._last_id += 1
        try:
            fault = Fault(
                id=self._last_id,
                kind=str(raw["kind"]),
                method=str(raw.get("method", "*")).upper(),
                path=str(raw.get("path", "*")),
                event=str(raw.get("event", "*")),
                probability=float(raw.get("probability", 1.0)),
                count=None if raw.get("count") is None else int(raw["count"]),
                seed=int(raw.get("seed", 0)),
                delay_s=min(float(raw.get("delay_s", 1.0)), DELAY_S_MAX),
            )
        except (TypeError, ValueError) as error:
            raise BadInput(str(error)) from error
        fault.dice.seed(fault.seed)
        self.rules.append(fault)
        return fault

    def of_request(self, method: str, path: str, kinds: frozenset[str]) -> Fault | None:
        """The rule of these kinds that hits this request, counted, or None."""
        for fault in self.rules:
            if fnmatchcase(method, fault.method) and fnmatchcase(path, fault.path) and fault.strikes(kinds):
                return fault
        return None

    def of_notification(self, event: str) -> Fault | None:
        """The rule that hits this notification, counted, or None."""
        for fault in self.rules:
            if fnmatchcase(event, fault.event) and fault.strikes(DELIVERY):
                return fault
        return None
