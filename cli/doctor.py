"""`forma doctor`: checks a real set-up and says what to do about each finding."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import aiohttp
from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import TelegramAPIError, TelegramUnauthorizedError
from aiogram.types import BotCommandScopeAllPrivateChats
from redis.exceptions import RedisError
from sqlalchemy.exc import DBAPIError

from app import books, model_groups
from billing import catalog, rouble_receipts
from billing.yookassa.errors import NotReached, Refused, Unknown
from cli import compose, embedded
from inference import model_probe
from kit import migrate, redis, stamp
from kit.addresses import lies_within, networks
from kit.clock import Clock
from kit.db import Database
from kit.errors import FormaError, Misconfigured
from kit.settings import YOOKASSA_API_URL, YOOKASSA_NETWORKS, Settings

CHECK_TIMEOUT_S = 15.0
State = Literal["good", "note", "bad"]
_MARKS: dict[State, str] = {"good": "ok  ", "note": "note", "bad": "BAD "}


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's; `remedy` says what to do, empty when nothing is to be done."""

    state: State
    what: str
    remedy: str = ""


_AWAY = (OSError, FormaError, aiohttp.ClientError, DBAPIError, RedisError)
Check = Callable[[Settings], Awaitable[list[Finding]]]


async def doctor(settings: Settings) -> int:
    """Print every finding; return 1 when something must be mended before Forma can serve, else 0."""
    worst = 0
    for name, check in _CHECKS.items():
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                findings = await check(settings)
        except Misconfigured as error:
            findings = [Finding("bad", str(error.args[0]), "mend what the line says")]
        except TimeoutError:
            findings = [Finding("bad", f"no answer within {CHECK_TIMEOUT_S:.0f} s", "is it reachable from here?")]
        except _AWAY as error:
            words = " ".join(str(part) for part in error.args) or type(error).__name__
            findings = [Finding("bad", words, "is it running, and are address and password right?")]
        for finding in findings:
            remedy = f"\n            -> {finding.remedy}" if finding.remedy else ""
            print(f"  {_MARKS[finding.state]}  {name:<10} {finding.what}{remedy}")
            worst |= finding.state == "bad"
    return int(worst)


async def _telegram(settings: Settings) -> list[Finding]:
    address = compose.telegram(settings)
    session = AiohttpSession(
        proxy=settings.telegram_proxy or None, api=TelegramAPIServer.from_base(address.api_url), timeout=10
    )
    async with session:
        bot = Bot(address.token, session=session)
        try:
            me = await bot.get_me()
        except TelegramUnauthorizedError:
            return [Finding("bad", "Telegram does not know the token", "copy FORMA_BOT_TOKEN again from @BotFather")]
        except TelegramAPIError as error:
            return [
                Finding(
                    "bad",
                    f"Telegram does not answer at {address.api_url}: {error.message[:120]}",
                    "check the network, FORMA_TELEGRAM_API_URL and FORMA_TELEGRAM_PROXY"
                    if settings.bot_id
                    else "the sandbox runs with `forma up`",
                )
            ]
        found = [Finding("good", f"@{me.username} ({me.id})")]
        if not settings.bot_id:
            found.append(Finding("note", "this is the sandbox", "set FORMA_BOT_TOKEN for a real bot"))
        if me.can_read_all_group_messages:
            found.append(
                Finding("note", "privacy mode is off", "the bot sees all talk of its groups: @BotFather, /setprivacy")
            )
        if settings.bot_id and settings.admin_chat_id and me.can_join_groups:
            found.append(
                Finding("note", "anybody may add the bot to a group", "once it is in yours: @BotFather, /setjoingroups")
            )
        commands = await bot.get_my_commands(scope=BotCommandScopeAllPrivateChats())
        if not commands:
            found.append(Finding("note", "no commands are set yet", "`forma bot` sets them at its start"))
        return found + await _admin_group(bot, settings)


