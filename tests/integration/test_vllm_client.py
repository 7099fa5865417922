"""The client that streams from vLLM, against a real HTTP server that simulates it."""

import asyncio
import contextlib
import time

import pytest

from inference import errors
from inference.model_probe import probe
from inference.models import Replica
from inference.models_file import single_model
from inference.vllm import ChatRequest, Timeouts, Usage, VllmClient, count_upper_bound, open_session
from tests.support.model import model_server


def asking(running, text="Привет!", **fields):
    fields = {"max_tokens": 400, **fields}
    return ChatRequest(Replica(running.base_url), "forma-sim", [{"role": "user", "content": text}], **fields)


async def whole(client, request):
    text, reasoning, usage, reason = "", "", None, None
    async for delta in client.stream(request):
        text += delta.text
        reasoning += delta.reasoning
        usage = delta.usage or usage
        reason = delta.finish_reason or reason
    return text, reasoning, usage, reason


@pytest.fixture(scope="module")
async def server():
    async with model_server() as (running, driver):
        yield running, driver


@pytest.fixture(scope="module")
async def client():
    async with VllmClient() as client:
        yield client


async def test_text_usage_and_reason_arrive(server, client):
    running, driver = server
    text, reasoning, usage, reason = await whole(client, asking(running, "[[echo: Привет, *мир* 🦔!]]"))
    entry = (await driver.requests())[-1]
    assert text == "Привет, *мир* 🦔!"
    assert reasoning == ""
    assert usage == Usage(entry["prompt_tokens"], 0, entry["completion_tokens"])
    assert reason == "stop"


async def test_cached_tokens_are_told(server, client):
    running, _ = server
    text = "[[echo: да]]" + " ещё раз" * 40
    await whole(client, asking(running, text, cache_salt="x"))
    _, _, usage, _ = await whole(client, asking(running, text, cache_salt="x"))
    assert 0 < usage.cached_tokens < usage.prompt_tokens


async def test_reasoning_is_yielded_apart_under_both_of_its_names(server, client):
    running, driver = server
    for name in ("reasoning_content", "reasoning"):
        await driver.options(reasoning_field=name, stream_interval=3)
        request = asking(running, "[[reasoning: сначала подумаю как следует]] [[echo: ответ готов]]")
        text, reasoning, _, _ = await whole(client, request)
        assert (text, reasoning) == ("ответ готов", "сначала подумаю как следует")
    await driver.reset()


async def test_everything_asked_for_reaches_the_server(server, client):
    running, driver = server
    request = asking(
        running,
        "[[echo: раз, два, три]]",
        sampling={"temperature": 0.3},
        chat_template={"enable_thinking": False},
        priority=-2,
        cache_salt="salt",
        stop=["два"],
        extra={"seed": 7},
    )
    text, _, _, _ = await whole(client, request)
    body = (await driver.requests())[-1]["body"]
    assert text == "раз, "
    assert (body["temperature"], body["priority"], body["cache_salt"], body["seed"]) == (0.3, -2, "salt", 7)
    assert body["chat_template_kwargs"] == {"enable_thinking": False}
    assert body["stream_options"] == {"include_usage": True, "continuous_usage_stats": True}


async def test_without_continuous_usage_there_is_one_usage_at_the_end(server, client):
    running, _ = server
    found = [d.usage async for d in client.stream(asking(running, "[[tokens: 20]]", continuous_usage=False)) if d.usage]
    assert [usage.completion_tokens for usage in found] == [20]


async def test_each_delta_tells_the_tokens_so_far(server, client):
    running, _ = server
    counts = [d.usage.completion_tokens async for d in client.stream(asking(running, "[[tokens: 50]]"))]
    assert counts == sorted(counts)
    assert len(counts) > 5
    assert counts[-1] == 50


async def test_connections_are_used_again(server, client):
    running, _ = server
    before = len(running.runner.server.connections)
    for _ in range(5):
        await whole(client, asking(running, "[[echo: да]]"))
    assert len(running.runner.server.connections) <= before + 1


async def test_closing_the_generator_frees_the_slot_within_a_tenth_of_a_second(server, client):
    running, driver = server
    async with contextlib.aclosing(client.stream(asking(running, "[[slow]] [[tokens: 300]]"))) as deltas:
        await anext(deltas)
        assert (await driver.state())["running"] == 1
    closed_at = time.monotonic()
    while (await driver.state())["running"]:
        assert time.monotonic() - closed_at < 0.1
    assert (await driver.requests())[-1]["outcome"] == "aborted"


