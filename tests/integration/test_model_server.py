"""The simulated model server as a client of vLLM sees it: dialect, errors, usage, directives."""

import asyncio
import dataclasses
import json
from pathlib import Path

import aiohttp
import pytest

from sandbox.model import answers, faults
from sandbox.model.options import Options
from tests.support.model import model_server

USER = [{"role": "user", "content": "Привет! Как начать бегать?"}]


@pytest.fixture(scope="module")
async def server():
    async with model_server(context_length=512, block_tokens=16) as (running, driver):
        yield running, driver


@pytest.fixture(scope="module")
async def http(server):
    async with aiohttp.ClientSession(server[0].base_url) as session:
        yield session


async def chat(http, text=None, status=200, **fields):
    messages = USER if text is None else [{"role": "user", "content": text}]
    async with http.post("/v1/chat/completions", json={"messages": messages, **fields}) as response:
        body = await response.json()
        assert response.status == status, body
        return body


async def said(http, text, **fields):
    return (await chat(http, text, **fields))["choices"][0]["message"]["content"]


async def events(http, **fields):
    body = {"messages": USER, "stream": True, **fields}
    async with http.post("/v1/chat/completions", json=body) as response:
        assert response.status == 200
        assert response.content_type == "text/event-stream"
        rows = (await response.text()).split("\n\n")
    assert rows.pop() == ""
    assert rows.pop() == "data: [DONE]"
    return [json.loads(row.removeprefix("data: ")) for row in rows]


async def test_models_tell_name_and_context_length(http):
    async with http.get("/v1/models") as response:
        (model,) = (await response.json())["data"]
    assert (model["id"], model["max_model_len"]) == ("forma-sim", 512)


async def test_an_answer_says_that_it_is_simulated_and_quotes_the_question(http):
    russian = await said(http, "Как начать бегать?")
    assert "Симуляция модели / Simulated model" in russian
    assert "«Как начать бегать?»" in russian
    assert "сообщений в запросе: 1" in russian
    english = await said(http, "How do I start running?")
    assert "“How do I start running?”" in english
    assert "messages in the prompt: 1" in english


async def test_answers_differ_in_length_and_repeat_for_the_same_prompt(http):
    found = await asyncio.gather(*(chat(http, f"Вопрос {number}") for number in range(12)))
    lengths = {answer["usage"]["completion_tokens"] for answer in found}
    assert len(lengths) > 4
    assert min(lengths) >= 60
    assert max(lengths) <= 240
    assert await said(http, "Вопрос 1") == await said(http, "Вопрос 1")


async def test_a_stream_carries_the_same_text_as_the_whole_answer(http):
    found = await events(http)
    text = "".join(event["choices"][0]["delta"].get("content", "") for event in found)
    assert text == (await chat(http))["choices"][0]["message"]["content"]
    assert found[0]["choices"][0]["delta"]["role"] == "assistant"
    assert found[-1]["choices"][0]["finish_reason"] == "stop"
    assert not any("usage" in event for event in found)


async def test_usage_comes_at_the_end_or_with_every_chunk(http):
    last = (await events(http, stream_options={"include_usage": True}))[-1]
    assert last["choices"] == []
    whole = (await chat(http))["usage"]
    assert last["usage"]["completion_tokens"] == whole["completion_tokens"]
    options = {"include_usage": True, "continuous_usage_stats": True}
    counts = [event["usage"]["completion_tokens"] for event in await events(http, stream_options=options)]
    assert counts[0] == 0
    assert counts == sorted(counts)
    assert counts[-1] == whole["completion_tokens"]


async def test_a_prefix_is_cached_within_its_salt_only(server, http):
    _, driver = server
    await driver.reset()
    text = "[[echo: ok]] " + "Расскажи подробно о беге. " * 10

    async def cached(**fields):
        return ((await chat(http, text, **fields))["usage"].get("prompt_tokens_details") or {}).get("cached_tokens", 0)

    assert await cached(cache_salt="a") == 0
    again = await cached(cache_salt="a")
    assert again >= 64
    assert again % 16 == 0
    assert await cached(cache_salt="b") == 0


async def test_an_answer_is_in_the_cache_when_the_dialog_goes_on(server, http):
    _, driver = server
    await driver.reset()
    first = await chat(http, "Привет")
    answer = first["choices"][0]["message"]["content"]
    messages = [
        {"role": "user", "content": "Привет"},
        {"role": "assistant", "content": answer},
        {"role": "user", "content": "А дальше?"},
    ]
    second = await chat(http, messages=messages)
    assert second["usage"]["prompt_tokens_details"]["cached_tokens"] > first["usage"]["prompt_tokens"]


