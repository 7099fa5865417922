"""`forma up`: everything in one terminal — embedded servers, sandbox, bot, worker, web — and its orderly end.

One process a part. A part that dies is started again after a growing pause; Ctrl-C ends all of them within
STOP_WITHIN_S, the servers last.
"""

import asyncio
import contextlib
import fcntl
import http
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import asyncpg
import structlog
from sqlalchemy.exc import DBAPIError

from cli import compose, greeting
from cli.embedded import Postgres, Valkey, default_data_dir, die_with_parent, prepare_data_dir, server_owner
from cli.sandbox_seed import SandboxSeed, follow_sandbox_clock, seed
from inference import models
from kit import migrate
from kit.db import Database
from kit.errors import Misconfigured, Unavailable
from kit.observability import MULTIPROCESS_ENV, clear_metrics_dir
from kit.settings import Settings

log = structlog.get_logger(__name__)

READY_FD_ENV = "FORMA_READY_FD"
READY_TIMEOUT_S = 60.0
STOP_WITHIN_S = 3.5
RESTART_FIRST_S, RESTART_MAX_S = 0.2, 30.0
# A part that lived this long has earned a quick restart again.
STEADY_S = 60.0
HEALTH_EVERY_S = 0.05
DATABASE = "forma"


@dataclass
class Part:
    """One child process: its command line and how it fares."""

    name: str
    arguments: list[str]
    environment: dict[str, str]
    process: asyncio.subprocess.Process | None = None
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    failures: int = 0
    health_url: str = ""


class Supervisor:
    """Owns the child processes of one `forma up`."""

    def __init__(self, stop: asyncio.Event) -> None:
        self._stop = stop
        self._parts: list[Part] = []
        self._keepers: list[asyncio.Task[None]] = []

    async def start(
        self, name: str, arguments: list[str], environment: dict[str, str], *, health_url: str = ""
    ) -> Part:
        """Start a part and keep it running; returns when it is ready. Raises Unavailable.

        Forma's own parts say so (say_ready); the sandbox knows nothing of us and is asked at `health_url`.
        """
        part = Part(name, arguments, environment, health_url=health_url)
        self._parts.append(part)
        self._keepers.append(asyncio.create_task(self._keep(part), name=f"keep-{name}"))
        ready = asyncio.ensure_future(part.ready.wait())
        stopped = asyncio.ensure_future(self._stop.wait())
        done, _ = await asyncio.wait(
            {ready, stopped, self._keepers[-1]}, timeout=READY_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED
        )
        for waiter in (ready, stopped):
            waiter.cancel()
        if not done or (self._keepers[-1] in done and not self._stop.is_set()):
            raise Unavailable(name, "did not start; its own words are above")
        return part

    async def _keep(self, part: Part) -> None:
        while not self._stop.is_set():
            began = time.monotonic()
            code = await self._run(part)
            if self._stop.is_set():
                return
            if code == os.EX_CONFIG:
                return  # it said what is wrong; trying again would say it again
            part.failures = 0 if time.monotonic() - began > STEADY_S else part.failures + 1
            pause_s = min(RESTART_FIRST_S * 2 ** max(part.failures - 1, 0), RESTART_MAX_S)
            log.warning("part_restarts", part=part.name, code=code, pause_s=pause_s)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), pause_s)

    async def _run(self, part: Part) -> int:
        read_fd, write_fd = os.pipe()
        try:
            part.process = await asyncio.create_subprocess_exec(
                sys.executable,
                *part.arguments,
                env={**os.environ, **part.environment, READY_FD_ENV: str(write_fd)},
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(write_fd,),
                start_new_session=True,
                preexec_fn=lambda: die_with_parent(signal.SIGTERM),
            )
        finally:
            os.close(write_fd)
        watcher = asyncio.create_task(
            _until_healthy(part.health_url, part.ready) if part.health_url else _until_ready(read_fd, part.ready)
        )
        code = await part.process.wait()
        watcher.cancel()
        return code

    async def end(self) -> None:
        """Stop every part: SIGTERM, then SIGKILL for what is left after STOP_WITHIN_S."""
        self._stop.set()
        living = [part.process for part in self._parts if part.process and part.process.returncode is None]
        for process in living:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        if living:
            await asyncio.wait([asyncio.ensure_future(p.wait()) for p in living], timeout=STOP_WITHIN_S)
        for process in living:
            if process.returncode is None:
                log.warning("part_killed", pid=process.pid)
                process.kill()
        await asyncio.gather(*self._keepers, return_exceptions=True)

    @property
    def pids(self) -> dict[str, int]:
        """The process ids of the parts that run now."""
        return {part.name: part.process.pid for part in self._parts if part.process}


async def _until_ready(read_fd: int, ready: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read_fd, "rb", buffering=0)
    )
    try:
        if await reader.readline():
            ready.set()
    finally:
        transport.close()


async def _until_healthy(url: str, ready: asyncio.Event) -> None:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=HEALTH_EVERY_S * 20)) as session:
        while not ready.is_set():
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with session.get(url) as response:
                    if response.status == http.HTTPStatus.OK:
                        ready.set()
                        return
            await asyncio.sleep(HEALTH_EVERY_S)


def say_ready() -> None:
    """Tell the supervisor, if there is one, that this process does its work now."""
    fd = os.environ.pop(READY_FD_ENV, "")
    if fd:
        with contextlib.suppress(OSError):
            os.write(int(fd), b"ready\n")
            os.close(int(fd))


