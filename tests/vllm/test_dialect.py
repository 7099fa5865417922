"""One set of claims about vLLM's dialect, made of a real vLLM and of the simulated server: what Forma's other tests
stand on is what vLLM does. `make test` asks the simulated one, `make test-vllm` the real one.
"""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

import sandbox.model.server
from tests.support.model import FAST
from tests.vllm.server import CONTEXT, KEY, NAME
from tests.vllm.speaker import SAID, THOUGHT

BLOCK = 128
BOTH = {"include_usage": True, "continuous_usage_stats": True}
ABORT_S = 1.0


@dataclass
class Asked:
    """A server and the words that make it answer as wanted."""

    http: aiohttp.ClientSession
    said: str
    loop: str
    mute: str
    thought: str

    async def post(self, body: Any, path: str = "/v1/chat/completions", **more: Any) -> tuple[int, Any]:
        """Status and body; bytes go out as they are."""
        sent = {"data": body} if isinstance(body, bytes) else {"json": body}
        headers = {"Content-Type": "application/json"}
        async with self.http.post(path, headers=headers | more.pop("headers", {}), **sent) as response:
            return response.status, await response.json()

    def body(self, text: str, **fields: Any) -> dict[str, Any]:
        return {"model": NAME, "messages": [{"role": "user", "content": text}], "max_tokens": 200, **fields}

    async def whole(self, text: str, **fields: Any) -> dict[str, Any]:
        status, answer = await self.post(self.body(text, **fields))
        assert status == 200, answer
        found: dict[str, Any] = answer
        return found

    async def events(self, text: str, **fields: Any) -> list[dict[str, Any]]:
        async with self.http.post("/v1/chat/completions", json=self.body(text, stream=True, **fields)) as response:
            assert response.status == 200, await response.text()
            assert response.content_type == "text/event-stream"
            *rows, done, nothing = (await response.text()).split("\n\n")
        assert (done, nothing) == ("data: [DONE]", "")
        return [json.loads(row.removeprefix("data: ")) for row in rows]

    async def metric(self, name: str) -> float:
        async with self.http.get("/metrics") as response:
            page = await response.text()
        found = re.findall(rf"^vllm:{name}\{{[^}}]*\}} (\S+)$", page, re.MULTILINE)
        assert found, name
        return sum(map(float, found))


@pytest.fixture(scope="module", params=["simulated", pytest.param("real", marks=pytest.mark.vllm)])
async def vllm_or_not(request: pytest.FixtureRequest) -> AsyncIterator[Asked]:
    headers = {"Authorization": f"Bearer {KEY}"}
    if request.param == "real":
        real = request.getfixturevalue("vllm")
        async with aiohttp.ClientSession(real.base_url, headers=headers) as http:
            yield Asked(http, "Как спать?", "loop", "mute", "Как спать?")
        return
    options = {"name": NAME, "api_key": KEY, "context_length": CONTEXT, "block_tokens": BLOCK}
    running = await sandbox.model.server.start(**FAST, **options)
    thinking = "".join(" " + word for word in THOUGHT.split())
    try:
        async with aiohttp.ClientSession(running.base_url, headers=headers) as http:
            said = f"[[echo: {SAID}]]"
            yield Asked(http, said, "[[tokens: 3000]]", "[[fault: empty]]", f"[[reasoning: {thinking}]] {said}")
    finally:
        await running.close()


@pytest.fixture
def asked(vllm_or_not: Asked) -> Asked:
    return vllm_or_not


async def test_a_stream_begins_with_the_role_and_ends_with_a_reason_the_usage_and_done(asked: Asked) -> None:
    first, *middle, finish, last = await asked.events(asked.said, stream_options=BOTH)
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert {event["object"] for event in (first, *middle, finish, last)} == {"chat.completion.chunk"}
    assert {event["model"] for event in (first, *middle, finish, last)} == {NAME}
    assert len({event["id"] for event in (first, *middle, finish, last)}) == 1
    assert all(set(event["choices"][0]["delta"]) == {"content"} for event in middle)
    assert [event["choices"][0]["finish_reason"] for event in (first, *middle)] == [None] * (len(middle) + 1)
    assert (finish["choices"][0]["finish_reason"], finish["choices"][0]["stop_reason"]) == ("stop", None)
    assert last["choices"] == []
    assert "".join(event["choices"][0]["delta"]["content"] for event in (*middle, finish)).split() == SAID.split()


