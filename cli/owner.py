"""Whose the embedded servers and their data are: a system user where root starts them, else whoever does."""

import contextlib
import fcntl
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kit.errors import Misconfigured

SYSTEM_USER = "forma"
SYSTEM_DATA_DIR = Path("/var/lib/forma")
# The file that glibc's lckpwdf locks, in another way: only root may open it, so nobody else can hold up a start.
PASSWD_LOCK = Path("/etc/.pwd.lock")


@dataclass(frozen=True)
class Owner:
    """The system user that data and servers belong to; None means the caller's own."""

    name: str
    uid: int
    gid: int


def server_owner(name: str = SYSTEM_USER) -> Owner | None:
    """Return the user that must own the servers: for root the system user `name`, made when missing.

    Raises Misconfigured where there is no such user and none can be added.
    """
    if os.geteuid() != 0:
        return None
    with _one_at_a_time():
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            _add_system_user(name)
            entry = pwd.getpwnam(name)
    return Owner(entry.pw_name, entry.pw_uid, entry.pw_gid)


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Of several first starts at once one adds the user: two useradd's may both succeed, with different numbers."""
    place = os.open(PASSWD_LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(place, fcntl.LOCK_EX)
        yield
    finally:
        os.close(place)


def _add_system_user(name: str) -> None:
    home = str(SYSTEM_DATA_DIR)
    commands = (
        ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", home, "--shell", "/bin/false"],
        ["adduser", "-S", "-D", "-H", "-h", home, "-s", "/bin/false"],
    )
    for command in commands:
        if shutil.which(command[0]):
            subprocess.run([*command, name], check=True, capture_output=True)  # noqa: S603
            return
    raise Misconfigured(
        f"PostgreSQL does not run as root and no tool to add a system user was found: run Forma as another user, "
        f"or add the user '{name}' yourself, or set FORMA_DATABASE_URL and FORMA_REDIS_URL"
    )
