"""The composition root: from settings to a frozen App. Everything that is shared is made here and closed here."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

import structlog

from app import model_groups, service_lanes
from app.context import App
from billing import catalog
from billing.yookassa.client import YooKassa
from inference.queue.fair import FairQueue
from inference.replicas.choice import Replicas
from kit import migrate, redis, stamp
from kit.clock import Clock
from kit.db import Database
from kit.errors import Misconfigured
from kit.jobs import Jobs
from kit.settings import TELEGRAM_API_URL, Settings

log = structlog.get_logger(__name__)

SANDBOX_TOKEN = "42:SANDBOX"  # noqa: S105 - opens the simulation only
SANDBOX_MODEL = "forma-sim"


@dataclass(frozen=True)
class TelegramAddress:
    """Which bot speaks through which Bot API."""

    token: str
    api_url: str


def telegram(settings: Settings) -> TelegramAddress:
    """Return the bot and its API: without a token the sandbox's, as design.md says."""
    token = settings.bot_token.get_secret_value()
    if token:
        return TelegramAddress(token, settings.telegram_api_url)
    own = settings.telegram_api_url if settings.telegram_api_url != TELEGRAM_API_URL else ""
    return TelegramAddress(SANDBOX_TOKEN, own or f"http://127.0.0.1:{settings.sandbox_port}")


def yookassa(settings: Settings) -> YooKassa | None:
    """Return the client of the shop that takes roubles, to be opened; None while nothing is sold for them."""
    if not settings.yookassa_shop_id:
        return None
    secret = settings.yookassa_secret_key.get_secret_value()
    return YooKassa(settings.yookassa_shop_id, secret, api_url=settings.yookassa_api_url)


@contextlib.asynccontextmanager
async def open_app(settings: Settings) -> AsyncIterator[App]:
    """Yield the App over a migrated, stamped database. Raises Misconfigured with what is to be changed."""
    if not settings.database_url or not settings.redis_url:
        raise Misconfigured(
            "FORMA_DATABASE_URL and FORMA_REDIS_URL are empty: `forma up` starts embedded servers and sets them"
        )
    plans = catalog.load(settings.plans_file)
    known = model_groups.read(settings, plans)
    db = Database(settings.database_url)
    client = redis.connect(settings.redis_url)
    clock = Clock()
    try:
        await _prepare(db, settings, plans, clock)
        await redis.check(client)
        queues = {model.id: FairQueue(client, model.id, model_groups.queue_config(model)) for model in known.of("chat")}
        async with contextlib.AsyncExitStack() as stack:
            shop = yookassa(settings)
            app = App(
                settings=settings,
                clock=clock,
                db=db,
                redis=client,
                jobs=Jobs(client),
                models=known,
                plans=plans,
                queues=queues,
                replicas=await stack.enter_async_context(Replicas(client)),
                yookassa=await stack.enter_async_context(shop) if shop else None,
            )
            await model_groups.refresh_orders(app)
            await service_lanes.reload(app)
            yield app
    finally:
        await client.aclose()
        await db.close()


async def _prepare(db: Database, settings: Settings, plans: catalog.Catalog, clock: Clock) -> None:
    """Check migrations and stamp, set the clock, publish what is sold."""
    waiting = await migrate.pending(db)
    if waiting:
        raise Misconfigured(f"the database lacks {len(waiting)} migrations: run `forma migrate`")
    async with db.transaction() as tx:
        await stamp.claim(tx, kind=stamp.kind_of(settings.bot_id), now=clock.now())
        clock.offset = await stamp.clock_offset(tx)
        await catalog.publish(tx, plans, now=clock.now())


async def follow_clock(app: App, every_s: float = 1.0) -> None:
    """Keep the clock's offset as the sandbox-stamped database says; a live one has none and this returns."""
    import asyncio

    if app.settings.bot_id:
        return
    while True:
        await asyncio.sleep(every_s)
        try:
            async with app.db.read() as connection:
                offset = await stamp.clock_offset(connection)
        except Exception as error:
            log.warning("clock_unreadable", error=type(error).__name__)
            continue
        if offset != app.clock.offset:
            log.info("clock_moved", days=round(offset / timedelta(days=1), 2))
            app.clock.offset = offset
