"""Penalties, failures on the way and the loss of Redis: nothing is lost, and only those concerned wait."""

import asyncio
import os
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from aiogram.methods import SendMessageDraft
from redis.asyncio import Redis

from bot.budget import Budget, Lane
from bot.lanes import SenderLimits
from bot.sender import Sender
from cli.embedded import Valkey, prepare_data_dir
from cli.owner import server_owner
from kit import redis as kit_redis
from kit.errors import Unavailable
from sandbox.telegram.limits import Rates
from tests.support.sandbox_bot import Bench, sandbox_bot
from tests.support.sending import final, most_in_a_window, people, running_sender, sent

QUICK = SenderLimits(backoff_s_min=0.05, backoff_s_max=0.2)


@pytest.fixture(scope="module")
async def bench() -> AsyncIterator[Bench]:
    async with sandbox_bot(rates=Rates()) as bench:
        yield bench


@pytest.fixture
def own_valkey() -> Iterator[Valkey]:
    """A server that a test may kill."""
    owner = server_owner()
    home = Path(tempfile.mkdtemp(prefix="forma-test-", dir="/tmp" if owner else None))
    valkey = Valkey(prepare_data_dir(home, owner), owner)
    valkey.start()
    yield valkey
    valkey.stop()
    shutil.rmtree(home, ignore_errors=True)


async def test_retry_after_is_obeyed_to_the_second_and_nothing_is_lost_or_reordered(bench: Bench, redis: Redis):
    (ada,) = await people(bench, 1)
    await bench.tg.fault("sendMessage", "rate_limit", retry_after_s=2, count=1)
    async with running_sender(bench, redis) as sender:
        await asyncio.gather(*(final(sender, ada, f"{n}") for n in range(3)))
    calls = await bench.tg.calls("sendMessage", ada.id)
    assert [call["params"]["text"] for call in calls] == ["0", "0", "1", "2"]
    assert [call["ok"] for call in calls] == [False, True, True, True]
    assert 2.0 <= calls[1]["at_monotonic"] - calls[0]["at_monotonic"] < 2.5


async def test_a_penalty_of_one_chat_leaves_the_others_unharmed(bench: Bench, redis: Redis):
    ada, *others = await people(bench, 8)
    await bench.tg.fault("sendMessage", "rate_limit", retry_after_s=3, count=1, chat_id=ada.id)
    async with running_sender(bench, redis) as sender:
        late = asyncio.create_task(final(sender, ada, "late"))
        await asyncio.sleep(0.2)
        began = time.monotonic()
        await asyncio.gather(*(final(sender, person, "answer") for person in others))
        assert time.monotonic() - began < 1.0
        assert not late.done()
        await late


async def test_previews_do_not_break_the_penalty_of_their_chat(bench: Bench, redis: Redis):
    (ada,) = await people(bench, 1)
    await bench.tg.fault("sendMessageDraft", "rate_limit", retry_after_s=2, count=1)
    async with running_sender(bench, redis) as sender:
        method = SendMessageDraft(chat_id=ada.id, draft_id=1, text="so far")
        sender.preview(ada.id, 1, lambda: method)
        await asyncio.sleep(0.2)
        sender.preview(ada.id, 1, lambda: method)
        await final(sender, ada, "answer")
    calls = await bench.tg.calls(chat_id=ada.id)
    assert [call["method"] for call in calls][:2] == ["sendMessageDraft", "sendMessage"]
    assert calls[1]["at_monotonic"] - calls[0]["at_monotonic"] >= 2.0


async def test_refusals_of_several_chats_are_a_penalty_of_all(bench: Bench, redis: Redis):
    persons = await people(bench, 8)
    await bench.tg.fault("sendMessage", "rate_limit", retry_after_s=2, count=3)
    async with running_sender(bench, redis) as sender:
        first = [asyncio.create_task(final(sender, person, "answer")) for person in persons[:3]]
        await asyncio.sleep(0.4)
        rest = [asyncio.create_task(final(sender, person, "answer")) for person in persons[3:]]
        await asyncio.gather(*first, *rest)
    calls = await bench.tg.calls("sendMessage")
    refused = [call["at_monotonic"] for call in calls if not call["ok"]]
    served = [call["at_monotonic"] for call in calls if call["ok"]]
    assert len(refused) == 3
    assert len(served) == 8
    assert min(served) - max(refused) >= 1.9, "everybody waited, the chats that were not refused as well"


