"""Child processes at the level of the operating system: started, ended, found again after a crash."""

import contextlib
import ctypes
import os
import platform
import signal
import subprocess
import time
from pathlib import Path

from cli.owner import Owner

LINUX = platform.system() == "Linux"
PR_SET_PDEATHSIG = 1
END_TIMEOUT_S = 4.0
LOOK_EVERY_S = 0.02
# Loaded before any fork: between fork and exec nothing may wait for a lock that another thread held.
_libc = ctypes.CDLL(None)


def die_with_parent(signum: int) -> None:
    """Ask Linux to send `signum` to this process when its parent dies, so that a killed supervisor leaves nothing.

    The parent is the thread that started the child: children are started by the main thread alone.
    """
    if LINUX:
        _libc.prctl(PR_SET_PDEATHSIG, signum)


def server_environment() -> dict[str, str]:
    """The environment of an embedded server: nothing of ours, and no surprises of locale or time zone."""
    return {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"}


def spawn(command: list[str], *, owner: Owner | None, log: Path, death_signal: int) -> subprocess.Popen[bytes]:
    """Start a server as its owner, its words going to `log`."""
    with log.open("ab") as sink:
        if owner:
            os.chown(log, owner.uid, owner.gid)
        return subprocess.Popen(  # noqa: S603
            command,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            cwd="/",
            start_new_session=True,  # a Ctrl-C in the terminal reaches the supervisor alone, which stops in order
            preexec_fn=lambda: die_with_parent(death_signal),  # noqa: PLW1509 - no lock is held where we fork
            env=server_environment(),
            user=owner.uid if owner else None,
            group=owner.gid if owner else None,
            extra_groups=[] if owner else None,
        )


def end_leftover(pid_file: Path, mark: str, signals: tuple[int, ...]) -> None:
    """End the server that a killed supervisor left on this very data, by one signal after the other.

    `mark` is what its command line holds and no other's does: the number may be another program's since.
    """
    try:
        pid = int(pid_file.read_text().splitlines()[0])
    except (OSError, ValueError, IndexError):
        return
    for signum in signals:
        if mark not in _command_line(pid):
            return
        with contextlib.suppress(OSError):
            os.kill(pid, signum)
        deadline = time.monotonic() + END_TIMEOUT_S
        while mark in _command_line(pid) and time.monotonic() < deadline:
            time.sleep(LOOK_EVERY_S)


def _command_line(pid: int) -> str:
    """What a process was started with, '' for one that is gone (a zombie has none either)."""
    if LINUX:
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            return ""
    shown = subprocess.run(  # noqa: S603
        ["ps", "-ww", "-o", "command=", "-p", str(pid)],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    )
    return shown.stdout


def ask_to_end(process: subprocess.Popen[bytes] | None, signum: int) -> None:
    """Send a signal to a process that may be gone already."""
    if process is not None and process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signum)


def end(process: subprocess.Popen[bytes] | None, signum: int, *, within_s: float) -> None:
    """Wait for a process that was asked to end; send `signum`, then SIGKILL, when it does not."""
    if process is None:
        return
    for harder in (signum, signal.SIGKILL):
        try:
            process.wait(within_s)
            return
        except subprocess.TimeoutExpired:
            process.send_signal(harder)
            within_s = max(within_s, 1.0)
    process.wait()
