"""Drives a sandbox shop: as its customers and its operator by the control API, and as a merchant by the API itself.

async with shop_running() as bench:
    payment = await bench.merchant.pay_page("100.00", save=True)
    await bench.shop.pay(payment["id"])
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import aiohttp
from aiohttp import web

from sandbox.shop.server import Running, start
from sandbox.shop.state import SECRET_KEY_DEFAULT, SHOP_ID_DEFAULT

WAIT_S = 10.0
RETURN_URL = "http://127.0.0.1/thanks"

Json = dict[str, Any]


class ShopControlError(Exception):
    """The control API refused: `status` and its words."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(f"{status}: {words}")
        self.status, self.words = status, words


class SandboxShop:
    """The control API of a shop at `base_url`. Use it as an async context manager."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url.rstrip("/")
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._session.close()

    async def control(self, method: str, path: str, body: Json | None = None, /, **query: Any) -> Json:
        """A request to the control API; raises ShopControlError."""
        url = f"{self.base_url}/_control/{path}"
        async with self._session.request(method, url, json=body, params=query) as response:
            answer: Json = await response.json()
            if response.status != 200:
                raise ShopControlError(response.status, str(answer.get("error")))
            return answer

    async def pay(self, object_id: str, **choice: Any) -> Json:
        """As the customer on the page: card, method, save, decline; `confirm_3ds` answers the bank at once."""
        if "confirm_3ds" in choice:
            choice["3ds"] = choice.pop("confirm_3ds")
        return await self.control("POST", f"payments/{object_id}/pay", choice)

    async def confirm_3ds(self, object_id: str, *, ok: bool = True) -> Json:
        return await self.control("POST", f"payments/{object_id}/3ds", {"ok": ok})

    async def cancel(self, payment_id: str, reason: str) -> Json:
        """The bank or the shop says no to a payment that is not over."""
        return await self.control("POST", f"payments/{payment_id}/cancel", {"reason": reason})

    async def declines(self, method_id: str, reason: str | None, times: int | None = None) -> Json:
        """What the next charges of a saved method get."""
        return await self.control("PATCH", f"methods/{method_id}", {"decline": reason, "times": times})

    async def revoke(self, method_id: str) -> Json:
        return await self.control("DELETE", f"methods/{method_id}")

    async def settings(self, **changed: Any) -> Json:
        return await self.control("PATCH", "settings", changed)

    async def fault(self, kind: str, **rule: Any) -> Json:
        return await self.control("POST", "faults", {"kind": kind} | rule)

    async def clear_faults(self) -> None:
        await self.control("DELETE", "faults")

    async def advance(self, seconds: float) -> Json:
        """Moves the clock; what falls due, notifications and their retries included, has happened when it returns."""
        return await self.control("POST", "clock", {"advance_s": seconds})

    async def flush(self) -> int:
        """Waits until every notification that is due was tried; answers how many are still pending."""
        return int((await self.control("POST", "notifications/flush"))["pending"])

    async def totals(self) -> Json:
        """The shop's own books, in kopecks."""
        return await self.control("GET", "totals")

    async def calls(self, path: str = "*", **query: Any) -> list[Json]:
        calls: list[Json] = (await self.control("GET", "calls", None, path=path, **query))["calls"]
        return calls

    async def notifications(self, **query: Any) -> list[Json]:
        found: list[Json] = (await self.control("GET", "notifications", None, **query))["notifications"]
        return found

    async def reset(self) -> None:
        await self.control("POST", "reset")


@dataclass(slots=True)
class Answer:
    """What the API answered."""

    status: int
    body: Json