async def test_with_continuous_usage_each_event_counts_and_only_the_last_tells_what_was_cached(asked: Asked) -> None:
    events = await asked.events(asked.said, stream_options=BOTH)
    usages = [event["usage"] for event in events]
    counts = [usage["completion_tokens"] for usage in usages]
    assert counts[0] == 0
    assert counts == sorted(counts)
    assert len({usage["prompt_tokens"] for usage in usages}) == 1
    assert all(usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] for usage in usages)
    assert not any(usage.get("prompt_tokens_details") for usage in usages[:-1])
    assert type(usages[-1]["prompt_tokens_details"]["cached_tokens"]) is int


async def test_usage_comes_where_it_is_asked_for(asked: Asked) -> None:
    assert not any(event.get("usage") for event in await asked.events(asked.said))
    events = await asked.events(asked.said, stream_options={"include_usage": True})
    assert [bool(event.get("usage")) for event in events] == [False] * (len(events) - 1) + [True]
    whole = await asked.whole(asked.said)
    assert whole["usage"]["completion_tokens"] == events[-1]["usage"]["completion_tokens"]


async def test_a_whole_answer_is_what_its_stream_says(asked: Asked) -> None:
    (choice,) = (await asked.whole(asked.said))["choices"]
    assert choice["message"]["role"] == "assistant"
    assert choice["message"]["content"].split() == SAID.split()
    assert (choice["finish_reason"], choice["stop_reason"]) == ("stop", None)


async def test_an_answer_is_cut_at_max_tokens(asked: Asked) -> None:
    whole = await asked.whole(asked.loop, max_tokens=12)
    assert (whole["choices"][0]["finish_reason"], whole["usage"]["completion_tokens"]) == ("length", 12)
    # More than is left of the context is asked for: the context ends it, and nothing refuses it.
    assert (await asked.whole(asked.said, max_tokens=CONTEXT))["choices"][0]["finish_reason"] == "stop"


async def test_a_model_may_end_at_once(asked: Asked) -> None:
    whole = await asked.whole(asked.mute)
    assert not whole["choices"][0]["message"]["content"]
    assert (whole["choices"][0]["finish_reason"], whole["usage"]["completion_tokens"]) == ("stop", 1)
    events = await asked.events(asked.mute, stream_options=BOTH)
    assert not any(event["choices"][0]["delta"].get("content") for event in events if event["choices"])
    assert events[-1]["usage"]["completion_tokens"] == 1


async def test_a_stop_word_is_not_part_of_the_answer(asked: Asked) -> None:
    word = SAID.split()[5]
    (choice,) = (await asked.whole(asked.said, stop=[word]))["choices"]
    assert choice["message"]["content"].split() == SAID.split()[:5]
    assert (choice["finish_reason"], choice["stop_reason"]) == ("stop", word)


async def test_reasoning_has_a_field_of_its_own(asked: Asked) -> None:
    thinking = {"chat_template_kwargs": {"enable_thinking": True}}
    message = (await asked.whole(asked.thought, **thinking))["choices"][0]["message"]
    assert message["reasoning"].split() == THOUGHT.split()
    assert message["content"].split() == SAID.split()
    deltas = [event["choices"][0]["delta"] for event in await asked.events(asked.thought, **thinking)]
    assert "".join(delta.get("reasoning") or "" for delta in deltas).split() == THOUGHT.split()
    assert "".join(delta.get("content") or "" for delta in deltas).split() == SAID.split()
    thoughts = [number for number, delta in enumerate(deltas) if delta.get("reasoning")]
    texts = [number for number, delta in enumerate(deltas) if delta.get("content")]
    assert max(thoughts) <= min(texts)


async def test_a_prefix_is_cached_in_whole_blocks_within_its_salt(asked: Asked) -> None:
    text = f"{asked.said} {time.monotonic_ns()} " + "бег и сон, вода и хлеб " * 60

    async def cached(salt: str) -> int:
        usage = (await asked.whole(text, cache_salt=salt))["usage"]
        assert usage["prompt_tokens_details"]["cached_tokens"] < usage["prompt_tokens"]
        return int(usage["prompt_tokens_details"]["cached_tokens"])

    assert await cached("one") == 0
    again = await cached("one")
    assert again >= BLOCK
    assert again % BLOCK == 0
    assert await cached("two") == 0


