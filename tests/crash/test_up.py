"""`forma up` in a terminal: its screen, its orderly end, its second start, and what happens when parts of it die."""

import asyncio
import contextlib
import itertools
import json
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import asyncpg
import pytest

import sandbox.telegram.server
from cli.compose import SANDBOX_TOKEN
from cli.embedded import Postgres, prepare_data_dir
from cli.owner import server_owner
from tests.support.shop import url_of
from tests.support.shop_driver import SandboxShop
from tests.support.stack import clean_environment
from tests.support.telegram import SandboxTelegram

# What is promised is 10 s on a machine that does nothing else.
START_S = 30.0
STOP_S = 5.0
PARTS = {"telegram", "model", "shop", "bot", "worker", "web"}
PORTS = ("http_port", "sandbox_port", "sandbox_model_port", "sandbox_shop_port")
GUEST_EN, GUEST_RU = 1002, 1001
# How far the one clock was moved.
LATER_S = 3 * 86400 + 3600


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


async def _get(url: str) -> dict[str, object]:
    """A JSON answer, {} while nobody answers well."""

    def ask() -> dict[str, object]:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return dict(json.load(answer))
        except OSError:
            return {}

    return await asyncio.to_thread(ask)


class Up:
    """One data directory and its ports; `forma up` on them, once or again."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        self.http, self.telegram, _, self.shop = self.ports.values()
        self.process: asyncio.subprocess.Process | None = None
        self.log = data_dir.parent / f"{data_dir.name}.log"
        self.began = 0.0
        # They take turns: one guest alone would ask faster than the free plan lets it.
        self._guests = itertools.cycle((GUEST_EN, GUEST_RU))

    def environment(self, **changes: object) -> dict[str, str]:
        # Nothing answers at the models' addresses: the model server of the sandbox is used.
        return clean_environment(**{"data_dir": self.data_dir, **self.ports, **changes})

    async def start(self, **changes: object) -> float:
        """Start and wait for the screen; returns the seconds."""
        began = time.monotonic()
        self.began = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as sink:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "cli", "up", env=self.environment(**changes), cwd=self.log.parent,
                stdin=asyncio.subprocess.DEVNULL, stdout=sink, stderr=sink, start_new_session=True,
            )  # fmt: skip
        while "Forma is running" not in self.said():
            assert self.process.returncode is None, self.said()
            assert time.monotonic() - began < START_S, self.said()
            await asyncio.sleep(0.05)
        return time.monotonic() - began

    def said(self) -> str:
        """What the last start wrote."""
        return self.log.read_bytes()[int(self.began) :].decode(errors="replace")

    async def refused(self, **changes: object) -> tuple[int, str]:
        """Start where it must not; returns the exit status and the words."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "cli", "up", env=self.environment(**changes), cwd=self.log.parent,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        words, _ = await asyncio.wait_for(process.communicate(), START_S)
        return process.returncode or 0, words.decode()

    async def signal(self, signum: int) -> float:
        """Send a signal to the supervisor alone, as a terminal's job control does; returns the seconds to its end."""
        assert self.process is not None
        began = time.monotonic()
        self.process.send_signal(signum)
        await asyncio.wait_for(self.process.wait(), 3 * STOP_S)
        return time.monotonic() - began

    def pids(self) -> dict[str, int]:
        """The processes that belong to this data directory or are children of the supervisor, by part."""
        found = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            with contextlib.suppress(OSError):
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                environment = (entry / "environ").read_bytes().decode(errors="replace")
                mine = f"FORMA_DATA_DIR={self.data_dir}\0" in environment + "\0"
                if mine and (part := re.search(r"-m (?:cli|sandbox) (\w+)", command)):
                    found[part[1]] = int(entry.name)
                elif str(self.data_dir) in command and "postgres" in command and " -D " in command:
                    found["postgres"] = int(entry.name)
                elif str(self.data_dir) in command and "valkey-server" in command:
                    found["valkey"] = int(entry.name)
        return found

    async def gone(self, within_s: float) -> None:
        """Nothing of it is left."""
        deadline = time.monotonic() + within_s
        while left := self.pids():
            assert time.monotonic() < deadline, f"{left}\n{self.said()[-3000:]}"
            await asyncio.sleep(0.05)

    async def restarted(self, name: str, old: int) -> None:
        """A part runs again, as another process."""
        deadline = time.monotonic() + START_S
        while self.pids().get(name, old) == old:
            assert time.monotonic() < deadline, self.said()[-3000:]
            await asyncio.sleep(0.05)

    async def health(self) -> str:
        """The status that /health gives, '' while nobody answers."""
        return str((await _get(f"http://127.0.0.1:{self.http}/health")).get("status", ""))

    @contextlib.asynccontextmanager
    async def outside(self) -> AsyncIterator[tuple[SandboxTelegram, SandboxShop]]:
        """The simulated Telegram and shop, to act and look there."""
        async with (
            SandboxTelegram(f"http://127.0.0.1:{self.telegram}") as tg,
            SandboxShop(f"http://127.0.0.1:{self.shop}") as shop,
        ):
            yield tg, shop

    async def clocks_at(self, offset_s: int, *servers: SandboxTelegram | SandboxShop) -> None:
        """The clocks of these and of Forma come to this."""
        connection = await asyncpg.connect(Postgres(self.data_dir).url())
        deadline = time.monotonic() + START_S
        try:
            while True:
                found = [(await server.control("GET", "clock"))["offset_s"] for server in servers]
                found.append(await connection.fetchval("SELECT clock_offset_s FROM stamp"))
                if all(round(one) == offset_s for one in found):
                    return
                assert time.monotonic() < deadline, found
                await asyncio.sleep(0.05)
        finally:
            await connection.close()

    async def chat(self, mark: str) -> None:
        """A guest asks, once Telegram serves, and is answered."""
        deadline = time.monotonic() + START_S
        while not await _get(f"http://127.0.0.1:{self.telegram}/_control/health"):
            assert time.monotonic() < deadline, self.said()[-3000:]
            await asyncio.sleep(0.05)
        async with SandboxTelegram(f"http://127.0.0.1:{self.telegram}") as tg:
            guest = await tg.known(next(self._guests))
            await guest.send(f"[[echo: {mark}]]")
            await guest.wait_for(mark, timeout_s=40)


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A place that the servers' own user may enter as well."""
    owner = server_owner()
    made = Path(tempfile.mkdtemp(prefix="forma-up-", dir="/tmp" if owner else None))
    made.chmod(0o711)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(scope="module")
