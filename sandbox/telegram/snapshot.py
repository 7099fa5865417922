"""Keeps the state in DIR/telegram.json: written whole, beside the old one, then put in its place."""

import asyncio
import os
import sys
from pathlib import Path

import orjson

from sandbox.telegram.state import State, load_state

WRITE_EVERY_S = 1.0
# A server that was killed gave out numbers after its last writing; none of them may come again.
NUMBERS_SKIPPED = 1_000
WRITE_SHARE_MAX = 0.05  # a large state is written more rarely, so that writing takes at most this share of the time


def read_snapshot(path: Path) -> State | None:
    """The kept state, or None at the first start. A file that cannot be read is an error with its path in it."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        return _beyond_what_was_lost(load_state(orjson.loads(raw)))
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} does not hold a sandbox state: {error}; move it away to start anew") from error


def _beyond_what_was_lost(state: State) -> State:
    state.next_update_id += NUMBERS_SKIPPED
    state.serial += NUMBERS_SKIPPED
    for chat in state.chats.values():
        chat.last_message_id += NUMBERS_SKIPPED
    return state


def _write(path: Path, content: bytes) -> None:
    beside = path.with_suffix(".json.new")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


class Snapshot:
    """Writes the state `every_s` after `touch`, later where that is large, and once more on close."""

    def __init__(self, state: object, path: Path, every_s: float = WRITE_EVERY_S) -> None:
        self._state, self._path, self._every_s = state, path, every_s
        self._touched = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to write changes."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._task = asyncio.create_task(self._run(), name="sandbox-snapshot")

    def touch(self) -> None:
        """Says that something changed."""
        self._touched.set()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._touched.wait()
            await asyncio.sleep(self._every_s)
            began = loop.time()
            try:
                await self._save()
            except OSError as error:
                sys.stderr.write(f"sandbox: {self._path} could not be written: {error}\n")
                self._touched.set()
            await asyncio.sleep((loop.time() - began) * (1 / WRITE_SHARE_MAX - 1))

    async def _save(self) -> None:
        self._touched.clear()
        content = orjson.dumps(self._state, default=list, option=orjson.OPT_NON_STR_KEYS)
        writing = asyncio.create_task(asyncio.to_thread(_write, self._path, content))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            await writing  # two writers at once would share one temporary file
            raise

    async def close(self) -> None:
        """Writes what is unwritten and ends."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            await self._save()
