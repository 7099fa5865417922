"""The server: starts, serves, keeps its data, ends."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from sandbox.shop import api, checkout, control, dues, receipt_control
from sandbox.shop.world import World

SWEEP_EVERY_S = 0.25
SHUTDOWN_S = 1.0


async def _root(_request: web.Request) -> web.Response:
    return web.Response(text="The sandbox's YooKassa shop serves, simulated: its API is under /v3.\n")


def make_app(world: World) -> web.Application:
    """The application on a world."""
    app = web.Application(client_max_size=api.BODY_BYTES_MAX, middlewares=[control.as_json_errors])
    app[api.WORLD] = world
    app.router.add_get("/", _root)
    control.add_routes(app)
    receipt_control.add_routes(app)
    checkout.add_routes(app)
    api.add_routes(app)
    return app


async def _sweep(world: World) -> None:
    while True:
        dues.settle(world)
        await asyncio.sleep(SWEEP_EVERY_S)


@dataclass(slots=True)
class Running:
    """A server that serves; `close` ends it and writes its data."""

    world: World
    base_url: str
    _runner: web.AppRunner
    _sweeper: "asyncio.Task[None]"

    @property
    def api_url(self) -> str:
        """The base of the API, what YooKassa has at https://api.yookassa.ru/v3."""
        return self.base_url + api.PREFIX

    async def close(self) -> None:
        """Stops serving and notifying, writes the snapshot."""
        self._sweeper.cancel()
        await asyncio.gather(self._sweeper, return_exceptions=True)
        await self._runner.cleanup()
        await self.world.notifier.close()
        if self.world.snapshot is not None:
            await self.world.snapshot.close()


async def start(
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    data: Path | None = None,
    shop_id: str | None = None,
    secret_key: str | None = None,
    notification_url: str | None = None,
    forwarded_for: str | None = None,
) -> Running:
    """Starts a server in this event loop; port 0 takes a free one. `forwarded_for` is sent with notifications as if the
    shop stood behind a proxy at the merchant's. Raises OSError for a taken port, ValueError for data that cannot be
    read."""
    world = World(
        data=data,
        shop_id=shop_id,
        secret_key=secret_key,
        notification_url=notification_url,
        forwarded_for=forwarded_for,
    )
    runner = web.AppRunner(make_app(world), access_log=None, handler_cancellation=True, shutdown_timeout=SHUTDOWN_S)
    await runner.setup()
    site = web.TCPSite(runner, host, port)
    try:
        await site.start()
    except OSError:
        await runner.cleanup()
        raise
    shown = f"[{host}]" if ":" in host else host
    world.base_url = f"http://{shown}:{runner.addresses[0][1]}"
    world.notifier.start()
    if world.snapshot is not None:
        world.snapshot.start()
    sweeper = asyncio.create_task(_sweep(world), name="sandbox-shop-sweep")
    return Running(world, world.base_url, runner, sweeper)
