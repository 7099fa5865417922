"""`forma doctor` on a set-up as an operator has it: what is found, what is said to do, and that nothing is changed."""

import asyncio
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import sqlalchemy as sa
from redis.asyncio import Redis

import sandbox.model.server
import sandbox.shop.server
import sandbox.telegram.server
from cli import compose
from cli.doctor import doctor
from cli.embedded import Postgres, Valkey
from kit.db import Database
from kit.errors import Misconfigured
from kit.settings import load
from sandbox.shop.state import SECRET_KEY_DEFAULT, SHOP_ID_DEFAULT
from sandbox.telegram.server import Running
from tests.support.forma import running
from tests.support.stack import clean_environment
from tests.support.telegram import Group, Person, SandboxTelegram

DOCTOR_S = 60.0
# The commands' calls at a start: for persons and for groups in two languages and the default, and the admin group.
MENUS = 7


@dataclass
class Setup:
    """A set-up with everything as it should be; settings can be changed for one visit, None leaving them out."""

    telegram: Running
    model: Any
    tg: SandboxTelegram
    operator: Person
    group: Group
    settings: dict[str, object]
    home: Path

    async def doctor(self, **changes: object) -> tuple[int, str]:
        return await self.run("doctor", **changes)

    async def run(self, command: str, **changes: object) -> tuple[int, str]:
        """Exit status and words."""
        given = {name: value for name, value in (self.settings | changes).items() if value is not None}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "cli", command, env=clean_environment(**given), cwd=self.home,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        said, _ = await asyncio.wait_for(process.communicate(), DOCTOR_S)
        assert b"Traceback" not in said, said.decode()
        return process.returncode or 0, said.decode()


@pytest.fixture(scope="module")
async def setup(
    database_url: str, redis_url: str, redis: Redis, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Setup]:
    tg = await sandbox.telegram.server.start()
    model = await sandbox.model.server.start()
    try:
        async with SandboxTelegram(tg.base_url) as driver:
            operator = await driver.person(first_name="Op", language_code="en")
            group = await driver.group(title="Desk", admins=[operator], bot="administrator", kind="group")
            settings: dict[str, object] = {
                "bot_token": compose.SANDBOX_TOKEN,
                "telegram_api_url": tg.base_url,
                "admin_chat_id": group.id,
                "database_url": database_url,
                "redis_url": redis_url,
                "model_url": model.base_url,
                "model_name": compose.SANDBOX_MODEL,
            }
            yield Setup(tg, model, driver, operator, group, settings, tmp_path_factory.mktemp("home"))
    finally:
        await model.close()
        await tg.close()


async def test_a_fresh_set_up_is_looked_at_and_left_as_it_is(setup: Setup, database: Database) -> None:
    status, said = await setup.doctor()
    assert (status, "BAD" in said) == (0, False), said
    assert "no commands are set yet" in said
    async with database.read() as connection:
        assert (await connection.exec_driver_sql("SELECT count(*) FROM stamp")).scalar_one() == 0


async def test_a_sound_set_up_has_nothing_to_mend(setup: Setup, database_url: str, redis_url: str) -> None:
    more = {"bot_token": compose.SANDBOX_TOKEN, "admin_chat_id": setup.group.id}
    async with running(database_url, redis_url, setup.telegram, setup.model, start=("bot",), **more):
        await setup.tg.until(lambda: sum(e.get("method") == "setMyCommands" for e in setup.tg.events) >= MENUS)
    status, said = await setup.doctor()
    assert (status, "BAD" in said) == (0, False), said
    assert "no commands" not in said
    assert all(words in said for words in ("Desk", "up to date", "version", compose.SANDBOX_MODEL, "7 plans")), said


