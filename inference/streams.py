"""What a worker tells the bot while it generates: the previews' way through Redis.

    forma:previews          one stream for all turns, about `STREAM_ENTRIES_MAX` long; entry fields
                            t turn, f fence, o offset of the delta in the answer (characters), x text, e "1" at the end
    forma:preview:<turn>    a hash for whoever starts late, `TURN_TTL_S` long; fields m (meta, JSON),
                            <fence>:<offset> -> text, <fence>:e at the end, p (message id of a preview that is edited)

A preview may lose entries and nobody is harmed: the answer itself lies in Postgres. Every chunk has a hash field of
its own, so that a pipeline which is sent twice changes nothing, a delayed worker with an older fence cannot touch the
text of its successor, and a delta costs its own length instead of the whole text.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any, Literal

import orjson
import structlog
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import RedisError, ResponseError

log = structlog.get_logger(__name__)

STREAM = "forma:previews"
STREAM_ENTRIES_MAX = 20_000
TURN_TTL_S = 15 * 60
# A hash that outlived a loss of Redis has no expiry; every so many characters a delta sets it again.
EXPIRY_EVERY_CHARS = 1024
BATCH_ENTRIES_MAX = 1000
BLOCK_S = 2.0
REPLY_GRACE_S = 3.0
RECONNECT_S_MIN, RECONNECT_S_MAX = 0.05, 2.0

Mode = Literal["draft", "edit", "off"]


def turn_key(turn_id: int) -> str:
    return f"forma:preview:{turn_id}"


@dataclass(frozen=True, slots=True)
class PreviewMeta:
    """Where and how a turn's preview is shown. `draft_id` is the turn id; `lang` a locale such as 'ru';
    `thread_id` a forum's topic.

    `thinking`: before its text the model reasons, which takes a while and is said.
    """

    chat_id: int
    is_group: bool
    draft_id: int
    mode: Mode
    lang: str
    reply_to_message_id: int | None = None
    thinking: bool = False
    thread_id: int | None = None

    def dump(self) -> bytes:
        return orjson.dumps(asdict(self))

    @classmethod
    def load(cls, raw: bytes | str) -> "PreviewMeta":
        return cls(**orjson.loads(raw))


@dataclass(frozen=True, slots=True)
class PreviewDelta:
    """A piece of an answer: `text` begins at character `offset` of the attempt that `fence` numbers."""

    turn_id: int
    fence: int
    offset: int
    text: str
    end: bool = False


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """What a turn's hash holds: the newest attempt's text as far as it is without a gap."""

    meta: PreviewMeta
    fence: int
    text: str
    ended: bool


class Applied(Enum):
    """What a delta did to a transcript."""

    GREW = "grew"
    SAME = "same"
    STALE = "stale"  # of an older attempt
    GAP = "gap"  # something before it is missing: catch up


@dataclass(slots=True)
class Transcript:
    """The text of a turn as its deltas arrive: a larger fence begins anew, a smaller one is ignored."""

    fence: int = 0
    text: str = ""
    ended: bool = False

    def apply(self, delta: PreviewDelta) -> Applied:
        if delta.fence < self.fence:
            return Applied.STALE
        restarted = delta.fence > self.fence
        if restarted:
            self.fence, self.text, self.ended = delta.fence, "", False
        length = len(self.text)
        if delta.offset > length:
            return Applied.GAP
        self.ended = self.ended or delta.end
        fresh = delta.text[length - delta.offset :]
        if not fresh:
            return Applied.GREW if restarted else Applied.SAME
        self.text += fresh
        return Applied.GREW

    def replace(self, caught: CaughtUp) -> bool:
        """Takes what the hash holds if that is newer or longer; says whether it did."""
        if (caught.fence, len(caught.text)) <= (self.fence, len(self.text)):
            return False
        self.fence, self.text, self.ended = caught.fence, caught.text, caught.ended
        return True


class PreviewWriter:
    """Appends a stream's commands to a pipeline that its caller executes; holds no connection and no state.

    A pipeline with transaction=True reaches the reader as one batch, which costs the bot fewer wake-ups.
    """

    @staticmethod
    def add_first(pipe: "Pipeline", turn_id: int, fence: int, meta: PreviewMeta, text: str) -> None:
        """Opens attempt `fence` of the turn with its first text (offset 0)."""
        key = turn_key(turn_id)
        pipe.hset(key, mapping={"m": meta.dump(), f"{fence}:0": text})
        pipe.expire(key, TURN_TTL_S)
        _xadd(pipe, {"t": turn_id, "f": fence, "o": 0, "x": text})

    @staticmethod
    def add_delta(pipe: "Pipeline", turn_id: int, fence: int, offset: int, text: str) -> None:
        """Adds `text` at character `offset` of the answer (the number of characters added before it)."""
        key = turn_key(turn_id)
        pipe.hset(key, f"{fence}:{offset}", text)
        if offset // EXPIRY_EVERY_CHARS != (offset + len(text)) // EXPIRY_EVERY_CHARS:
            pipe.expire(key, TURN_TTL_S)
        _xadd(pipe, {"t": turn_id, "f": fence, "o": offset, "x": text})

    @staticmethod
    def add_end(pipe: "Pipeline", turn_id: int, fence: int, offset: int, text: str = "") -> None:
        """Adds what is left (`text`, may be empty) and says that this attempt brings no more."""
        key = turn_key(turn_id)
        fields: dict[str, str] = {f"{fence}:e": "1"}
        if text:
            fields[f"{fence}:{offset}"] = text
        pipe.hset(key, mapping=fields)
        pipe.expire(key, TURN_TTL_S)
        _xadd(pipe, {"t": turn_id, "f": fence, "o": offset, "x": text, "e": "1"})


def _xadd(pipe: "Pipeline", fields: dict[Any, Any]) -> None:
    pipe.xadd(STREAM, fields, maxlen=STREAM_ENTRIES_MAX, approximate=True)


async def forget(redis: "Redis", turn_ids: Sequence[int]) -> None:
    """Remove what turns have shown so far; their entries in the stream go as newer ones come. Raises redis errors."""
    if turn_ids:
        await redis.delete(*(turn_key(turn_id) for turn_id in turn_ids))


class PreviewReader:
    """Follows the stream on one connection of its own and answers what a turn holds so far."""

    def __init__(self, redis: "Redis") -> None:
        self._redis = redis
        # A client-wide socket timeout would end XREAD BLOCK; the reader bounds the call itself.
        source = redis.connection_pool
        options = {**source.connection_kwargs, "socket_timeout": None}
        self._blocking = Redis(connection_pool=ConnectionPool(source.connection_class, max_connections=1, **options))

    async def close(self) -> None:
        await self._blocking.aclose()
        await self._blocking.connection_pool.disconnect()

    async def follow(self, after: str = "$") -> AsyncIterator[list[PreviewDelta]]:
        """Yields batches of deltas for ever, from entry id `after` ('$': what comes from now on).

        Lives through restarts of Redis and trimmed entries: what was missed shows as a gap of offsets (Transcript).
        """
        position: str | None = None if after == "$" else after
        pause_s = RECONNECT_S_MIN
        broken, told = True, False
        while True:
            try:
                async with asyncio.timeout(BLOCK_S + REPLY_GRACE_S):
                    if broken:
                        position = await self._resume(position)
                        broken = False
                    entries = await self._read(position or "0-0")
            except (RedisError, OSError, TimeoutError) as error:
                if isinstance(error, TimeoutError) and not broken:
                    # This process or Redis stood still for some seconds: nothing is lost, and asking again shows it.
                    log.info("previews_stream_late")
                elif not told:
                    log.warning("previews_stream_lost", error=type(error).__name__)
                    told = True
                broken = True
                await self._blocking.connection_pool.disconnect()
                await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))
                pause_s = min(RECONNECT_S_MAX, pause_s * 2)
                continue
            pause_s, told = RECONNECT_S_MIN, False
            if entries:
                position = _text(entries[-1][0])
                batch = [delta for _, fields in entries if (delta := _delta(fields)) is not None]
                if batch:
                    yield batch

    async def _read(self, position: str) -> list[tuple[Any, dict[Any, Any]]]:
        reply: Any = await self._blocking.xread({STREAM: position}, count=BATCH_ENTRIES_MAX, block=int(BLOCK_S * 1000))
        if not reply:
            return []
        streams = list(reply.items()) if isinstance(reply, dict) else reply
        entries = streams[0][1]
        # RESP3 nests the entries once more.
        return entries[0] if isinstance(reply, dict) else entries  # type: ignore[no-any-return]

    async def _resume(self, position: str | None) -> str:
        """The id to read after. An id beyond the stream's last one means that the stream was lost: read all of it."""
        try:
            info: Any = await self._blocking.xinfo_stream(STREAM)
        except ResponseError:  # no such key
            return position if position is not None else "0-0"
        last = _text(info.get("last-generated-id", b"0-0"))
        if position is None:
            return last
        return position if _id(position) <= _id(last) else "0-0"

    async def catch_up(self, turn_id: int) -> CaughtUp | None:
        """The newest attempt of a turn, or None when the hash is gone. Raises redis errors."""
        raw: dict[Any, Any] = await self._redis.hgetall(turn_key(turn_id))  # type: ignore[misc]
        fields = {_text(name): _text(value) for name, value in raw.items()}
        meta = fields.get("m")
        if meta is None:
            return None
        chunks: dict[int, list[tuple[int, str]]] = {}
        ended: set[int] = set()
        for name, value in fields.items():
            fence, colon, offset = name.partition(":")
            if not colon:
                continue
            pieces = chunks.setdefault(int(fence), [])
            if offset == "e":
                ended.add(int(fence))
            else:
                pieces.append((int(offset), value))
        if not chunks:
            return CaughtUp(PreviewMeta.load(meta), 0, "", ended=False)
        newest = max(chunks)
        whole = Transcript(fence=newest)
        for offset_chars, text in sorted(chunks[newest]):
            if whole.apply(PreviewDelta(turn_id, newest, offset_chars, text)) is Applied.GAP:
                break
        return CaughtUp(PreviewMeta.load(meta), newest, whole.text, ended=newest in ended)

    async def remember_message(self, turn_id: int, meta: PreviewMeta, message_id: int) -> None:
        """Keeps the id of an edited preview, so that a bot which was restarted still finds it. Raises redis errors."""
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.hset(turn_key(turn_id), mapping={"m": meta.dump(), "p": message_id})
            pipe.expire(turn_key(turn_id), TURN_TTL_S)
            await pipe.execute()

    async def message_of(self, turn_id: int) -> int | None:
        """The id that `remember_message` kept, or None. Raises redis errors."""
        raw: Any = await self._redis.hget(turn_key(turn_id), "p")  # type: ignore[misc]
        return None if raw is None else int(raw)

    async def forget_message(self, turn_id: int) -> None:
        """Forgets that id: the message is the final now. Raises redis errors."""
        await self._redis.hdel(turn_key(turn_id), "p")  # type: ignore[misc]


def _text(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.decode()


def _id(entry_id: str) -> tuple[int, int]:
    milliseconds, _, sequence = entry_id.partition("-")
    return int(milliseconds), int(sequence or 0)


def _delta(fields: dict[Any, Any]) -> PreviewDelta | None:
    try:
        named = {_text(name): _text(value) for name, value in fields.items()}
        return PreviewDelta(int(named["t"]), int(named["f"]), int(named["o"]), named["x"], named.get("e") == "1")
    except (KeyError, ValueError):
        # Not ours, or of a newer release during an upgrade: a preview may lose it.
        log.warning("previews_entry_unreadable")
        return None
