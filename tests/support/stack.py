"""Forma as an operator runs it: bot, worker and web as processes that can be killed, on the test's servers.

The outside world (Telegram, the model server) lives in the test's event loop, so that it remembers everything that
its persons saw, whatever is killed. Postgres and Redis are the test's as well.
"""

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from redis.asyncio import Redis

import sandbox.model.server
import sandbox.telegram.server
from app import model_groups
from billing import invariants
from cli import compose
from cli.lifetime import READY_FD_ENV
from inference.queue.fair import FairQueue
from inference.queue.ticket import Snapshot
from kit import settings, stamp
from kit.db import Database
from kit.observability import MULTIPROCESS_ENV
from tests.support import nursery
from tests.support.nursery import Forked
from tests.support.telegram import Person, SandboxTelegram

ROOT = Path(__file__).resolve().parents[2]
# Bounds for machines that do other things as well; what is usual is a tenth of them.
READY_S = 40.0
STOP_S = 5.0
PARTS = ("bot", "worker")
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "SYSTEMROOT", "LD_LIBRARY_PATH", "VIRTUAL_ENV")


def clean_environment(**forma: object) -> dict[str, str]:
    """An environment with no FORMA_ setting but these; pass `cwd` away from a checkout's .env as well."""
    kept = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    named = {f"FORMA_{name.upper()}": str(value) for name, value in forma.items()}
    files = {"FORMA_PLANS_FILE": str(ROOT / "plans.toml"), "FORMA_MODELS_FILE": str(ROOT / "models.toml")}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **files, **named}


@dataclass
class Child:
    """One process of Forma, and where its log is."""

    name: str
    process: Process | Forked
    log: Path
    ready: bool = False

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def alive(self) -> bool:
        return self.process.returncode is None

    def log_tail(self, lines: int = 60) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


async def launch(
    name: str, arguments: Iterable[str], environment: dict[str, str], home: Path, module: str = "cli"
) -> Child:
    """Start `python -m cli ...` in a session of its own, from the nursery; returns when it says that it is ready."""
    read_fd, write_fd = os.pipe()
    log = home / f"{name}.log"
    seen = {**environment, READY_FD_ENV: str(write_fd)}
    process: Process | Forked
    with log.open("ab") as sink:
        if MULTIPROCESS_ENV in environment:  # where metrics go is decided when they are imported
            command = [sys.executable, "-m", module, *arguments]
            process = await asyncio.create_subprocess_exec(
                *command,
                env=seen,
                cwd=home,
                stdin=DEVNULL,
                stdout=sink,
                stderr=sink,
                pass_fds=(write_fd,),
                start_new_session=True,
            )
        else:
            process = await nursery.fork(
                module, list(arguments), environment=seen, cwd=home, log=sink.fileno(), ready=write_fd
            )
    os.close(write_fd)
    child = Child(name, process, log)
    try:
        async with asyncio.timeout(READY_S):
            child.ready = await _said(read_fd)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise AssertionError(f"{name} was not ready within {READY_S} s:\n{child.log_tail()}") from None
    finally:
        os.close(read_fd)
    if not child.ready:
        await process.wait()
    return child


async def _said(read_fd: int) -> bool:
    """Whether a word came through the pipe before it was closed."""
    loop = asyncio.get_running_loop()
    heard: asyncio.Future[bool] = loop.create_future()

    def look() -> None:
        if not heard.done():
            heard.set_result(bool(os.read(read_fd, 64)))

    loop.add_reader(read_fd, look)
    try:
        return await heard
    finally:
        loop.remove_reader(read_fd)


