"""The whole of Forma as processes of its own, for measuring: embedded servers, sandbox, bot, worker, web."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from cli.embedded import Postgres, Valkey, prepare_data_dir
from cli.lifetime import READY_FD_ENV
from cli.owner import server_owner
from cli.up import create_database, ensure_database

START_S = 120.0
STOP_S = 5.0
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
FORMA_PARTS = ("bot", "worker", "web")


@dataclass(frozen=True)
class ModelServer:
    """A model server that runs already, and the models.toml by which Forma knows it."""

    url: str
    models_toml: str


@dataclass
class Stack:
    """Where everything is, and which processes do the work."""

    telegram_url: str = ""
    model_url: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    """The settings of bot, worker and web."""
    processes: dict[str, asyncio.subprocess.Process] = field(default_factory=dict)

    def cpu_s(self, *names: str) -> float:
        """User and system seconds of these processes (none: bot, worker and web) with their children so far."""
        return sum(_cpu_s(self.processes[name].pid) for name in names or FORMA_PARTS)


def _cpu_s(pid: int) -> float:
    # Fields 14–17 of /proc/<pid>/stat: utime, stime, and those of children that have ended (proc_pid_stat(5)).
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(ticks) for ticks in fields[11:15]) / CLOCK_TICKS


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.asynccontextmanager
async def running(
    plans: str, *, model: ModelServer | None = None, model_arguments: tuple[str, ...] = (), slots: int = 32
) -> AsyncIterator[Stack]:
    """Start everything on free ports with the given plans.toml; ends all of it.

    Without a `model` a simulated one is started, with `slots` and `model_arguments`.
    """
    owner = server_owner()
    with tempfile.TemporaryDirectory(prefix="forma-bench-") as home:
        data_dir = prepare_data_dir(Path(home), owner)
        plans_file = data_dir / "plans.toml"
        plans_file.write_text(plans)
        postgres, valkey = Postgres(data_dir, owner), Valkey(data_dir, owner)
        stack = Stack()
        try:
            postgres.start()
            valkey.start()
            await create_database(postgres)
            await ensure_database(postgres.url())
            port = free_port()
            stack.telegram_url = f"http://127.0.0.1:{port}"
            await _start(stack, "telegram", ["-m", "sandbox", "telegram", "--port", str(port)], {})
            stack.environment = {
                "FORMA_DATABASE_URL": postgres.url(),
                "FORMA_REDIS_URL": valkey.url(),
                "FORMA_TELEGRAM_API_URL": stack.telegram_url,
                "FORMA_PLANS_FILE": str(plans_file),
                "FORMA_HTTP_PORT": str(free_port()),
                "FORMA_LOG_LEVEL": "WARNING",
                # Titles and summaries are no answers, and would be counted as their tokens.
                "FORMA_HOUSE_CALLS": "0",
            }
            if model is None:
                await _simulate(stack, slots, model_arguments)
            else:
                models_file = data_dir / "models.toml"
                models_file.write_text(model.models_toml)
                stack.model_url = model.url
                stack.environment["FORMA_MODELS_FILE"] = str(models_file)
            await healthy(f"{stack.telegram_url}/_control/health")
            await healthy(f"{stack.model_url}/health")
            for name in FORMA_PARTS:
                await _start(stack, name, ["-m", "cli", name], stack.environment, ready=True)
            yield stack
        finally:
            await _end(stack)
            valkey.stop()
            postgres.stop()


async def _simulate(stack: Stack, slots: int, arguments: tuple[str, ...]) -> None:
    """Start the simulated model server and name it to Forma."""
    port = free_port()
    stack.model_url = f"http://127.0.0.1:{port}"
    await _start(stack, "model", ["-m", "sandbox", "model", "--port", str(port), "--slots", str(slots), *arguments], {})
    stack.environment |= {"FORMA_MODEL_URL": stack.model_url, "FORMA_MODEL_NAME": "forma-sim"}


async def _start(
    stack: Stack, name: str, arguments: list[str], environment: dict[str, str], *, ready: bool = False
) -> None:
    read_fd, write_fd = os.pipe()
    stack.processes[name] = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        env={**os.environ, **environment, **({READY_FD_ENV: str(write_fd)} if ready else {})},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        pass_fds=(write_fd,),
    )
    os.close(write_fd)
    with os.fdopen(read_fd, "rb") as pipe:
        if ready:
            line = await asyncio.wait_for(asyncio.to_thread(pipe.readline), START_S)
            if not line:
                raise RuntimeError(f"{name} did not start")


async def healthy(url: str) -> None:
    """Wait until a GET of `url` answers 200. Raises TimeoutError after START_S."""
    async with aiohttp.ClientSession() as session, asyncio.timeout(START_S):
        while True:
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get(url) as response:
                    if response.status == 200:
                        return
            await asyncio.sleep(0.05)


async def _end(stack: Stack) -> None:
    """End Forma first: what it still says is then heard."""
    for names in (FORMA_PARTS, ("telegram", "model")):
        ending = [stack.processes[name] for name in names if name in stack.processes]
        for process in ending:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
        for process in ending:
            try:
                await asyncio.wait_for(process.wait(), STOP_S)
            except TimeoutError:
                process.kill()
                await process.wait()
