"""A sandbox Telegram in this process, and the real aiogram Bot that talks to it by HTTP."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.types import Update

from sandbox.telegram.limits import Rates
from sandbox.telegram.server import Running, start
from tests.support.telegram import SandboxTelegram


@dataclass(slots=True)
class Bench:
    """Server, driver and bot."""

    server: Running
    tg: SandboxTelegram
    bot: Bot
    offset: int = 0

    async def updates(self, *kinds: str, timeout_s: int = 2, allowed: list[str] | None = None) -> list[Update]:
        """Fetches and confirms what is pending; only these kinds of it."""
        fetched = await self.bot.get_updates(offset=self.offset, timeout=timeout_s, allowed_updates=allowed)
        if fetched:
            self.offset = fetched[-1].update_id + 1
        return [update for update in fetched if not kinds or update.event_type in kinds]

    async def update(self, kind: str, timeout_s: int = 2) -> Any:
        """The content of the next update of a kind; others before it are skipped, later ones stay pending."""
        for _ in range(20):
            for update in await self.bot.get_updates(offset=self.offset, timeout=timeout_s):
                self.offset = update.update_id + 1
                if update.event_type == kind:
                    return update.event
        raise AssertionError(f"no update {kind}")


def aiogram_bot(base_url: str, token: str) -> Bot:
    """The real client, pointed at the sandbox."""
    return Bot(token, session=AiohttpSession(api=TelegramAPIServer.from_base(base_url)))


@asynccontextmanager
async def sandbox_bot(*, data: Path | None = None, rates: Rates | None = None) -> AsyncIterator[Bench]:
    """Server, driver and bot, closed at the end. Rates are off unless given."""
    server = await start(data=data, rates=rates or Rates(enabled=False))
    bot = aiogram_bot(server.base_url, server.token)
    try:
        async with SandboxTelegram(server.base_url) as tg:
            yield Bench(server, tg, bot)
    finally:
        await bot.session.close()
        await server.close()