@dataclass
class Stack:
    """The processes and their world. `kills` counts SIGKILLs: each may double one answer.

    A name such as "worker-2" is one more worker. `lease_s` (0: the product's) shortens the wait for a killed worker's
    turns. `module` is what `python -m` runs.
    """

    tg: SandboxTelegram
    telegram: sandbox.telegram.server.Running
    model: Any
    db: Database
    redis: Redis
    environment: dict[str, str]
    home: Path
    children: dict[str, Child] = field(default_factory=dict)
    lease_s: float = 0.0
    module: str = "cli"
    kills: int = 0
    _keepers: list["asyncio.Task[None]"] = field(default_factory=list)

    async def start(self, *names: str) -> None:
        """Start processes, all at once, and wait until each is ready."""
        await asyncio.gather(*(self._start(name) for name in names or PARTS))
        if self.lease_s:
            # A worker writes the product's configuration at its start; whoever writes last is believed.
            queue = self.queue()
            await queue.configure(replace(queue.config, lease_s=self.lease_s))

    async def _start(self, name: str) -> None:
        child = await launch(name, [name.partition("-")[0]], self.environment, self.home, self.module)
        self.children[name] = child
        assert child.ready, f"{name} ended at its start:\n{child.log_tail()}"

    async def kill(self, *names: str, signum: int = signal.SIGKILL) -> None:
        """Send a signal to each, at once, and wait for their ends."""
        chosen = [self.children[name] for name in names or tuple(self.children)]
        for child in chosen:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, signum)
        self.kills += len(chosen) if signum == signal.SIGKILL else 0
        for child in chosen:
            try:
                await asyncio.wait_for(child.process.wait(), STOP_S)
            except TimeoutError:
                raise AssertionError(f"{child.name} did not end within {STOP_S} s:\n{child.log_tail()}") from None

    async def stop(self, *names: str) -> float:
        """SIGTERM; returns how many seconds the last of them took. Fails beyond STOP_S."""
        began = time.monotonic()
        await self.kill(*names, signum=signal.SIGTERM)
        return time.monotonic() - began

    async def restart(self, *names: str) -> None:
        """kill -9, then start again."""
        await self.kill(*names)
        await self.start(*names)

    def keep(self) -> None:
        """Start again whatever ends by itself, as a supervisor would, until `close`."""
        self._keepers += [asyncio.create_task(self._keep(name)) for name in self.children]

    async def _keep(self, name: str) -> None:
        while True:
            await self.children[name].process.wait()
            await self.start(name)

    async def close(self) -> None:
        """End everything that still runs."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        living = [child for child in self.children.values() if child.alive]
        for child in living:
            child.process.kill()
        for child in living:
            await child.process.wait()

    def log(self, name: str) -> str:
        """All that a process (and its predecessors of the same name) wrote."""
        return (self.home / f"{name}.log").read_text(errors="replace")

    @contextlib.asynccontextmanager
    async def locked(self, table: str) -> AsyncIterator[None]:
        """Nobody can write to a table: whoever wants to stands still there, until the block ends."""
        async with self.db.transaction() as tx:
            await tx.execute(sa.text(f"LOCK TABLE {table} IN EXCLUSIVE MODE"))
            yield

    async def until(self, sql: str, timeout_s: float = 20.0, **parameters: Any) -> Any:
        """Wait for a query's first truthy value."""
        deadline = time.monotonic() + timeout_s
        while not (found := await self.scalar(sql, **parameters)):
            assert time.monotonic() < deadline, f"not within {timeout_s} s: {sql}\n{self.tails()}"
            await asyncio.sleep(0.01)
        return found

    async def until_blocked(self, table: str) -> None:
        """Wait until somebody stands still at a locked table."""
        await self.until(
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = CAST(:name AS regclass)", name=table
        )

    # -- persons

    async def persons(self, count: int, language: str = "en", **fields: Any) -> list[Person]:
        """New persons who have started the bot and seen its greeting."""
        fields = {"first_name": "Test", "language_code": language, "stars": 5_000, **fields}
        made = [await self.tg.person(**fields) for _ in range(count)]
        for person in made:
            await person.start()
        for person in made:
            await person.wait_for("/terms", timeout_s=30)
        return made

    def shown(self, person: Person, words: str) -> int:
        """How many messages of the bot in this chat hold the words; drafts are not messages."""
        return sum(seen.sender_id == self.tg.bot_id and words in seen.text for seen in person.messages())

    async def answered(self, person: Person, words: str, timeout_s: float = 60.0) -> None:
        """Wait until the words have come as a message."""
        try:
            await self.tg.until(lambda: self.shown(person, words), timeout_s=timeout_s, what=f"answer {words}")
        except TimeoutError as error:
            said = [seen.text[:160] for seen in person.messages()[-4:]]
            raise AssertionError(
                f"{error}; last messages: {said}; open: {await self.open_work()}\n{self.tails()}"
            ) from None

    def tails(self) -> str:
        return "\n".join(f"--- {child.name}\n{child.log_tail(40)}" for child in self.children.values())

    async def advance(self, **by: float) -> None:
        """Move the one clock of Telegram and Forma, as `forma up` does for the sandbox; the processes follow it."""
        moved = await self.tg.advance(**by)
        async with self.db.transaction() as tx:
            await stamp.set_clock_offset(tx, timedelta(seconds=int(moved["offset_s"])))

    # -- what must be true in the end

    async def rows(self, sql: str, **parameters: Any) -> list[Any]:
        async with self.db.read() as connection:
            return list((await connection.execute(sa.text(sql), parameters)).all())

    async def scalar(self, sql: str, **parameters: Any) -> Any:
        async with self.db.read() as connection:
            return await connection.scalar(sa.text(sql), parameters)

    async def open_work(self) -> dict[str, Any]:
        """What is still open in the database."""
        counts = {
            "updates": "SELECT count(*) FROM inbox WHERE handled_at IS NULL",
            "turns": "SELECT count(*) FROM turns WHERE status = 'open'",
            "holds": "SELECT count(*) FROM holds WHERE status = 'held'",
            "posts": "SELECT count(*) FROM outbox WHERE status IN ('pending', 'sending')",
            "messages": "SELECT count(*) FROM messages WHERE role = 'user' AND turn_id IS NULL",
        }
        return {name: found for name, sql in counts.items() if (found := await self.scalar(sql))}

    def queue(self) -> FairQueue:
        """The model group's fair queue, as Forma's processes have it."""
        chosen = settings.load(_env_file=None, model_url=self.model.base_url, model_name=compose.SANDBOX_MODEL)
        model = model_groups.read(chosen).of("chat")[0]
        return FairQueue(self.redis, model.id, model_groups.queue_config(model))

    async def settled(self, timeout_s: float = 30.0) -> None:
        """Wait until nothing is open anywhere: database, queue, Telegram's updates."""
        deadline = time.monotonic() + timeout_s
        while True:
            found = await self.open_work()
            snapshot = await self.queue().snapshot()
            state = await self.tg.state()
            if not found and not snapshot.waiting and not snapshot.running and not state["pending_updates"]:
                return
            if time.monotonic() > deadline:
                raise AssertionError(f"still open: {found}, {snapshot}\n{self.tails()}")
            await asyncio.sleep(0.2)

    async def assert_sound(self, *, may_fail: bool = False) -> Snapshot:
        """Everything that was promised of the state after a crash, once the work is done; no turn failed, or may."""
        await self.settled()
        async with self.db.read() as connection:
            assert await invariants.check(connection) == []
        orphans = await self.rows(
            "SELECT h.turn_id FROM holds h JOIN turns t ON t.id = h.turn_id"
            " WHERE (h.status = 'held') <> (t.status = 'open')"
        )
        assert orphans == []
        lost = await self.rows("SELECT kind, status, error FROM outbox WHERE status IN ('failed', 'unknown')")
        assert lost == []
        aside = await self.rows("SELECT id, error FROM inbox WHERE error IS NOT NULL AND attempts >= 3")
        assert aside == []
        failed = [] if may_fail else await self.rows("SELECT id, error FROM turns WHERE status = 'failed'")
        assert failed == [], f"{failed}\n{self.tails()}"
        snapshot = await self.queue().snapshot()
        assert (snapshot.running, snapshot.waiting, snapshot.kv_used) == (0, 0, 0)
        return snapshot


