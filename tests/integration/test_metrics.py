"""Metrics of several processes in one folder: what is counted stays, what a killed process had open does not."""

import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WORKER = """
import sys
from kit.observability import streams_open, turns_total
streams_open.set(3)
turns_total.labels(status="done").inc(2)
print("counted", flush=True)
sys.stdin.read()
"""
WEB = "from kit.observability import render_metrics; print(render_metrics().decode())"


def started(code: str, folder: Path) -> subprocess.Popen[str]:
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(folder), "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, text=True, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )  # fmt: skip


def rendered(folder: Path) -> dict[str, float]:
    said, _ = started(WEB, folder).communicate(timeout=60)
    rows = (line.rpartition(" ") for line in said.splitlines() if line and not line.startswith("#"))
    return {name: float(value) for name, _, value in rows}


def test_a_killed_worker_leaves_its_counts_and_no_open_streams(tmp_path: Path) -> None:
    worker = started(WORKER, tmp_path)
    try:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "counted\n"
        before = rendered(tmp_path)
        assert (before["forma_streams_open"], before['forma_turns_total{status="done"}']) == (3, 2)
    finally:
        worker.send_signal(signal.SIGKILL)
        worker.communicate(timeout=30)
    after = rendered(tmp_path)
    assert (after.get("forma_streams_open", 0), after['forma_turns_total{status="done"}']) == (0, 2)