class Merchant:
    """Speaks API v3 as a shop's own server would."""

    def __init__(self, api_url: str, shop_id: str = SHOP_ID_DEFAULT, secret_key: str = SECRET_KEY_DEFAULT) -> None:
        self.api_url = api_url
        headers = {"Authorization": aiohttp.encode_basic_auth(shop_id, secret_key)}
        self._session = aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=WAIT_S))

    async def close(self) -> None:
        await self._session.close()

    async def get(self, path: str, **query: str) -> Answer:
        async with self._session.get(f"{self.api_url}/{path}", params=query) as response:
            return Answer(response.status, await response.json())

    async def post(self, path: str, body: Json | None = None, key: str | None = None) -> Answer:
        """A POST with a key of its own, unless one is given."""
        headers = {"Idempotence-Key": key or str(uuid.uuid4())}
        async with self._session.post(f"{self.api_url}/{path}", json=body or {}, headers=headers) as response:
            return Answer(response.status, await response.json())

    async def made(self, path: str, body: Json | None = None) -> Json:
        """The object that a POST made."""
        answer = await self.post(path, body)
        assert answer.status == 200, answer.body
        return answer.body

    async def seen(self, path: str, **query: str) -> Json:
        """The object or list at a path."""
        answer = await self.get(path, **query)
        assert answer.status == 200, answer.body
        return answer.body

    async def pay_page(self, value: str = "100.00", **fields: Any) -> Json:
        """A one-stage payment that waits for its customer; `save` asks to save the method."""
        return await self.made("payments", payment_body(value, **fields))

    async def charge(self, method_id: str, value: str = "100.00", **fields: Any) -> Json:
        """A charge of a saved method."""
        body = {"amount": rub(value), "capture": True, "payment_method_id": method_id}
        return await self.made("payments", body | fields)

    async def refund(self, payment_id: str, value: str, **fields: Any) -> Json:
        return await self.made("refunds", {"payment_id": payment_id, "amount": rub(value)} | fields)


def rub(value: str) -> Json:
    return {"value": value, "currency": "RUB"}


def payment_body(value: str = "100.00", *, save: bool = False, **fields: Any) -> Json:
    """The body of a payment that the customer confirms on the page."""
    body: Json = {
        "amount": rub(value),
        "capture": True,
        "confirmation": {"type": "redirect", "return_url": RETURN_URL},
    }
    if save:
        body["save_payment_method"] = True
    return body | fields


@dataclass
class Ear:
    """A merchant's address for notifications: `heard` in the order of arrival; `answers` are given first, then 200."""

    url: str = ""
    heard: list[Json] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, request: web.Request) -> web.Response:
        self.heard.append(await request.json())
        self.headers.append(request.headers)
        self.changed.set()
        return web.Response(status=self.answers.pop(0) if self.answers else 200)

    @property
    def events(self) -> list[str]:
        return [str(body["event"]) for body in self.heard]

    async def until(self, found: Callable[[], Any]) -> None:
        """Waits for notifications until that is true."""
        async with asyncio.timeout(WAIT_S):
            while not found():
                self.changed.clear()
                await self.changed.wait()

    def forget(self) -> None:
        self.heard.clear()
        self.headers.clear()
        self.answers.clear()


@dataclass(slots=True)
class ShopBench:
    """A shop, its control, its merchant, and what the merchant hears."""

    server: Running
    shop: SandboxShop
    merchant: Merchant
    ear: Ear

    async def empty(self) -> None:
        await self.shop.reset()
        self.ear.forget()


@asynccontextmanager
async def listening() -> AsyncIterator[Ear]:
    """An address on loopback that hears notifications."""
    ear = Ear()
    app = web.Application()
    app.router.add_post("/notify", ear.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    ear.url = f"http://127.0.0.1:{runner.addresses[0][1]}/notify"
    try:
        yield ear
    finally:
        await runner.cleanup()


@asynccontextmanager
async def shop_running(*, data: Path | None = None) -> AsyncIterator[ShopBench]:
    """A shop that notifies an ear, closed at the end."""
    async with listening() as ear:
        server = await start(data=data, notification_url=ear.url)
        merchant = Merchant(server.api_url)
        try:
            async with SandboxShop(server.base_url) as shop:
                yield ShopBench(server, shop, merchant, ear)
        finally:
            await merchant.close()
            await server.close()