@contextlib.asynccontextmanager
async def stack(
    database_url: str,
    redis_url: str,
    *,
    start: tuple[str, ...] = PARTS,
    lease_s: float = 0.0,
    model_options: dict[str, Any] | None = None,
    environment: dict[str, str] | None = None,
    module: str = "cli",
    **more: Any,
) -> AsyncIterator[Stack]:
    """Forma's processes on the given servers, with a Telegram and a model server of their own; `more` are settings.

    `environment` is what the processes see besides their settings; `module` is what is run instead of cli. The house
    asks the model for nothing unless `more` says so.
    """
    telegram = await sandbox.telegram.server.start()
    model = await sandbox.model.server.start(**(model_options or {}))
    told = {
        "database_url": database_url,
        "redis_url": redis_url,
        "telegram_api_url": telegram.base_url,
        "model_url": model.base_url,
        "model_name": compose.SANDBOX_MODEL,
        "house_calls": 0,
    }
    environment = (environment or {}) | clean_environment(**(told | more))
    db, redis = Database(database_url, pool_size=2), Redis.from_url(redis_url)
    try:
        with tempfile.TemporaryDirectory(prefix="forma-stack-") as home:
            async with SandboxTelegram(telegram.base_url) as tg:
                made = Stack(tg, telegram, model, db, redis, environment, Path(home), lease_s=lease_s, module=module)
                try:
                    await made.start(*start)
                    yield made
                finally:
                    await made.close()
    finally:
        await redis.aclose()
        await db.close()
        await model.close()
        await telegram.close()
