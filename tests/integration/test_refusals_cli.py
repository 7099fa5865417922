"""A set-up that cannot run is refused in one sentence that names the setting: never a traceback, never a half start."""

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

import sandbox.telegram.server
from cli.embedded import Postgres, Valkey
from kit import stamp
from kit.clock import Clock
from kit.db import Database
from tests.support.stack import ROOT, clean_environment

REFUSED_S = 60.0
PORTS = ("http_port", "sandbox_port", "sandbox_model_port", "sandbox_shop_port")
AWAY = "127.0.0.1:9"  # the discard port: nobody listens


@dataclass
class Cli:
    """Starts commands on this module's servers; a change of None leaves a setting out."""

    database_url: str
    redis_url: str
    home: Path

    async def run(self, command: str, **changes: object) -> tuple[int, str]:
        """Exit status and words of a command that ends by itself."""
        settings: dict[str, object] = {
            "database_url": self.database_url,
            "redis_url": self.redis_url,
            "data_dir": self.home / "data",
            "model_url": f"http://{AWAY}",
            "model_name": "none",
            **dict(zip(PORTS, _free_ports(len(PORTS)), strict=True)),
        } | changes
        given = {name: value for name, value in settings.items() if value is not None}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "cli", command, env=clean_environment(**given), cwd=self.home,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        try:
            said, _ = await asyncio.wait_for(process.communicate(), REFUSED_S)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        return process.returncode or 0, said.decode()

    async def refused(self, command: str, *words: str, status: int = os.EX_CONFIG, **changes: object) -> None:
        """It ends with the status, and with one sentence that holds the words."""
        code, said = await self.run(command, **changes)
        assert code == status, said
        assert "Traceback" not in said, said
        spoken = [line for line in said.splitlines() if line.startswith("forma: ")]
        assert len(spoken) == 1, said
        for word in words:
            assert word in spoken[0], said


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


