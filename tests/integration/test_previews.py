"""What a person sees while an answer is on its way, over HTTP through the sandbox Telegram and a real Redis."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiogram.methods import DeleteMessage, SendMessage
from redis.asyncio import Redis

from bot.budget import Lane
from bot.preview_calls import PreviewLimits
from bot.previews import Previews
from bot.render import preview
from bot.sender import Sender
from inference.queue.ticket import Position
from inference.streams import Mode, PreviewMeta, PreviewReader, PreviewWriter
from kit.words import words
from sandbox.telegram.limits import Rates
from tests.support.sandbox_bot import Bench, sandbox_bot
from tests.support.sending import people, running_sender
from tests.support.telegram import Person

_turns = itertools.count(1000)


@pytest.fixture(scope="module")
async def bench() -> AsyncIterator[Bench]:
    async with sandbox_bot(rates=Rates()) as bench:
        yield bench


class Worker:
    """Writes a turn's text as a worker's flusher does."""

    def __init__(self, redis: Redis, meta: PreviewMeta, fence: int = 1) -> None:
        self.redis, self.meta, self.fence, self.offset = redis, meta, fence, 0

    async def write(self, text: str, *, end: bool = False) -> None:
        async with self.redis.pipeline(transaction=False) as pipe:
            turn_id = self.meta.draft_id
            if self.offset == 0:
                PreviewWriter.add_first(pipe, turn_id, self.fence, self.meta, text)
            else:
                PreviewWriter.add_delta(pipe, turn_id, self.fence, self.offset, text)
            self.offset += len(text)
            if end:
                PreviewWriter.add_end(pipe, turn_id, self.fence, self.offset)
            await pipe.execute()

    async def trickle(self, seconds: float) -> None:
        for number in range(int(seconds / 0.15)):
            await self.write(f"word{number} ")
            await asyncio.sleep(0.15)


class Stage:
    """A bot's previews with a queue whose places the test decides."""

    def __init__(self, sender: Sender, previews: Previews, places: dict[int, Position]) -> None:
        self.sender, self.previews, self.places = sender, previews, places
        self.asked = 0  # places that were asked for

    async def final(self, turn_id: int, chat_id: int, text: str, *, is_group: bool = False) -> Any:
        call = SendMessage(chat_id=chat_id, text=text)
        return await self.previews.send_final(turn_id, call, lane=Lane.FINAL, chat_id=chat_id, is_group=is_group)


@asynccontextmanager
async def stage(bench: Bench, redis: Redis, limits: PreviewLimits | None = None) -> AsyncIterator[Stage]:
    places: dict[int, Position] = {}

    async def position(turn_id: int) -> Position | None:
        on.asked += 1
        return places.get(turn_id)

    reader = PreviewReader(redis)
    async with running_sender(bench, redis) as sender:
        previews = Previews(sender, reader, render=preview, words=words, position=position, limits=limits)
        on = Stage(sender, previews, places)
        task = asyncio.create_task(previews.run())
        await asyncio.sleep(0.1)
        try:
            yield on
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await previews.close()
            await reader.close()


def target(chat_id: int, mode: Mode = "draft", *, turn_id: int | None = None, **fields: Any) -> PreviewMeta:
    draft_id = next(_turns) if turn_id is None else turn_id
    return PreviewMeta(chat_id=chat_id, is_group=chat_id < 0, draft_id=draft_id, mode=mode, lang="ru", **fields)


async def drafts(bench: Bench, person: Person) -> list[dict[str, Any]]:
    return await bench.tg.calls("sendMessageDraft", person.id)


def gaps(calls: list[dict[str, Any]]) -> list[float]:
    return [b["at_monotonic"] - a["at_monotonic"] for a, b in itertools.pairwise(calls)]


