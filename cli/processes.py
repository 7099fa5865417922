"""The processes of Forma: bot, worker, web. Each runs until its stop event is set, and leaves nothing behind."""

import asyncio

import structlog

from app.context import App
from cli import compose
from cli.lifetime import Ready, run_until
from kit.errors import Misconfigured

log = structlog.get_logger(__name__)

WEB_SHUTDOWN_S = 2.0


async def run_bot(app: App, stop: asyncio.Event, ready: Ready) -> None:
    """Fetch updates, handle them, deliver. One process at a time; a second one waits as standby."""
    # Telegram's library takes two seconds to import: worker and web do without.
    from cli.bot_process import run

    await run(app, stop, ready)


async def run_worker(app: App, stop: asyncio.Event, ready: Ready) -> None:
    """Serve turns and run the schedules."""
    from app import jobs, service_lanes
    from app.serving import ServingPool
    from inference.vllm import VllmClient
    from kit.jobs import PromptWorker

    for fair in app.queues.values():
        await fair.configure()
    async with VllmClient() as vllm:
        pool = ServingPool(app, vllm)
        worker = PromptWorker(app.redis, jobs.FUNCTIONS, schedules=jobs.schedules(), ctx={"app": app})
        ready()
        log.info("worker_ready", slots=app.settings.worker_slots)
        await run_until(stop, [pool.run(), worker.main(), compose.follow_clock(app), service_lanes.follow(app)])


async def run_web(app: App, stop: asyncio.Event, ready: Ready) -> None:
    """Serve webhooks, health and metrics. Raises Misconfigured when the port is taken."""
    from aiohttp import web as aiohttp_web

    from app import service_lanes
    from web import server

    runner = aiohttp_web.AppRunner(server.make(app), access_log=None, shutdown_timeout=WEB_SHUTDOWN_S)
    await runner.setup()
    host, port = app.settings.http_host, app.settings.http_port
    try:
        await aiohttp_web.TCPSite(runner, host, port).start()
    except OSError as error:
        await runner.cleanup()
        raise Misconfigured(f"FORMA_HTTP_PORT {port} on {host} cannot be used: {error.strerror}") from None
    ready()
    log.info("web_ready", host=host, port=port)
    try:
        await run_until(stop, [compose.follow_clock(app), service_lanes.follow(app)])
    finally:
        await runner.cleanup()
