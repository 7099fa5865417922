"""Models from the command line: the table, vLLM's command lines, a start that is refused, SIGHUP to one process."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

import sandbox.model.server
from tests.support.stack import Stack, clean_environment, launch, stack

EX_CONFIG = 78


def written(path: Path, urls: list[str], *, slots: int = 8, context: int = 32_768, name: str = "forma-sim") -> Path:
    replicas = "\n".join(
        f'[[models.coach.replicas]]\nbase_url = "{url}"\ngpu_group = "{group}"'
        for url, group in zip(urls, ("left", "right"), strict=False)
    )
    path.write_text(
        f"""
[gpus.left]
devices = [0]

[gpus.right]
devices = [1, 2]

[models.coach]
purpose = "chat"
name = "{name}"
checkpoint = "some/checkpoint"
context_length = {context}
slots = {slots}
kv_tokens = 100000
gpu_memory = 0.8
reasoning_parser = "qwen3"
tool_parser = "hermes"
vllm_args = ["--seed", "7 8"]

{replicas}
""",
        encoding="utf-8",
    )
    return path


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[Any]:
    running = await sandbox.model.server.start(first_token_base_s=0.01, inter_token_s=0.01)
    yield running
    await running.close()


async def forma(home: Path, *arguments: str, **settings: object) -> tuple[int, str, str]:
    """Run a command of the command line; return its exit status and what it wrote."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "cli",
        *arguments,
        env=clean_environment(**settings),
        cwd=home,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def test_the_table_shows_each_server_s_health_load_kv_and_tokens_a_second(tmp_path: Path, server: Any) -> None:
    file = written(tmp_path / "models.toml", [server.base_url, "http://127.0.0.1:1"])
    ask = {"model": "forma-sim", "messages": [{"role": "user", "content": "[[tokens: 4000]]"}], "max_tokens": 4000}
    async with aiohttp.ClientSession() as session:
        asking = asyncio.create_task(session.post(f"{server.base_url}/v1/chat/completions", json=ask))
        try:
            code, out, _ = await forma(tmp_path, "models", models_file=file)
            assert code == 1  # the second one does not answer
            head, good, bad = out.splitlines()
            assert head.split() == ["MODEL", "SERVER", "HEALTH", "RUNNING", "WAITING", "KV", "TOKENS/S"]
            assert good.split()[:6] == ["coach", "1", server.base_url, "ok", "1/8", "0"]
            assert "cannot be reached" in bad
            _, out, _ = await forma(tmp_path, "models", "--json", models_file=file)
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
    first, second = json.loads(out)
    assert (first["healthy"], first["running"], first["context_length"]) == (True, 1, 32_768)
    assert 20 < first["tokens_per_s"] < 150
    assert 0 < first["kv_share"] < 1
    assert (second["healthy"], second["running"], second["tokens_per_s"]) == (False, None, None)


async def test_an_entry_s_command_lines_are_printed_one_a_replica(tmp_path: Path) -> None:
    file = written(tmp_path / "models.toml", ["http://127.0.0.1:8000", "http://gpu.example:9000"])
    code, out, _ = await forma(tmp_path, "vllm", "coach", models_file=file)
    assert code == 0
    left, right = out.splitlines()
    assert left == (
        "CUDA_VISIBLE_DEVICES=0 vllm serve some/checkpoint --served-model-name forma-sim --host 127.0.0.1 --port 8000 "
        "--max-model-len 32768 --max-num-seqs 8 --gpu-memory-utilization 0.8 --enable-prompt-tokens-details "
        "--reasoning-parser qwen3 --enable-auto-tool-choice --tool-call-parser hermes --seed '7 8'"
    )
    assert "CUDA_VISIBLE_DEVICES=1,2 vllm serve" in right
    assert "--port 9000" in right
    assert "--tensor-parallel-size 2" in right
    code, _, err = await forma(tmp_path, "vllm", "couch", models_file=file)
    assert (code, "it has coach" in err) == (EX_CONFIG, True)


