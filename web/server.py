"""The one HTTP server: Telegram's webhook, the page where roubles are paid, health, metrics."""

import asyncio
import hmac
from collections.abc import Awaitable, Callable

import orjson
import structlog
from aiohttp import web

from app import diagnosis
from app.context import App
from kit import inbox, outbox, signals
from kit.errors import Unavailable
from kit.observability import outbox_age_s, render_metrics
from web import pay

log = structlog.get_logger(__name__)

APP_KEY: web.AppKey[App] = web.AppKey("app", App)
WEBHOOK_PATH = "/telegram/webhook"
SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 - a header's name
BODY_BYTES_MAX = 1024 * 1024
# Whoever sends a body sends it at once.
BODY_WITHIN_S = 10.0

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def make(app: App) -> web.Application:
    """Return the aiohttp application; the composition root runs it."""
    site = web.Application(client_max_size=BODY_BYTES_MAX, middlewares=[_errors])
    site[APP_KEY] = app
    site.router.add_get("/health", health)
    site.router.add_get("/metrics", metrics)
    if app.settings.telegram_mode == "webhook":
        site.router.add_post(WEBHOOK_PATH, telegram)
    if app.yookassa is not None:
        pay.add_routes(site, APP_KEY)
    return site


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Log what went wrong and answer without a traceback; Telegram repeats what was not acknowledged.

    Handlers find the body read. The log names the route and no address: that of a payment's page opens it.
    """
    try:
        async with asyncio.timeout(BODY_WITHIN_S):
            await request.read()
    except TimeoutError:
        return web.json_response({"error": "the body did not come"}, status=408, headers={"Connection": "close"})
    try:
        return await handler(request)
    except web.HTTPException:
        raise
    except Exception:
        resource = request.match_info.route.resource
        log.exception("http_failed", route=resource.canonical if resource else None)
        return web.json_response({"error": "internal error"}, status=500)


async def health(request: web.Request) -> web.Response:
    """503 while a vital part is bad, else 200; `degraded` says that something is slow or that answers must wait."""
    parts = await diagnosis.parts(request.app[APP_KEY])
    bad = any(part.vital and part.state == "bad" for part in parts)
    good = all(part.state == "good" for part in parts)
    return web.json_response(
        {
            "status": "bad" if bad else "ok" if good else "degraded",
            "parts": {part.name: {"state": part.state, "detail": part.detail} for part in parts},
        },
        status=503 if bad else 200,
    )


async def metrics(request: web.Request) -> web.Response:
    """Prometheus' text format, of all processes that share a metrics folder."""
    app = request.app[APP_KEY]
    try:
        async with app.db.read() as connection:
            outbox_age_s.set(await outbox.oldest_age_s(connection, now=app.clock.now()))
    except Unavailable:  # the counters are worth having all the more
        log.warning("outbox_age_unknown")
    return web.Response(body=render_metrics(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})


async def telegram(request: web.Request) -> web.Response:
    """Store an update and only then acknowledge it; the bot process handles it from its row."""
    app = request.app[APP_KEY]
    secret = app.settings.telegram_webhook_secret.get_secret_value()
    if not hmac.compare_digest(request.headers.get(SECRET_HEADER, "").encode(), secret.encode()):
        return web.json_response({"error": "wrong secret"}, status=401)
    try:
        update = orjson.loads(await request.read())
        key = str(int(update["update_id"]))
    except (ValueError, KeyError, TypeError):
        return web.json_response({"error": "not an update"}, status=400)
    async with app.db.transaction() as tx:
        await inbox.store(tx, source=inbox.TELEGRAM, bodies=[(key, update)], now=app.clock.now())
    await signals.send(app.redis, signals.INBOX)
    return web.Response()
