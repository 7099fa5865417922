"""The supervisor of one terminal: starts processes and servers, starts again what dies, ends all of it in order.

What dies comes back after a pause that grows while it dies soon. The end has stages, each with its time in STOP_BY_S:
first Forma's own parts, so that they still reach everything; then the simulations; the servers with the data last.
"""

import asyncio
import contextlib
import http
import os
import signal
import sys
import time
from dataclasses import dataclass, field
from enum import IntEnum

import aiohttp
import structlog

from cli.child import die_with_parent
from cli.embedded import Server
from cli.lifetime import READY_FD_ENV
from kit import signals
from kit.errors import Misconfigured, Unavailable

log = structlog.get_logger(__name__)

READY_TIMEOUT_S = 60.0
# When each stage is over, in seconds since the stop: all within the 5 s that are promised. What is late is killed.
STOP_BY_S = (2.8, 4.0, 4.7)
# What a stage gets even when those before it took all of their time.
STOP_S_MIN = 0.2
RESTART_FIRST_S, RESTART_MAX_S = 0.2, 30.0
# What lived this long has earned a quick restart again.
STEADY_S = 60.0
LOOK_EVERY_S = 0.05
HEALTH_TIMEOUT_S = 1.0


class Stopped(Exception):
    """The stop came before the start was through."""


class Stage(IntEnum):
    """When a part ends: lower ones first."""

    FORMA = 0
    SIMULATION = 1


@dataclass
class Part:
    """One child process: its command line and how it fares."""

    name: str
    arguments: list[str]
    environment: dict[str, str]
    stage: Stage
    health_url: str = ""
    process: asyncio.subprocess.Process | None = None
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    refused: bool = False


class Pause:
    """How long to wait before the next start of something that died."""

    def __init__(self) -> None:
        self._failures = 0
        self._began = time.monotonic()

    def began(self) -> None:
        self._began = time.monotonic()

    def next_s(self) -> float:
        lived_s = time.monotonic() - self._began
        self._failures = 0 if lived_s > STEADY_S else self._failures + 1
        return min(RESTART_FIRST_S * 2.0 ** max(self._failures - 1, 0), RESTART_MAX_S)


