"""`forma up`: everything in one terminal — embedded servers, sandbox, bot, worker, web — and its orderly end.

What can be known to be wrong is said before anything starts: a second start on the same data, a taken port, a mistake
in plans.toml or models.toml. What does not need one another starts together.
"""

import asyncio
import contextlib
import fcntl
import os
import signal
import socket
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg

from app import model_groups
from billing import catalog
from cli import compose, greeting, sandbox_clock, sandbox_shop
from cli.embedded import Postgres, Valkey, default_data_dir, prepare_data_dir
from cli.greeting import ModelState
from cli.owner import server_owner
from cli.sandbox_seed import SandboxSeed, seed
from cli.supervisor import Stage, Stopped, Supervisor
from inference import model_probe, models
from kit import migrate, redis, stamp
from kit.clock import Clock
from kit.db import Database
from kit.errors import Misconfigured
from kit.observability import MULTIPROCESS_ENV, clear_metrics_dir
from kit.settings import Settings

DATABASE = "forma"
LOCK_FILE = "up.lock"


@dataclass(frozen=True)
class Plan:
    """What one `forma up` will run, known before anything is started."""

    settings: Settings
    data_dir: Path
    sandbox: bool
    shop: bool
    model: ModelState

    @property
    def sandbox_dir(self) -> Path:
        return self.data_dir / "sandbox"

    @property
    def telegram_url(self) -> str:
        return f"http://127.0.0.1:{self.settings.sandbox_port}"

    @property
    def model_url(self) -> str:
        return f"http://127.0.0.1:{self.settings.sandbox_model_port}"


async def up(settings: Settings) -> None:
    """Run Forma until SIGINT, SIGTERM or SIGHUP."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(signum, stop.set)
    data_dir = data_dir_of(settings)
    prepare_data_dir(data_dir, None if settings.database_url and settings.redis_url else server_owner())
    with _only_one(data_dir):
        plan = await _plan(settings, data_dir)
        supervisor = Supervisor(stop)
        with contextlib.suppress(Stopped):
            try:
                await _serve(plan, supervisor, stop)
            finally:
                await supervisor.end()
    with contextlib.suppress(OSError):  # the terminal may be gone
        print("Forma has stopped.", flush=True)


def data_dir_of(settings: Settings) -> Path:
    """Return where the embedded servers and the sandbox keep their data."""
    return (settings.data_dir or default_data_dir()).expanduser().resolve()


async def _plan(settings: Settings, data_dir: Path) -> Plan:
    """Look at all that can be known beforehand. Raises Misconfigured that names setting or line."""
    known = model_groups.read(settings, catalog.load(settings.plans_file))
    sandbox = not settings.bot_id
    check_port("FORMA_HTTP_PORT", settings.http_host, settings.http_port)
    if sandbox:
        check_port("FORMA_SANDBOX_PORT", "127.0.0.1", settings.sandbox_port)
    shop = sandbox_shop.simulated(settings)
    if shop:
        check_port("FORMA_SANDBOX_SHOP_PORT", "127.0.0.1", settings.sandbox_shop_port)
    model = await _model_state(settings, known, sandbox=sandbox)
    if model.simulated:
        check_port("FORMA_SANDBOX_MODEL_PORT", "127.0.0.1", settings.sandbox_model_port)
    return Plan(settings, data_dir, sandbox, shop, model)


async def _serve(plan: Plan, supervisor: Supervisor, stop: asyncio.Event) -> None:
    """Start everything, say so, and wait for the stop."""
    environment = sandbox_shop.environment(plan.settings) if plan.shop else {}
    if plan.sandbox and not plan.settings.chat_url:
        environment["FORMA_CHAT_URL"] = plan.telegram_url
    forma_parts = asyncio.Event()
    seeded: SandboxSeed | None = None

    async def outside() -> None:
        nonlocal seeded
        if plan.sandbox:
            seeded = await _start_telegram(supervisor, plan)
            if not plan.settings.admin_chat_id:
                environment["FORMA_ADMIN_CHAT_ID"] = str(seeded.admin_chat_id)
        # Also without the sandbox: the bot comes after the servers, and alone knows Telegram.
        await forma_parts.wait()
        await supervisor.start("bot", ["-m", "cli", "bot"], environment)

    async def inside() -> None:
        environment.update(await _start_servers(supervisor, plan))
        await ensure_database(environment["FORMA_DATABASE_URL"], kind=stamp.kind_of(plan.settings.bot_id))
        metrics_dir = plan.data_dir / "metrics"
        clear_metrics_dir(metrics_dir)
        environment[MULTIPROCESS_ENV] = str(metrics_dir)
        if plan.model.simulated:
            environment.update(FORMA_MODEL_URL=plan.model_url, FORMA_MODEL_NAME=compose.SANDBOX_MODEL)
            environment.update(FORMA_MODEL_REASONING_PARSER=compose.SANDBOX_MODEL)
        forma_parts.set()
        await _all(*(supervisor.start(name, ["-m", "cli", name], environment) for name in ("worker", "web")))

    await _all(outside(), inside(), _start_model(supervisor, plan), _start_shop(supervisor, plan))
    screen = greeting.screen(
        plan.settings, data_dir=plan.data_dir, seeded=seeded, model=plan.model, shop_simulated=plan.shop
    )
    print(screen, flush=True)
    shop_url = sandbox_shop.url(plan.settings) if plan.shop else ""
    follower = asyncio.create_task(
        sandbox_clock.follow(environment["FORMA_DATABASE_URL"], seeded.url, shop_url) if seeded else asyncio.sleep(0)
    )
    await stop.wait()
    follower.cancel()


async def _all(*work: Coroutine[Any, Any, None]) -> None:
    """Run everything at once; the first error ends the others and is raised as it is."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _start_servers(supervisor: Supervisor, plan: Plan) -> dict[str, str]:
    """Start what no URL names; return the URLs as environment variables for the parts."""
    settings = plan.settings
    owner = server_owner() if not (settings.database_url and settings.redis_url) else None
    postgres = Postgres(plan.data_dir, owner) if not settings.database_url else None
    valkey = Valkey(plan.data_dir, owner) if not settings.redis_url else None
    if not valkey:
        await check_redis(settings.redis_url)
    await _all(*(supervisor.start_server(server) for server in (postgres, valkey) if server))
    if postgres:
        await create_database(postgres)
    return {
        "FORMA_DATABASE_URL": postgres.url(DATABASE) if postgres else settings.database_url,
        "FORMA_REDIS_URL": valkey.url() if valkey else settings.redis_url,
    }


