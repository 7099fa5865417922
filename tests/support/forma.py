"""Forma as a whole in the test's event loop: its three processes as tasks, on real servers, driven over HTTP."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from app import housekeeping
from app.context import App
from billing import invariants
from cli import compose, processes
from kit import settings, signals, stamp
from kit.settings import Settings
from tests.support.telegram import Person, SandboxTelegram

START_S = 20.0


@dataclass
class Forma:
    """The running product and its outside world."""

    settings: Settings
    tg: SandboxTelegram
    model: Any
    app: App
    _parts: dict[str, tuple[asyncio.Event, asyncio.Task[None]]] = field(default_factory=dict)

    async def start(self, *names: str) -> None:
        """Start processes by name and wait until they are ready."""
        for name in names or ("bot", "worker"):
            stop, ready = asyncio.Event(), asyncio.Event()
            run = getattr(processes, f"run_{name}")
            task = asyncio.create_task(run(self.app, stop, ready.set), name=name)
            self._parts[name] = (stop, task)
            waiter = asyncio.ensure_future(ready.wait())
            await asyncio.wait({waiter, task}, timeout=START_S, return_when=asyncio.FIRST_COMPLETED)
            waiter.cancel()
            if not ready.is_set():
                task.cancel()
                await task
                raise AssertionError(f"{name} did not start")

    async def stop(self, *names: str) -> None:
        """Stop processes as SIGTERM does."""
        for name in names or tuple(self._parts):
            stop, task = self._parts.pop(name)
            stop.set()
            await asyncio.wait_for(task, START_S)

    async def person(self, language: str = "ru", **fields: Any) -> Person:
        """A new person who has started the bot and seen its greeting."""
        person = await self.tg.person(
            first_name=fields.pop("first_name", "Тест"), language_code=language, **{"stars": 5_000, **fields}
        )
        await person.start()
        await person.wait_for("/terms")
        return person

    async def advance(self, **by: float) -> None:
        """Move the one clock of Telegram and Forma, as `forma up` does for the sandbox."""
        clock = await self.tg.advance(**by)
        offset = timedelta(seconds=int(clock["offset_s"]))
        async with self.app.db.transaction() as tx:
            await stamp.set_clock_offset(tx, offset)
        self.app.clock.offset = offset
        await housekeeping.minute(self.app)
        await signals.send(self.app.redis, signals.OUTBOX)

    async def violations(self) -> list[Any]:
        """What breaks an invariant of the books right now."""
        async with self.app.db.read() as connection:
            return await invariants.check(connection)

    async def scalar(self, sql: str, **parameters: Any) -> Any:
        """One value from the database."""
        import sqlalchemy as sa

        async with self.app.db.read() as connection:
            return await connection.scalar(sa.text(sql), parameters)


@contextlib.asynccontextmanager
async def running(
    database_url: str, redis_url: str, tg: Any, model: Any, *, start: tuple[str, ...] = ("bot", "worker"), **more: Any
) -> AsyncIterator[Forma]:
    """Forma on the given servers; `more` are settings."""
    chosen = settings.load(
        _env_file=None,
        database_url=database_url,
        redis_url=redis_url,
        telegram_api_url=tg.base_url,
        model_url=model.base_url,
        model_name="forma-sim",
        **more,
    )
    async with SandboxTelegram(tg.base_url) as driver, compose.open_app(chosen) as app:
        forma = Forma(chosen, driver, model, app)
        try:
            await forma.start(*start)
            yield forma
        finally:
            await forma.stop()
