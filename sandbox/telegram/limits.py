"""Telegram's sending rates as three sets of buckets (GCRA: one number each), in real time.

The rates are those of Telegram's bots FAQ; bursts are assumptions, see docs/sandbox.md.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from sandbox.telegram.errors import ApiError

SENDS = frozenset(
    {
        "sendMessage",
        "sendRichMessage",
        "sendPhoto",
        "sendVoice",
        "sendDocument",
        "sendInvoice",
        "editMessageText",
        "editMessageReplyMarkup",
    }
)
DRAFTS = frozenset({"sendMessageDraft", "sendRichMessageDraft"})
BUCKETS_MAX = 10_000


@dataclass(slots=True)
class Rates:
    """Rates by name; `enabled` false lets everything through."""

    enabled: bool = True
    chat_per_s: float = 1.0
    chat_burst: int = 5
    group_per_min: float = 20.0
    all_per_s: float = 30.0
    all_burst: int = 30
    draft_chat_per_s: float = 2.0
    draft_chat_burst: int = 10


class Limits:
    """Refuses what comes too fast. A refused call costs nothing, so the penalty does not grow."""

    def __init__(self, rates: Rates | None = None, now: Callable[[], float] = time.monotonic) -> None:
        self.rates = rates or Rates()
        self._now = now
        self._due: dict[tuple[str, int], float] = {}

    def clear(self) -> None:
        """Forgets all that was sent."""
        self._due.clear()

    def take(self, method: str, chat_id: int | None, *, paid: bool = False) -> None:
        """Counts a call of `method` to the chat; raises ApiError 429 with retry_after in whole seconds."""
        rates = self.rates
        if not rates.enabled or chat_id is None or (method not in SENDS and method not in DRAFTS):
            return
        if method in DRAFTS:
            chat = (("draft", chat_id), 1 / rates.draft_chat_per_s, rates.draft_chat_burst)
        elif chat_id < 0:
            chat = (("chat", chat_id), 60 / rates.group_per_min, int(rates.group_per_min))
        else:
            chat = (("chat", chat_id), 1 / rates.chat_per_s, rates.chat_burst)
        buckets = [chat] if paid else [chat, (("all", 0), 1 / rates.all_per_s, rates.all_burst)]
        now = self._now()
        wait_s = max(self._due.get(key, 0.0) - every_s * (burst - 1) - now for key, every_s, burst in buckets)
        if wait_s > 0:
            retry_after = max(1, math.ceil(wait_s))
            raise ApiError(429, f"Too Many Requests: retry after {retry_after}", retry_after=retry_after)
        for key, every_s, _ in buckets:
            self._due[key] = max(self._due.get(key, 0.0), now) + every_s
        if len(self._due) > BUCKETS_MAX:
            self._due = {key: due for key, due in self._due.items() if due > now}
