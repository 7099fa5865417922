"""Forma's client and a real vLLM: counts, keys, refusals, aborts, and what the pool does after a server's mistake."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import aiohttp
import pytest

from inference import errors, model_metrics
from inference.model_probe import probe
from inference.models import Model, Replica
from inference.vllm import ChatRequest, Usage, VllmClient, count_upper_bound, open_session
from tests.vllm.server import CONTEXT, NAME, Vllm
from tests.vllm.speaker import LOOP, SAID, THOUGHT

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(600)]
ABORT_S = 1.0


@pytest.fixture(scope="module")
async def client() -> AsyncIterator[VllmClient]:
    async with VllmClient() as client:
        yield client


def asking(vllm: Vllm, text: str = "Как спать?", max_tokens: int = 64, **fields) -> ChatRequest:
    replica = Replica(vllm.base_url, fields.pop("key", vllm.api_key))
    return ChatRequest(replica, fields.pop("model", NAME), [{"role": "user", "content": text}], max_tokens, **fields)


async def whole(client: VllmClient, request: ChatRequest) -> tuple[str, str, Usage, str | None]:
    text, reasoning, usage, reason = "", "", None, None
    async for delta in client.stream(request):
        text, reasoning = text + delta.text, reasoning + delta.reasoning
        usage, reason = delta.usage or usage, delta.finish_reason or reason
    assert usage is not None
    return text, reasoning, usage, reason


async def until_idle(vllm: Vllm, within_s: float) -> None:
    began = time.monotonic()
    while await vllm.metric("vllm:num_requests_running") or await vllm.metric("vllm:num_requests_waiting"):
        assert time.monotonic() - began < within_s
        await asyncio.sleep(0.02)


async def test_text_usage_and_reason_arrive(vllm: Vllm, client: VllmClient) -> None:
    text, reasoning, usage, reason = await whole(client, asking(vllm))
    assert (text.split(), reasoning, reason) == (SAID.split(), "", "stop")
    assert usage.completion_tokens == len(SAID.split()) + 1
    text, _, usage, reason = await whole(client, asking(vllm, "loop", max_tokens=20))
    assert (len(text.split()), usage.completion_tokens, reason) == (20, 20, "length")


async def test_the_count_of_tokenize_is_the_prompt_that_is_charged(vllm: Vllm, client: VllmClient) -> None:
    replica = Replica(vllm.base_url, vllm.api_key)
    for content in ("Как спать?", "🦔 ёж, формула $x^2$", "word " * 300, ""):
        messages = [{"role": "system", "content": "Ты тренер."}, {"role": "user", "content": content}]
        counted = await client.tokenize(replica, NAME, messages)
        _, _, usage, _ = await whole(client, ChatRequest(replica, NAME, messages, 64))
        assert usage.prompt_tokens == counted <= count_upper_bound(messages)


async def test_each_delta_tells_the_tokens_so_far(vllm: Vllm, client: VllmClient) -> None:
    deltas = [delta async for delta in client.stream(asking(vllm, "loop", max_tokens=40))]
    counts = [delta.usage.completion_tokens for delta in deltas if delta.usage]
    assert counts == sorted(counts)
    assert len(set(counts)) > 5
    assert counts[-1] == 40


async def test_reasoning_comes_apart_from_the_text(vllm: Vllm, client: VllmClient) -> None:
    text, reasoning, usage, _ = await whole(client, asking(vllm, chat_template={"enable_thinking": True}))
    assert (reasoning.split(), text.split()) == (THOUGHT.split(), SAID.split())
    assert usage.completion_tokens > len(SAID.split()) + len(THOUGHT.split())
    _, reasoning, _, _ = await whole(client, asking(vllm, chat_template={"enable_thinking": False}))
    assert reasoning == ""


async def test_what_the_prefix_cache_knew_is_told_within_its_salt(vllm: Vllm, client: VllmClient) -> None:
    text = "слово и дело " * 60
    for salt, cached in (("one", False), ("one", True), ("two", False)):
        _, _, usage, _ = await whole(client, asking(vllm, text, cache_salt=salt))
        assert bool(usage.cached_tokens) == cached
        assert usage.cached_tokens <= usage.prompt_tokens
        assert usage.cached_tokens % 128 == 0


async def test_a_stop_word_ends_the_answer(vllm: Vllm, client: VllmClient) -> None:
    word = LOOP.split()[4]
    text, _, _, reason = await whole(client, asking(vllm, "loop", stop=[word]))
    assert text.split() == LOOP.split()[:4]
    assert reason == "stop"


async def test_closing_the_stream_ends_the_generation(vllm: Vllm, client: VllmClient) -> None:
    for _ in range(3):
        async with contextlib.aclosing(client.stream(asking(vllm, "loop", max_tokens=3_000))) as deltas:
            await anext(deltas)
            assert await vllm.metric("vllm:num_requests_running") == 1
        await until_idle(vllm, ABORT_S)


async def test_readers_that_are_cancelled_leave_nothing_running_or_waiting(vllm: Vllm, client: VllmClient) -> None:
    readers = [asyncio.create_task(whole(client, asking(vllm, "loop", max_tokens=3_000))) for _ in range(40)]
    while await vllm.metric("vllm:num_requests_running") < 32:
        await asyncio.sleep(0.05)
    for reader in readers:
        reader.cancel()
    await asyncio.gather(*readers, return_exceptions=True)
    await until_idle(vllm, ABORT_S)


async def test_thirty_streams_at_once_come_whole(vllm: Vllm, client: VllmClient) -> None:
    answers = await asyncio.gather(*(whole(client, asking(vllm, "loop", max_tokens=100)) for _ in range(30)))
    assert {usage.completion_tokens for _, _, usage, _ in answers} == {100}
    assert {len(text.split()) for text, _, _, _ in answers} == {100}


async def test_refusals_are_told_apart(vllm: Vllm, client: VllmClient) -> None:
    async def failure(request: ChatRequest) -> errors.ModelError:
        with pytest.raises(errors.ModelError) as caught:
            await whole(client, request)
        return caught.value

    raised = await failure(asking(vllm, key="another"))
    assert (type(raised), raised.status) == (errors.ReplicaRefused, 401)
    raised = await failure(asking(vllm, model="another"))
    assert (type(raised), raised.status) == (errors.ReplicaRefused, 404)
    raised = await failure(asking(vllm, "слово " * CONTEXT))
    assert type(raised) is errors.PromptTooLong
    for most in (CONTEXT + 1, 0, -1):
        raised = await failure(asking(vllm, max_tokens=most))
        assert (type(raised), raised.param) == (errors.RequestRefused, "max_tokens")
    raised = await failure(asking(vllm, extra={"messages": []}))
    assert type(raised) is errors.RequestRefused
    assert (await whole(client, asking(vllm)))[0].split() == SAID.split()


async def test_a_connection_that_the_server_drops_after_a_500_is_not_noticed(vllm: Vllm) -> None:
    # Half a surrogate among the bad words is a mistake that vLLM 0.32 does not catch.
    body = b'{"model": "%b", "messages": [{"role": "user", "content": "x"}], "bad_words": ["\\ud800"]}' % NAME.encode()
    headers = {"Authorization": f"Bearer {vllm.api_key}", "Content-Type": "application/json"}
    async with open_session() as session, VllmClient(session) as client:
        for _ in range(5):
            async with session.post(f"{vllm.base_url}/v1/chat/completions", data=body, headers=headers) as response:
                assert response.status == 500
                assert (await response.json())["error"]["type"] == "InternalServerError"
            assert (await whole(client, asking(vllm)))[0].split() == SAID.split()


async def test_the_probe_knows_name_key_and_context(vllm: Vllm) -> None:
    def model(**fields) -> Model:
        replica = Replica(vllm.base_url, fields.pop("key", vllm.api_key))
        return Model("coach", "chat", replicas=(replica,), **{"name": NAME, "context_length": CONTEXT, **fields})

    async with open_session() as session:
        good = await probe(model(), session)
        assert (good.problems, good.replicas[0].served, good.replicas[0].max_model_len) == ((), (NAME,), CONTEXT)
        assert "refuses the API key" in (await probe(model(key="another"), session)).problems[0]
        assert f"serves {NAME}, not another" in (await probe(model(name="another"), session)).problems[0]
        longer = await probe(model(context_length=CONTEXT * 2), session)
        assert f"context of {CONTEXT} tokens" in longer.problems[0]


async def test_the_load_is_read_from_its_metrics(vllm: Vllm, client: VllmClient) -> None:
    async with open_session() as session:
        idle = (await model_metrics.loads([vllm.base_url], session, sample_s=0.2))[vllm.base_url]
        assert idle is not None
        assert (idle.running, idle.waiting) == (0, 0)
        async with contextlib.aclosing(client.stream(asking(vllm, "loop", max_tokens=3_000))) as deltas:
            await anext(deltas)
            busy = (await model_metrics.loads([vllm.base_url], session))[vllm.base_url]
            assert busy is not None
            assert busy.running == 1
            assert 0 < busy.kv_share < 1
            assert busy.tokens_per_s > 1


async def test_health_version_and_metrics_need_no_key(vllm: Vllm) -> None:
    async with aiohttp.ClientSession(vllm.base_url) as session:
        for path in ("/health", "/version", "/metrics"):
            async with session.get(path) as response:
                assert response.status == 200, path