async def test_run_becomes_the_server_with_its_gpus_and_its_key(tmp_path: Path) -> None:
    file = written(tmp_path / "models.toml", ["http://127.0.0.1:8000", "http://127.0.0.1:8001"])
    text = file.read_text(encoding="utf-8").replace('gpu_group = "right"', 'gpu_group = "right"\napi_key = "s3cret"')
    file.write_text(text, encoding="utf-8")
    _, out, _ = await forma(tmp_path, "vllm", "coach", models_file=file)
    assert "s3cret" not in out
    assert 'VLLM_API_KEY="$VLLM_API_KEY" vllm serve' in out
    program = tmp_path / "vllm"
    program.write_text('#!/bin/sh\necho "$CUDA_VISIBLE_DEVICES|$VLLM_API_KEY|$*"\n', encoding="utf-8")
    program.chmod(0o755)
    environment = clean_environment(models_file=file)
    environment["PATH"] = f"{tmp_path}:{environment['PATH']}"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cli", "vllm", "coach", "--run", "2",
        env=environment, cwd=tmp_path, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out_raw, _ = await process.communicate()
    assert out_raw.decode().startswith("1,2|s3cret|serve some/checkpoint --served-model-name forma-sim")


@pytest.mark.parametrize(
    ("more", "key", "says"),
    [
        ({"context": 100_000}, "context_length", "has a context of 32768 tokens"),
        ({"name": "another"}, "name", "serves forma-sim, not another"),
    ],
)
async def test_a_worker_refuses_a_server_that_contradicts_the_file_and_names_the_line(
    tmp_path: Path, server: Any, database_url: str, redis_url: str, more: dict[str, Any], key: str, says: str
) -> None:
    file = written(tmp_path / "models.toml", [server.base_url], **more)
    lines = file.read_text(encoding="utf-8").split("\n")
    line = next(number for number, text in enumerate(lines, 1) if text.startswith(f"{key} ="))
    urls = {"database_url": database_url, "redis_url": redis_url, "models_file": file}
    worker = await launch("worker", ["worker"], clean_environment(**urls), tmp_path)
    assert (worker.ready, worker.process.returncode) == (False, EX_CONFIG)
    assert f"{file}:{line}: models.coach.{key}" in worker.log_tail()
    assert says in worker.log_tail()


@pytest.fixture(scope="module")
async def running(
    database_url: str, redis_url: str, server: Any, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Stack, Path]]:
    file = written(tmp_path_factory.mktemp("hangup") / "models.toml", [server.base_url])
    more = {"model_url": "", "model_name": "", "models_file": file}
    async with stack(database_url, redis_url, **more) as forma:
        yield forma, file


async def test_a_hangup_of_one_process_reloads_all_of_them(running: tuple[Stack, Path], server: Any) -> None:
    forma, file = running
    written(file, [server.base_url, "http://127.0.0.1:1"], slots=5)
    os.kill(forma.children["bot"].pid, signal.SIGHUP)
    async with asyncio.timeout(30):
        while not all("models_reloaded" in forma.log(name) for name in ("bot", "worker")):
            await asyncio.sleep(0.05)
    assert "model_server_away" in forma.log("bot")
    (person,) = await forma.persons(1)
    await person.send("[[echo: still here]]")
    await forma.answered(person, "still here")


async def test_a_hangup_with_a_mistake_in_the_file_changes_nothing(running: tuple[Stack, Path]) -> None:
    forma, file = running
    file.write_text(file.read_text(encoding="utf-8").replace("slots = 5", "slots = -5"), encoding="utf-8")
    os.kill(forma.children["worker"].pid, signal.SIGHUP)
    async with asyncio.timeout(30):
        while "models_not_reloaded" not in (log := forma.log("worker")):
            await asyncio.sleep(0.05)
    assert "models.coach.slots must be a whole number" in log
    assert all(child.alive for child in forma.children.values())
    (person,) = await forma.persons(1)
    await person.send("[[echo: and here]]")
    await forma.answered(person, "and here")
