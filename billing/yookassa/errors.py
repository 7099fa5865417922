"""What a call to YooKassa ends in, when it is not the object that was asked for.

Rejected
└── Refused      4xx: nothing was done and nothing will be; `reason` and `parameter` are YooKassa's own words
Unavailable
├── NotReached   the request was not taken (no connection, 429, wrong credentials): the same one may go again
└── Unknown      it may have been taken (500, time-out, reset, HTML, broken JSON): only the provider can tell
"""

from kit.errors import Rejected, Unavailable

PROVIDER = "yookassa"


class Refused(Rejected):
    """YooKassa will not do it: final for this idempotency key. `status` is the HTTP status."""

    code = "error-payment-refused"

    def __init__(self, *, status: int, reason: str, parameter: str = "") -> None:
        super().__init__()
        self.status, self.reason, self.parameter = status, reason, parameter

    def __str__(self) -> str:
        return f"{self.status} {self.reason} {self.parameter}".rstrip()


class NotReached(Unavailable):
    """The request did nothing, and may be made again as it is."""

    def __init__(self, detail: str) -> None:
        super().__init__(PROVIDER, detail)


class Unknown(Unavailable):
    """Nobody here knows whether the request was carried out: ask, or repeat it with the same key and body."""

    def __init__(self, detail: str) -> None:
        super().__init__(PROVIDER, detail)
