"""Posts updates to the bot's webhook: one at a time, in order, again with backoff until the answer is 2xx."""

import asyncio

import aiohttp
import orjson

from sandbox.telegram.faults import DELIVERY, Faults
from sandbox.telegram.state import Json
from sandbox.telegram.updates import Updates

BACKOFF_S_FIRST = 0.5
BACKOFF_S_MAX = 30.0
POST_TIMEOUT_S = 60.0
REORDER_MAX = 10
SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105  # a header's name


class WebhookDelivery:
    """Owns the task that delivers; `wake` is called when a webhook is set or removed."""

    def __init__(self, updates: Updates, faults: Faults) -> None:
        self._updates, self._faults = updates, faults
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to deliver whatever is pending while a webhook is set."""
        self._task = asyncio.create_task(self._run(), name="sandbox-webhook")

    def wake(self) -> None:
        """Looks at the webhook again, at once."""
        self._changed.set()
        self._updates.arrived.set()

    async def close(self) -> None:
        """Stops; what is undelivered stays pending."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        timeout = aiohttp.ClientTimeout(total=POST_TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while True:
                if self._updates.state.webhook is None:
                    self._changed.clear()
                    await self._changed.wait()
                    continue
                self._updates.expire()
                if not self._updates.state.pending:
                    self._updates.arrived.clear()
                    await self._updates.arrived.wait()
                    continue
                await self._deliver_batch(session)

    async def _deliver_batch(self, session: aiohttp.ClientSession) -> None:
        fault = self._faults.strike("getUpdates", None, DELIVERY)
        batch = self._updates.batch(1 if fault is None or fault.kind != "reorder" else REORDER_MAX)
        if fault is not None and fault.kind == "reorder":
            batch = batch[::-1]
        for body in batch:
            for _ in range(2 if fault is not None and fault.kind == "duplicate" else 1):
                if not await self._deliver(session, body):
                    return
        if batch:
            self._updates.confirm(max(body["update_id"] for body in batch) + 1)

    async def _deliver(self, session: aiohttp.ClientSession, body: Json) -> bool:
        """Posts one update until 2xx; False when the webhook was changed meanwhile."""
        backoff_s = BACKOFF_S_FIRST
        while (webhook := self._updates.state.webhook) is not None:
            headers = {"Content-Type": "application/json"}
            if webhook.secret_token:
                headers[SECRET_HEADER] = webhook.secret_token
            self._changed.clear()
            try:
                async with session.post(webhook.url, data=orjson.dumps(body), headers=headers) as response:
                    if response.status // 100 == 2:
                        return True
                    error = f"Wrong response from the webhook: {response.status} {response.reason}"
            except (aiohttp.ClientError, TimeoutError) as failure:
                error = f"Connection failed: {type(failure).__name__}"
            webhook.last_error = error
            webhook.last_error_at = int(self._updates.clock_now())
            try:
                async with asyncio.timeout(backoff_s):
                    await self._changed.wait()
                return False
            except TimeoutError:
                backoff_s = min(backoff_s * 2, BACKOFF_S_MAX)
        return False
