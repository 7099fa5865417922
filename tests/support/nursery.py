"""A process that has imported Forma once, and forks a test's processes from itself.

Telegram's library alone takes seconds of processor time to import, and the crash suites start hundreds of bots. A
forked process does all that `python -m MODULE ARGUMENTS` would do after its imports: it has a session, an environment,
a folder and a log of its own, and can be killed like any other. tests/crash/test_up.py shows cold starts.

python -m tests.support.nursery PATH listens at a Unix socket. One connection is one process: a line of JSON with two
file descriptors (the log, the pipe for "ready") comes in; its id goes out, and its exit code when it has ended. The
nursery ends with its own standard input, and its processes end with it.
"""

import asyncio
import contextlib
import functools
import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from cli.child import die_with_parent

REQUEST_MAX = 64 * 1024
FDS_MAX = 4096
# What the processes import sooner or later.
PRELOADED = "app.house_lane app.jobs app.serving cli.bot_process cli.compose cli.main cli.processes uvloop web.server"


@dataclass
class Forked:
    """A process of the nursery, as asyncio.subprocess.Process shows its own."""

    pid: int
    returncode: int | None
    _ended: "asyncio.Task[int]"

    async def wait(self) -> int:
        """Return the exit code, -N for signal N, once the process has ended."""
        return await asyncio.shield(self._ended)

    def send_signal(self, signum: int) -> None:
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signum)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


async def fork(
    module: str, arguments: list[str], *, environment: dict[str, str], cwd: Path, log: int, ready: int
) -> Forked:
    """Run a module as `python -m` does. `log` and `ready` are file descriptors; `ready` keeps its number."""
    asked = {"module": module, "arguments": arguments, "environment": environment, "cwd": str(cwd), "ready": ready}
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(_nursery()[1])
    socket.send_fds(connection, [json.dumps(asked).encode() + b"\n"], [log, ready])
    reader, writer = await asyncio.open_unix_connection(sock=connection)

    async def ended() -> int:
        try:
            made.returncode = int(await reader.readline())
            return made.returncode
        finally:
            writer.close()

    pid = int(await reader.readline())
    made = Forked(pid, None, asyncio.create_task(ended(), name=f"forked-{pid}"))
    return made


@functools.cache
def _nursery() -> "tuple[subprocess.Popen[bytes], str]":
    """Start the nursery of this test process; it lives while what is returned is kept."""
    path = str(Path(tempfile.mkdtemp(prefix="forma-nursery-")) / "socket")
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.nursery", path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).resolve().parents[2],
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n", "the nursery has not started"
    return process, path


# -- the other side


class Nursery:
    """Forks for whoever connects, and tells them of the ends."""

    def __init__(self, path: str) -> None:
        self._selector = selectors.DefaultSelector()
        self._waiting: dict[int, socket.socket] = {}
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(path)
        self._server.listen()
        self._ends, self._wakeup = socket.socketpair()
        for end in (self._ends, self._wakeup):
            end.setblocking(False)
        signal.set_wakeup_fd(self._wakeup.fileno())
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def run(self) -> None:
        """Serve until standard input ends."""
        for source in (sys.stdin.fileno(), self._server, self._ends):
            self._selector.register(source, selectors.EVENT_READ)
        sys.stdout.write("ready\n")
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._server:
                    self._bear(self._server.accept()[0])
                elif key.fileobj is self._ends:
                    self._ends.recv(REQUEST_MAX)
                    self._bury()
                else:
                    return

    def _bear(self, connection: socket.socket) -> None:
        request, fds, _, _ = socket.recv_fds(connection, REQUEST_MAX, 2)
        while not request.endswith(b"\n"):
            request += connection.recv(REQUEST_MAX)
        pid = os.fork()
        if not pid:
            _live(json.loads(request), *fds)
        for fd in fds:
            os.close(fd)
        self._waiting[pid] = connection
        _say(connection, pid)

    def _bury(self) -> None:
        while self._waiting:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            connection = self._waiting.pop(pid)
            _say(connection, os.waitstatus_to_exitcode(status))
            connection.close()


def _say(connection: socket.socket, number: int) -> None:
    with contextlib.suppress(OSError):  # whoever asked has gone
        connection.sendall(b"%d\n" % number)


def _live(asked: dict[str, Any], log: int, ready: int) -> NoReturn:
    """Be the process that was asked for."""
    code: Any = 1
    try:
        die_with_parent(signal.SIGKILL)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        os.chdir(asked["cwd"])
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        if ready != asked["ready"]:
            os.dup2(ready, asked["ready"])
        os.closerange(3, asked["ready"])
        os.closerange(asked["ready"] + 1, FDS_MAX)
        os.environ.clear()
        os.environ.update(asked["environment"])
        sys.argv = [asked["module"], *asked["arguments"]]
        runpy.run_module(asked["module"], run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else int(code is not None))


if __name__ == "__main__":
    import gc
    import importlib

    die_with_parent(signal.SIGKILL)
    for name in PRELOADED.split():
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # so that no collection writes to pages that the children share
    Nursery(sys.argv[1]).run()
