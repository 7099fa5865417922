"""`forma doctor`: checks a real set-up and says what to do about each finding."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

import aiohttp
from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import TelegramAPIError, TelegramUnauthorizedError

from billing import catalog, invariants
from cli import compose
from inference import models
from kit import migrate, redis, stamp
from kit.clock import Clock
from kit.db import Database
from kit.errors import FormaError, Misconfigured
from kit.settings import Settings

CHECK_TIMEOUT_S = 15.0
State = Literal["good", "note", "bad"]
_MARKS: dict[State, str] = {"good": "ok  ", "note": "note", "bad": "BAD "}


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's; `remedy` says what to do, empty when nothing is to be done."""

    state: State
    what: str
    remedy: str = ""


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
        except (OSError, FormaError, aiohttp.ClientError) as error:
            findings = [Finding("bad", f"{type(error).__name__}: {error}", "is it running, and is the address right?")]
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
        commands = await bot.get_my_commands()
        if not commands:
            found.append(Finding("note", "no commands are set yet", "`forma bot` sets them at its start"))
        return found + await _admin_group(bot, settings)


async def _admin_group(bot: Bot, settings: Settings) -> list[Finding]:
    if not settings.admin_chat_id:
        return [
            Finding(
                "note",
                "no admin group",
                "make a private group, add the bot, put the group's id into FORMA_ADMIN_CHAT_ID (README: A real bot)",
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


async def _database(settings: Settings) -> list[Finding]:
    if not settings.database_url:
        return [Finding("note", "embedded", "`forma up` starts it; FORMA_DATABASE_URL names one of your own")]
    db = Database(settings.database_url, pool_size=1)
    try:
        waiting = await migrate.pending(db)
        if waiting:
            return [Finding("bad", f"{len(waiting)} migrations are missing", "run `forma migrate`")]
        found = [Finding("good", "reachable and up to date")]
        async with db.transaction() as tx:
            await stamp.claim(tx, kind=stamp.kind_of(settings.bot_id), now=Clock().now())
        async with db.read() as connection:
            broken = await invariants.check(connection)
        return found + [
            Finding("bad", f"invariant {one.number}: {one.name} ({one.count})", "see docs/operator.md")
            for one in broken
        ]
    finally:
        await db.close()


async def _redis(settings: Settings) -> list[Finding]:
    if not settings.redis_url:
        return [Finding("note", "embedded", "`forma up` starts it; FORMA_REDIS_URL names one of your own")]
    client = redis.connect(settings.redis_url)
    try:
        info = await client.info("server")
    finally:
        await client.aclose()
    return [Finding("good", f"version {info.get('valkey_version') or info['redis_version']}")]


async def _models(settings: Settings) -> list[Finding]:
    found = []
    async with aiohttp.ClientSession() as session:
        for model in compose.load_models(settings):
            result = await models.probe(model, session)
            if result.reachable and not result.problems:
                found.append(Finding("good", f"{model.id}: {model.name}"))
            severity: State = "bad" if settings.bot_id else "note"
            found += [Finding(severity, f"{model.id}: {problem}", "see models.toml") for problem in result.problems]
    return found


async def _plans(settings: Settings) -> list[Finding]:
    known = catalog.load(settings.plans_file)
    return [Finding("good", f"{len(known.plans)} plans")]


_CHECKS: dict[str, Check] = {
    "telegram": _telegram,
    "database": _database,
    "redis": _redis,
    "models": _models,
    "plans": _plans,
}