class Supervisor:
    """Owns the child processes and the embedded servers of one `forma up`."""

    def __init__(self, stop: asyncio.Event) -> None:
        self._stop = stop
        self._parts: list[Part] = []
        self._servers: list[Server] = []
        self._keepers: list[asyncio.Task[None]] = []

    async def start_server(self, server: Server) -> None:
        """Start an embedded server and keep it running; returns when it takes connections.

        Raises Unavailable, and Stopped when the stop came first.
        """
        # Copying binaries and making the first cluster take a second or two: others start meanwhile.
        await asyncio.to_thread(server.prepare)
        self._check_stop()
        self._servers.append(server)
        pause = Pause()
        deadline = time.monotonic() + READY_TIMEOUT_S
        while True:
            try:
                await self._begin(server)
                break
            except Unavailable:
                # A predecessor that was killed may hold its shared memory for some moments more.
                if time.monotonic() > deadline or (pause_s := pause.next_s()) > 1.0:
                    raise
                await self._sleep(pause_s)
                self._check_stop()
        self._keepers.append(asyncio.create_task(self._keep_server(server), name=f"keep-{server.what}"))

    async def _begin(self, server: Server) -> None:
        server.begin()
        while not server.accepting():
            await self._sleep(LOOK_EVERY_S)
            self._check_stop()

    async def _keep_server(self, server: Server) -> None:
        pause = Pause()
        while not self._stop.is_set():
            if server.alive:
                await self._sleep(LOOK_EVERY_S)
                continue
            pause_s = pause.next_s()
            log.warning("server_restarts", server=server.what, pause_s=pause_s)
            await self._sleep(pause_s)
            pause.began()
            try:
                self._check_stop()
                await self._begin(server)
                log.info("server_is_back", server=server.what)
            except Stopped:
                return
            except (Unavailable, OSError) as error:
                log.warning("server_not_back", server=server.what, error=str(error)[:500])

    async def start(
        self,
        name: str,
        arguments: list[str],
        environment: dict[str, str],
        *,
        stage: Stage = Stage.FORMA,
        health_url: str = "",
    ) -> None:
        """Start a part and keep it running; returns when it is ready.

        Forma's own parts say so (say_ready); the sandbox knows nothing of us and is asked at `health_url`. Raises
        Unavailable when it does not start, Misconfigured without words when it said itself what is wrong, Stopped.
        """
        self._check_stop()
        part = Part(name, arguments, environment, stage, health_url=health_url)
        self._parts.append(part)
        keeper = asyncio.create_task(self._keep(part), name=f"keep-{name}")
        self._keepers.append(keeper)
        waiters = [asyncio.ensure_future(part.ready.wait()), asyncio.ensure_future(self._stop.wait())]
        try:
            await asyncio.wait({*waiters, keeper}, timeout=READY_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for waiter in waiters:
                waiter.cancel()
        self._check_stop()
        if part.refused:
            raise Misconfigured("")
        if not part.ready.is_set():
            raise Unavailable(name, f"{name} did not start; its own words are above")

    async def _keep(self, part: Part) -> None:
        pause = Pause()
        while not self._stop.is_set():
            pause.began()
            code = await self._run(part)
            if self._stop.is_set():
                return
            if code == os.EX_CONFIG and not part.ready.is_set():
                part.refused = True
                return  # it said what is wrong; trying again would say it again
            pause_s = pause.next_s()
            log.warning("part_restarts", part=part.name, code=code, pause_s=pause_s)
            await self._sleep(pause_s)

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
        if self._stop.is_set():
            part.process.terminate()
        if part.health_url:
            os.close(read_fd)
            watcher = asyncio.create_task(_until_healthy(part.health_url, part.ready))
        else:
            watcher = asyncio.create_task(_until_ready(read_fd, part.ready))
        try:
            return await part.process.wait()
        finally:
            watcher.cancel()

    async def end(self) -> None:
        """Stop everything, stage by stage: asked first, killed when the stage's time is over."""
        self._stop.set()
        began = time.monotonic()

        def left_s(stage: int) -> float:
            return max(STOP_BY_S[stage] - (time.monotonic() - began), STOP_S_MIN)

        for stage in Stage:
            await self._end_parts([part for part in self._parts if part.stage == stage], left_s(stage))
        await asyncio.gather(*self._keepers, return_exceptions=True)
        within_s = left_s(len(Stage))
        await asyncio.gather(*(asyncio.to_thread(server.stop, within_s=within_s) for server in self._servers))

    async def _end_parts(self, parts: list[Part], within_s: float) -> None:
        ends = {
            asyncio.ensure_future(part.process.wait()): part
            for part in parts
            if part.process and part.process.returncode is None
        }
        if not ends:
            return
        for part in ends.values():
            _signal(part, signal.SIGTERM)
        _, late = await asyncio.wait(ends, timeout=within_s)
        for end in late:
            log.warning("part_killed", part=ends[end].name)
            _signal(ends[end], signal.SIGKILL)
        await asyncio.gather(*late)

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise Stopped

    async def _sleep(self, seconds: float) -> None:
        """Sleep, but not beyond the stop."""
        await signals.wait(self._stop, seconds)


def _signal(part: Part, signum: int) -> None:
    assert part.process is not None
    with contextlib.suppress(ProcessLookupError):
        part.process.send_signal(signum)


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
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=HEALTH_TIMEOUT_S)) as session:
        while not ready.is_set():
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with session.get(url) as response:
                    if response.status == http.HTTPStatus.OK:
                        ready.set()
                        return
            await asyncio.sleep(LOOK_EVERY_S)