async def test_an_answer_that_begins_is_shown_before_the_places_of_those_who_wait(bench: Bench, redis: Redis):
    waiting = await people(bench, 60)
    async with stage(bench, redis, PreviewLimits(quiet_s=0.2)) as on:
        for person in waiting:
            meta = target(person.id)
            on.places[meta.draft_id] = Position(7, 10.0, 20.0)
            on.previews.opened(meta)
        mine = meta  # the last of the line: sixty places take two seconds and more
        while not await bench.tg.calls("sendMessageDraft"):
            await asyncio.sleep(0.02)
        await Worker(redis, mine).write("Привет")
        await waiting[-1].wait_draft("Привет", timeout_s=2)
        shown = {call["chat_id"] for call in await bench.tg.calls("sendMessageDraft", limit=10_000)}
        assert len(shown) < 60
        await asyncio.sleep(3)
    texts = [call["params"]["text"] for call in await drafts(bench, waiting[-1])]
    assert texts == ["Привет"]


async def test_of_many_turns_that_wait_in_a_chat_one_shows_its_place(bench: Bench, redis: Redis):
    (ada,) = await people(bench, 1)
    async with stage(bench, redis, PreviewLimits(quiet_s=0.1, queue_refresh_s=0.5)) as on:
        metas = [target(ada.id) for _ in range(60)]
        for place, meta in enumerate(metas, start=1):
            on.places[meta.draft_id] = Position(min(place, 2), 10.0, 20.0)
            on.previews.opened(meta)
        await asyncio.sleep(1.5)
        assert on.asked <= 4, "one turn's place, each time it is refreshed"
        await on.final(metas[0].draft_id, ada.id, "Готово")
        await ada.wait_draft("Вы 2-й", timeout_s=5)
        assert len({call["params"]["draft_id"] for call in await drafts(bench, ada)}) == 2, "then the next one's"


async def test_an_answer_that_begins_with_blank_lines_is_shown_with_its_first_word(bench: Bench, redis: Redis):
    (ada,) = await people(bench, 1)
    async with stage(bench, redis) as on:
        meta = target(ada.id)
        on.previews.opened(meta)
        worker = Worker(redis, meta)
        await worker.write("\n\n ")
        await asyncio.sleep(0.3)
        assert await drafts(bench, ada) == []
        await worker.write("Привет")
        await ada.wait_draft("Привет", timeout_s=0.5)


async def test_the_first_text_is_shown_at_once_and_then_at_the_interval(bench: Bench, redis: Redis):
    (ada,) = await people(bench, 1)
    async with stage(bench, redis) as on:
        meta = target(ada.id)
        on.previews.opened(meta)
        worker = Worker(redis, meta)
        await worker.write("**Привет**, ")
        await ada.wait_draft("Привет", timeout_s=0.5)
        await worker.trickle(5.0)
        await on.final(meta.draft_id, ada.id, "Готово")
    calls = await drafts(bench, ada)
    assert all(1.15 <= gap < 1.6 for gap in gaps(calls))
    assert calls[0]["params"]["text"].startswith("Привет"), "Markdown is rendered"
    assert {call["params"]["draft_id"] for call in calls} == {str(meta.draft_id)} or {meta.draft_id}
    lengths = [len(call["params"]["text"]) for call in calls]
    assert lengths == sorted(lengths)
    assert len(calls) >= 4
    assert (ada.draft, ada.messages()[-1].text) == (None, "Готово")


async def test_the_place_in_the_queue_comes_after_three_seconds_with_a_stop_button(bench: Bench, redis: Redis):
    (ada,) = await people(bench, 1)
    async with stage(bench, redis, PreviewLimits(queue_refresh_s=1.5)) as on:
        meta = target(ada.id)
        on.places[meta.draft_id] = Position(7, 20.0, 40.0)
        on.previews.opened(meta)
        await asyncio.sleep(2.7)
        assert await drafts(bench, ada) == []
        draft = await ada.wait_draft("7-й", timeout_s=1.0)
        assert draft["can_stop"]
        assert "20–40" in draft["text"]
        on.places[meta.draft_id] = Position(2, 5.0, 15.0)
        await ada.wait_draft("2-й", timeout_s=2.5)
        del on.places[meta.draft_id]
        await bench.tg.until(lambda: ada.draft and not ada.draft["text"], timeout_s=2.5)
        await Worker(redis, meta).write("Начало")
        await ada.wait_draft("Начало", timeout_s=0.5)
        assert await ada.stop() == meta.draft_id
        await on.previews.finished(meta.draft_id)


