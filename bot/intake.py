"""Intake: updates become inbox rows, then the offset moves; handlers run from the rows.

Updates of one chat are handled in order; those that a person waits for at the payment sheet or at a button go first
and never wait behind a message that is being handled.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import structlog
from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiohttp import ClientError, ClientTimeout

from app.context import App
from kit import inbox, signals
from kit.errors import Unavailable
from kit.inbox import Item

log = structlog.get_logger(__name__)

ALLOWED_UPDATES = (
    "message",
    "edited_message",
    "callback_query",
    "pre_checkout_query",
    "my_chat_member",
    "subscription",
    "stopped_message_generation",
)
URGENT = frozenset({"pre_checkout_query", "callback_query", "stopped_message_generation"})
POLL_TIMEOUT_S = 25
FETCH_MAX = 100
RETRY_FIRST_S, RETRY_MAX_S = 0.5, 15.0
# In memory at once; beyond it fetching pauses, and Telegram keeps what is to come.
BACKLOG_MAX = 2_000
LOOK_EVERY_S = 2.0
# People at the payment sheet are refused in words when nothing can be stored: Telegram waits 10 s for that.
STORE_S = 6.0

Handle = Callable[[Item], Awaitable[None]]
Refuse = Callable[[dict[str, Any]], Awaitable[None]]


class Intake:
    """Fetches (or is told of) updates and hands each to `handle`, in order per chat.

    `refuse` answers a raw pre_checkout update that could not be stored.
    """

    def __init__(self, app: App, bot: Bot, handle: Handle, refuse: Refuse) -> None:
        self._app = app
        self._bot = bot
        self._handle = handle
        self._refuse = refuse
        self._lines: dict[int, deque[Item]] = {}
        self._known: set[int] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._last_id = 0

    async def run(self, listener: signals.Listener) -> None:
        """Take up what a crash left, then fetch until cancelled; handlers that run are finished first."""
        try:
            async with asyncio.TaskGroup() as group:
                await self._recover()
                group.create_task(self._look(listener.events[signals.INBOX]), name="inbox-look")
                if self._app.settings.telegram_mode == "polling":
                    group.create_task(self._poll(), name="updates-poll")
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def backlog(self) -> int:
        """How many updates are in memory and not handled yet."""
        return len(self._known)

    async def _recover(self) -> None:
        while True:
            async with self._app.db.read() as connection:
                items = await inbox.unhandled(
                    connection, source=inbox.TELEGRAM, limit=FETCH_MAX, after_id=self._last_id
                )
            for item in items:
                self._last_id = max(self._last_id, item.id)
                self._dispatch(item)
            if len(items) < FETCH_MAX or self.backlog >= BACKLOG_MAX:
                return

    async def _look(self, signal: asyncio.Event) -> None:
        """Find rows that other processes stored (webhooks), or that did not fit into memory before."""
        while True:
            await signals.wait(signal, LOOK_EVERY_S)
            signal.clear()
            try:
                if self.backlog < BACKLOG_MAX:
                    await self._recover()
            except Exception as error:
                log.warning("inbox_unreadable", error=type(error).__name__)

    async def _poll(self) -> None:
        offset: int | None = None
        pause_s = RETRY_FIRST_S
        while True:
            if self.backlog >= BACKLOG_MAX:
                await asyncio.sleep(RETRY_FIRST_S)
                continue
            updates: list[dict[str, Any]] = []
            try:
                updates = await self._fetch(offset)
                async with asyncio.timeout(STORE_S):
                    await self._store(updates)
            except (ClientError, OSError, TimeoutError, Unavailable, ValueError) as error:
                log.warning("fetch_failed", error=type(error).__name__, pause_s=pause_s, detail=str(error)[:200])
                await self._refuse_payments(updates)
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, RETRY_MAX_S)
                continue
            except Exception as error:  # the database is away: nothing is confirmed, nothing is lost
                log.warning("store_failed", error=type(error).__name__, pause_s=pause_s)
                await self._refuse_payments(updates)
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, RETRY_MAX_S)
                continue
            pause_s = RETRY_FIRST_S
            if updates:
                offset = max(update["update_id"] for update in updates) + 1

    async def _fetch(self, offset: int | None) -> list[dict[str, Any]]:
        """Call getUpdates for the raw updates: they are stored as they came and parsed once, when handled."""
        session = self._bot.session
        assert isinstance(session, AiohttpSession)
        client = await session.create_session()
        url = session.api.api_url(token=self._bot.token, method="getUpdates")
        body = {"timeout": POLL_TIMEOUT_S, "limit": FETCH_MAX, "allowed_updates": ALLOWED_UPDATES}
        if offset is not None:
            body["offset"] = offset
        async with client.post(url, json=body, timeout=ClientTimeout(total=POLL_TIMEOUT_S + 10)) as response:
            answer = orjson.loads(await response.read())
        if not answer.get("ok"):
            raise Unavailable("telegram", f"{answer.get('error_code')} {answer.get('description')}")
        result: list[dict[str, Any]] = answer["result"]
        return result

    async def _store(self, updates: list[dict[str, Any]]) -> None:
        if not updates:
            return
        async with self._app.db.transaction() as tx:
            items = await inbox.store(
                tx,
                source=inbox.TELEGRAM,
                # Ids grow in the order in which things happened, whatever the order of a batch.
                bodies=[(str(up["update_id"]), up) for up in sorted(updates, key=lambda up: int(up["update_id"]))],
                now=self._app.clock.now(),
            )
        for item in items:
            self._last_id = max(self._last_id, item.id)
            self._dispatch(item)

    async def _refuse_payments(self, updates: list[dict[str, Any]]) -> None:
        for update in updates:
            if "pre_checkout_query" in update:
                await self._refuse(update)

    def _dispatch(self, item: Item) -> None:
        if item.id in self._known:
            return
        self._known.add(item.id)
        if any(kind in item.body for kind in URGENT):
            self._spawn(self._run_one(item))
            return
        chat = _chat_of(item.body)
        line = self._lines.get(chat)
        if line is not None:
            line.append(item)
            return
        self._lines[chat] = deque([item])
        self._spawn(self._run_line(chat))

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run_line(self, chat: int) -> None:
        line = self._lines[chat]
        while line:
            await self._run_one(line.popleft())
        del self._lines[chat]

    async def _run_one(self, item: Item) -> None:
        try:
            await self._handle(item)
        finally:
            self._known.discard(item.id)


def _chat_of(update: dict[str, Any]) -> int:
    """Return what an update is ordered by: its chat, or its person where it has none."""
    for kind, content in update.items():
        if kind == "update_id" or not isinstance(content, dict):
            continue
        owner = content.get("chat") or content.get("from") or content.get("user") or {}
        return int(owner.get("id", 0))
    return 0