async def _admin_group(bot: Bot, settings: Settings) -> list[Finding]:
    if not settings.admin_chat_id:
        return [
            Finding(
                "note",
                "no admin group",
                "make a private group, add the running bot: it says the group's id there (README: A real bot)",
            )
        ]
    try:
        chat = await bot.get_chat(settings.admin_chat_id)
        member = await bot.get_chat_member(settings.admin_chat_id, bot.id)
    except TelegramAPIError as error:
        migrated = getattr(error, "migrate_to_chat_id", None)
        if migrated:
            return [Finding("bad", "the admin group became a supergroup", f"set FORMA_ADMIN_CHAT_ID={migrated}")]
        return [
            Finding("bad", f"the admin group is not to be found: {error.message[:120]}", "add the bot to the group")
        ]
    found = [Finding("good", f"admin group «{chat.title}»")]
    if chat.type not in {"group", "supergroup"}:
        found.append(Finding("bad", f"FORMA_ADMIN_CHAT_ID is a {chat.type}", "it must be a private group"))
    if chat.username:
        found.append(Finding("bad", "the admin group is public", "make it private: everybody in it commands Forma"))
    if member.status not in {"administrator", "creator"}:
        found.append(Finding("note", "the bot is no admin there", "make it one, so that it sees commands in any form"))
    return found


def _data_dir(settings: Settings) -> Path:
    return (settings.data_dir or embedded.default_data_dir()).expanduser().resolve()


def _not_running(setting: str) -> list[Finding]:
    """An embedded server that is not there for this user."""
    remedy = f"`forma up` starts it, and whoever runs that may ask it; {setting} names one of your own"
    return [Finding("note", "embedded, and not running", remedy)]


async def _database(settings: Settings) -> list[Finding]:
    own = embedded.Postgres(_data_dir(settings))
    if not settings.database_url and not own.running:
        return _not_running("FORMA_DATABASE_URL")
    db = Database(settings.database_url or own.url(), pool_size=1)
    try:
        async with db.read():
            pass  # whoever cannot come in says so here, in the words of kit.db
        waiting = await migrate.pending(db)
        if waiting:
            remedy = "run `forma migrate`" if settings.database_url else "stop `forma up` and start it again"
            return [Finding("bad", f"{len(waiting)} migrations are missing", remedy)]
        found = [Finding("good", "reachable and up to date")]
        async with db.read() as connection:
            await stamp.check(connection, kind=stamp.kind_of(settings.bot_id))
            broken = await books.violations(connection)
            now = Clock(await stamp.clock_offset(connection)).now()
            receipts = await rouble_receipts.count_missing(connection, now=now)
        if receipts:
            remedy = "/receipts in the admin group lists them; make them in YooKassa's merchant profile"
            found.append(Finding("note", f"receipts that YooKassa did not register: {receipts}", remedy))
        return found + [
            Finding("bad", f"invariant {one.number}: {one.name} ({one.count})", "see docs/operator.md")
            for one in broken
        ]
    finally:
        await db.close()


async def _redis(settings: Settings) -> list[Finding]:
    own = embedded.Valkey(_data_dir(settings))
    if not settings.redis_url and not own.running:
        return _not_running("FORMA_REDIS_URL")
    client = redis.connect(settings.redis_url or own.url())
    try:
        info = await client.info()
    finally:
        await client.aclose()
    found = [Finding("good", f"version {info.get('valkey_version') or info['redis_version']}")]
    policy = str(info.get("maxmemory_policy", "noeviction"))
    if info.get("maxmemory") and policy != "noeviction":
        # A full Redis that forgets tickets leaves people waiting; one that refuses says so.
        found.append(Finding("bad", f"forgets keys when it is full ({policy})", "set maxmemory-policy noeviction"))
    return found


async def _models(settings: Settings) -> list[Finding]:
    known = model_groups.read(settings, catalog.load(settings.plans_file))
    async with aiohttp.ClientSession() as session:
        results = await asyncio.gather(*(model_probe.probe(model, session) for model in known))
    found = []
    for result in results:
        model = result.model
        if not result.problems:
            count, length = len(result.replicas), model.context_length
            found.append(Finding("good", f"{model.id}: {model.name}, servers: {count}, context: {length} tokens"))
        for probe in result.replicas:
            if probe.mistaken_key:
                mistake = known.wrong(model.id, probe.mistaken_key, f"{probe.replica.base_url} {probe.problem}")
                found.append(Finding("bad", str(mistake), "mend the line, or start the server with what it says"))
            elif probe.problem:
                severity: State = "bad" if settings.bot_id else "note"
                what = f"{model.id}: {probe.replica.base_url}: {probe.problem}"
                found.append(Finding(severity, what, f"`forma vllm {model.id}` prints how it is started"))
    return found


