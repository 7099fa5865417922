"""The sender's order and budgets, over HTTP against the sandbox Telegram with its rates on."""

import asyncio
import time
from collections.abc import AsyncIterator
from functools import partial

import pytest
from aiogram.methods import AnswerCallbackQuery, EditMessageText, SendChatAction, SendMessage, SendMessageDraft
from prometheus_client import REGISTRY
from redis.asyncio import Redis

from bot.budget import Budget, Lane, Limits, Rate
from bot.lanes import SenderLimits
from bot.refusals import Migrated, Refused, Unreachable
from bot.sender import Sender, Superseded
from kit.errors import Unavailable
from sandbox.telegram.limits import Rates
from tests.support.sandbox_bot import Bench, sandbox_bot
from tests.support.sending import final, most_in_a_window, people, running_sender, sent
from tests.support.telegram import Person


@pytest.fixture(scope="module")
async def bench() -> AsyncIterator[Bench]:
    async with sandbox_bot(rates=Rates()) as bench:
        yield bench


async def test_a_chat_gets_its_messages_in_order_and_no_faster_than_telegram_allows(bench: Bench, redis: Redis):
    (ada,) = await people(bench, 1)
    async with running_sender(bench, redis) as sender:
        lanes = [Lane.NOTICE, Lane.FINAL]
        await asyncio.gather(*(final(sender, ada, f"{n}", lanes[n % 2]) for n in range(6)))
    calls = await bench.tg.calls("sendMessage", ada.id)
    assert [call["params"]["text"] for call in calls] == ["0", "1", "2", "3", "4", "5"]
    assert all(call["ok"] for call in calls)
    moments = [call["at_monotonic"] for call in calls]
    assert moments[2] - moments[0] < 0.5, "a small burst goes at once"
    assert moments[5] - moments[0] >= 2.9, "then one a second"


async def test_a_hundred_chats_at_once_stay_within_thirty_a_second_without_a_refusal(bench: Bench, redis: Redis):
    persons = await people(bench, 100)
    async with running_sender(bench, redis) as sender:
        await asyncio.gather(*(final(sender, person, "answer") for person in persons))
    calls = await bench.tg.calls("sendMessage", limit=10_000)
    assert len(calls) == 100
    assert [call["error"] for call in calls if not call["ok"]] == []
    assert most_in_a_window([call["at_monotonic"] for call in calls], 1.0) <= 30
    assert len({call["chat_id"] for call in calls}) == 100


async def test_finals_overtake_notices_previews_and_broadcasts(bench: Bench, redis: Redis):
    persons = await people(bench, 40)
    async with running_sender(bench, redis) as sender:
        # The whole's budget is dry before anything of interest is asked for.
        dry = [asyncio.create_task(final(sender, person, "dry")) for person in persons[:10]]
        await asyncio.sleep(0.05)
        waiting = [asyncio.create_task(final(sender, p, "broadcast", Lane.BROADCAST)) for p in persons[10:15]]
        for person in persons[15:25]:
            method = SendMessageDraft(chat_id=person.id, draft_id=1, text="so far")
            sender.preview(person.id, f"turn {person.id}", lambda method=method: method)
        waiting += [asyncio.create_task(final(sender, person, "notice", Lane.NOTICE)) for person in persons[25:30]]
        waiting += [asyncio.create_task(final(sender, person, "final")) for person in persons[30:40]]
        await asyncio.gather(*dry, *waiting)
    order = [call["params"]["text"] for call in await bench.tg.calls(limit=10_000) if "text" in call["params"]]
    kinds = [kind for kind in order if kind != "dry"]
    assert kinds == ["final"] * 10 + ["notice"] * 5 + ["so far"] * 10 + ["broadcast"] * 5


async def test_the_beginning_of_an_answer_overtakes_the_previews_that_wait(bench: Bench, redis: Redis):
    persons = await people(bench, 40)

    def draft(person: Person, text: str) -> SendMessageDraft:
        return SendMessageDraft(chat_id=person.id, draft_id=1, text=text)

    async with running_sender(bench, redis) as sender:
        for person in persons[:39]:
            sender.preview(person.id, person.id, partial(draft, person, "so far"))
        await asyncio.sleep(0.3)
        newcomer = persons[39]
        sender.preview(newcomer.id, newcomer.id, partial(draft, newcomer, "you are number 7"))
        sender.preview(newcomer.id, newcomer.id, partial(draft, newcomer, "beginning"), lane=Lane.FIRST_TEXT)
        await newcomer.wait_draft("beginning", timeout_s=0.5)
        await asyncio.sleep(1.5)
    order = [call["params"]["text"] for call in await bench.tg.calls("sendMessageDraft", limit=10_000)]
    assert sorted(order) == ["beginning"] + ["so far"] * 39
    assert order.index("beginning") < 20


