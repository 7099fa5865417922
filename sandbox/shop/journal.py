"""The log of the merchant's requests that tests read: bounded, in memory, without the secret key and long lists."""

import time
from collections import deque
from collections.abc import Iterator
from fnmatch import fnmatchcase

from sandbox.shop.state import Json

CALLS_MAX = 20_000


class Journal:
    """The last CALLS_MAX requests; `last_seq` is the number of the newest, 0 before the first."""

    def __init__(self) -> None:
        self.last_seq = 0
        self.ring: deque[Json] = deque(maxlen=CALLS_MAX)

    def clear(self) -> None:
        """Forgets the requests; numbers go on."""
        self.ring.clear()

    def add(self, call: Json, *, began: float, status: int, answer: Json, fault: str | None) -> None:
        """Remembers a request; `began` is monotonic, `answer` what was (or would have been) answered,
        a list with the ids of its items only."""
        self.last_seq += 1
        if answer.get("type") == "list":
            answer = answer | {"items": [item["id"] for item in answer["items"]]}
        took_s = time.monotonic() - began
        self.ring.append(
            {
                "seq": self.last_seq,
                **call,
                "status": status,
                "answer": answer,
                "fault": fault,
                "at": time.time() - took_s,
                "duration_ms": round(took_s * 1000, 3),
            }
        )

    def select(self, *, method: str | None, path: str, since: int, limit: int) -> Iterator[Json]:
        """Requests after `since` whose path matches the pattern, oldest first, at most `limit`."""
        for call in self.ring:
            if limit <= 0:
                return
            if call["seq"] <= since or (method and call["method"] != method) or not fnmatchcase(call["path"], path):
                continue
            limit -= 1
            yield call