async def forma(home: Path) -> AsyncIterator[Up]:
    made = Up(prepare_data_dir(home / "data", server_owner()))
    try:
        yield made
    finally:
        for pid in made.pids().values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if made.process is not None and made.process.returncode is None:
            await made.process.wait()


async def test_the_first_start_says_where_everything_is(forma: Up, record_property) -> None:
    record_property("first_start_s", await forma.start())
    screen = forma.said()
    real = ("FORMA_BOT_TOKEN", "FORMA_MODEL_URL", "FORMA_YOOKASSA_SHOP_ID")
    for word in (f"127.0.0.1:{forma.telegram}", "Оператор", str(forma.data_dir), *real):
        assert word in screen
    assert set(forma.pids()) == PARTS | {"up", "postgres", "valkey"}
    assert await forma.health() == "ok"
    await forma.chat("first")


async def test_a_second_one_on_the_same_data_is_refused_in_words(forma: Up) -> None:
    code, words = await forma.refused()
    assert code == os.EX_CONFIG
    assert f"already runs on {forma.data_dir}" in words
    assert str(forma.pids()["up"]) in words
    assert "FORMA_DATA_DIR" in words
    assert "Traceback" not in words


@pytest.mark.parametrize("setting", PORTS)
async def test_a_taken_port_is_refused_by_its_settings_name(forma: Up, home: Path, setting: str) -> None:
    ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", ports[setting]))
        holder.listen()
        code, words = await forma.refused(data_dir=home / f"other-{setting}", **ports)
    assert code == os.EX_CONFIG
    assert f"FORMA_{setting.upper()}" in words
    assert str(ports[setting]) in words
    assert "Traceback" not in words
    assert not (home / f"other-{setting}" / "postgres").exists(), "nothing was begun"


