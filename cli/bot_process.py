"""The bot process: fetches updates, handles them, shows previews, delivers."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable

import orjson
import structlog
from aiogram import Bot, Dispatcher
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import TelegramAPIError, TelegramUnauthorizedError
from aiogram.methods import DeleteWebhook, SetWebhook

from app import model_groups, service_lanes
from app.context import App
from bot import menu, render
from bot.budget import Budget, Limits
from bot.context import AdminChat, Room
from bot.deliver import Deliver
from bot.dispatch import Dispatch
from bot.handlers import routers
from bot.intake import ALLOWED_UPDATES, Intake
from bot.previews import Previews
from bot.sender import Sender
from bot.sheets import Sheets
from bot.star_list import StarList
from cli import compose
from cli.lifetime import Ready, run_until
from cli.singleton import Singleton
from inference.queue.ticket import Position
from inference.streams import PreviewReader
from kit import chats, signals
from kit.errors import FormaError, Misconfigured, Unavailable
from kit.words import words
from web import server

log = structlog.get_logger(__name__)

BOT_LOCK = 0x464F524D42  # "FORMB"
TELEGRAM_RETRY_S = 3.0


async def run(app: App, stop: asyncio.Event, ready: Ready) -> None:
    """Fetch updates, handle them, deliver. One process at a time; a second one waits as standby."""
    async with _singleton(app, stop, ready) as lock, _bot(app) as bot:
        if lock is None:
            return
        me = await _until_telegram_answers(app, bot, stop)
        if me is None:
            return
        async with app.db.read() as connection:
            admin_chat = AdminChat(await chats.current_id(connection, app.settings.admin_chat_id))
        sender = Sender(bot, Budget(app.redis, Limits()))
        sender.start()
        reader = PreviewReader(app.redis)
        previews = Previews(
            sender, reader, render=render.preview, words=words, position=lambda turn_id: _position(app, turn_id)
        )
        deliveries = asyncio.Event()
        star_list = StarList(app, sender)
        room = Room(app, sender, previews, me, admin_chat, Sheets(app.redis), deliveries, star_list)
        dispatcher = Dispatcher(disable_fsm=True)
        dispatcher.include_routers(*routers())
        dispatch = Dispatch(room, bot, dispatcher)
        intake = Intake(app, bot, dispatch.handle, dispatch.refuse_checkout)
        listener = signals.Listener(app.redis, [signals.INBOX, signals.OUTBOX])
        work: list[Awaitable[None]] = [
            listener.run(),
            _forward(listener.events[signals.OUTBOX], deliveries),
            Deliver(room).run(),
            previews.run(),
            _introduce(app, sender, admin_chat.id),
            intake.run(listener),
            star_list.run(),
            compose.follow_clock(app),
            model_groups.follow(app),
            service_lanes.follow(app),
            lock.watch(),
        ]
        ready()
        log.info("bot_ready", username=me)
        try:
            await run_until(stop, work)
        finally:
            await previews.close()
            await sender.close()
            await reader.close()


@contextlib.asynccontextmanager
async def _singleton(app: App, stop: asyncio.Event, standby: Ready) -> AsyncIterator[Singleton | None]:
    """Hold the bot's lock; None when `stop` came before it was ours. Standing by is a bot's work as well."""
    lock = Singleton(app.db, BOT_LOCK)
    try:
        yield lock if await lock.acquire(stop, standby) else None
    finally:
        await lock.release()


@contextlib.asynccontextmanager
async def _bot(app: App) -> AsyncIterator[Bot]:
    address = compose.telegram(app.settings)
    session = AiohttpSession(
        proxy=app.settings.telegram_proxy or None,
        api=TelegramAPIServer.from_base(address.api_url),
        json_loads=orjson.loads,
        json_dumps=lambda value: orjson.dumps(value).decode(),
    )
    bot = Bot(address.token, session=session)
    try:
        yield bot
    finally:
        await session.close()


async def _until_telegram_answers(app: App, bot: Bot, stop: asyncio.Event) -> str | None:
    """Return the bot's username once Telegram answers; None when stopped before. Raises Misconfigured: a bad token."""
    webhook = app.settings.telegram_mode == "webhook"
    while not stop.is_set():
        try:
            me = await bot.get_me()
            if webhook:
                await bot(
                    SetWebhook(
                        url=app.settings.public_url + server.WEBHOOK_PATH,
                        secret_token=app.settings.telegram_webhook_secret.get_secret_value(),
                        allowed_updates=list(ALLOWED_UPDATES),
                    )
                )
            else:
                await bot(DeleteWebhook())
            return me.username or ""
        except TelegramUnauthorizedError:
            raise Misconfigured("Telegram does not know this FORMA_BOT_TOKEN: copy it again from BotFather") from None
        except (TelegramAPIError, OSError) as error:
            log.warning(
                "telegram_away",
                error=type(error).__name__,
                url=bot.session.api.base.partition("/bot")[0],
                settings="FORMA_TELEGRAM_API_URL, FORMA_TELEGRAM_PROXY",
            )
            await signals.wait(stop, TELEGRAM_RETRY_S)
    return None


async def _introduce(app: App, sender: Sender, admin_chat_id: int) -> None:
    """Set commands and descriptions; a refusal is the operator's to see, and no reason not to serve."""
    for call in menu.all_calls(admin_chat_id, app.settings.admin_language, think=app.reasons):
        try:
            await sender.answer(call)
        except FormaError as error:
            log.warning("introduction_refused", method=call.__api_method__, error=str(error)[:200])


async def _forward(signal: asyncio.Event, deliveries: asyncio.Event) -> None:
    while True:
        await signal.wait()
        signal.clear()
        deliveries.set()


async def _position(app: App, turn_id: int) -> Position | None:
    for fair in list(app.queues.values()):
        try:
            found = await fair.position(turn_id)
        except Unavailable:
            return None
        if found is not None and found.position > 0:
            return found
    return None
