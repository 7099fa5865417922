"""The processes of Forma: bot, worker, web. Each runs until its stop event is set, and leaves nothing behind."""

import asyncio
from collections.abc import Awaitable
from typing import NoReturn

import structlog

from app import model_groups, service_lanes
from app.context import App
from cli import compose
from cli.lifetime import Ready, run_until
from kit.errors import Misconfigured, Unavailable

log = structlog.get_logger(__name__)

WEB_SHUTDOWN_S = 2.0


def shared(app: App) -> list[Awaitable[None]]:
    """What every process does beside its own work: it follows the clock, the models, and the operator's orders."""
    return [compose.follow_clock(app), model_groups.follow(app), service_lanes.follow(app)]


async def reload_on(hangup: asyncio.Event, app: App) -> NoReturn:
    """Read models.toml again, in all processes, whenever this one is sent SIGHUP. Runs until cancelled."""
    while True:
        await hangup.wait()
        hangup.clear()
        try:
            done = await model_groups.reload(app)
        except (Misconfigured, Unavailable) as error:
            log.warning("models_not_reloaded", error=" ".join(map(str, error.args)))
            continue
        for warning in done.warnings:
            log.warning("model_server_away", what=warning)


async def run_bot(app: App, stop: asyncio.Event, ready: Ready) -> None:
    """Fetch updates, handle them, deliver. One process at a time; a second one waits as standby."""
    # Telegram's library takes two seconds to import: worker and web do without.
    from cli.bot_process import run

    await run(app, stop, ready)


async def run_worker(app: App, stop: asyncio.Event, ready: Ready) -> None:
    """Serve turns and run the schedules."""
    from app import jobs
    from app.house_lane import HouseLane
    from app.replica_watch import ReplicaWatch
    from app.serving import ServingPool
    from inference.vllm import Timeouts, VllmClient
    from kit.jobs import PromptWorker

    for warning in await model_groups.check_servers(app.models):
        log.warning("model_server_away", what=warning)
    for fair in app.queues.values():
        await fair.configure()
    waits = Timeouts(first_token_s=app.settings.model_first_token_s, between_tokens_s=app.settings.model_silence_s)
    async with VllmClient(timeouts=waits) as vllm:
        pool, lane = ServingPool(app, vllm), HouseLane(app, vllm)
        worker = PromptWorker(app.redis, jobs.FUNCTIONS, schedules=jobs.schedules(), ctx={"app": app})
        ready()
        log.info("worker_ready", slots=app.settings.worker_slots)
        await run_until(stop, [pool.run(), lane.run(), worker.main(), ReplicaWatch(app).run(), *shared(app)])


async def run_web(app: App, stop: asyncio.Event, ready: Ready) -> None:
    """Serve webhooks, health and metrics. Raises Misconfigured when the port is taken."""
    from aiohttp import web as aiohttp_web

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
        await run_until(stop, shared(app))
    finally:
        await runner.cleanup()
