"""What a server may say after its 200: nothing, empty events, or counts that the text belies. None is an answer."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from inference import errors
from inference.events import TOKEN_CHARS_MAX
from inference.models import Replica
from inference.vllm import ChatRequest, VllmClient

CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
UNTIL_CLOSED = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
EMPTY = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 0\r\n\r\n"
END = b"0\r\n\r\n"
DONE = b"data: [DONE]\n\n"
FINISH = b'data: {"choices":[{"index":0,"delta":{"content":""},"finish_reason":"stop"}]}\n\n'
TEXT = b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":0}}\n\n'


@contextlib.asynccontextmanager
async def saying(reply: bytes) -> AsyncIterator[Replica]:
    """A server that answers every request with these bytes and closes the connection."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)
        writer.write(reply)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield Replica(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    finally:
        server.close()
        await server.wait_closed()


def asking(replica: Replica) -> ChatRequest:
    return ChatRequest(replica, "m", [{"role": "user", "content": "Привет"}], 50)


def chunk(events: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(events), events)


@pytest.mark.parametrize(
    "reply",
    [
        CHUNKED,
        CHUNKED + END,
        UNTIL_CLOSED,
        EMPTY,
        CHUNKED + chunk(b"\n\n") + END,
        CHUNKED + chunk(b": only a comment\n\n") + END,
        CHUNKED + chunk(b"data:\n\n") + END,
        CHUNKED + chunk(b"data: \n\n") + chunk(DONE) + END,
        CHUNKED + chunk(b"data:\n\n" + FINISH + USAGE + DONE) + END,
        CHUNKED + chunk(DONE) + END,
        CHUNKED + chunk(b"data: null\n\n" + DONE) + END,
        CHUNKED + chunk(FINISH + DONE) + END,
        CHUNKED + chunk(USAGE + DONE) + END,
        UNTIL_CLOSED + FINISH + USAGE,
    ],
)
async def test_a_server_that_says_nothing_has_failed_before_its_first_token(reply: bytes) -> None:
    async with saying(reply) as replica, VllmClient() as client:
        with pytest.raises(errors.ModelError) as caught:
            assert [delta.text async for delta in client.stream(asking(replica))] == []
    assert caught.value.retryable
    assert not caught.value.started


@pytest.mark.parametrize(
    "usage",
    [
        USAGE,
        USAGE.replace(b'"completion_tokens":0', b'"completion_tokens":1'),
        USAGE.replace(b"9", b"0").replace(b'"completion_tokens":0', b'"completion_tokens":40'),
    ],
)
async def test_a_count_that_the_text_belies_is_not_believed(usage: bytes) -> None:
    reply = CHUNKED + chunk(TEXT % (b"ten words " * 100) + FINISH + usage + DONE) + END
    async with saying(reply) as replica, VllmClient() as client:
        with pytest.raises(errors.BadUsage) as caught:
            assert [delta.text async for delta in client.stream(asking(replica))]
    assert caught.value.started


async def test_an_answer_without_an_end_is_read_no_further_than_its_tokens_can_be_long() -> None:
    # There is no finish and no end of the body: whoever read on would tell another error.
    reply = CHUNKED + chunk(TEXT % (b"x" * 1_000)) * (TOKEN_CHARS_MAX * 50 // 1_000 + 1)
    async with saying(reply) as replica, VllmClient() as client:
        with pytest.raises(errors.BrokenAnswer, match="without an end"):
            assert [delta.text async for delta in client.stream(asking(replica))]


@pytest.mark.parametrize("reason", [b"7", b"[]", b'{"stop": 1}', b"true"])
async def test_a_reason_for_the_end_that_is_no_text_is_no_answer(reason: bytes) -> None:
    usage = USAGE.replace(b'"completion_tokens":0', b'"completion_tokens":3')
    reply = CHUNKED + chunk(TEXT % b"ten words" + FINISH.replace(b'"stop"', reason) + usage + DONE) + END
    async with saying(reply) as replica, VllmClient() as client:
        with pytest.raises(errors.BrokenAnswer):
            assert [delta.text async for delta in client.stream(asking(replica))]


async def test_the_character_that_postgres_cannot_store_is_left_out() -> None:
    usage = USAGE.replace(b'"completion_tokens":0', b'"completion_tokens":3')
    reply = CHUNKED + chunk(TEXT % b"ten\\u0000 words" + TEXT % b"\\u0000" + FINISH + usage + DONE) + END
    async with saying(reply) as replica, VllmClient() as client:
        assert "".join([delta.text async for delta in client.stream(asking(replica))]) == "ten words"