async def test_a_guest_pays_roubles_at_the_simulated_shop_and_the_clocks_go_together(forma: Up) -> None:
    async with forma.outside() as (tg, shop):
        guest = await tg.known(GUEST_EN)
        await guest.send("/plans")
        offer = await guest.wait_for("Plans for 30 days", timeout_s=START_S)
        await guest.press(offer, "Other ways to pay")
        link = url_of(await guest.wait_for(lambda seen: any(one.get("url") for one in seen.buttons), timeout_s=START_S))
        assert link.startswith(f"http://127.0.0.1:{forma.http}/pay/")
        chosen = {"product": "pack", "kopecks": "19900"}
        async with aiohttp.ClientSession() as session:
            async with session.get(link) as page:
                assert f'href="http://127.0.0.1:{forma.telegram}"' in await page.text(), "back to the chat page"
            async with session.post(link, data=chosen) as page:
                assert str(page.url).startswith(f"http://127.0.0.1:{forma.shop}/checkout/"), await page.text()
                payment_id = page.url.name
        await shop.pay(payment_id)
        await guest.wait_for("300,000 tokens", timeout_s=START_S)
        await tg.advance(days=3)
        await forma.clocks_at(3 * 86400, tg, shop)
        await shop.advance(3600)
        await forma.clocks_at(LATER_S, tg, shop)


@pytest.mark.parametrize("name", ["worker", "bot", "web", "valkey", "postgres", "model", "shop", "telegram"])
async def test_a_part_that_is_killed_comes_back(forma: Up, name: str) -> None:
    old = forma.pids()[name]
    os.kill(old, signal.SIGKILL)
    await forma.restarted(name, old)
    await forma.chat(f"after-{name}")
    deadline = time.monotonic() + START_S
    while await forma.health() != "ok":
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)


async def test_ctrl_c_ends_everything_and_leaves_nothing(forma: Up, record_property) -> None:
    stopping = len(forma.said())
    took = await forma.signal(signal.SIGINT)
    record_property("stop_s", took)
    assert took < STOP_S
    assert forma.process is not None
    assert forma.process.returncode == 0
    assert forma.pids() == {}
    said = forma.said()
    assert "has stopped" in said
    assert "Traceback" not in said[stopping:]
    assert not [line for line in said[stopping:].splitlines() if "[warning" in line or "[error" in line]


async def test_a_second_start_goes_on_with_the_same_data(forma: Up, record_property) -> None:
    took = await forma.start()
    record_property("second_start_s", took)
    async with SandboxTelegram(f"http://127.0.0.1:{forma.telegram}") as tg:
        guest = await tg.known(GUEST_EN)
        assert any("first" in seen.text and seen.sender_id == tg.bot_id for seen in guest.messages())
    async with forma.outside() as (tg, shop):
        [payment] = (await shop.control("GET", "payments"))["payments"]
        assert (payment["status"], payment["amount"]["value"]) == ("succeeded", "199.00")
        await forma.clocks_at(LATER_S, tg, shop)
    await forma.chat("second")


async def test_a_killed_supervisor_leaves_no_orphan_and_can_start_again(forma: Up) -> None:
    await forma.signal(signal.SIGKILL)
    await forma.gone(within_s=10)
    await forma.start()
    await forma.chat("third")
    assert await forma.signal(signal.SIGTERM) < STOP_S
    await forma.gone(within_s=1)


async def test_a_real_bot_is_never_given_a_simulated_shop(home: Path, database_url: str, redis_url: str) -> None:
    real = await sandbox.telegram.server.start()
    forma = Up(prepare_data_dir(home / "live", None))
    try:
        await forma.start(
            bot_token=SANDBOX_TOKEN, telegram_api_url=real.base_url, database_url=database_url, redis_url=redis_url
        )
        assert set(forma.pids()) == {"up", "bot", "worker", "web"}
        assert "YooKassa" not in forma.said()
        async with SandboxTelegram(real.base_url) as tg, aiohttp.ClientSession() as session:
            guest = await tg.person(first_name="Ada", language_code="en")
            await guest.start()
            await guest.send("/plans")
            offer = await guest.wait_for("Plans for 30 days", timeout_s=START_S)
            assert not [one for one in offer.buttons if "ways to pay" in one["text"] or "₽" in one["text"]]
            async with session.get(f"http://127.0.0.1:{forma.http}/pay/x") as page:
                assert page.status == 404
            with pytest.raises(aiohttp.ClientConnectionError):
                await session.get(f"http://127.0.0.1:{forma.shop}/")
        await forma.signal(signal.SIGTERM)
        await forma.gone(within_s=1)
    finally:
        for pid in forma.pids().values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await real.close()
