"""The load's side of the sandbox Telegram: persons who act, and the events that tell what they see."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import orjson

ANSWER_TIMEOUT_S = 180.0
STARTS_MAX = 10  # persons who press /start at once


class Telegram:
    """The load's side of the sandbox: persons who act, and the events that tell what they see."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = url
        self._session = session
        self._finals: dict[int, asyncio.Event] = {}
        self.firsts: dict[int, asyncio.Future[float]] = {}
        self.refused = 0

    async def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        async with self._session.post(f"{self._url}/_control/{path}", json=body) as response:
            answer: dict[str, Any] = await response.json(loads=orjson.loads)
            assert response.status == 200, answer
            return answer

    @contextlib.asynccontextmanager
    async def followed(self) -> AsyncIterator[None]:
        """Note each bot message and each first text of an answer at the moment it is told; a failure ends the body."""
        url = f"{self._url}/_control/events?types=message,draft,call"
        async with (
            self._session.ws_connect(url, max_msg_size=0) as socket,
            asyncio.TaskGroup() as group,
        ):
            follower = group.create_task(self._follow(socket))
            yield
            follower.cancel()

    async def _follow(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for frame in socket:
            event = orjson.loads(frame.data)
            chat, kind = event.get("chat_id"), event["type"]
            if kind == "call":
                self.refused += event.get("error_code") == 429
                continue
            final = kind == "message" and event["message"]["from"]["is_bot"]
            # A draft that says the place in the queue is not to be kept on a stop; one with text of the answer is.
            if final or (kind == "draft" and event["draft"]["text"] and event["draft"]["keep_on_stop"]):
                waiter = self.firsts.get(chat)
                if waiter and not waiter.done():
                    waiter.set_result(time.perf_counter())
            if final:
                self._finals.setdefault(chat, asyncio.Event()).set()
        raise ConnectionError("the sandbox closed its event socket")

    async def ask(self, person: int, text: str) -> None:
        """Send and wait for the final."""
        final = self._finals.setdefault(person, asyncio.Event())
        final.clear()
        await self.post(f"persons/{person}/send", {"text": text})
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            await final.wait()

    def first_text(self, person: int) -> "asyncio.Future[float]":
        """Return what will be the moment (perf_counter) of the person's next text of an answer, draft or final."""
        self.firsts[person] = asyncio.get_running_loop().create_future()
        return self.firsts[person]

    async def people(self, count: int, language: str = "ru") -> list[int]:
        """Return new persons who have started the bot."""
        found: list[int] = []
        while len(found) < count:
            found += await asyncio.gather(*(self.person(language) for _ in range(min(STARTS_MAX, count - len(found)))))
        return found

    async def person(self, language: str = "ru") -> int:
        body = {"first_name": "Нагрузка", "language_code": language}
        person: int = (await self.post("persons", body))["id"]
        final = self._finals.setdefault(person, asyncio.Event())
        await self.post(f"persons/{person}/start", {})
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            await final.wait()
        return person
