"""A TCP server in front of a Redis that hands everything on later than it came, in order."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from urllib.parse import parse_qs, urlsplit

CHUNK_BYTES = 65_536
# Chunks of one direction that are on their way; whoever sends more waits.
UNDERWAY_MAX = 1_000
DELAY_S_MAX = 5.0


class SlowRedis:
    """Delays each direction of each connection by `delay_s`, which may be changed while it carries; `away` refuses
    new ones."""

    def __init__(self, socket: str, delay_s: float) -> None:
        assert 0 <= delay_s <= DELAY_S_MAX
        self._socket, self.delay_s, self.away = socket, delay_s, False
        self._open: set[asyncio.Task[None]] = set()

    async def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client until either end goes."""
        if self.away:
            writer.close()
            return
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        behind: asyncio.StreamWriter | None = None
        try:
            answers, behind = await asyncio.open_unix_connection(self._socket)
            async with asyncio.TaskGroup() as both:
                for source, sink in ((reader, behind), (answers, writer)):
                    late: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(UNDERWAY_MAX)
                    both.create_task(self._take(source, late))
                    both.create_task(self._hand_on(late, sink))
        except (OSError, ExceptionGroup, asyncio.CancelledError):
            pass  # either end went away, as it may
        finally:
            self._open.discard(task)
            for end in (writer, behind):
                if end is not None:
                    end.close()

    async def close(self) -> None:
        """End every connection."""
        carried = list(self._open)
        for task in carried:
            task.cancel()
        await asyncio.gather(*carried, return_exceptions=True)

    async def _take(self, source: asyncio.StreamReader, late: "asyncio.Queue[tuple[float, bytes]]") -> None:
        while chunk := await source.read(CHUNK_BYTES):
            await late.put((asyncio.get_running_loop().time() + self.delay_s, chunk))
        raise ConnectionResetError

    async def _hand_on(self, late: "asyncio.Queue[tuple[float, bytes]]", sink: asyncio.StreamWriter) -> None:
        while True:
            due, chunk = await late.get()
            await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))
            sink.write(chunk)
            await sink.drain()


@contextlib.asynccontextmanager
async def slowed(redis_url: str, delay_s: float) -> AsyncIterator[tuple[SlowRedis, str]]:
    """The slow way to a Redis that listens on a Unix socket, and the URL of the same database by that way."""
    parts = urlsplit(redis_url)
    slow = SlowRedis(parts.path, delay_s)
    server = await asyncio.start_server(slow.connect, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield slow, f"redis://127.0.0.1:{port}/{parse_qs(parts.query)['db'][0]}"
    finally:
        server.close()
        await slow.close()
        await server.wait_closed()
