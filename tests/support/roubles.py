"""Forma with a shop that takes roubles, and a person's browser on the page where they pay."""

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from html import unescape
from typing import Any

import aiohttp

import sandbox.model.server
import sandbox.telegram.server
from app import card_renewals, rouble_payments, rouble_receipts, rouble_refunds
from sandbox.shop.server import Running, start
from sandbox.shop.state import SECRET_KEY_DEFAULT, SHOP_ID_DEFAULT
from tests.support import shop as chat
from tests.support.forma import Forma, running
from tests.support.shop import Tongue
from tests.support.shop_driver import SandboxShop
from tests.support.telegram import Person

EMAIL = "ada@example.org"
# How long the client waits where a test makes the shop hang.
CALL_S = 0.5
PACK = 300_000


@dataclass(frozen=True)
class Shown:
    """A page as a browser gets it: `text` is what is read, `fields` what its form sends, `to` a redirect's target."""

    status: int
    html: str
    to: str
    headers: dict[str, str]

    @property
    def text(self) -> str:
        body = re.sub(r"<style>.*?</style>", "", self.html)
        return unescape(re.sub(r"<[^>]+>", " ", body)).replace("\u00a0", " ").replace("\u202f", " ")

    @property
    def fields(self) -> dict[str, str]:
        """What the form sends as it is shown: a tick that nobody set sends nothing."""
        found = re.findall(r'<input(?! type="checkbox")[^>]* name="(\w+)"[^>]* value="([^"]*)"', self.html)
        return {name: unescape(value) for name, value in found}


class Browser:
    """Opens pages and presses their button; follows no redirect by itself."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def open(self, url: str) -> Shown:
        async with self._session.get(url, allow_redirects=False) as response:
            return await _shown(response)

    async def press(self, url: str, page: Shown, **typed: str) -> Shown:
        """Send the form of a page."""
        async with self._session.post(url, data=page.fields | typed, allow_redirects=False) as response:
            return await _shown(response)

    async def post(self, url: str, **body: Any) -> int:
        async with self._session.post(url, **body) as response:
            return response.status


async def _shown(response: aiohttp.ClientResponse) -> Shown:
    return Shown(response.status, await response.text(), response.headers.get("Location", ""), dict(response.headers))


@dataclass
class Market:
    """Everything that a purchase in roubles touches."""

    forma: Forma
    server: Running
    shop: SandboxShop
    browser: Browser
    telegram: sandbox.telegram.server.Running

    @property
    def notifications_url(self) -> str:
        return f"{self.forma.app.settings.site_url}/yookassa/notifications"

    async def link(self, person: Person, say: Tongue, label: str) -> str:
        """Choose a product in the chat; the address of its page."""
        return chat.url_of(await chat.sheet(person, say, label))

    async def begin(self, url: str, **typed: str) -> str:
        """Press the page's button; the id of the payment at the shop."""
        page = await self.browser.open(url)
        went = await self.browser.press(url, page, email=EMAIL, **typed)
        assert went.status == 303, went.text
        assert went.to.startswith(f"{self.shop.base_url}/checkout/")
        return went.to.rpartition("/")[2]

    async def payments(self) -> list[dict[str, Any]]:
        """Every payment that the shop knows."""
        found: list[dict[str, Any]] = (await self.shop.control("GET", "payments"))["payments"]
        return found

    async def granted(self, person: Person) -> int:
        return int(await self.forma.scalar(chat.PACK_TOKENS, id=person.id))

    async def status(self, person: Person) -> str:
        """The status of a person's latest payment."""
        sql = "SELECT status FROM payments WHERE payer_id = :id ORDER BY id DESC LIMIT 1"
        return str(await self.forma.scalar(sql, id=person.id))

    async def sweep(self, **later: float) -> None:
        """Move the one clock on (by two minutes at least) and let the schedule do its part."""
        later = later or {"seconds": 120}
        await self.forma.advance(**later)
        offset_s = self.forma.app.clock.offset.total_seconds()
        await self.shop.control("POST", "clock", {"offset_s": offset_s})
        await rouble_payments.sweep(self.forma.app)
        await card_renewals.sweep(self.forma.app)
        await rouble_refunds.sweep(self.forma.app)
        await rouble_receipts.sweep(self.forma.app)

    async def heard(self) -> None:
        """Wait until every notification was delivered and handled."""
        await self.shop.flush()
        await self.forma.quiet_until("SELECT NOT EXISTS (SELECT FROM inbox WHERE handled_at IS NULL)")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.asynccontextmanager
async def market(
    database_url: str, redis_url: str, *, telegram_port: int = 0, **settings: Any
) -> AsyncIterator[Market]:
    """Forma on a simulated Telegram, model and shop, with its web; `settings` as in .env."""
    tg = await sandbox.telegram.server.start(port=telegram_port)
    model = await sandbox.model.server.start(first_token_base_s=0.01, inter_token_s=0.004)
    shop = await start()
    chosen = {
        "admin_chat_id": -5000,
        "http_port": free_port(),
        "yookassa_shop_id": SHOP_ID_DEFAULT,
        "yookassa_secret_key": SECRET_KEY_DEFAULT,
        "yookassa_api_url": shop.api_url,
        "yookassa_networks": "127.0.0.1",
    }
    try:
        parts = ("bot", "worker", "web")
        async with (
            running(database_url, redis_url, tg, model, start=parts, **(chosen | settings)) as forma,
            SandboxShop(shop.base_url) as driver,
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session,
        ):
            made = Market(forma, shop, driver, Browser(session), tg)
            await driver.settings(notification_url=made.notifications_url)
            assert forma.app.yookassa is not None
            forma.app.yookassa._call_s = CALL_S
            yield made
    finally:
        await shop.close()
        await model.close()
        await tg.close()


async def at_once(*work: Any) -> list[Any]:
    return list(await asyncio.gather(*work))