async def test_max_tokens_and_stop_end_an_answer(http):
    cut = await chat(http, max_tokens=7)
    assert cut["usage"]["completion_tokens"] == 7
    assert cut["choices"][0]["finish_reason"] == "length"
    stopped = (await chat(http, "[[echo: раз два три]]", stop=["два"]))["choices"][0]
    assert stopped["message"]["content"] == "раз "
    assert (stopped["finish_reason"], stopped["stop_reason"]) == ("stop", "два")
    forced = await chat(http, "[[echo: да]]", ignore_eos=True, max_tokens=30)
    assert forced["usage"]["completion_tokens"] == 30
    longer = await chat(http, "[[echo: да]]", min_tokens=25)
    assert longer["usage"]["completion_tokens"] == 25


async def test_directives_make_the_answer(http):
    assert await said(http, "Скажи [[echo: **Привет**, мир!]] пожалуйста") == "**Привет**, мир!"
    assert (await chat(http, "[[tokens: 42]]"))["usage"]["completion_tokens"] == 42
    assert "|---|" in await said(http, "[[table]] таблицу")
    assert "$$" in await said(http, "[[formula]]")
    assert "```python" in await said(http, "[[code]]")
    assert "# План" in await said(http, "Покажи [[markdown]]")
    shown = await said(http, "[[prompt]] ```x```")
    assert json.loads(shown.split("\n", 1)[1].rsplit("\n", 1)[0]) == [{"role": "user", "content": "[[prompt]] ```x```"}]
    message = (await chat(http, "[[reasoning: думаю]] [[echo: да]]"))["choices"][0]["message"]
    assert (message["reasoning"], message["content"]) == ("думаю", "да")
    assert await said(http, "x", structured_outputs={"choice": ["Ровно это"]}) == "Ровно это"


async def test_tokenize_agrees_with_usage_and_never_exceeds_the_bytes(http):
    async with http.post("/tokenize", json={"messages": USER}) as response:
        counted = await response.json()
    assert counted["count"] == len(counted["tokens"]) == (await chat(http))["usage"]["prompt_tokens"]
    assert counted["max_model_len"] == 512
    for text in ("a" * 40, "Ёжик 🦔 в тумане", "\n\n  \t", "x=1;y=[2,3]", ""):
        async with http.post("/tokenize", json={"prompt": text, "return_token_strs": True}) as response:
            found = await response.json()
        assert "".join(found["token_strs"]) == text
        assert found["count"] <= len(text.encode())


async def test_errors_have_the_bodies_of_vllm(http):
    async with http.get("/nothing") as response:
        assert (response.status, await response.json()) == (404, {"detail": "Not Found"})
    unknown = (await chat(http, model="other", status=404))["error"]
    assert (unknown["type"], unknown["param"]) == ("NotFoundError", "model")
    long = (await chat(http, "слово " * 600, status=400))["error"]
    assert (long["type"], long["param"]) == ("BadRequestError", "input_tokens")
    assert "at least 513 input tokens" in long["message"]
    for wrong in (0, 513):
        refused = (await chat(http, max_tokens=wrong, status=400))["error"]
        assert (refused["type"], refused["param"]) == ("BadRequestError", "max_tokens")
    for raw in (b"{", b"[]", b"{}", b'{"messages": 1}', b'{"messages": [{"role": "user", "content": 1}]}'):
        async with http.post("/v1/chat/completions", data=raw) as response:
            assert (response.status, (await response.json())["error"]["type"]) == (400, "Bad Request")


async def test_the_key_guards_v1_alone():
    async with model_server(api_key="k") as (running, _), aiohttp.ClientSession(running.base_url) as http:
        async with http.get("/v1/models") as response:
            assert (response.status, await response.json()) == (401, {"error": "Unauthorized"})
        async with http.get("/v1/models", headers={"Authorization": "Bearer k"}) as response:
            assert response.status == 200
        for path in ("/health", "/metrics", "/version"):
            async with http.get(path) as response:
                assert response.status == 200
        async with http.post("/tokenize", json={"prompt": "x"}) as response:
            assert response.status == 200


def test_every_option_fault_and_directive_is_documented():
    page = (Path(__file__).parents[2] / "docs" / "model-server.md").read_text(encoding="utf-8")
    for field in dataclasses.fields(Options):
        assert f"`{field.name}`" in page
    for kind in faults.KINDS:
        assert f"`{kind}`" in page
    for directive in answers.DIRECTIVES:
        assert f"`[[{directive}" in page
