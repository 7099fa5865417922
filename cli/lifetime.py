"""The life of a process: it says that it does its work, through a pipe that its starter holds; it runs, and ends."""

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable
from typing import Any

Ready = Callable[[], None]

READY_FD_ENV = "FORMA_READY_FD"


def say_ready() -> None:
    """Tell the supervisor, if there is one, that this process does its work now."""
    fd = os.environ.pop(READY_FD_ENV, "")
    if fd:
        with contextlib.suppress(OSError):
            os.write(int(fd), b"ready\n")
            os.close(int(fd))


async def run_until(stop: asyncio.Event, work: list[Awaitable[None]]) -> None:
    """Run everything until `stop`; what fails ends the process with its error, and everything is cancelled in order."""
    tasks = [asyncio.ensure_future(one) for one in work]
    stopped = asyncio.ensure_future(stop.wait())
    try:
        pending: set[asyncio.Future[Any]] = {*tasks, stopped}
        while not stopped.done():
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
    finally:
        stopped.cancel()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