async def test_a_redis_that_forgets_is_named(setup: Setup, redis: Redis) -> None:
    before = await redis.config_get("maxmemory*")
    try:
        await redis.config_set("maxmemory", "1gb")
        await redis.config_set("maxmemory-policy", "allkeys-lru")
        status, said = await setup.doctor()
    finally:
        for name in ("maxmemory", "maxmemory-policy"):
            await redis.config_set(name, before[name])
    assert (status, "allkeys-lru" in said, "maxmemory-policy noeviction" in said) == (1, True, True), said


@pytest.mark.parametrize(
    ("changes", "finding", "remedy"),
    [
        ({"bot_token": "42:ANOTHER"}, "does not know the token", "copy FORMA_BOT_TOKEN again"),
        ({"admin_chat_id": -1}, "admin group is not to be found", "add the bot"),
        ({"model_name": "no-such-model"}, "no-such-model", "mend the line"),
        ({"model_url": "http://127.0.0.1:9"}, "cannot be reached", "forma vllm chat"),
        ({"plans_file": "missing.toml"}, "missing.toml", "mend"),
        ({"telegram_api_url": "http://127.0.0.1:9"}, "Telegram does not answer", "FORMA_TELEGRAM_PROXY"),
        ({"redis_url": "redis://127.0.0.1:9/0"}, "Connection refused", "is it running"),
        ({"redis_url": "nonsense"}, "FORMA_REDIS_URL", "redis://"),
        ({"database_url": "postgresql://forma@127.0.0.1:9/forma"}, "ConnectionRefusedError", "is it running"),
        ({"model_name": None}, "FORMA_MODEL_NAME", "set both or neither"),
        ({"telegram_proxy": "nonsense"}, "FORMA_TELEGRAM_PROXY", "socks5://"),
        ({"admin_chat_id": 77}, "FORMA_ADMIN_CHAT_ID", "negative"),
        ({"database_url": "nonsense"}, "FORMA_DATABASE_URL", "postgresql://"),
    ],
)
async def test_what_is_wrong_is_named_with_what_to_do(
    setup: Setup, changes: dict[str, object], finding: str, remedy: str
) -> None:
    status, said = await setup.doctor(**changes)
    assert status != 0
    bad = said[max(said.find("BAD"), 0) :]
    assert finding in bad, said
    assert remedy in bad, said


async def test_a_wrong_password_or_database_is_told_by_the_servers_own_words(setup: Setup, database_url: str) -> None:
    head, _, tail = database_url.partition("forma:")
    _, _, place = tail.partition("@")
    status, said = await setup.doctor(database_url=f"{head}forma:wrong@{place}")
    assert (status, "password authentication failed" in said) == (1, True), said
    name = database_url.partition("?")[0].rpartition("/")[2]
    status, said = await setup.doctor(database_url=database_url.replace(name, "nowhere"))
    assert (status, '"nowhere" does not exist' in said) == (1, True), said


async def test_a_shop_is_asked_whether_it_knows_the_key_and_its_notifications_are_let_in(
    setup: Setup, capsys: pytest.CaptureFixture[str]
) -> None:
    shop = await sandbox.shop.server.start()
    right: dict[str, object] = {
        "yookassa_shop_id": SHOP_ID_DEFAULT,
        "yookassa_secret_key": SECRET_KEY_DEFAULT,
        "yookassa_api_url": shop.api_url,
        "yookassa_networks": "127.0.0.1",
        "public_url": "https://forma.example",
        "trusted_proxies": "127.0.0.1",
    }
    # What is changed, the status, and the words that say what is found and what to do.
    cases: list[tuple[dict[str, object], int, tuple[str, ...]]] = [
        ({}, 0, (f"ok    roubles    shop {SHOP_ID_DEFAULT}, receipts: none",)),
        ({"yookassa_secret_key": "wrong"}, 1, ("does not know shop", "copy FORMA_YOOKASSA_SHOP_ID")),
        ({"yookassa_api_url": "http://127.0.0.1:9/v3"}, 1, ("does not answer at http://127.0.0.1:9/v3", "the network")),
        ({"yookassa_networks": None}, 1, ("come from 127.0.0.1/32", "FORMA_YOOKASSA_NETWORKS=127.0.0.1")),
        ({"yookassa_networks": "0.0.0.0/0"}, 0, ("taken from everybody", "leave FORMA_YOOKASSA_NETWORKS empty")),
        ({"public_url": "http://forma.example"}, 1, ("no https address", "FORMA_PUBLIC_URL")),
        ({"trusted_proxies": None, "yookassa_in_chat": "true"}, 0, ("FORMA_TRUSTED_PROXIES", "Stars only")),
    ]
    try:
        for changes, expected, words in cases:
            given = {name: value for name, value in (setup.settings | right | changes).items() if value is not None}
            status = await doctor(load(_env_file=None, **given))
            said = capsys.readouterr().out
            assert (status, [one for one in words if one not in said]) == (expected, []), (changes, said)
            assert SECRET_KEY_DEFAULT not in said
    finally:
        await shop.close()
    for name, wrong in (("public_url", ""), ("yookassa_networks", "127.0.0.1/8"), ("yookassa_secret_key", "")):
        with pytest.raises(Misconfigured, match=f"FORMA_{name.upper()}"):
            load(_env_file=None, **(setup.settings | right | {name: wrong}))