async def test_tokenize_counts_what_the_prompt_has_and_needs_no_key(asked: Asked) -> None:
    for text in (asked.said, f"{asked.said} ёж 🦔 $x^2$"):
        body = {"model": NAME, "messages": [{"role": "user", "content": text}], "add_generation_prompt": True}
        status, found = await asked.post(body, "/tokenize", headers={"Authorization": ""})
        assert (status, found["max_model_len"], len(found["tokens"])) == (200, CONTEXT, found["count"])
        assert found["count"] == (await asked.whole(text))["usage"]["prompt_tokens"]


USER = [{"role": "user", "content": "x"}]


@pytest.mark.parametrize(
    ("body", "status", "kind", "param"),
    [
        ({"model": "another", "messages": USER}, 404, "NotFoundError", "model"),
        ({"messages": [{"role": "user", "content": "слово " * CONTEXT}]}, 400, "BadRequestError", "input_tokens"),
        ({"messages": USER, "max_tokens": CONTEXT + 1}, 400, "BadRequestError", "max_tokens"),
        ({"messages": USER, "max_tokens": 0}, 400, "BadRequestError", "max_tokens"),
        ({"messages": USER, "max_tokens": -1}, 400, "BadRequestError", "max_tokens"),
        ({"messages": USER, "stream_options": {"include_usage": True}}, 400, "BadRequestError", "stream_options"),
        ({"messages": []}, 400, "BadRequestError", None),
        ({"messages": USER, "max_tokens": "a"}, 400, "Bad Request", "body.max_tokens"),
        ({}, 400, "Bad Request", "body.messages"),
        (b"[1]", 400, "Bad Request", "body"),
        (b"{nope", 400, "Bad Request", "body.1"),
    ],
)
async def test_a_request_that_cannot_be_served_is_refused_in_the_same_words(
    asked: Asked, body: dict[str, Any] | bytes, status: int, kind: str, param: str | None
) -> None:
    got, answer = await asked.post(body if isinstance(body, bytes) else {"model": NAME, **body})
    error = answer["error"]
    assert (got, error["type"], error["param"], error["code"]) == (status, kind, param, status)
    assert error["message"]


async def test_a_wrong_key_and_an_unknown_path(asked: Asked) -> None:
    wrong = {"headers": {"Authorization": "Bearer another"}}
    assert await asked.post(asked.body("x"), **wrong) == (401, {"error": "Unauthorized"})
    assert await asked.post({}, "/nowhere") == (404, {"detail": "Not Found"})


async def test_models_tell_name_and_context(asked: Asked) -> None:
    async with asked.http.get("/v1/models") as response:
        (model,) = (await response.json())["data"]
    assert (model["id"], model["max_model_len"], model["object"]) == (NAME, CONTEXT, "model")


async def test_the_metrics_that_an_operator_watches_have_vllms_names(asked: Asked) -> None:
    before = {name: await asked.metric(name) for name in ("prompt_tokens_total", "generation_tokens_total")}
    usage = (await asked.whole(asked.said))["usage"]
    assert await asked.metric("prompt_tokens_total") - before["prompt_tokens_total"] == usage["prompt_tokens"]
    generated = await asked.metric("generation_tokens_total") - before["generation_tokens_total"]
    assert generated == usage["completion_tokens"]
    for name in ("num_requests_running", "num_requests_waiting", "kv_cache_usage_perc"):
        assert await asked.metric(name) == 0
    for name in (
        "num_preemptions_total",
        "request_success_total",
        "time_to_first_token_seconds_count",
        "e2e_request_latency_seconds_count",
        "request_queue_time_seconds_count",
        "prefix_cache_queries_total",
        "prefix_cache_hits_total",
    ):
        assert await asked.metric(name) >= 0


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_goes_frees_its_place_at_once(asked: Asked, stream: bool) -> None:
    body = asked.body(asked.loop, max_tokens=CONTEXT - 200, stream=stream)
    task = asyncio.create_task(asked.post(body))
    while not await asked.metric("num_requests_running"):
        await asyncio.sleep(0.02)
    aborted = await asked.metric("request_success_total")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    gone_at = time.monotonic()
    while await asked.metric("num_requests_running"):
        assert time.monotonic() - gone_at < ABORT_S
        await asyncio.sleep(0.02)
    assert await asked.metric("request_success_total") == aborted
