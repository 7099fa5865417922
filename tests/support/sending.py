"""The real sender against a sandbox Telegram, and what its log of calls says."""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiogram.methods import SendMessage
from redis.asyncio import Redis

from bot.budget import Budget, Lane, Limits
from bot.lanes import SenderLimits
from bot.sender import Sender
from tests.support.sandbox_bot import Bench
from tests.support.telegram import Person

_numbers = itertools.count(1)


@asynccontextmanager
async def running_sender(
    bench: Bench, redis: Redis | None, *, limits: SenderLimits | None = None, budgets: Limits | None = None
) -> AsyncIterator[Sender]:
    """A sender with budgets of its own."""
    budget = Budget(redis, budgets, prefix=f"test:{next(_numbers)}:")
    sender = Sender(bench.bot, budget, limits)
    sender.start()
    try:
        yield sender
    finally:
        await sender.close()


async def people(bench: Bench, count: int) -> list[Person]:
    """Persons who have started the bot, in a sandbox that knows nothing else."""
    await bench.tg.reset()
    found = [await bench.tg.person(first_name=f"P{number}") for number in range(count)]
    for person in found:
        await person.start()
    return found


async def final(sender: Sender, person: Person, text: str, lane: Lane = Lane.FINAL) -> Any:
    return await sender.send(SendMessage(chat_id=person.id, text=text), lane=lane, chat_id=person.id)


async def sent(bench: Bench, method: str = "sendMessage", chat_id: int | None = None, **filters: Any) -> list[Any]:
    """Successful calls in order."""
    return await bench.tg.calls(method, chat_id, ok="true", limit=10_000, **filters)


def most_in_a_window(moments: list[float], window_s: float) -> int:
    """The largest number of moments that any window of this length holds."""
    ordered = sorted(moments)
    first = most = 0
    for last, moment in enumerate(ordered):
        while moment - ordered[first] >= window_s:
            first += 1
        most = max(most, last - first + 1)
    return most
