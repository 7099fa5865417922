"""A wire between Forma and its Postgres that a test can cut or silence, and mend."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

SOCKET = ".s.PGSQL.5432"
CHUNK_BYTES = 65_536


class Wire:
    """Carries bytes between its own socket and Postgres'. `cut`: refused; `silence`: connected, and nothing comes."""

    def __init__(self, behind: Path, front: Path) -> None:
        self._behind, self._front = behind, front
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()
        self._carries = asyncio.Event()

    async def mend(self) -> None:
        """Carry, from now on."""
        self._carries.set()
        if self._server is None:
            self._server = await asyncio.start_unix_server(self._connect, self._front)

    async def silence(self) -> None:
        """Keep what is connected and carry nothing."""
        self._carries.clear()

    async def cut(self) -> None:
        """End every connection and refuse new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self._front.unlink(missing_ok=True)
        carried = list(self._open)
        for task in carried:
            task.cancel()
        await asyncio.gather(*carried, return_exceptions=True)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        behind: asyncio.StreamWriter | None = None
        try:
            answers, behind = await asyncio.open_unix_connection(self._behind)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._carry(reader, behind))
                both.create_task(self._carry(answers, writer))
        except (OSError, ExceptionGroup, asyncio.CancelledError):
            pass  # either end went away, as it may
        finally:
            self._open.discard(task)
            for end in (writer, behind):
                if end is not None:
                    end.close()

    async def _carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while chunk := await source.read(CHUNK_BYTES):
            await self._carries.wait()
            sink.write(chunk)
            await sink.drain()
        raise ConnectionResetError


@contextlib.asynccontextmanager
async def wired(database_url: str) -> AsyncIterator[tuple[Wire, str]]:
    """A mended wire, and the URL of the same database through it."""
    parts = urlsplit(database_url)
    folder = Path(parse_qs(parts.query)["host"][0])
    with tempfile.TemporaryDirectory(prefix="forma-wire-") as home:
        wire = Wire(folder / SOCKET, Path(home) / SOCKET)
        await wire.mend()
        try:
            yield wire, database_url.replace(parse_qs(parts.query)["host"][0], home)
        finally:
            await wire.cut()
