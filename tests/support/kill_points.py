"""Forma's command line with kill points: the process ends by SIGKILL at a chosen commit or outbound call.

python -m tests.support.kill_points bot

FORMA_TEST_KILL_DIR names a folder. While it holds a file of the process's name, each point is counted: before and after
each commit, before and after each HTTP call but the poll for updates. At the point whose number stands in the file the
file is removed and the process killed, so that whoever starts it again is let live. A number followed by a job's name
counts the points of that job alone, so that it means the same point in each run whatever the schedules do meanwhile.
The product knows nothing of this: its classes are wrapped here, from outside.
"""

import contextlib
import dataclasses
import functools
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import aiohttp

from app import jobs
from cli.main import main
from kit.db import Database

KILL_DIR_ENV = "FORMA_TEST_KILL_DIR"
# Polls come and go by the clock, so counting them would make a number mean another point in each run.
NOT_COUNTED = ("/getUpdates",)

_passed = 0
# The job that runs here, with whatever tasks it starts.
_job: ContextVar[str] = ContextVar("job", default="")


def kill_file(home: Path, process: str) -> Path:
    """Where a test writes at which point a process is to be killed."""
    return home / f"kill-{process}"


def killed_file(home: Path, process: str) -> Path:
    """Where a killed process has written at what it was killed."""
    return home / f"killed-{process}"


def point(what: str) -> None:
    """Count a point; at the chosen one this process is gone."""
    global _passed
    home, process = Path(os.environ[KILL_DIR_ENV]), sys.argv[1]
    try:
        number, _, job = kill_file(home, process).read_text().partition(" ")
        chosen = int(number)
    except (OSError, ValueError):
        _passed = 0
        return
    if job and job != _job.get():
        return
    _passed += 1
    if _passed >= chosen:
        killed_file(home, process).write_text(what)
        kill_file(home, process).unlink()
        os.kill(os.getpid(), signal.SIGKILL)


def _wrap_commits() -> None:
    transaction = Database.transaction

    @contextlib.asynccontextmanager
    async def counted(self: Database) -> AsyncIterator[Any]:
        async with transaction(self) as tx:
            yield tx
            point("before a commit")
        point("after a commit")

    Database.transaction = counted  # type: ignore[method-assign]


def _wrap_calls() -> None:
    request = aiohttp.ClientSession._request

    async def counted(self: aiohttp.ClientSession, method: str, url: Any, **options: Any) -> aiohttp.ClientResponse:
        path = str(url)
        if path.endswith(NOT_COUNTED):
            return await request(self, method, url, **options)
        name = path.rpartition("/")[2]
        point(f"before {name}")
        answer = await request(self, method, url, **options)
        point(f"after {name}")
        return answer

    aiohttp.ClientSession._request = counted  # type: ignore[method-assign, assignment]


def _named(job: jobs.Job) -> jobs.Job:
    @functools.wraps(job)
    async def run(ctx: dict[str, Any], *args: Any) -> None:
        _job.set(job.__name__)
        await job(ctx, *args)

    return run


def _wrap_jobs() -> None:
    schedules = jobs.schedules
    jobs.FUNCTIONS = tuple(_named(job) for job in jobs.FUNCTIONS)  # type: ignore[assignment]
    jobs.schedules = lambda: [dataclasses.replace(one, coroutine=_named(one.coroutine)) for one in schedules()]


if __name__ == "__main__":
    _wrap_jobs()
    _wrap_commits()
    _wrap_calls()
    main()
