"""The client of a vLLM server: streams chat completions with the least CPU a token that aiohttp allows.

    async with VllmClient(session) as client:
        async with contextlib.aclosing(client.stream(request)) as deltas:
            async for delta in deltas:
                ...

Closing the generator, or cancelling the task that reads it, closes the connection, and vLLM then drops the request.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace, TracebackType
from typing import Any, Final, Self

import aiohttp
import orjson
from yarl import URL

from inference.errors import (
    BrokenAnswer,
    Busy,
    ConnectFailed,
    ConnectionLost,
    PromptTooLong,
    ReplicaRefused,
    RequestRefused,
    ServerFailed,
    TimedOut,
)
from inference.events import Delta, EventReader, Usage
from inference.models import Replica
from inference.prompt import bound

__all__ = ["ChatRequest", "Delta", "Timeouts", "Usage", "VllmClient", "count_upper_bound", "open_session"]

CONNECTIONS_MAX: Final = 1_024
KEEP_ALIVE_S: Final = 4.0
"""Below the 5 s after which uvicorn, in front of vLLM, closes an idle connection."""

ERROR_BYTES_MAX: Final = 65_536
REPLY_BYTES_MAX: Final = 64 * 1_048_576
DRAIN_S: Final = 1.0
"""How long the end of the HTTP body may come after [DONE] for the connection to be kept."""

RETRY_AFTER_S_MAX: Final = 3_600.0
IMAGE_TOKENS_BOUND: Final = 16_384
"""Upper bound for a part that is no text."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. `first_token_s` runs from the request to the first text, queueing at the server included."""

    connect_s: float = 5.0
    first_token_s: float = 120.0
    between_tokens_s: float = 30.0
    total_s: float = 900.0
    reply_s: float = 10.0
    """For requests that are not streamed: /tokenize."""


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One chat completion. `extra` holds further body fields and wins over the rest, `sampling` included."""

    replica: Replica
    model: str
    messages: Sequence[Mapping[str, Any]]
    max_tokens: int
    sampling: Mapping[str, Any] = field(default_factory=dict)
    chat_template: Mapping[str, Any] = field(default_factory=dict)
    priority: int | None = None
    cache_salt: str = ""
    stop: Sequence[str] = ()
    continuous_usage: bool = True
    """Ask for the usage with every chunk, so that an answer that is stopped can be charged by the server's count."""
    extra: Mapping[str, Any] = field(default_factory=dict)

    def body(self) -> bytes:
        """The JSON that is sent."""
        fields: dict[str, Any] = {
            "model": self.model,
            "messages": self.messages,
            "max_tokens": self.max_tokens,
            "stream": True,
            "stream_options": {"include_usage": True, "continuous_usage_stats": self.continuous_usage},
            **self.sampling,
        }
        if self.chat_template:
            fields["chat_template_kwargs"] = dict(self.chat_template)
        if self.priority is not None:
            fields["priority"] = self.priority
        if self.cache_salt:
            fields["cache_salt"] = self.cache_salt
        if self.stop:
            fields["stop"] = list(self.stop)
        fields.update(self.extra)
        return orjson.dumps(fields, default=_plain)


def count_upper_bound(messages: Sequence[Mapping[str, Any]]) -> int:
    """More tokens than a chat can have in a byte-level BPE model (Qwen, Llama, Mistral), without asking the server."""
    total = 0
    for message in messages:
        content = message.get("content")
        for part in [{"type": "text", "text": content}] if isinstance(content, str) else content or ():
            total += len(str(part.get("text", "")).encode()) if part.get("type") == "text" else IMAGE_TOKENS_BOUND
    return bound(total, len(messages))


def open_session() -> aiohttp.ClientSession:
    """A session fit for model servers; the caller closes it."""
    connector = aiohttp.TCPConnector(limit=CONNECTIONS_MAX, keepalive_timeout=KEEP_ALIVE_S)
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())


async def _note_reuse(_: aiohttp.ClientSession, context: SimpleNamespace, __: Any) -> None:
    attempt = context.trace_request_ctx
    if isinstance(attempt, _Attempt):
        attempt.reused = True


_TRACE: Final = aiohttp.TraceConfig()
_TRACE.on_connection_reuseconn.append(_note_reuse)
_TRACE.freeze()


class _Attempt:
    """Whether a request went out on a connection from the pool; filled in by the session's trace."""

    __slots__ = ("reused",)

    def __init__(self) -> None:
        self.reused = False