async def _start_telegram(supervisor: Supervisor, plan: Plan) -> SandboxSeed:
    """Start the simulated Telegram with its persons and the admin group."""
    port, keep = str(plan.settings.sandbox_port), str(plan.sandbox_dir)
    await supervisor.start(
        "telegram",
        ["-m", "sandbox", "telegram", "--port", port, "--data", keep],
        {},
        stage=Stage.SIMULATION,
        health_url=f"{plan.telegram_url}/_control/health",
    )
    return await seed(plan.telegram_url, model_simulated=plan.model.simulated)


async def _start_model(supervisor: Supervisor, plan: Plan) -> None:
    if plan.model.simulated:
        await supervisor.start(
            "model",
            ["-m", "sandbox", "model", "--port", str(plan.settings.sandbox_model_port)],
            {},
            stage=Stage.SIMULATION,
            health_url=f"{plan.model_url}/health",
        )


async def _start_shop(supervisor: Supervisor, plan: Plan) -> None:
    if plan.shop:
        await supervisor.start(
            "shop",
            sandbox_shop.arguments(plan.settings, str(plan.sandbox_dir)),
            {},
            stage=Stage.SIMULATION,
            health_url=f"{sandbox_shop.url(plan.settings)}/_control/health",
        )


async def _model_state(settings: Settings, known: models.Models, *, sandbox: bool) -> ModelState:
    """Ask the chat models' servers; the simulated one stands in when none answers and FORMA_MODEL_URL names none."""
    problems: list[str] = []
    async with aiohttp.ClientSession() as session:
        probes = await asyncio.gather(*(model_probe.probe(model, session) for model in known.of("chat")))
    for probe in probes:
        problems += probe.problems
    reachable = any(probe.reachable for probe in probes)
    simulated = sandbox and not reachable and not settings.model_url
    return ModelState(simulated, tuple(model.name for model in known.of("chat")), () if simulated else tuple(problems))


@contextlib.contextmanager
def _only_one(data_dir: Path) -> Iterator[None]:
    path = data_dir / LOCK_FILE
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            raise Misconfigured(
                f"Forma already runs on {data_dir} (process {lock.read().strip() or 'unknown'}): "
                "stop it, or set FORMA_DATA_DIR to another place"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


async def check_redis(url: str) -> None:
    """Raise Unavailable or Misconfigured when the operator's own Redis cannot be used."""
    client = redis.connect(url)
    try:
        await redis.check(client)
    finally:
        await client.aclose()


async def create_database(postgres: Postgres) -> None:
    """Make Forma's database in an embedded server, unless it is there."""
    admin = await asyncpg.connect(postgres.url("postgres"))
    try:
        if not await admin.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
            await admin.execute(f"CREATE DATABASE {DATABASE}")
    finally:
        await admin.close()


async def ensure_database(url: str, *, kind: str = "") -> None:
    """Migrate a database and, with `kind`, stamp it. Raises Unavailable, and Misconfigured for another's stamp."""
    db = Database(url, pool_size=1)
    try:
        await migrate.upgrade(db)
        if kind:
            async with db.transaction() as tx:
                await stamp.claim(tx, kind=kind, now=Clock().now())
    finally:
        await db.close()


def check_port(name: str, host: str, port: int) -> None:
    """Raise Misconfigured that names the setting when a port cannot be listened on."""
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise Misconfigured(f"{name.replace('_PORT', '_HOST')}: {host} is no address here ({error})") from None
    family, kind, protocol, _, address = found[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            raise Misconfigured(
                f"{name}: port {port} on {host} cannot be used ({error.strerror}); set another"
            ) from None
