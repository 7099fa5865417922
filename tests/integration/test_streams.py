"""The previews' way through Redis: order, late starters, older attempts, lost entries, a Redis that restarts."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis

from cli.embedded import Valkey, prepare_data_dir
from cli.owner import server_owner
from inference import streams
from inference.streams import Applied, PreviewDelta, PreviewMeta, PreviewReader, PreviewWriter, Transcript
from kit import redis as kit_redis


def meta(turn_id: int) -> PreviewMeta:
    return PreviewMeta(chat_id=42, is_group=False, draft_id=turn_id, mode="draft", lang="ru")


async def write(redis: Redis, turn_id: int, fence: int, *texts: str, end: bool = False) -> None:
    """An attempt from its beginning, a pipeline for each text."""
    offset = 0
    for number, text in enumerate(texts):
        async with redis.pipeline(transaction=False) as pipe:
            if number == 0:
                PreviewWriter.add_first(pipe, turn_id, fence, meta(turn_id), text)
            else:
                PreviewWriter.add_delta(pipe, turn_id, fence, offset, text)
            offset += len(text)
            if end and number == len(texts) - 1:
                PreviewWriter.add_end(pipe, turn_id, fence, offset)
            await pipe.execute()


@asynccontextmanager
async def following(reader: PreviewReader, after: str = "$") -> AsyncIterator["asyncio.Queue[PreviewDelta]"]:
    """What the reader yields, delta by delta."""
    queue: asyncio.Queue[PreviewDelta] = asyncio.Queue()

    async def follow() -> None:
        async for batch in reader.follow(after):
            for delta in batch:
                queue.put_nowait(delta)

    task = asyncio.create_task(follow())
    await asyncio.sleep(0.1)
    try:
        yield queue
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await reader.close()


async def take(queue: "asyncio.Queue[PreviewDelta]", count: int) -> list[PreviewDelta]:
    async with asyncio.timeout(10):
        return [await queue.get() for _ in range(count)]


async def test_a_follower_gets_every_delta_in_order_and_the_end(redis: Redis):
    async with following(PreviewReader(redis)) as queue:
        await write(redis, 1, 10, "Доброе ", "утро, ", "Ада 🙂", end=True)
        deltas = await take(queue, 4)
    assert [(d.offset, d.text, d.end) for d in deltas] == [
        (0, "Доброе ", False),
        (7, "утро, ", False),
        (13, "Ада 🙂", False),
        (18, "", True),
    ]


async def test_a_late_starter_catches_up(redis: Redis):
    await write(redis, 2, 10, "first ", "second ")
    reader = PreviewReader(redis)
    caught = await reader.catch_up(2)
    assert caught is not None
    assert (caught.meta, caught.fence, caught.text, caught.ended) == (meta(2), 10, "first second ", False)
    assert await reader.catch_up(999) is None
    assert 0 < await redis.ttl(streams.turn_key(2)) <= streams.TURN_TTL_S
    await reader.close()


async def test_an_older_attempt_that_writes_late_changes_nothing(redis: Redis):
    await write(redis, 3, 10, "old ")
    await write(redis, 3, 20, "new ")
    async with redis.pipeline(transaction=False) as pipe:  # the paused worker wakes up
        PreviewWriter.add_delta(pipe, 3, 10, 4, "text")
        PreviewWriter.add_end(pipe, 3, 10, 8)
        await pipe.execute()
    reader = PreviewReader(redis)
    caught = await reader.catch_up(3)
    assert caught is not None
    assert (caught.fence, caught.text, caught.ended) == (20, "new ", False)
    await reader.close()


async def test_a_pipeline_that_is_sent_twice_changes_nothing(redis: Redis):
    transcript = Transcript()
    async with following(PreviewReader(redis)) as queue:
        for _ in range(2):
            await write(redis, 4, 10, "one ", "two")
        applied = [transcript.apply(delta) for delta in await take(queue, 4)]
    assert applied == [Applied.GREW, Applied.GREW, Applied.SAME, Applied.SAME]
    reader = PreviewReader(redis)
    caught = await reader.catch_up(4)
    assert caught is not None
    assert caught.text == transcript.text == "one two"
    await reader.close()


def test_a_transcript_restarts_with_a_larger_fence_and_ignores_a_smaller_one():
    transcript = Transcript()
    assert transcript.apply(PreviewDelta(1, 5, 0, "old text")) is Applied.GREW
    assert transcript.apply(PreviewDelta(1, 6, 0, "new")) is Applied.GREW
    assert transcript.apply(PreviewDelta(1, 5, 8, " goes on")) is Applied.STALE
    assert transcript.text == "new"
    assert transcript.apply(PreviewDelta(1, 6, 9, "beyond")) is Applied.GAP
    assert transcript.apply(PreviewDelta(1, 6, 1, "ew text")) is Applied.GREW, "an overlap adds what is new"
    assert transcript.text == "new text"


async def test_trimmed_entries_show_as_a_gap_and_the_hash_fills_it(redis: Redis):
    await write(redis, 5, 10, "a" * 10, "b" * 10)
    await redis.xtrim(streams.STREAM, maxlen=0)
    await write(redis, 6, 10, "other")
    transcript = Transcript()
    reader = PreviewReader(redis)
    async with redis.pipeline(transaction=False) as pipe:
        PreviewWriter.add_delta(pipe, 5, 10, 20, "c")
        await pipe.execute()
    async with following(reader, "0-0") as queue:
        deltas = await take(queue, 2)
        assert transcript.apply(deltas[1]) is Applied.GAP
        caught = await reader.catch_up(5)
        assert caught is not None
        assert transcript.replace(caught)
    assert transcript.text == "a" * 10 + "b" * 10 + "c"


async def test_a_late_delta_after_a_loss_of_redis_leaves_no_hash_for_ever(redis: Redis):
    long = "x" * streams.EXPIRY_EVERY_CHARS
    async with redis.pipeline(transaction=False) as pipe:
        PreviewWriter.add_delta(pipe, 7, 10, 500, long)
        await pipe.execute()
    assert await redis.ttl(streams.turn_key(7)) > 0


async def test_an_entry_that_nobody_can_read_stops_nothing(redis: Redis):
    async with following(PreviewReader(redis)) as queue:
        await redis.xadd(streams.STREAM, {"t": "what", "z": "?"})
        await write(redis, 8, 10, "fine")
        assert [delta.text for delta in await take(queue, 1)] == ["fine"]


@pytest.fixture
def own_valkey() -> Iterator[Valkey]:
    owner = server_owner()
    home = Path(tempfile.mkdtemp(prefix="forma-test-", dir="/tmp" if owner else None))
    valkey = Valkey(prepare_data_dir(home, owner), owner)
    valkey.start()
    yield valkey
    valkey.stop()
    shutil.rmtree(home, ignore_errors=True)


async def test_a_follower_lives_through_a_restart_that_loses_everything(own_valkey: Valkey):
    redis = kit_redis.connect(own_valkey.url())
    async with following(PreviewReader(redis)) as queue:
        await write(redis, 1, 10, "before")
        await take(queue, 1)
        await redis.flushall()
        own_valkey.stop()
        await asyncio.sleep(0.3)
        own_valkey.start()
        await write(redis, 1, 11, "after")
        assert [delta.text for delta in await take(queue, 1)] == ["after"]
    await redis.aclose()


async def test_a_stream_that_begins_again_with_smaller_ids_is_read_from_its_beginning(own_valkey: Valkey):
    redis = kit_redis.connect(own_valkey.url())
    await redis.xadd(streams.STREAM, {"t": 1, "f": 1, "o": 0, "x": "small"}, id="5-1")
    async with following(PreviewReader(redis), after="99999999999999-0") as queue:
        assert [delta.text for delta in await take(queue, 1)] == ["small"]
    await redis.aclose()