async def test_a_draft_is_kept_alive_while_nothing_new_comes(bench: Bench, redis: Redis):
    assert PreviewLimits().heartbeat_s <= 20
    assert PreviewLimits().queue_refresh_s <= 20
    (ada,) = await people(bench, 1)
    async with stage(bench, redis, PreviewLimits(heartbeat_s=1.5)) as on:
        meta = target(ada.id)
        on.previews.opened(meta)
        await Worker(redis, meta).write("Думаю", end=True)
        await asyncio.sleep(5.2)
        await on.previews.finished(meta.draft_id)
    calls = await drafts(bench, ada)
    assert len(calls) == 4
    assert all(1.4 <= gap < 1.9 for gap in gaps(calls))


async def test_the_interval_grows_with_the_open_streams(bench: Bench, redis: Redis):
    persons = await people(bench, 6)
    async with stage(bench, redis, PreviewLimits(streams_per_s=2.0)) as on:
        metas = [target(person.id) for person in persons]
        for meta in metas:
            on.previews.opened(meta)
        await asyncio.gather(*(Worker(redis, meta).trickle(7.0) for meta in metas))
        assert on.previews.open_streams == 6
        for meta in metas:
            await on.previews.finished(meta.draft_id)
        assert on.previews.open_streams == 0
    for person in persons:
        later = (await drafts(bench, person))[1:]
        assert later
        assert all(gap >= 2.9 for gap in gaps(later))


async def test_a_new_attempt_restarts_the_text_and_the_old_one_is_ignored(bench: Bench, redis: Redis):
    (ada,) = await people(bench, 1)
    async with stage(bench, redis, PreviewLimits(interval_s=0.3)) as on:
        meta = target(ada.id)
        on.previews.opened(meta)
        old, new = Worker(redis, meta, fence=1), Worker(redis, meta, fence=2)
        await old.write("Старое ")
        await ada.wait_draft("Старое")
        await new.write("Новое")
        await ada.wait_draft("Новое")
        await old.write("продолжение")
        await new.write(" слово")
        await ada.wait_draft("Новое слово")
        await on.previews.finished(meta.draft_id)
    texts = [call["params"]["text"] for call in await drafts(bench, ada)]
    assert not any("продолжение" in text for text in texts)


async def test_nothing_follows_the_final(bench: Bench, redis: Redis):
    (ada,) = await people(bench, 1)
    async with stage(bench, redis) as on:
        meta = target(ada.id)
        on.previews.opened(meta)
        worker = Worker(redis, meta)
        trickle = asyncio.create_task(worker.trickle(4.0))
        await asyncio.sleep(1.5)
        await on.final(meta.draft_id, ada.id, "Ответ")
        await trickle
        on.previews.opened(meta)
        await asyncio.sleep(0.5)
    calls = [call["method"] for call in await bench.tg.calls(chat_id=ada.id)]
    assert calls[-1] == "sendMessage"
    assert ada.draft is None


async def test_in_a_group_a_message_is_edited_and_becomes_the_final(bench: Bench, redis: Redis):
    (ada,) = await people(bench, 1)
    group = await bench.tg.group(admins=[ada], bot="administrator")
    asked = await ada.send("Вопрос", chat=group)
    async with stage(bench, redis, PreviewLimits(group_interval_s=1.0)) as on:
        meta = target(group.id, reply_to_message_id=asked)
        on.previews.opened(meta)
        await Worker(redis, meta).trickle(4.5)
        await on.final(meta.draft_id, group.id, "Ответ", is_group=True)
        await on.final(meta.draft_id, group.id, "Вторая часть", is_group=True)
    said = [message for message in group.messages() if message.text]
    assert [message.text for message in said] == ["Вопрос", "Ответ", "Вторая часть"]
    assert said[1].raw["reply_to_message"]["message_id"] == asked
    assert await bench.tg.calls("sendMessageDraft") == []
    assert len(await bench.tg.calls("editMessageText", group.id)) >= 2


async def test_a_deleted_preview_loses_no_final(bench: Bench, redis: Redis):
    (ada,) = await people(bench, 1)
    async with stage(bench, redis) as on:
        meta = target(ada.id, "edit")
        on.previews.opened(meta)
        await Worker(redis, meta).write("Начало")
        shown = await ada.wait_for("Начало", timeout_s=2.0)
        await bench.bot(DeleteMessage(chat_id=ada.id, message_id=shown.id))
        await on.final(meta.draft_id, ada.id, "Ответ")
    assert [m.text for m in ada.messages() if m.sender_id == bench.tg.bot_id] == ["Ответ"]