@contextlib.contextmanager
def _only_one(data_dir: Path) -> Iterator[None]:
    path = data_dir / "up.lock"
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            raise Misconfigured(
                f"Forma already runs on {data_dir} (process {lock.read().strip() or 'unknown'}): "
                "stop it, or set FORMA_DATA_DIR to another place"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


@contextlib.contextmanager
def embedded_servers(settings: Settings, data_dir: Path) -> Iterator[dict[str, str]]:
    """Run what no URL names; yields the URLs as environment variables for the parts."""
    owner = server_owner() if not (settings.database_url and settings.redis_url) else None
    data_dir = prepare_data_dir(data_dir, owner)
    postgres = Postgres(data_dir, owner) if not settings.database_url else None
    valkey = Valkey(data_dir, owner) if not settings.redis_url else None
    try:
        if postgres:
            postgres.start()
        if valkey:
            valkey.start()
        yield {
            "FORMA_DATABASE_URL": postgres.url(DATABASE) if postgres else settings.database_url,
            "FORMA_REDIS_URL": valkey.url() if valkey else settings.redis_url,
        }
    finally:
        if valkey:
            valkey.stop()
        if postgres:
            postgres.stop()


async def ensure_database(url: str) -> None:
    """Create the embedded server's database on first use, then migrate it. Raises Unavailable."""
    try:
        if "host=" in url:  # only the embedded server, reached by its socket, is ours to create databases on
            await _create_database(url.replace("postgresql+asyncpg://", "postgresql://"))
        db = Database(url)
        try:
            await migrate.upgrade(db)
        finally:
            await db.close()
    except (OSError, asyncpg.PostgresError, DBAPIError) as error:
        words = str(error.orig if isinstance(error, DBAPIError) else error)
        raise Unavailable("postgres", words or type(error).__name__) from error


async def _create_database(url: str) -> None:
    admin = await asyncpg.connect(url.replace(f"/{DATABASE}?", "/postgres?"))
    try:
        if not await admin.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
            await admin.execute(f"CREATE DATABASE {DATABASE}")
    finally:
        await admin.close()


def check_port(name: str, host: str, port: int) -> None:
    """Raise Misconfigured that names the setting when a port cannot be listened on."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise Misconfigured(f"{name}: port {port} on {host} is taken ({error.strerror}); set another") from None


async def model_environment(settings: Settings, *, sandbox: bool) -> tuple[dict[str, str], bool]:
    """Return the parts' model settings, and whether the sandbox's model server must run.

    It does in the sandbox when no model is named by FORMA_MODEL_URL and nothing in models.toml can be reached.
    """
    if settings.model_url or not sandbox:
        return {}, False
    known = compose.load_models(settings)
    async with aiohttp.ClientSession() as session:
        for model in known.of("chat"):
            if (await models.probe(model, session)).reachable:
                return {}, False
    url = f"http://127.0.0.1:{settings.sandbox_model_port}"
    return {"FORMA_MODEL_URL": url, "FORMA_MODEL_NAME": compose.SANDBOX_MODEL}, True


async def up(settings: Settings) -> None:
    """Run Forma until SIGINT or SIGTERM."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, stop.set)
    data_dir = (settings.data_dir or default_data_dir()).expanduser().resolve()
    sandbox = not settings.bot_id
    check_port("FORMA_HTTP_PORT", settings.http_host, settings.http_port)
    if sandbox:
        check_port("FORMA_SANDBOX_PORT", "127.0.0.1", settings.sandbox_port)
    prepare_data_dir(data_dir, None if settings.database_url and settings.redis_url else server_owner())
    with _only_one(data_dir), embedded_servers(settings, data_dir) as urls:
        await ensure_database(urls["FORMA_DATABASE_URL"])
        metrics_dir = data_dir / "metrics"
        clear_metrics_dir(metrics_dir)
        environment = {**urls, MULTIPROCESS_ENV: str(metrics_dir)}
        supervisor = Supervisor(stop)
        try:
            seeded = await _start_sandbox(supervisor, settings, data_dir, environment) if sandbox else None
            for name in ("bot", "worker", "web"):
                if not stop.is_set():
                    await supervisor.start(name, ["-m", "cli", name], environment)
            if stop.is_set():
                return
            print(greeting.screen(settings, data_dir=data_dir, seeded=seeded), flush=True)
            follower = asyncio.create_task(
                follow_sandbox_clock(seeded.url, urls["FORMA_DATABASE_URL"]) if seeded else asyncio.sleep(0)
            )
            await stop.wait()
            follower.cancel()
        finally:
            await supervisor.end()
    print("Forma has stopped.", flush=True)


async def _start_sandbox(
    supervisor: Supervisor, settings: Settings, data_dir: Path, environment: dict[str, str]
) -> SandboxSeed:
    """Start the simulated Telegram, and the simulated model server if no model answers; seed persons and group."""
    port = str(settings.sandbox_port)
    keep = str(data_dir / "sandbox")
    url = f"http://127.0.0.1:{port}"
    await supervisor.start(
        "telegram",
        ["-m", "sandbox", "telegram", "--port", port, "--data", keep],
        {},
        health_url=f"{url}/_control/health",
    )
    model_settings, simulated = await model_environment(settings, sandbox=True)
    if simulated:
        check_port("FORMA_SANDBOX_MODEL_PORT", "127.0.0.1", settings.sandbox_model_port)
        model_port = str(settings.sandbox_model_port)
        await supervisor.start(
            "model",
            ["-m", "sandbox", "model", "--port", model_port],
            {},
            health_url=f"http://127.0.0.1:{model_port}/health",
        )
    environment |= model_settings
    seeded = await seed(url, model_simulated=simulated)
    if not settings.admin_chat_id:
        environment["FORMA_ADMIN_CHAT_ID"] = str(seeded.admin_chat_id)
    return seeded