async def test_a_final_never_waits_behind_the_previews_of_its_own_chat(bench: Bench, redis: Redis):
    (ada,) = await people(bench, 1)
    async with running_sender(bench, redis) as sender:
        for n in range(10):
            method = SendMessageDraft(chat_id=ada.id, draft_id=1, text=f"so far {n}")
            sender.preview(ada.id, 1, lambda method=method: method)
            await asyncio.sleep(0.05)
        began = time.monotonic()
        await final(sender, ada, "answer")
        assert time.monotonic() - began < 0.3
    assert len(await bench.tg.calls("sendMessageDraft", ada.id)) == 2


async def test_of_previews_that_wait_only_the_latest_is_sent(bench: Bench, redis: Redis):
    (ada,) = await people(bench, 1)
    outcomes: list[object] = []
    async with running_sender(bench, redis) as sender:
        for _ in range(3):
            await final(sender, ada, "fills the budget")
        for n in range(50):
            method = SendMessageDraft(chat_id=ada.id, draft_id=7, text=f"text {n}")
            sender.preview(ada.id, 7, lambda m=method: m, done=lambda result, error: outcomes.append(error or result))
        await asyncio.sleep(2.5)
    drafts = await bench.tg.calls("sendMessageDraft", ada.id)
    assert [call["params"]["text"] for call in drafts] == ["text 49"]
    assert outcomes[-1] is True
    assert [type(outcome) for outcome in outcomes[:-1]] == [Superseded] * 49


async def test_after_the_final_no_preview_of_its_key_is_sent(bench: Bench, redis: Redis):
    (ada,) = await people(bench, 1)
    await bench.tg.fault("sendMessageDraft", "delay", delay_s=0.5, count=1)
    make = lambda: SendMessageDraft(chat_id=ada.id, draft_id=7, text="so far")  # noqa: E731
    async with running_sender(bench, redis) as sender:
        sender.preview(ada.id, 7, make)
        await asyncio.sleep(0.1)  # it is under way
        sender.preview(ada.id, 7, make)
        await sender.forget(7)
        sender.preview(ada.id, 7, make)
        await final(sender, ada, "answer")
        await asyncio.sleep(1.5)
    calls = [call["method"] for call in await bench.tg.calls(chat_id=ada.id)]
    assert calls == ["sendMessageDraft", "sendMessage"]


async def test_a_group_gets_no_more_than_twenty_in_any_minute():
    """By the clock of the rule itself: real minutes are too long for a test."""
    budget = Budget(None, Limits(group=Rate.window(20, 3.0, burst=3)))
    moments: list[float] = []
    until = time.monotonic() + 7.0
    while time.monotonic() < until:
        grant = await budget.reserve(Lane.FINAL, -100, is_group=True)
        if grant.given:
            moments.append(time.monotonic())
        else:
            await asyncio.sleep(max(grant.chat_wait_s, grant.all_wait_s))
    assert most_in_a_window(moments, 3.0) <= 20
    assert len(moments) >= 38, "and the allowance is used"


async def test_queries_are_answered_past_every_queue(bench: Bench, redis: Redis):
    (ada,) = await people(bench, 1)
    async with running_sender(bench, redis) as sender:
        queue = [asyncio.create_task(final(sender, ada, "many")) for _ in range(6)]
        await asyncio.sleep(0.3)
        began = time.monotonic()
        with pytest.raises(Refused, match="query"):
            await sender.send(AnswerCallbackQuery(callback_query_id="1"), lane=Lane.NOTICE, chat_id=ada.id)
        assert time.monotonic() - began < 0.5
        assert not queue[-1].done()
        await asyncio.gather(*queue)


