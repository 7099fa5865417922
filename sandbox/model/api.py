"""The simulated vLLM server: its routes, and the life of a chat request."""

import asyncio
import copy
import dataclasses
import itertools
import time
import uuid
import weakref
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web

from sandbox.model import dialect, tokens
from sandbox.model.answers import Answer, Wish, compose, last_user_text, silence
from sandbox.model.engine import Engine, Request
from sandbox.model.faults import Fault, Faults, from_argument
from sandbox.model.journal import Entry, Journal
from sandbox.model.metrics import Metrics
from sandbox.model.options import Options
from sandbox.model.stream import StreamedAnswer, WholeAnswer, reset

VERSION: Final = "0.32.0"
"""What /version answers: the release whose dialect is imitated."""

BODY_BYTES_MAX: Final = 64 * 1024 * 1024
SHUTDOWN_S: Final = 0.5
_HANG_S_MAX: Final = 3_600.0

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ModelServer:
    """All state of one simulated server. To be made inside a running event loop."""

    def __init__(self, options: Options, faults: list[Fault]) -> None:
        self.options = options
        self._options_at_start, self._faults_at_start = dataclasses.replace(options), copy.deepcopy(faults)
        self.metrics, self.journal, self.faults = Metrics(), Journal(), Faults()
        self.engine = Engine(options, self.metrics)
        self.dead = False
        self.started_at = int(time.time())
        self._doomed: weakref.WeakSet[asyncio.BaseTransport] = weakref.WeakSet()
        self._numbers = itertools.count(1)
        for fault in faults:
            self.faults.add(copy.copy(fault))

    def application(self) -> web.Application:
        """Routes of vLLM's dialect."""
        app = web.Application(client_max_size=BODY_BYTES_MAX, middlewares=[self._gate])
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/tokenize", self._tokenize)
        app.router.add_get("/health", self._health)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/version", self._version)
        return app

    def reset(self) -> None:
        """Options and faults as at the start, an empty journal and prefix cache, alive. Running requests go on."""
        self.options.change(dataclasses.asdict(self._options_at_start))
        self.faults.clear()
        for fault in self._faults_at_start:
            self.faults.add(copy.copy(fault))
        self.journal.clear()
        self.engine.cache.clear()
        self.engine.reseed()
        self.engine.readmit()
        self.dead = False

    def die(self) -> None:
        """Ends all requests as a killed engine does; later requests are reset until revive()."""
        self.dead = True
        self.engine.die()

    def revive(self) -> None:
        """Serves again, with an empty prefix cache."""
        self.dead = False

    @web.middleware
    async def _gate(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        path = request.path
        if (self.dead and not path.startswith("/_control")) or request.transport in self._doomed:
            return await self._reset_now(request)
        key = self.options.api_key
        if key and path.startswith("/v1") and request.headers.get("Authorization") != f"Bearer {key}":
            return dialect.json_response({"error": "Unauthorized"}, 401)
        try:
            return await handler(request)
        except dialect.Refused as refused:
            return refused.response()
        except web.HTTPException as error:
            if error.status < 400:
                raise
            return dialect.json_response({"detail": error.reason}, error.status)

    async def _chat(self, http: web.Request) -> web.StreamResponse:
        raw = await http.read()
        entry = self.journal.open(http.path, raw)
        entry.request_id = f"chatcmpl-{uuid.UUID(int=next(self._numbers)).hex}"
        try:
            chat, prompt, wish = self._checked(raw, entry)
        except dialect.Refused as refused:
            entry.close(f"rejected:{refused.status}")
            raise
        answer = compose(chat.messages, wish)
        fault = self._fault_of(chat.messages, answer)
        if fault is not None:
            early = await self._early_fault(http, entry, fault)
            if early is not None:
                return early
        if fault is not None and fault.kind == "empty":
            answer = silence()
        slow = answer.slow or (fault is not None and fault.kind == "slow")
        if chat.stream:
            return await self._stream(http, entry, chat, prompt, answer, fault, slow=slow)
        return await self._whole(http, entry, chat, prompt, answer, fault, slow=slow)

    def _checked(self, raw: bytes, entry: Entry) -> tuple[dialect.ChatRequest, list[str], Wish]:
        body = dialect.parse_json(raw)
        dialect.check_model(body, self.options)
        chat = dialect.parse_chat(body)
        prompt = tokens.chat_pieces(chat.messages)
        entry.stream, entry.priority, entry.prompt_tokens = chat.stream, chat.priority, len(prompt)
        wish = chat.wish(self.options, len(prompt))
        if self.engine.full:
            raise dialect.Refused(503, dialect.error_body(503, "ServiceUnavailableError", "Too many requests wait"))
        return chat, prompt, wish

    def _fault_of(self, messages: list[dict[str, Any]], answer: Answer) -> Fault | None:
        if answer.fault is not None:
            try:
                return from_argument(answer.fault)
            except ValueError as error:
                raise dialect.bad_request(f"[[fault]]: {error}", "messages") from error
        return self.faults.take(last_user_text(messages))

    async def _early_fault(self, http: web.Request, entry: Entry, fault: Fault) -> web.StreamResponse | None:
        """Faults before the response's first byte; None for those that come later."""
        if fault.kind == "reset":
            entry.close("fault:reset")
            return await self._reset_now(http)
        if fault.kind == "hang" and fault.after_tokens is None:
            entry.close("fault:hang")
            await asyncio.sleep(_HANG_S_MAX)
            return await self._reset_now(http)
        if fault.kind == "error":
            entry.close("fault:error")
            return dialect.json_response(dialect.error_body(500, "InternalServerError", "Simulated failure"), 500)
        if fault.kind == "busy":
            entry.close("fault:busy")
            body = dialect.error_body(429, "RateLimitError", "Simulated overload")
            return dialect.json_response(body, 429, {"Retry-After": f"{fault.retry_after_s:g}"})
        if fault.kind == "drop_keep_alive" and http.transport is not None:
            self._doomed.add(http.transport)
        return None

    def _submit(self, sink: WholeAnswer, chat: dialect.ChatRequest, prompt: list[str], *, slow: bool) -> Request:
        answer = sink.answer
        request = Request(
            sink, prompt, answer.tokens, answer.total, priority=chat.priority, salt=chat.cache_salt, slow=slow
        )
        sink.request = request
        self.engine.submit(request)
        return request

    async def _await(self, sink: WholeAnswer, request: Request) -> str:
        """How the answer ended; the engine is freed and the journal written whatever happens."""
        try:
            how = await sink.done
        finally:
            self.engine.abort(request)
            sink.entry.cached_tokens, sink.entry.completion_tokens = request.cached_tokens, request.emitted
            if not sink.done.done() or sink.done.cancelled():
                sink.entry.close("aborted")
        if how == "end":
            self.metrics.success[sink.answer.finish_reason] += 1
            fault = sink.fault.kind if sink.fault is not None and sink.fault.kind != "slow" else None
            sink.entry.close(f"fault:{fault}" if fault else sink.answer.finish_reason)
        sink.entry.close("died")
        return how

    async def _stream(
        self,
        http: web.Request,
        entry: Entry,
        chat: dialect.ChatRequest,
        prompt: list[str],
        answer: Answer,
        fault: Fault | None,
        *,
        slow: bool,
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        response.enable_chunked_encoding()
        await response.prepare(http)
        transport = http.transport
        if transport is None:
            entry.close("aborted")
            return response
        sink = StreamedAnswer(
            answer,
            entry,
            fault,
            transport=transport,
            model=self.options.names[0],
            created=int(time.time()),
            chat=chat,
            interval=self.options.stream_interval,
            reasoning_field=self.options.reasoning_field,
            tell_cached=self.options.prompt_tokens_details,
        )
        how = await self._await(sink, self._submit(sink, chat, prompt, slow=slow))
        if how == "reset":
            return await self._reset_now(http)
        await response.write_eof()
        return response

    async def _whole(
        self,
        http: web.Request,
        entry: Entry,
        chat: dialect.ChatRequest,
        prompt: list[str],
        answer: Answer,
        fault: Fault | None,
        *,
        slow: bool,
    ) -> web.StreamResponse:
        created = int(time.time())
        sink = WholeAnswer(answer, entry, fault)
        how = await self._await(sink, self._submit(sink, chat, prompt, slow=slow))
        if how in {"reset", "half"}:
            return await self._reset_now(http)
        if how == "died":
            message = dialect.ENGINE_DEAD_MESSAGE
            return dialect.json_response(dialect.error_body(500, "InternalServerError", message), 500)
        if how == "broken":
            return web.Response(text='{"id":"chatcmpl-broken","choices":[', content_type="application/json")
        cached = entry.cached_tokens if self.options.prompt_tokens_details else None
        usage = dialect.usage_body(len(prompt), answer.total, cached)
        if fault is not None and fault.kind == "wrong_usage":
            usage = fault.usage
        model, field = self.options.names[0], self.options.reasoning_field
        body = dialect.completion_body(entry.request_id, created, model, answer, usage, field)
        if fault is not None and fault.kind == "no_usage":
            del body["usage"]
        return dialect.json_response(body)

    async def _tokenize(self, http: web.Request) -> web.StreamResponse:
        if not self.options.tokenizer:
            raise web.HTTPNotFound
        body = dialect.parse_json(await http.read())
        dialect.check_model(body, self.options)
        if "messages" in body:
            generation = bool(body.get("add_generation_prompt", True))
            found = tokens.chat_pieces(dialect.parse_messages(body), add_generation_prompt=generation)
        elif isinstance(body.get("prompt"), str):
            found = tokens.pieces(body["prompt"])
        else:
            raise dialect.malformed("missing", "prompt", "Field required")
        return dialect.json_response(
            {
                "count": len(found),
                "max_model_len": self.options.context_length,
                "tokens": tokens.token_ids(found),
                "token_strs": found if body.get("return_token_strs") else None,
            }
        )

    async def _models(self, _: web.Request) -> web.StreamResponse:
        return dialect.json_response(dialect.models_body(self.options, self.started_at))

    async def _health(self, _: web.Request) -> web.StreamResponse:
        return web.Response()

    async def _version(self, _: web.Request) -> web.StreamResponse:
        return dialect.json_response({"version": VERSION})

    async def _metrics(self, _: web.Request) -> web.StreamResponse:
        engine = self.engine
        gauges = {
            "num_requests_running": float(len(engine.running)),
            "num_requests_waiting": float(engine.waiting_count),
            "kv_cache_usage_perc": min(1.0, engine.kv_used / self.options.kv_tokens),
        }
        counters = {
            "num_preemptions_total": engine.preemptions_total,
            "prefix_cache_queries_total": engine.cache.queries_total,
            "prefix_cache_hits_total": engine.cache.hits_total,
        }
        return web.Response(text=self.metrics.exposition(self.options.names[0], gauges, counters))

    async def _reset_now(self, http: web.Request) -> web.StreamResponse:
        """Resets the connection; aiohttp cancels this handler as soon as it has noticed."""
        reset(http.transport)
        await asyncio.sleep(SHUTDOWN_S)
        return web.Response(status=500)
