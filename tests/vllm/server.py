"""A real vLLM server on this machine's CPU, with the model that speaker.py makes: started, asked, killed, ended."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import psutil

HERE = Path(__file__).resolve().parent
NAME, KEY = "speaker", "a-key-of-the-tests"
CONTEXT, SLOTS = 4_096, 32
START_S, STOP_S = 300.0, 15.0
"""A first start compiles, and other work may run beside it; usual are 35 s."""

_QUIET = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_HOST_IP": "127.0.0.1",
    "OMP_NUM_THREADS": "1",
}


@dataclass
class Vllm:
    """One running server. `api_key` guards /v1 there."""

    base_url: str
    process: subprocess.Popen[bytes]
    log: Path
    api_key: str = KEY
    name: str = NAME

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def kill_engine(self) -> None:
        """SIGKILL to the process that computes; the one that speaks HTTP goes on until it notices."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        (engine,) = [one for one in children if "EngineCore" in " ".join(one.cmdline())]
        engine.kill()

    def end(self) -> None:
        """SIGTERM, and SIGKILL where that is not heard."""
        for signum in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signum)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_S)
                return

    async def metric(self, name: str) -> float:
        """A sample of /metrics by its name; the sum over its labels."""
        async with aiohttp.ClientSession() as session, session.get(f"{self.base_url}/metrics") as response:
            page = await response.text()
        found = re.findall(rf"^{re.escape(name)}(?:\{{[^}}]*\}})? (\S+)$", page, re.MULTILINE)
        assert found, f"no {name}"
        return sum(map(float, found))


def make_model(python: str, folder: Path) -> Path:
    """The model's folder; made by vLLM's own environment."""
    subprocess.run([python, HERE / "speaker.py", folder], check=True, timeout=START_S, env={**os.environ, **_QUIET})
    return folder


@contextlib.contextmanager
def serving(python: str, model: Path, home: Path) -> Iterator[Vllm]:
    """A server on a free port, ready to answer; `home` keeps its log and its caches."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    home.mkdir(parents=True, exist_ok=True)
    command = [python, "-m", "vllm.entrypoints.cli.main", "serve", str(model)]
    options = {
        "host": "127.0.0.1",
        "port": port,
        "api-key": KEY,
        "served-model-name": NAME,
        "max-model-len": CONTEXT,
        "max-num-seqs": SLOTS,
        "kv-cache-memory-bytes": "64M",
        "distributed-executor-backend": "uni",
        "scheduling-policy": "priority",
        "reasoning-parser": "deepseek_v3",
    }
    command += [text for name, value in options.items() for text in (f"--{name}", str(value))]
    command += ["--enforce-eager", "--enable-prompt-tokens-details"]
    caches = {name: str(home / name.lower()) for name in ("XDG_CACHE_HOME", "HF_HOME", "VLLM_CACHE_ROOT")}
    environment = {**os.environ, **_QUIET, **caches}
    log = home / f"vllm-{port}.log"
    with log.open("wb") as sink:
        process = subprocess.Popen(command, stdout=sink, stderr=sink, env=environment, start_new_session=True)
    server = Vllm(f"http://127.0.0.1:{port}", process, log)
    try:
        _until_healthy(server)
        yield server
    finally:
        server.end()


def _until_healthy(server: Vllm) -> None:
    host, port = server.base_url.removeprefix("http://").split(":")
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and server.alive:
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), 1.0) as ask:
            ask.settimeout(5.0)
            ask.sendall(b"GET /health HTTP/1.1\r\nHost: vllm\r\nConnection: close\r\n\r\n")
            if ask.recv(64).startswith(b"HTTP/1.1 200"):
                return
        time.sleep(0.5)
    tail = "\n".join(server.log.read_text(errors="replace").splitlines()[-40:])
    raise AssertionError(f"vLLM was not ready within {START_S} s:\n{tail}")
