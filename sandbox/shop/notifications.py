"""Tells the merchant what happened: POSTs until the answer is 200, with growing delays, for a day of its clock."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import asdict

import aiohttp
import orjson

from sandbox.shop.faults import Faults
from sandbox.shop.state import Json, Notification, State

BACKOFF_S = (10, 30, 60, 300, 900, 1800, 3600)
GIVE_UP_AFTER_MS = 24 * 3600 * 1000
POST_TIMEOUT_S = 5.0
LOOK_EVERY_S = 0.25
TOGETHER_MAX = 8
PENDING_MAX = 50_000
FINISHED_MAX = 10_000
USER_AGENT = "Forma-Sandbox-Shop (simulated)"


class Notifier:
    """Owns the task that delivers. What is pending is in the state, so that it survives a restart."""

    def __init__(self, state: State, faults: Faults, now_ms: Callable[[], int], changed: Callable[[], None]) -> None:
        self._state, self._faults, self._now_ms, self._changed = state, faults, now_ms, changed
        self._held: list[Notification] = []
        self._wake = asyncio.Event()
        self._one_round = asyncio.Lock()
        self._session: aiohttp.ClientSession | None = None
        self._task: asyncio.Task[None] | None = None
        self.finished: deque[Notification] = deque(maxlen=FINISHED_MAX)

    def start(self) -> None:
        """Begins to deliver."""
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=POST_TIMEOUT_S), headers={"User-Agent": USER_AGENT}
        )
        self._task = asyncio.create_task(self._run(), name="sandbox-shop-notify")

    async def close(self) -> None:
        """Stops; what is undelivered stays pending."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def clear(self) -> None:
        """Forgets everything."""
        self._held.clear()
        self.finished.clear()

    def notify(self, event: str, object_id: str, body: Json, at_ms: int | None = None) -> None:
        """Queues a notification, or loses, doubles, holds back or delays it where a fault says so; never waits."""
        created_ms = self._now_ms() if at_ms is None else at_ms
        content = {"type": "notification", "event": event, "object": body}
        made = Notification(self._serial(), event, object_id, content, created_ms, created_ms)
        if self._state.settings.notification_url is None:
            self._finish(made, "no_url")
            return
        fault = self._faults.of_notification(event)
        kind = fault.kind if fault is not None else None
        if kind == "drop":
            self._finish(made, "dropped")
            return
        if fault is not None and kind in {"delay_notification", "reorder"}:
            made.next_ms += int(fault.delay_s * 1000)
        self._queue(made)
        if kind == "reorder":
            made.alone, made.state = True, "held"
            self._held.append(made)
        elif self._held:
            self._release(made)
        if kind == "duplicate":
            self._queue(Notification(self._serial(), event, object_id, content, created_ms, made.next_ms))
        self._wake.set()

    def _serial(self) -> int:
        self._state.serial += 1
        return self._state.serial

    def _queue(self, made: Notification) -> None:
        pending = self._state.notifications
        if len(pending) >= PENDING_MAX:
            self._finish(pending.popleft(), "given_up")
        pending.append(made)
        self._changed()

    def _release(self, after: Notification) -> None:
        """Puts what was held back right behind a later notification."""
        for held in self._held:
            if held.state == "held":
                held.state, held.next_ms = "pending", after.next_ms + 1
        self._held.clear()

    def _finish(self, one: Notification, state: str) -> None:
        one.state = state
        self.finished.append(one)

    def views(self) -> list[Json]:
        """Every notification that is remembered, oldest first."""
        everything = [*self.finished, *self._state.notifications]
        return [asdict(one) for one in sorted(everything, key=lambda one: one.serial)]

    async def flush(self) -> None:
        """Delivers what is due by the shop's clock, its retries included, before it returns."""
        while await self._round():
            pass

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            await self.flush()
            try:
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _due(self) -> list[Notification]:
        """The next ones to be sent at the same time: at most one of each object, and who is alone goes alone."""
        now_ms = self._now_ms()
        due = [one for one in self._state.notifications if one.next_ms <= now_ms]
        due.sort(key=lambda one: (one.next_ms, one.serial))
        chosen: list[Notification] = []
        for one in due:
            if len(chosen) == TOGETHER_MAX or one.object_id in {other.object_id for other in chosen}:
                break
            if one.alone and chosen:
                break
            chosen.append(one)
            if one.alone:
                break
        return chosen

    async def _round(self) -> bool:
        """Sends one batch; False when nothing was due."""
        async with self._one_round:
            batch = self._due()
            if batch:
                await asyncio.gather(*(self._attempt(one) for one in batch))
                self._changed()
            return bool(batch)

    async def _attempt(self, one: Notification) -> None:
        url = self._state.settings.notification_url
        one.attempts += 1
        error = "no address is set" if url is None else await self._post(url, one.body)
        pending = self._state.notifications
        if one not in pending:  # the shop was emptied meanwhile
            return
        if error is None:
            pending.remove(one)
            self._finish(one, "delivered")
            return
        one.state, one.last_error = "pending", error
        one.next_ms += BACKOFF_S[min(one.attempts, len(BACKOFF_S)) - 1] * 1000
        if one.next_ms > one.created_ms + GIVE_UP_AFTER_MS:
            pending.remove(one)
            self._finish(one, "given_up")

    async def _post(self, url: str, body: Json) -> str | None:
        """None when the merchant said 200, else why not."""
        assert self._session is not None, "start first"
        headers = {"Content-Type": "application/json"}
        if self._state.settings.forwarded_for is not None:
            headers["X-Forwarded-For"] = self._state.settings.forwarded_for
        try:
            async with self._session.post(
                url, data=orjson.dumps(body), headers=headers, allow_redirects=False
            ) as response:
                return None if response.status == 200 else f"HTTP {response.status}"
        except (aiohttp.ClientError, TimeoutError, ValueError) as failure:
            return type(failure).__name__