async def test_a_penalty_outlives_a_restart(bench: Bench, redis: Redis):
    (ada,) = await people(bench, 1)
    await bench.tg.fault("sendMessage", "rate_limit", retry_after_s=2, count=1)
    first = Sender(bench.bot, Budget(redis, prefix="test:penalty:"))
    first.start()
    task = asyncio.create_task(final(first, ada, "answer"))
    await asyncio.sleep(0.5)
    await first.close()
    with pytest.raises(Unavailable):
        await task
    second = Sender(bench.bot, Budget(redis, prefix="test:penalty:"))
    second.start()
    await final(second, ada, "answer")
    await second.close()
    calls = await bench.tg.calls("sendMessage", ada.id)
    assert [call["ok"] for call in calls] == [False, True]
    assert 2.0 <= calls[1]["at_monotonic"] - calls[0]["at_monotonic"] < 2.6


@pytest.mark.parametrize("kind", ["http_500", "reset"])
async def test_a_failure_on_the_way_is_tried_again_in_place(bench: Bench, redis: Redis, kind: str):
    ada, ben = await people(bench, 2)
    await bench.tg.fault("sendMessage", kind, count=2, chat_id=ada.id)
    async with running_sender(bench, redis, limits=QUICK) as sender:
        await asyncio.gather(final(sender, ada, "0"), final(sender, ada, "1"), final(sender, ben, "other"))
    assert [call["params"]["text"] for call in await sent(bench, chat_id=ada.id)] == ["0", "1"]


async def test_a_failure_that_stays_is_reported_and_what_follows_is_sent(bench: Bench, redis: Redis):
    (ada,) = await people(bench, 1)
    await bench.tg.fault("sendMessage", "http_500", count=QUICK.attempts_max)
    async with running_sender(bench, redis, limits=QUICK) as sender:
        results = await asyncio.gather(final(sender, ada, "0"), final(sender, ada, "1"), return_exceptions=True)
    assert isinstance(results[0], Unavailable)
    assert results[0].what == "telegram"
    assert [call["params"]["text"] for call in await sent(bench)] == ["1"]


async def test_a_loss_of_redis_stops_no_final_and_opens_no_burst(bench: Bench, own_valkey: Valkey):
    persons = await people(bench, 60)
    redis = kit_redis.connect(own_valkey.url())
    async with running_sender(bench, redis) as sender:
        await asyncio.gather(*(final(sender, person, "before") for person in persons[:10]))
        own_valkey.stop()
        began = time.monotonic()
        await asyncio.gather(*(final(sender, person, "without") for person in persons[10:40]))
        assert time.monotonic() - began < 6.0
        own_valkey.start()
        await asyncio.sleep(1.1)
        await asyncio.gather(*(final(sender, person, "after") for person in persons[40:]))
        assert await redis.keys("test:*"), "Redis decides again"
    await redis.aclose()
    calls = await bench.tg.calls("sendMessage", limit=10_000)
    assert len(calls) == 60
    assert all(call["ok"] for call in calls)
    assert most_in_a_window([call["at_monotonic"] for call in calls], 1.0) <= 30


async def test_a_redis_that_hangs_stops_no_final(bench: Bench, own_valkey: Valkey):
    (ada,) = await people(bench, 1)
    redis = kit_redis.connect(own_valkey.url())
    async with running_sender(bench, redis) as sender:
        await final(sender, ada, "before")
        os.kill(own_valkey.pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            await final(sender, ada, "while it hangs", Lane.FINAL)
            assert time.monotonic() - began < 1.0
        finally:
            os.kill(own_valkey.pid, signal.SIGCONT)
    await redis.aclose()
