"""Where the tokens of one answer go: a stream of server-sent events or a whole body, with faults on the way.

The event's JSON is laid out once per request; a token costs one formatting, one orjson string and one transport write,
and no task is woken for it.
"""

import asyncio
import socket
import struct
import time
from typing import Final

import orjson

from sandbox.model import dialect
from sandbox.model.answers import Answer
from sandbox.model.engine import Request
from sandbox.model.faults import Fault
from sandbox.model.journal import Entry

WRITE_BUFFER_MAX: Final = 8 * 1024 * 1024
"""Bytes that a client may leave unread before its connection is reset."""

_BUFFER_CHECK_TOKENS: Final = 64


def reset(transport: asyncio.Transport | None) -> None:
    """Ends a connection with a TCP reset, as a killed process does, dropping what was not sent yet."""
    if transport is None or transport.is_closing():
        return
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


class WholeAnswer:
    """Waits for the last token. `done` tells 'end', 'reset', 'half', 'broken' or 'died'."""

    def __init__(self, answer: Answer, entry: Entry, fault: Fault | None) -> None:
        self.answer, self.entry, self.fault = answer, entry, fault
        self.request: Request | None = None
        self.done: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        at = fault.after_tokens if fault is not None else None
        # -1 never comes, so a good day costs one comparison a token.
        self._break_at = -1 if at is None else min(at, answer.total - 1) + 1

    def push(self, emitted: int) -> bool:
        """Notes the first token and breaks where the fault says so."""
        if emitted == 1:
            self.entry.first_token_at = time.time()
        return emitted != self._break_at or self._break()

    def end(self) -> None:
        """All tokens are there."""
        self._finish("end")

    def die(self) -> None:
        """The engine was killed."""
        self._finish("died")

    def _finish(self, how: str) -> None:
        if not self.done.done():
            self.done.set_result(how)

    def _break(self) -> bool:
        """Whether the request goes on in the engine."""
        assert self.fault is not None
        kind = self.fault.kind
        self.entry.close(f"fault:{kind}")
        if kind == "hang":
            if self.request is not None:
                self.request.hung = True
            return True
        self._finish({"reset_after": "reset", "half_stream": "half", "invalid_json": "broken"}.get(kind, "died"))
        return False


class StreamedAnswer(WholeAnswer):
    """Writes server-sent events straight to the transport, in HTTP chunks of its own."""

    def __init__(
        self,
        answer: Answer,
        entry: Entry,
        fault: Fault | None,
        *,
        transport: asyncio.Transport,
        model: str,
        created: int,
        chat: dialect.ChatRequest,
        interval: int,
        reasoning_field: str,
        tell_cached: bool,
    ) -> None:
        super().__init__(answer, entry, fault)
        self._transport, self._interval, self._tell_cached = transport, interval, tell_cached
        self._tokens, self._total, self._thinking = answer.tokens, answer.total, answer.reasoning_tokens
        self._include_usage, self._held, self._held_from = chat.include_usage, "", 0
        self._prompt_tokens = entry.prompt_tokens
        self._wrong = fault.usage if fault is not None and fault.kind == "wrong_usage" else None
        if fault is not None and fault.kind == "no_usage":
            self._include_usage = False
        self._continuous = chat.continuous_usage and self._include_usage
        head = b'data: {"id":%b,"object":"chat.completion.chunk","created":%d,"model":%b,"choices":[' % (
            orjson.dumps(entry.request_id),
            created,
            orjson.dumps(model),
        )
        self._head = head
        self._role = (
            head + b'{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]'
        )
        self._content = head + b'{"index":0,"delta":{"content":'
        self._reasoning = head + b'{"index":0,"delta":{%b:' % orjson.dumps(reasoning_field)
        self._plain = b'},"logprobs":null,"finish_reason":null,"token_ids":null}]'
        self._last = b'},"logprobs":null,"finish_reason":%b,"stop_reason":%b,"token_ids":null}]' % (
            orjson.dumps(answer.finish_reason),
            orjson.dumps(answer.stop_reason),
        )

    def push(self, emitted: int) -> bool:
        """Streams the token, or holds it until the chunk's interval is full."""
        if emitted == self._break_at:
            self._break_at = -1
            if not self._break():
                return False
            if self.request is not None and self.request.hung:
                return True
        text = self._tokens[emitted - 1] if emitted <= len(self._tokens) else ""
        if emitted == 1:
            self.entry.first_token_at = time.time()
            events = self._role + self._ending(0) + self._event(text, emitted)
        else:
            if self._interval > 1:
                self._held += text
                # Reasoning and text never share a chunk.
                if emitted - self._held_from < self._interval and emitted not in {self._total, self._thinking}:
                    return True
                text, self._held = self._held, ""
            events = self._event(text, emitted)
        self._held_from = emitted
        if emitted == self._total:
            events += self._closing(emitted)
        elif emitted % _BUFFER_CHECK_TOKENS == 0 and self._transport.get_write_buffer_size() > WRITE_BUFFER_MAX:
            self.entry.close("unread")
            self._finish("reset")
            return False
        self._transport.write(b"%x\r\n%b\r\n" % (len(events), events))
        return True

    def die(self) -> None:
        """vLLM's last words: an error as an event, then [DONE]."""
        self._write_engine_dead()
        super().die()

    def _event(self, text: str, emitted: int) -> bytes:
        start = self._reasoning if emitted <= self._thinking else self._content
        rest = self._last if emitted == self._total else self._plain
        return start + orjson.dumps(text) + rest + self._ending(emitted)

    def _ending(self, emitted: int) -> bytes:
        if not self._continuous:
            return b"}\n\n"
        prompt = self._prompt_tokens
        return b',"usage":{"prompt_tokens":%d,"total_tokens":%d,"completion_tokens":%d}}\n\n' % (
            prompt,
            prompt + emitted,
            emitted,
        )

    def _closing(self, emitted: int) -> bytes:
        if not self._include_usage:
            return dialect.DONE
        cached = self.entry.cached_tokens if self._tell_cached else None
        if self.request is not None and self._tell_cached:
            cached = self.request.cached_tokens
        usage = self._wrong or dialect.usage_body(self._prompt_tokens, emitted, cached)
        return self._head + b'],"usage":%b}\n\n' % orjson.dumps(usage) + dialect.DONE

    def _break(self) -> bool:
        assert self.fault is not None
        if self.fault.kind == "invalid_json":
            self._send(b'data: {"id":"chatcmpl-broken","choices":[{"delta":{"content":\n\n')
            return True
        if self.fault.kind == "engine_dead":
            self._write_engine_dead()
        return super()._break()

    def _write_engine_dead(self) -> None:
        error = dialect.error_body(500, "InternalServerError", dialect.ENGINE_DEAD_MESSAGE)
        self._send(b"data: %b\n\n" % orjson.dumps(error) + dialect.DONE)

    def _send(self, events: bytes) -> None:
        self._transport.write(b"%x\r\n%b\r\n" % (len(events), events))
