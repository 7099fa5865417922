"""The simulated vLLM server, put together: starts, serves, ends.

`start` runs it inside the caller's event loop; `python -m sandbox.model` runs it as a process of its own.
"""

from dataclasses import dataclass
from typing import Any

from aiohttp import web

from sandbox.model import control
from sandbox.model.api import SHUTDOWN_S, ModelServer
from sandbox.model.faults import Fault
from sandbox.model.options import Options


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers at `base_url` until it is closed."""

    base_url: str
    server: ModelServer
    runner: web.AppRunner

    async def close(self) -> None:
        """Ends what is still open as a killed engine does, and stops listening."""
        self.server.die()
        self.server.engine.close()
        await self.runner.cleanup()


async def start(host: str = "127.0.0.1", port: int = 0, faults: list[Fault] | None = None, **options: Any) -> Running:
    """Serves in the running event loop; port 0 takes a free one. `options` are fields of Options.

    Raises ValueError for a wrong option, OSError for a taken port.
    """
    server = ModelServer(Options(**options), faults or [])
    app = server.application()
    control.add_routes(app, server)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=SHUTDOWN_S)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except BaseException:
        await runner.cleanup()
        raise
    address = runner.addresses[0]
    shown = f"[{address[0]}]" if ":" in address[0] else address[0]
    return Running(f"http://{shown}:{address[1]}", server, runner)
