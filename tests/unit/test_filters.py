"""Filters of all handlers: none goes through a thread, and each still says what it said."""

from aiogram import F, Router
from aiogram.dispatcher.event.handler import FilterObject

from bot.filters import judge_in_the_loop
from bot.handlers import routers


async def handler() -> None:
    """Handle nothing."""


def filters_of(router: Router) -> list[FilterObject]:
    return [
        judged
        for one in router.chain_tail
        for observer in one.observers.values()
        for handler in (observer._handler, *observer.handlers)
        for judged in handler.filters or ()
    ]


def test_no_filter_of_the_bot_goes_through_a_thread() -> None:
    found = [judged for router in routers() for judged in filters_of(router)]
    assert len(found) > 100
    assert [judged for judged in found if not judged.awaitable] == []


async def test_a_magic_filter_says_in_the_loop_what_it_said_before() -> None:
    inner, outer = Router(), Router()
    inner.callback_query.filter(F["kind"] == "a")
    inner.callback_query.register(handler, F["data"].startswith("x"))
    outer.include_router(inner)
    judge_in_the_loop(outer)
    of_router, of_handler = filters_of(outer)
    assert [await of_router.call({"kind": kind}) for kind in "ab"] == [True, False]
    assert [await of_handler.call({"data": data}, ctx=1) for data in "xy"] == [True, False]