async def test_cancelling_the_reader_before_the_first_token_frees_the_slot(server, client):
    running, driver = server
    await driver.options(first_token_base_s=5.0)
    task = asyncio.create_task(whole(client, asking(running)))
    while not (await driver.state())["running"]:
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    closed_at = time.monotonic()
    while (await driver.state())["running"]:
        assert time.monotonic() - closed_at < 0.2
    await driver.reset()


async def test_the_first_token_waits_for_nothing(server, client):
    running, driver = server
    await driver.options(inter_token_s=1.0, first_token_base_s=0.05)
    started_at = time.monotonic()
    async with contextlib.aclosing(client.stream(asking(running))) as deltas:
        first = await anext(deltas)
        assert first.text or first.usage
        assert time.monotonic() - started_at < 0.5
    await driver.reset()


async def test_tokens_are_counted_by_the_server_and_bounded_without_it(server, client):
    running, _ = server
    replica = Replica(running.base_url)
    for content in ("Привет, как дела?", "x" * 300, "🦔" * 50, ""):
        messages = [{"role": "system", "content": "Ты тренер."}, {"role": "user", "content": content}]
        counted = await client.tokenize(replica, "forma-sim", messages)
        assert counted <= count_upper_bound(messages)
        request = ChatRequest(replica, "forma-sim", messages, 5)
        _, _, usage, _ = await whole(client, request)
        assert usage.prompt_tokens == counted
    with pytest.raises(errors.ReplicaRefused):
        await client.tokenize(replica, "other", messages)


async def test_a_session_that_is_given_stays_open(server):
    running, _ = server
    async with open_session() as session:
        for _ in range(2):
            async with VllmClient(session) as client:
                assert (await whole(client, asking(running, "[[echo: да]]")))[0] == "да"
        assert not session.closed
        assert len(session.trace_configs) == 1


async def test_named_timeouts_end_a_stream(server):
    running, driver = server
    limits = Timeouts(first_token_s=0.3, between_tokens_s=0.3, total_s=0.6)
    async with VllmClient(timeouts=limits) as client:
        await driver.fault("hang")
        with pytest.raises(errors.TimedOut, match="first_token") as caught:
            await whole(client, asking(running))
        assert not caught.value.started
        await driver.options(first_token_base_s=5.0)
        with pytest.raises(errors.TimedOut, match="first_token"):
            await whole(client, asking(running))
        await driver.reset()
        await driver.fault("hang", after_tokens=3)
        with pytest.raises(errors.TimedOut, match="between_tokens") as caught:
            await whole(client, asking(running))
        assert caught.value.started
        await driver.options(inter_token_s=0.05)
        with pytest.raises(errors.TimedOut, match="total"):
            await whole(client, asking(running, "[[tokens: 300]]"))
        await driver.reset()
    state = await driver.state()
    assert (state["running"], state["kv_used"]) == (0, 0)


async def test_a_slow_reader_is_not_taken_for_a_silent_server(server):
    running, _ = server
    async with VllmClient(timeouts=Timeouts(between_tokens_s=0.2)) as client:
        text = ""
        async for delta in client.stream(asking(running, "[[tokens: 60]]")):
            text += delta.text
            if len(text) < 20:
                await asyncio.sleep(0.3)
        assert len(text) > 60


async def test_the_probe_says_what_is_wrong_with_a_replica(server):
    running, _ = server
    dead = "http://127.0.0.1:9"
    async with open_session() as session:
        good = single_model(running.base_url, "forma-sim")["chat"]
        result = await probe(good, session)
        assert (result.reachable, result.problems) == (True, ())
        assert (result.replicas[0].served, result.replicas[0].max_model_len) == (("forma-sim",), 32768)
        other = await probe(single_model(running.base_url, "tiny")["chat"], session)
        assert other.problems == (f"{running.base_url}: serves forma-sim, not tiny",)
        away = await probe(single_model(dead, "tiny")["chat"], session)
        assert not away.reachable
        assert "cannot be reached" in away.problems[0]
        async with model_server(api_key="k", context_length=1024) as (guarded, _):
            assert "API key" in (await probe(single_model(guarded.base_url, "x")["chat"], session)).problems[0]
            short = await probe(single_model(guarded.base_url, "forma-sim", "k")["chat"], session)
            assert "context of 1024 tokens" in short.problems[0]