class _Watch:
    """The time-outs of one stream. Its timer looks only now and then, so that a token costs no timer of its own."""

    __slots__ = ("_loop", "_response", "_timeouts", "_timer", "_total_at", "expired", "reader", "since", "waiting")

    def __init__(self, timeouts: Timeouts, response: aiohttp.ClientResponse, started_at: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._timeouts, self._response = timeouts, response
        self._total_at = started_at + timeouts.total_s
        self.since, self.waiting = started_at, False
        self.expired: str | None = None
        self.reader: EventReader | None = None
        self._timer = self._loop.call_at(self._due()[0], self._look)

    def _due(self) -> tuple[float, str]:
        begun = self.reader is not None and self.reader.started
        gap_s = self._timeouts.between_tokens_s if begun else self._timeouts.first_token_s
        gap_at = self.since + gap_s
        return (gap_at, "between_tokens" if begun else "first_token") if gap_at < self._total_at else (
            self._total_at, "total"
        )  # fmt: skip

    def _look(self) -> None:
        due, stage = self._due()
        now = self._loop.time()
        if due <= now and (self.waiting or stage == "total"):
            self.expired = stage
            # It wakes the reader with an error, and the server hears that nobody listens.
            self._response.close()
            return
        self._timer = self._loop.call_at(max(due, now + 0.05), self._look)

    def stop(self) -> None:
        self._timer.cancel()


class VllmClient:
    """Speaks to any number of replicas. A given session stays the caller's; without one it opens and closes its own."""

    def __init__(self, session: aiohttp.ClientSession | None = None, timeouts: Timeouts | None = None) -> None:
        self._session, self._owned = session, session is None
        self._fresh: aiohttp.ClientSession | None = None
        self._timeouts = timeouts or Timeouts()
        self._http_timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._timeouts.connect_s)

    async def __aenter__(self) -> Self:
        if self._session is None:
            self._session = open_session()
        if _TRACE not in self._session.trace_configs:
            self._session.trace_configs.append(_TRACE)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._fresh is not None:
            await self._fresh.close()
            self._fresh = None
        if self._owned and self._session is not None:
            await self._session.close()
            self._session = None

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Delta, None]:
        """Yields what comes, at most one Delta for a network read; the last usage is the one to charge.

        Raises inference.errors.ModelError. Normal exhaustion means: the answer is whole and its usage believable.
        """
        started_at = asyncio.get_running_loop().time()
        response = await self._post(
            request.replica, "/v1/chat/completions", request.body(), self._timeouts.first_token_s, "first_token"
        )
        reader = EventReader(request.max_tokens)
        watch = _Watch(self._timeouts, response, started_at)
        watch.reader = reader
        whole = False
        try:
            if response.content_type != "text/event-stream":
                raise BrokenAnswer(f"content type {response.content_type}")
            content, now = response.content, asyncio.get_running_loop().time
            while not reader.done:
                watch.waiting = True
                data = await content.readany()
                watch.waiting = False
                if not data:
                    break
                delta = reader.feed(data)
                if delta is not None:
                    yield delta
                if reader.started:
                    watch.since = now()
            reader.close()
            whole = await _drained(response)
        except (aiohttp.ClientError, OSError) as error:
            if watch.expired is not None:
                raise TimedOut(watch.expired, started=reader.started) from error
            raise ConnectionLost(type(error).__name__, started=reader.started) from error
        finally:
            watch.stop()
            if not whole:
                response.close()

    async def tokenize(
        self,
        replica: Replica,
        model: str,
        messages: Sequence[Mapping[str, Any]],
        *,
        chat_template: Mapping[str, Any] | None = None,
    ) -> int:
        """How many tokens the chat has as a prompt, by the server's own template. Raises ModelError."""
        fields: dict[str, Any] = {"model": model, "messages": messages, "add_generation_prompt": True}
        if chat_template:
            fields["chat_template_kwargs"] = dict(chat_template)
        return await self._count(replica, fields)

    async def tokenize_text(self, replica: Replica, model: str, text: str) -> int:
        """How many tokens a text has by itself, without any template. Raises ModelError."""
        return await self._count(replica, {"model": model, "prompt": text, "add_special_tokens": False})

    async def _count(self, replica: Replica, fields: Mapping[str, Any]) -> int:
        body = orjson.dumps(fields, default=_plain)
        try:
            async with asyncio.timeout(self._timeouts.reply_s):
                response = await self._post(replica, "/tokenize", body, self._timeouts.reply_s, "reply")
                try:
                    raw = await _read(response, REPLY_BYTES_MAX)
                finally:
                    response.release()
        except TimeoutError as error:
            raise TimedOut("reply") from error
        except (aiohttp.ClientError, OSError) as error:
            raise ConnectionLost(type(error).__name__) from error
        try:
            count = orjson.loads(raw)["count"]
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise BrokenAnswer("no count of tokens") from error
        if type(count) is not int or count < 0:
            raise BrokenAnswer("no count of tokens")
        return count

    async def _post(
        self, replica: Replica, path: str, body: bytes, limit_s: float, stage: str
    ) -> aiohttp.ClientResponse:
        """The response once its headers are there and its status is 200. Raises ModelError."""
        url = URL(replica.base_url + path, encoded=True)
        headers = {"Content-Type": "application/json"}
        if replica.api_key:
            headers["Authorization"] = f"Bearer {replica.api_key}"
        try:
            async with asyncio.timeout(limit_s):
                response = await self._send(url, headers, body)
        except (aiohttp.ConnectionTimeoutError, aiohttp.ClientConnectorError) as error:
            raise ConnectFailed(type(error).__name__) from error
        except TimeoutError as error:
            raise TimedOut(stage) from error
        except aiohttp.ClientResponseError as error:
            raise BrokenAnswer(type(error).__name__) from error
        except (aiohttp.ClientError, OSError) as error:
            raise ConnectionLost(type(error).__name__) from error
        if response.status != 200:
            await self._refuse(response)
        return response

    async def _send(self, url: URL, headers: Mapping[str, str], body: bytes) -> aiohttp.ClientResponse:
        assert self._session is not None, "use the client as a context manager"
        attempt = _Attempt()
        try:
            return await self._session.post(
                url, data=body, headers=headers, timeout=self._http_timeout, allow_redirects=False,
                trace_request_ctx=attempt,
            )  # fmt: skip
        except aiohttp.ClientConnectorError:
            raise
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError):
            # A pooled connection may have been closed by the server while it lay idle; nothing was begun there.
            if not attempt.reused:
                raise
        if self._fresh is None:
            self._fresh = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=CONNECTIONS_MAX, force_close=True),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return await self._fresh.post(
            url, data=body, headers=headers, timeout=self._http_timeout, allow_redirects=False
        )

    async def _refuse(self, response: aiohttp.ClientResponse) -> None:
        """Raises what the status and vLLM's error body say."""
        status = response.status
        try:
            async with asyncio.timeout(self._timeouts.reply_s):
                raw = await _read(response, ERROR_BYTES_MAX)
        except (TimeoutError, aiohttp.ClientError, OSError, BrokenAnswer):
            raw = b""
        finally:
            response.release()
        kind, param, message = _error_fields(raw)
        if status in {429, 503}:
            raise Busy(status, _retry_after_s(response.headers.get("Retry-After")))
        if status in {401, 403, 404}:
            raise ReplicaRefused(status, kind)
        if status == 400 and (param == "input_tokens" or (param is None and "maximum context length" in message)):
            raise PromptTooLong(status, kind, param)
        if 400 <= status < 500:
            raise RequestRefused(status, kind, param)
        raise ServerFailed(status, kind)