async def test_where_drafts_are_refused_messages_are_edited_from_then_on(bench: Bench, redis: Redis):
    (ada,) = await people(bench, 1)
    async with stage(bench, redis) as on:
        meta = target(ada.id, turn_id=0)  # Telegram refuses a draft whose id is zero
        on.previews.opened(meta)
        await Worker(redis, meta).write("Начало")
        await ada.wait_for("Начало", timeout_s=2.0)
        await on.final(0, ada.id, "Ответ")
        later = target(ada.id)
        on.previews.opened(later)
        await Worker(redis, later).write("Второе начало")
        await ada.wait_for("Второе начало", timeout_s=3.0)
        await on.final(later.draft_id, ada.id, "Второй ответ")
    assert [m.text for m in ada.messages() if m.sender_id == bench.tg.bot_id] == ["Ответ", "Второй ответ"]
    assert len(await drafts(bench, ada)) == 1


async def test_switched_off_previews_only_say_that_somebody_types(bench: Bench, redis: Redis):
    (ada,) = await people(bench, 1)
    async with stage(bench, redis, PreviewLimits(typing_s=1.0)) as on:
        meta = target(ada.id, "off")
        on.previews.opened(meta)
        await Worker(redis, meta).trickle(3.4)
        await on.final(meta.draft_id, ada.id, "Ответ")
    calls = await bench.tg.calls(chat_id=ada.id)
    assert [call["method"] for call in calls] == ["sendChatAction"] * 4 + ["sendMessage"]
    assert all(gap >= 0.95 for gap in gaps(calls[:-1]))


async def test_a_restarted_bot_goes_on_with_the_preview_and_edits_the_same_message(bench: Bench, redis: Redis):
    (ada,) = await people(bench, 1)
    meta = target(ada.id, "edit")
    worker = Worker(redis, meta)
    async with stage(bench, redis) as on:
        on.previews.opened(meta)
        await worker.write("Начало ")
        await ada.wait_for("Начало", timeout_s=2.0)
        await asyncio.sleep(0.2)
    async with stage(bench, redis) as on:
        await on.final(meta.draft_id, ada.id, "Ответ")
    assert [m.text for m in ada.messages() if m.sender_id == bench.tg.bot_id] == ["Ответ"]


async def test_a_restarted_bot_catches_up_with_a_draft(bench: Bench, redis: Redis):
    (ada,) = await people(bench, 1)
    meta = target(ada.id)
    worker = Worker(redis, meta)
    await worker.write("Начало ")
    async with stage(bench, redis) as on:
        await worker.write("и конец")
        await ada.wait_draft("Начало и конец", timeout_s=2.0)
        await on.previews.finished(meta.draft_id)


async def test_a_person_who_blocked_the_bot_is_left_alone(bench: Bench, redis: Redis):
    (ada,) = await people(bench, 1)
    async with stage(bench, redis, PreviewLimits(interval_s=0.3)) as on:
        meta = target(ada.id)
        on.previews.opened(meta)
        await ada.block()
        await Worker(redis, meta).trickle(2.0)
    assert len(await drafts(bench, ada)) == 1


async def test_a_hundred_streams_and_their_finals_meet_no_refusal(bench: Bench, redis: Redis):
    persons = await people(bench, 100)
    async with stage(bench, redis) as on:
        metas = [target(person.id) for person in persons]
        for meta in metas:
            on.previews.opened(meta)

        async def turn(meta: PreviewMeta) -> float:
            await Worker(redis, meta).trickle(8.0)
            began = asyncio.get_running_loop().time()
            await on.final(meta.draft_id, meta.chat_id, "Ответ")
            return asyncio.get_running_loop().time() - began

        waits = await asyncio.gather(*(turn(meta) for meta in metas))
    calls = await bench.tg.calls(limit=20_000)
    assert [call["error"] for call in calls if not call["ok"]] == []
    assert sum(call["method"] == "sendMessage" for call in calls) == 100
    assert max(waits) < 100 / 24 + 2.5, "the finals had the whole budget"
