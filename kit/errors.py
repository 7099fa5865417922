"""Errors by what the reader of them can do.

    FormaError
    ├── Rejected        expected; `code` is a locale key, `params` its arguments: the person is told
    │   ├── InsufficientTokens
    │   ├── RateLimited
    │   └── QueueFull
    ├── Conflict        the same key came with another payload: a caller's bug or an attack
    ├── Unavailable     a dependency is away; retried within a bound, then told with an error code
    └── Misconfigured   a setting or a file is wrong: the operator is told what to change

Everything else is a bug: it rolls back, is logged with its traceback and alerts the admin group.
Words are made only at the edges (bot, web, cli).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar


class FormaError(Exception):
    """Root of the errors that Forma raises on purpose."""


class Rejected(FormaError):
    """A person asked for something that can't be done now; `code` is the locale key that says so."""

    code: ClassVar[str] = "error-rejected"

    def __init__(self, **params: Any) -> None:
        super().__init__(self.code, params)
        self.params = params


class InsufficientTokens(Rejected):
    """The wallet cannot afford even the smallest answer. `posted` and `reserved` are tokens.

    reserved > 0 means that another answer is open: callers wait for it instead of telling the person. `next_s` is how
    long until free tokens come, 0 where none will; whoever knows the person's plan fills it in.
    """

    code = "error-insufficient-tokens"

    def __init__(self, *, posted: int, reserved: int, needed: int, next_s: int = 0) -> None:
        super().__init__(posted=posted, reserved=reserved, needed=needed, next_s=next_s)
        self.posted, self.reserved, self.needed, self.next_s = posted, reserved, needed, next_s


@dataclass(frozen=True, slots=True)
class Lift:
    """What a limit of the person's plan is, and the cheapest plan that allows more; `titles` are its names by language.

    `own` 0: no plan's limit. An empty `plan_id`: no plan for sale allows more. `most` is what it allows, 0: no limit.
    """

    own: int = 0
    plan_id: str = ""
    titles: Mapping[str, str] | None = None
    most: int = 0


class RateLimited(Rejected):
    """A per-person limit was reached; `limit` names it, `retry_after_s` says when it clears (seconds, > 0)."""

    code = "error-rate-limited"

    def __init__(self, *, limit: str, retry_after_s: float, lift: Lift = Lift()) -> None:
        super().__init__(limit=limit, retry_after_s=retry_after_s, own=lift.own, plan=lift.titles, most=lift.most)
        self.limit, self.retry_after_s, self.lift = limit, retry_after_s, lift


class QueueFull(Rejected):
    """The person's own queue, or the whole one, is at its bound; nothing was charged."""

    code = "error-queue-full"

    def __init__(self, *, scope: str, retry_after_s: float, lift: Lift = Lift()) -> None:
        super().__init__(scope=scope, retry_after_s=retry_after_s, own=lift.own, plan=lift.titles, most=lift.most)
        self.scope, self.retry_after_s, self.lift = scope, retry_after_s, lift


class Conflict(FormaError):
    """An idempotency key was used again with a different payload."""


class Unavailable(FormaError):
    """A dependency did not answer as it should. `what` names it: 'vllm', 'telegram', 'postgres', 'redis'."""

    def __init__(self, what: str, detail: str = "") -> None:
        super().__init__(what, detail)
        self.what, self.detail = what, detail


class Misconfigured(FormaError):
    """A setting, plans.toml or models.toml is wrong; `args[0]` says where and what to write instead."""