async def _drained(response: aiohttp.ClientResponse) -> bool:
    """Reads the end of the body after [DONE], so that the connection can be used again; whether it came."""
    try:
        async with asyncio.timeout(DRAIN_S):
            while await response.content.readany():
                pass
    except (TimeoutError, aiohttp.ClientError, OSError):
        return False
    return True


async def _read(response: aiohttp.ClientResponse, bytes_max: int) -> bytes:
    parts: list[bytes] = []
    total = 0
    async for part in response.content.iter_any():
        parts.append(part)
        total += len(part)
        if total > bytes_max:
            raise BrokenAnswer("a reply without an end")
    return b"".join(parts)


def _error_fields(raw: bytes) -> tuple[str, str | None, str]:
    """Type, param and message of vLLM's error body, which is not always an object."""
    try:
        error = orjson.loads(raw)["error"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return "", None, ""
    if not isinstance(error, dict):
        return "", None, ""
    param = error.get("param")
    return str(error.get("type") or ""), str(param) if param else None, str(error.get("message") or "")


def _retry_after_s(header: str | None) -> float | None:
    try:
        seconds = float(header or "")
    except ValueError:
        return None
    return min(seconds, RETRY_AFTER_S_MAX) if seconds >= 0 else None


def _plain(value: Any) -> Any:
    """Mappings and sequences that orjson does not know by type."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence):
        return list(value)
    raise TypeError(type(value).__name__)
