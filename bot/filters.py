"""Filters: those of aiogram that are no coroutines, judged in the event loop.

aiogram hands each of them to a thread, be it `F.text`: a message that passed twenty on its way to its handler waited
longer for threads than for everything else that the bot does with it.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from aiogram import Router
from aiogram.dispatcher.event.handler import FilterObject


def judge_in_the_loop(router: Router) -> None:
    """Do so for the magic filters of a router and of all that it includes; none of them waits for anything."""
    for one in router.chain_tail:
        for observer in one.observers.values():
            # What a whole router is filtered by has no public name.
            for handler in (observer._handler, *observer.handlers):  # noqa: SLF001
                for judged in handler.filters or ():
                    _in_the_loop(judged)


def _in_the_loop(judged: FilterObject) -> None:
    if judged.magic is not None:
        judged.callback, judged.awaitable = _coroutine(judged.callback), True


def _coroutine(judge: Callable[[Any], Any]) -> Callable[[Any], Awaitable[Any]]:
    async def judged(event: Any) -> Any:
        return judge(event)

    return judged
