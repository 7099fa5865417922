"""The real vLLM: its server with dummy weights, and its own benchmark."""

import asyncio
import contextlib
import re
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp

from bench.gpu.place import CONTEXT_LENGTH
from bench.stack import free_port

START_S = 420.0
STOP_S = 20.0
LOOK_EVERY_S = 1.0
LOG_TAIL = 3_000
GPU_MEMORY_SHARE = "0.92"
_KV_TOKENS = re.compile(r"GPU KV cache size: ([\d,]+) tokens")
_MEASURED = {
    "output_tokens_per_s": re.compile(r"Output token throughput \(tok/s\):\s+([\d.]+)"),
    "first_token_ms_p50": re.compile(r"Median TTFT \(ms\):\s+([\d.]+)"),
    "first_token_ms_p99": re.compile(r"P99 TTFT \(ms\):\s+([\d.]+)"),
    "per_token_ms_p50": re.compile(r"Median TPOT \(ms\):\s+([\d.]+)"),
    "seconds": re.compile(r"Benchmark duration \(s\):\s+([\d.]+)"),
}


@contextlib.asynccontextmanager
async def serving(command: list[str], folder: Path, slots: int, log: Path) -> AsyncIterator[tuple[str, int]]:
    """Serve the model folder; yield the server's URL and how many tokens its KV cache holds. Ends the server.

    Raises RuntimeError with the end of its log when it does not come up within START_S.
    """
    port = free_port()
    arguments = [
        *(*command, "serve", str(folder), "--served-model-name", folder.name, "--load-format", "dummy"),
        *("--host", "127.0.0.1", "--port", str(port), "--max-model-len", str(CONTEXT_LENGTH)),
        *("--gpu-memory-utilization", GPU_MEMORY_SHARE, "--max-num-seqs", str(slots)),
        *("--scheduling-policy", "priority"),
    ]
    with log.open("wb") as file:
        server = await asyncio.create_subprocess_exec(*arguments, stdout=file, stderr=asyncio.subprocess.STDOUT)
    try:
        url = f"http://127.0.0.1:{port}"
        await _until_up(server, url, log)
        yield url, _kv_tokens(log)
    finally:
        if server.returncode is None:
            server.send_signal(signal.SIGINT)
            try:
                await asyncio.wait_for(server.wait(), STOP_S)
            except TimeoutError:
                server.kill()
                await server.wait()


async def _until_up(server: asyncio.subprocess.Process, url: str, log: Path) -> None:
    until = time.perf_counter() + START_S
    async with aiohttp.ClientSession() as session:
        while time.perf_counter() < until and server.returncode is None:
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get(f"{url}/health") as response:
                    if response.status == 200:
                        return
            await asyncio.sleep(LOOK_EVERY_S)
    raise RuntimeError("vLLM did not come up:\n" + _said(log)[-LOG_TAIL:])


def _said(log: Path) -> str:
    return log.read_text(errors="replace")


def _kv_tokens(log: Path) -> int:
    found = _KV_TOKENS.search(_said(log))
    if found is None:
        raise RuntimeError(f"{log} does not say how many tokens the KV cache holds")
    return int(found.group(1).replace(",", ""))


async def own_benchmark(
    command: list[str], url: str, folder: Path, *, at_once: int, requests: int, tokens_in: int, tokens_out: int
) -> dict[str, Any]:
    """Run `vllm bench serve` and return what it measured. Raises RuntimeError with its output when it fails."""
    arguments = [
        *(*command, "bench", "serve", "--backend", "openai-chat", "--endpoint", "/v1/chat/completions"),
        *("--base-url", url, "--model", folder.name, "--tokenizer", str(folder), "--dataset-name", "random"),
        *("--max-concurrency", str(at_once), "--num-prompts", str(requests)),
        *("--random-input-len", str(tokens_in), "--random-output-len", str(tokens_out), "--ignore-eos"),
        *("--percentile-metrics", "ttft,tpot,e2el", "--metric-percentiles", "50,99"),
    ]
    process = await asyncio.create_subprocess_exec(
        *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        said = (await process.communicate())[0].decode(errors="replace")
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode:
        raise RuntimeError("vllm bench serve failed:\n" + said[-LOG_TAIL:])
    measured = {name: float(found.group(1)) for name, row in _MEASURED.items() if (found := row.search(said))}
    return {"at_once": at_once, "requests": requests, "in": tokens_in, "out": tokens_out, **measured}