async def _plans(settings: Settings) -> list[Finding]:
    known = catalog.load(settings.plans_file)
    return [Finding("good", f"{len(known.plans)} plans")]


async def _roubles(settings: Settings) -> list[Finding]:
    shop = compose.yookassa(settings)
    if shop is None:
        remedy = "docs/operator.md, Roubles by YooKassa, says why and what turns them on"
        if not settings.bot_id:
            return [Finding("note", "the sandbox's shop stands in while `forma up` runs", remedy)]
        return [Finding("note", "off: nothing is sold for roubles", remedy)]
    async with shop:
        try:
            await shop.payments(limit=1)
        except (NotReached, Refused, Unknown) as error:
            return [_no_shop(settings, error), *_notifications(settings)]
    found = [Finding("good", f"shop {shop.shop_id}, receipts: {settings.yookassa_receipts}")]
    found += _notifications(settings)
    if settings.yookassa_in_chat:
        remedy = "Telegram's terms allow Stars only; FORMA_YOOKASSA_IN_CHAT=false keeps them on your page"
        found.append(Finding("note", "prices in roubles stand in the chat", remedy))
    if settings.bot_id and not settings.public_url.startswith("https://"):
        found.append(Finding("bad", "the page where people pay has no https address", "mend FORMA_PUBLIC_URL"))
    if settings.bot_id and not settings.trusted_proxies:
        remedy = "name it in FORMA_TRUSTED_PROXIES, or YooKassa's notifications are refused"
        found.append(Finding("note", "no proxy is trusted; is web behind one?", remedy))
    return found


def _no_shop(settings: Settings, error: NotReached | Refused | Unknown) -> Finding:
    """Why the shop's payments are not to be seen, and what helps."""
    words = str(error) if isinstance(error, Refused) else error.detail
    if "HTTP 401" in words:
        what = f"YooKassa does not know shop {settings.yookassa_shop_id} with this key"
        return Finding("bad", what, "copy FORMA_YOOKASSA_SHOP_ID and FORMA_YOOKASSA_SECRET_KEY again from its profile")
    if isinstance(error, Refused):
        return Finding(
            "bad", f"YooKassa does not show the shop's payments: {words}", "ask YooKassa what the shop may do"
        )
    what = f"YooKassa does not answer at {settings.yookassa_api_url}: {words}"
    return Finding("bad", what, "check the network and FORMA_YOOKASSA_API_URL; payments wait meanwhile, none is lost")


def _notifications(settings: Settings) -> list[Finding]:
    """Whether those that the shop sends are taken. Only YooKassa and this machine have addresses that we know."""
    host = urlsplit(settings.yookassa_api_url).hostname or ""
    own = {urlsplit(YOOKASSA_API_URL).hostname: YOOKASSA_NETWORKS, "127.0.0.1": "127.0.0.1", "localhost": "127.0.0.1"}
    wanted, taken = networks(own.get(host, "")), settings.notification_networks
    refused = [str(one) for one in wanted if not any(lies_within(one, network) for network in taken)]
    if refused:
        local = host != urlsplit(YOOKASSA_API_URL).hostname
        remedy = "set FORMA_YOOKASSA_NETWORKS=127.0.0.1" if local else "leave FORMA_YOOKASSA_NETWORKS empty"
        what = f"the shop's notifications are refused, they come from {', '.join(refused)}"
        return [Finding("bad", what, f"{remedy}; until then payments are found by asking, some minutes late")]
    if any(network.prefixlen == 0 for network in taken):
        remedy = "leave FORMA_YOOKASSA_NETWORKS empty: YooKassa's own are known"
        return [Finding("note", "notifications are taken from everybody", remedy)]
    return []


_CHECKS: dict[str, Check] = {
    "telegram": _telegram,
    "database": _database,
    "redis": _redis,
    "models": _models,
    "plans": _plans,
    "roubles": _roubles,
}
