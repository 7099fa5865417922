"""The server: starts, serves, keeps its data, ends."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from sandbox.telegram import bot_api, control, control_persons, control_stars, stars
from sandbox.telegram.limits import Rates
from sandbox.telegram.world import World

SWEEP_EVERY_S = 0.25
SETTLE_EVERY_S = 5.0
SHUTDOWN_S = 1.0
PAGE = Path(__file__).resolve().parent.parent / "page"


async def _page_index(_request: web.Request) -> web.StreamResponse:
    index = PAGE / "index.html"
    if not index.is_file():
        return web.Response(text="The sandbox Telegram serves; its chat page is not built into this tree.\n")
    return web.FileResponse(index, headers={"Cache-Control": "no-cache"})


def make_app(world: World) -> web.Application:
    """The application on a world."""
    app = web.Application(client_max_size=bot_api.BODY_BYTES_MAX, middlewares=[control.as_json_errors])
    app[bot_api.WORLD] = world
    for method in ("GET", "POST"):
        app.router.add_route(method, "/bot{token}/{method}", bot_api.serve_method)
    app.router.add_get("/file/bot{token}/{path:.+}", bot_api.serve_file)
    control_persons.add_routes(app)
    control_stars.add_routes(app)
    control.add_routes(app)
    app.router.add_get("/", _page_index)
    if PAGE.is_dir():
        app.router.add_static("/page/", PAGE)
    return app


async def _sweep(world: World) -> None:
    loop = asyncio.get_running_loop()
    settled_at = 0.0
    while True:
        world.sweep()
        if loop.time() - settled_at >= SETTLE_EVERY_S:
            settled_at = loop.time()
            stars.settle_due(world)
        await asyncio.sleep(SWEEP_EVERY_S)


@dataclass(slots=True)
class Running:
    """A server that serves; `close` ends it and writes its data."""

    world: World
    base_url: str
    _runner: web.AppRunner
    _sweeper: "asyncio.Task[None]"

    @property
    def token(self) -> str:
        """The bot's token."""
        return self.world.state.bot.token

    async def close(self) -> None:
        """Stops serving, ends waiting polls, writes the snapshot."""
        self._sweeper.cancel()
        await asyncio.gather(self._sweeper, return_exceptions=True)
        self.world.updates.hang_up()
        await self.world.webhook.close()
        await self._runner.cleanup()
        if self.world.snapshot is not None:
            await self.world.snapshot.close()


async def start(
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    data: Path | None = None,
    rates: Rates | None = None,
    token: str | None = None,
    username: str | None = None,
) -> Running:
    """Starts a server in this event loop; port 0 takes a free one. Raises OSError for a taken port, ValueError for data
    that cannot be read."""
    world = World(data=data, rates=rates, token=token, username=username)
    runner = web.AppRunner(make_app(world), access_log=None, shutdown_timeout=SHUTDOWN_S)
    await runner.setup()
    site = web.TCPSite(runner, host, port)
    try:
        await site.start()
    except OSError:
        await runner.cleanup()
        raise
    bound = runner.addresses[0][1]
    world.webhook.start()
    if world.snapshot is not None:
        world.snapshot.start()
    sweeper = asyncio.create_task(_sweep(world), name="sandbox-sweep")
    shown = f"[{host}]" if ":" in host else host
    return Running(world, f"http://{shown}:{bound}", runner, sweeper)