async def test_without_an_admin_group_it_says_how_one_is_found(setup: Setup) -> None:
    status, said = await setup.doctor(admin_chat_id=None)
    assert (status, "it says the group's id there" in said) == (0, True), said


async def test_a_bot_that_is_no_admin_of_its_group_is_told_and_no_fault(setup: Setup) -> None:
    group = await setup.tg.group(title="Plain", admins=[setup.operator], bot="member")
    status, said = await setup.doctor(admin_chat_id=group.id)
    assert (status, "the bot is no admin there" in said) == (0, True), said


async def test_a_group_that_became_a_supergroup_is_named_by_its_new_id(setup: Setup) -> None:
    group = await setup.tg.group(title="Old", admins=[setup.operator], kind="group")
    new = await group.migrate()
    status, said = await setup.doctor(admin_chat_id=group.id)
    assert (status, f"FORMA_ADMIN_CHAT_ID={new.id}" in said) == (1, True), said


async def test_the_database_of_another_bot_is_refused(setup: Setup, database_url: str, redis_url: str) -> None:
    async with compose.open_app(load(_env_file=None, **setup.settings)):
        pass  # stamps it, if no earlier test did
    status, said = await setup.doctor(bot_token=None)
    assert (status, "belongs to the bot 42" in said) == (1, True), said


async def test_embedded_servers_are_asked_while_they_run(
    setup: Setup, servers: tuple[Postgres, Valkey], template: str
) -> None:
    postgres, _ = servers
    embedded: dict[str, object] = {"database_url": None, "redis_url": None}
    away = await setup.doctor(**embedded, data_dir=setup.home / "nothing")
    assert away[0] == 0, away[1]
    assert away[1].count("embedded, and not running") == 2

    admin = await asyncpg.connect(postgres.url("postgres"))
    try:
        await admin.execute(f"CREATE DATABASE forma TEMPLATE {template}")
        status, said = await setup.doctor(**embedded, data_dir=postgres.data_dir)
        assert (status, "up to date" in said, "embedded" in said) == (0, True, False), said
    finally:
        await admin.execute("DROP DATABASE IF EXISTS forma WITH (FORCE)")
        await admin.close()


async def test_a_database_of_a_newer_forma_is_refused_in_words(setup: Setup, database: Database) -> None:
    async with database.transaction() as tx:
        before = await tx.scalar(sa.text("SELECT version_num FROM alembic_version"))
        await tx.execute(sa.text("UPDATE alembic_version SET version_num = '9999_later'"))
    try:
        for command in ("doctor", "migrate"):
            status, said = await setup.run(command)
            assert status != 0, command
            assert "by a newer Forma" in said, command
    finally:
        async with database.transaction() as tx:
            await tx.execute(sa.text("UPDATE alembic_version SET version_num = :before"), {"before": before})