async def test_refusals_are_told_apart(bench: Bench, redis: Redis):
    ada, ben = await people(bench, 2)
    await ben.block()
    group = await bench.tg.group(admins=[ada], kind="group")
    moved = await group.migrate()
    async with running_sender(bench, redis) as sender:
        with pytest.raises(Unreachable) as blocked:
            await final(sender, ben, "hello")
        with pytest.raises(Unreachable) as unknown:
            await sender.send(SendMessage(chat_id=999_999, text="?"), lane=Lane.NOTICE, chat_id=999_999)
        with pytest.raises(Migrated) as migrated:
            await sender.send(SendMessage(chat_id=group.id, text="?"), lane=Lane.FINAL, chat_id=group.id, is_group=True)
        with pytest.raises(Refused, match="too long"):
            await final(sender, ada, "x" * 5000)
        message = await final(sender, ada, "same")
        edit = EditMessageText(chat_id=ada.id, message_id=message.message_id, text="same")
        assert await sender.send(edit, lane=Lane.FINAL, chat_id=ada.id), "not modified is a success"
    assert (blocked.value.reason, unknown.value.reason) == ("blocked", "not_found")
    assert migrated.value.new_chat_id == moved.id


async def test_a_cancelled_caller_takes_the_message_along_and_holds_nobody_up(bench: Bench, redis: Redis):
    (ada,) = await people(bench, 1)
    async with running_sender(bench, redis) as sender:
        tasks = [asyncio.create_task(final(sender, ada, f"{n}")) for n in range(6)]
        await asyncio.sleep(0.3)
        tasks[4].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(results[4], asyncio.CancelledError)
        assert sender.waiting(Lane.FINAL) == 0
    assert [call["params"]["text"] for call in await sent(bench)] == ["0", "1", "2", "3", "5"]


async def test_a_full_queue_is_said_at_once(bench: Bench, redis: Redis):
    (ada,) = await people(bench, 1)
    async with running_sender(bench, redis, limits=SenderLimits(queue_chat_max=2)) as sender:
        await bench.tg.fault("sendMessage", "delay", delay_s=0.5, count=1)
        tasks = [asyncio.create_task(final(sender, ada, f"{n}")) for n in range(3)]
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(result) for result in results].count(Unavailable) == 1


async def test_closing_tells_whoever_waits(bench: Bench, redis: Redis):
    (ada,) = await people(bench, 1)
    async with running_sender(bench, redis) as sender:
        tasks = [asyncio.create_task(final(sender, ada, f"{n}")) for n in range(5)]
        await asyncio.sleep(0.3)
        await sender.close()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [isinstance(result, Unavailable) for result in results] == [False] * 3 + [True] * 2
        with pytest.raises(Unavailable):
            await final(sender, ada, "late")


async def test_a_free_budget_costs_one_call_of_redis_and_about_a_millisecond(bench: Bench, redis: Redis):
    (ada,) = await people(bench, 1)
    plenty = Limits(chat=Rate(0.0001, 1000), all=Rate(0.0001, 1000))
    async with running_sender(bench, redis, budgets=plenty) as sender:
        await sender.send(SendChatAction(chat_id=ada.id, action="typing"), lane=Lane.FINAL, chat_id=ada.id)
        scripts_before = (await redis.info("commandstats"))["cmdstat_evalsha"]["calls"]
        waited_before = _waited(Lane.FINAL)
        for _ in range(100):
            await sender.send(SendChatAction(chat_id=ada.id, action="typing"), lane=Lane.FINAL, chat_id=ada.id)
        assert (await redis.info("commandstats"))["cmdstat_evalsha"]["calls"] - scripts_before == 100
        assert (_waited(Lane.FINAL) - waited_before) / 100 < 0.003, "a bound for busy machines"


def _waited(lane: Lane) -> float:
    return REGISTRY.get_sample_value("forma_send_wait_seconds_sum", {"lane": lane.name.lower()}) or 0.0


async def test_budgets_outlive_a_restart_of_the_bot(bench: Bench, redis: Redis):
    (ada,) = await people(bench, 1)
    for _ in range(2):  # the second one knows nothing of the first but through Redis
        sender = Sender(bench.bot, Budget(redis, prefix="test:restart:"))
        sender.start()
        await asyncio.gather(*(final(sender, ada, "answer") for _ in range(3)))
        await sender.close()
    moments = [call["at_monotonic"] for call in await sent(bench)]
    assert moments[5] - moments[0] >= 2.9
