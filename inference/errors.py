"""What can go wrong between Forma and a model server.

    kit.errors.Unavailable
    └── ModelError               `retryable`: another replica, or a later try, may help
        ├── ConnectFailed        no connection: refused, no such host, connecting took too long
        ├── ConnectionLost       reset or closed before the answer was whole
        ├── TimedOut             `stage` says which limit: connect, first_token, between_tokens, total, reply
        ├── ServerFailed         HTTP 5xx, or an error inside the stream (a dead engine)
        ├── Busy                 HTTP 429 or 503; `retry_after_s` where the server said it
        ├── BrokenAnswer         half a stream, no JSON, fields of a wrong shape
        │   └── BadUsage         the usage is missing or cannot be true
        ├── NoReplica            all servers of the model are out of service, drained or full: nothing was asked
        ├── ReplicaRefused       HTTP 401, 403, 404: this replica has another key or another model
        └── RequestRefused       any other 4xx: no replica would take this request; not retryable
            └── PromptTooLong    the prompt does not fit into the context

`started` says whether text of the answer had already been yielded: after that a retry starts a new answer.
Nothing of the prompt or the answer is in the message.
"""

from typing import ClassVar, Final

from kit.errors import Unavailable

BUSY_S_MAX: Final = 10.0
"""A server that answers 429 or 503 gets nothing for as long as it says, but no longer than this."""


class ModelError(Unavailable):
    """Root of the tree; `detail` is for the log. `wait_s`: how long the server wants to be left alone."""

    retryable: ClassVar[bool] = True
    wait_s: float = 0.0

    def __init__(self, detail: str = "", *, started: bool = False) -> None:
        super().__init__("vllm", detail)
        self.started = started


class ConnectFailed(ModelError):
    """Nothing listens there, or it did not accept in time."""


class ConnectionLost(ModelError):
    """The connection ended before the answer did."""


class TimedOut(ModelError):
    """A named time-out passed; `stage` is its name without the unit."""

    def __init__(self, stage: str, *, started: bool = False) -> None:
        super().__init__(stage, started=started)
        self.stage = stage


class ServerFailed(ModelError):
    """The server says that it failed. `status` is the HTTP status, or the code of an error inside the stream."""

    def __init__(self, status: int, detail: str = "", *, started: bool = False) -> None:
        super().__init__(f"{status} {detail}".strip(), started=started)
        self.status = status


class Busy(ModelError):
    """The server takes no more now. `retry_after_s` is None where it did not say."""

    def __init__(self, status: int, retry_after_s: float | None) -> None:
        super().__init__(str(status))
        self.status, self.retry_after_s = status, retry_after_s
        self.wait_s = min(retry_after_s or 0.0, BUSY_S_MAX)


class BrokenAnswer(ModelError):
    """What came is not an answer in the OpenAI dialect, or it stopped half-way."""


class BadUsage(BrokenAnswer):
    """The token counts are missing or impossible; nothing may be charged by them."""


class NoReplica(ModelError):
    """No server of the model takes a request now."""


class ReplicaRefused(ModelError):
    """The replica is set up differently from what models.toml says."""

    def __init__(self, status: int, detail: str = "") -> None:
        super().__init__(f"{status} {detail}".strip())
        self.status = status


class RequestRefused(ModelError):
    """The request itself is wrong; sending it again changes nothing."""

    retryable = False

    def __init__(self, status: int, detail: str = "", param: str | None = None) -> None:
        super().__init__(f"{status} {param or ''} {detail}".strip())
        self.status, self.param = status, param


class PromptTooLong(RequestRefused):
    """The prompt and the answer do not fit into the model's context. vLLM does not tell the prompt's true length."""