@pytest.fixture(scope="module")
def cli(database_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Cli:
    return Cli(database_url, redis_url, tmp_path_factory.mktemp("home"))


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        yield int(holder.getsockname()[1])


@pytest.mark.parametrize(
    ("setting", "value", "word"),
    [
        ("http_port", "http", "FORMA_HTTP_PORT"),
        ("http_port", 70_000, "FORMA_HTTP_PORT"),
        ("http_host", "no.such.host.invalid", "FORMA_HTTP_HOST"),
        ("database_url", "mysql://forma@localhost/forma", "FORMA_DATABASE_URL"),
        ("redis_url", "localhost:6379", "FORMA_REDIS_URL"),
        ("bot_token", "a-token", "FORMA_BOT_TOKEN"),
        ("telegram_api_url", "api.telegram.org", "FORMA_TELEGRAM_API_URL"),
        ("telegram_mode", "push", "FORMA_TELEGRAM_MODE"),
        ("telegram_mode", "webhook", "FORMA_PUBLIC_URL"),
        ("preview", "sometimes", "FORMA_PREVIEW"),
        ("refund_percent", 101, "FORMA_REFUND_PERCENT"),
        ("log_level", "LOUD", "FORMA_LOG_LEVEL"),
        ("plans_file", "none.toml", "FORMA_PLANS_FILE"),
    ],
)
async def test_a_wrong_setting_is_named(cli: Cli, setting: str, value: object, word: str) -> None:
    await cli.refused("up", word, **{setting: value})


async def test_a_mistake_in_plans_toml_is_named_with_its_line(cli: Cli) -> None:
    text = (ROOT / "plans.toml").read_text()
    broken = cli.home / "plans.toml"
    broken.write_text(text.replace('kind = "subscription"', 'kind = "subscribtion"', 1))
    line = next(n for n, one in enumerate(broken.read_text().splitlines(), 1) if "subscribtion" in one)
    for command in ("up", "bot", "worker", "web"):
        await cli.refused(command, "plans.toml", str(line), plans_file=broken)
    assert not (cli.home / "data" / "postgres").exists()


async def test_a_mistake_in_models_toml_is_named_with_its_line(cli: Cli) -> None:
    text = (ROOT / "models.toml").read_text()
    broken = cli.home / "models.toml"
    broken.write_text(text.replace("slots = 32", 'slots = "many"', 1))
    line = next(n for n, one in enumerate(broken.read_text().splitlines(), 1) if '"many"' in one)
    for command in ("up", "worker"):
        await cli.refused(command, "models.toml", str(line), models_file=broken, model_url=None, model_name=None)


@pytest.mark.parametrize("command", ["up", "migrate", "bot", "worker", "web"])
async def test_a_database_that_is_away_is_named(cli: Cli, command: str) -> None:
    await cli.refused(
        command, "FORMA_DATABASE_URL", "does not answer", status=1, database_url=f"postgresql://forma@{AWAY}/forma"
    )


@pytest.mark.parametrize("command", ["up", "bot", "worker", "web"])
async def test_a_redis_that_is_away_is_named(cli: Cli, command: str) -> None:
    await cli.refused(command, "FORMA_REDIS_URL", "does not answer", status=1, redis_url=f"redis://{AWAY}/0")


async def test_a_wrong_password_and_a_missing_database_are_named(cli: Cli) -> None:
    head, _, tail = cli.database_url.partition("forma:")
    wrong = f"{head}forma:wrong@{tail.partition('@')[2]}"
    name = cli.database_url.partition("?")[0].rpartition("/")[2]
    for command in ("up", "migrate", "bot"):
        await cli.refused(command, "FORMA_DATABASE_URL", "password", database_url=wrong)
        await cli.refused(
            command, "FORMA_DATABASE_URL", "nowhere", database_url=cli.database_url.replace(name, "nowhere")
        )


async def test_parts_without_servers_say_who_starts_them(cli: Cli) -> None:
    for command in ("bot", "worker", "web"):
        await cli.refused(command, "forma up", database_url=None, redis_url=None)


async def test_webs_port_that_is_taken_is_named(cli: Cli, taken: int) -> None:
    await cli.refused("web", "FORMA_HTTP_PORT", str(taken), http_port=taken)


@pytest.fixture
async def empty(servers: tuple[Postgres, Valkey], database_url: str) -> AsyncIterator[str]:
    """The URL of a database in which nothing was ever made."""
    postgres, _ = servers
    admin = await asyncpg.connect(postgres.url("postgres"))
    try:
        await admin.execute("CREATE DATABASE nothing_in_it")
        yield postgres.url("nothing_in_it")
    finally:
        await admin.execute("DROP DATABASE nothing_in_it WITH (FORCE)")
        await admin.close()


async def test_missing_migrations_are_named_with_the_command_that_runs_them(cli: Cli, empty: str) -> None:
    for command in ("bot", "worker", "web"):
        await cli.refused(command, "migrations", "forma migrate", database_url=empty)
    code, said = await cli.run("migrate", database_url=empty)
    assert (code, said) == (0, "The database is up to date.\n")


async def test_the_database_of_a_newer_forma_is_left_alone(cli: Cli, empty: str) -> None:
    await cli.run("migrate", database_url=empty)
    connection = await asyncpg.connect(empty)
    try:
        await connection.execute("UPDATE alembic_version SET version_num = 'ffff_of_tomorrow'")
    finally:
        await connection.close()
    for command in ("up", "migrate", "bot"):
        await cli.refused(command, "newer Forma", "ffff_of_tomorrow", database_url=empty)


async def test_a_sandboxs_database_opens_for_no_real_bot_and_a_bots_for_no_other(cli: Cli, database: Database) -> None:
    async with database.transaction() as tx:
        await stamp.claim(tx, kind=stamp.SANDBOX, now=Clock().now())
    for command in ("up", "bot", "worker", "web"):
        await cli.refused(command, "belongs to the sandbox", "FORMA_DATABASE_URL", bot_token="77:REAL")
    async with database.transaction() as tx:
        await tx.execute(stamp.stamp.update().values(kind=stamp.kind_of(77)))
    try:
        for command in ("up", "bot"):
            await cli.refused(command, "belongs to the bot 77", "FORMA_BOT_TOKEN", bot_token=None)
            await cli.refused(command, "belongs to the bot 77", "another bot", bot_token="78:OTHER")
    finally:
        async with database.transaction() as tx:
            await tx.execute(stamp.stamp.delete())


async def test_a_token_that_telegram_does_not_know_is_named(cli: Cli, database: Database) -> None:
    telegram = await sandbox.telegram.server.start(token="77:KNOWN")
    wrong = {"bot_token": "77:ANOTHER", "telegram_api_url": telegram.base_url}
    try:
        for command in ("bot", "up"):
            await cli.refused(command, "FORMA_BOT_TOKEN", "BotFather", **wrong)
    finally:
        await telegram.close()
        async with database.transaction() as tx:
            await tx.execute(stamp.stamp.delete())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make data of another user's")
async def test_data_of_another_user_are_left_alone(cli: Cli, tmp_path: Path) -> None:
    tmp_path.chmod(0o711)
    for parent in tmp_path.parents[:2]:
        parent.chmod(0o711)
    cluster = tmp_path / "theirs" / "postgres"
    cluster.mkdir(parents=True)
    os.chown(cluster, 65534, 65534)
    await cli.refused("up", "FORMA_DATA_DIR", "nobody", data_dir=tmp_path / "theirs", database_url=None)
