"""Forma as a whole in the test's event loop: its three processes as tasks, on real servers, driven over HTTP."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from app import housekeeping
from app.context import App
from billing import balance, holds, invariants
from cli import compose, processes
from kit import settings, signals, stamp
from kit.settings import Settings
from tests.support.model import ModelDriver, drive
from tests.support.telegram import Person, SandboxTelegram, Seen

START_S = 20.0
QUIET_S = 30.0
LOOK_EVERY_S = 0.02


@dataclass
class Forma:
    """The running product and its outside world."""

    settings: Settings
    tg: SandboxTelegram
    model: Any
    app: App
    llm: ModelDriver
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

    async def quiet(self, person: Person) -> None:
        """Wait until everything that a person wrote is handled, answered and delivered."""
        sql = """
            SELECT NOT EXISTS (SELECT FROM turns WHERE person_id = :id AND status = 'open')
               AND NOT EXISTS (SELECT FROM outbox WHERE chat_id = :id AND status IN ('pending', 'sending'))
               AND NOT EXISTS (SELECT FROM inbox WHERE handled_at IS NULL)
               AND NOT EXISTS (SELECT FROM messages WHERE chat_id = :id AND role = 'user' AND turn_id IS NULL)
        """
        async with asyncio.timeout(QUIET_S):
            while (await self.tg.state())["pending_updates"] or not await self.scalar(sql, id=person.id):
                await asyncio.sleep(LOOK_EVERY_S)

    async def quiet_until(self, sql: str, **parameters: Any) -> None:
        """Wait until a query answers true."""
        async with asyncio.timeout(QUIET_S):
            while not await self.scalar(sql, **parameters):
                await asyncio.sleep(LOOK_EVERY_S)

    async def choose(self, person: Person, name: str, value: str) -> None:
        """Choose something in /settings, as its buttons do."""
        await person.send("/settings")
        screen = await person.wait_for(lambda seen: len(seen.buttons) >= 4)
        await person.press(screen, data=f"set:{name}:{value}")
        await self.quiet_until(
            "SELECT settings ->> :name = :value FROM persons WHERE id = :id", name=name, value=value, id=person.id
        )
        await self.quiet(person)

    async def said(self, person: Person, text: str) -> list[str]:
        """Send a text and return what the bot said to it, once everything is there."""
        before = max((seen.id for seen in person.messages()), default=0)
        await person.send(text)
        await self.quiet(person)
        return [seen.text for seen in person.messages() if seen.id > before and seen.sender_id == self.tg.bot_id]

    def answers(self, person: Person) -> list[Seen]:
        """What the bot said to a person after its greeting."""
        return [seen for seen in person.messages() if seen.sender_id == self.tg.bot_id][1:]

    async def growing(self, person: Person) -> str:
        """Wait until an answer is seen growing in the draft; return its text so far."""
        text: str = await self.tg.until(
            lambda: person.draft and person.draft["text"], timeout_s=QUIET_S, what="a growing draft"
        )
        return text

    async def spend(self, person: Person, *, leave: int) -> None:
        """Use up a person's tokens but `leave`, as an answer would; the person must have asked something before."""
        now = self.app.clock.now()
        turn_id = await self.scalar("SELECT max(id) FROM turns WHERE person_id = :id", id=person.id)
        async with self.app.db.transaction() as tx:
            has = (await balance.of(tx, person_id=person.id, now=now)).available
            assert has > leave, (has, leave)
            await holds.place(
                tx,
                person_id=person.id,
                turn_id=turn_id,
                step=1,
                tokens_min=has - leave,
                tokens_max=has - leave,
                now=now,
            )
            await holds.settle(tx, turn_id=turn_id, step=1, tokens=has - leave, now=now)

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
    """Forma on the given servers; `more` are settings. The house asks the model for nothing unless they say so."""
    servers = {
        "database_url": database_url,
        "redis_url": redis_url,
        "telegram_api_url": tg.base_url,
        "model_url": model.base_url,
        "model_name": "forma-sim",
        "house_calls": 0,
    }
    chosen = settings.load(_env_file=None, **(servers | more))
    async with (
        SandboxTelegram(tg.base_url) as driver,
        drive(model.base_url) as llm,
        compose.open_app(chosen) as app,
    ):
        forma = Forma(chosen, driver, model, app, llm)
        try:
            await forma.start(*start)
            yield forma
        finally:
            await forma.stop()
