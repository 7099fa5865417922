"""Each fault of a model server becomes one typed error, and the next request is served."""

import contextlib
import socket

import pytest

from inference import errors
from inference.models import Replica
from inference.vllm import ChatRequest, Timeouts, VllmClient
from tests.support.model import model_server


def asking(base_url, text="Привет!", max_tokens=400, key="", model="forma-sim"):
    return ChatRequest(Replica(base_url, key), model, [{"role": "user", "content": text}], max_tokens)


async def text_of(client, request):
    return "".join([delta.text async for delta in client.stream(request)])


async def failure(client, request):
    """The text that came before the error, and the error."""
    text = ""
    try:
        async for delta in client.stream(request):
            text += delta.text
    except errors.ModelError as error:
        return text, error
    pytest.fail("the answer came whole")


@pytest.fixture(scope="module")
async def server():
    async with model_server(context_length=1024) as (running, driver):
        yield running.base_url, driver


@pytest.fixture
async def client():
    async with VllmClient(timeouts=Timeouts(first_token_s=5)) as client:
        yield client


@pytest.mark.parametrize(
    ("kind", "rule", "error", "started"),
    [
        # The first reset hits a pooled connection, which might have been stale; the second a fresh one.
        ("reset", {"count": 2}, errors.ConnectionLost, False),
        ("error", {}, errors.ServerFailed, False),
        ("busy", {"retry_after_s": 7}, errors.Busy, False),
        ("reset_after", {"after_tokens": 0}, errors.ConnectionLost, False),
        ("reset_after", {"after_tokens": 5}, errors.ConnectionLost, True),
        ("half_stream", {"after_tokens": 5}, errors.BrokenAnswer, True),
        ("half_stream", {"after_tokens": 0}, errors.BrokenAnswer, False),
        ("invalid_json", {"after_tokens": 5}, errors.BrokenAnswer, True),
        ("engine_dead", {"after_tokens": 5}, errors.ServerFailed, True),
        ("engine_dead", {"after_tokens": 0}, errors.ServerFailed, False),
        ("wrong_usage", {}, errors.BadUsage, True),
        ("wrong_usage", {"usage": {"prompt_tokens": 5, "completion_tokens": 401}}, errors.BadUsage, True),
        ("wrong_usage", {"usage": {"prompt_tokens": 5, "completion_tokens": 1}}, errors.BadUsage, True),
        ("wrong_usage", {"usage": {"prompt_tokens": "5", "completion_tokens": 1}}, errors.BadUsage, True),
        ("wrong_usage", {"usage": [5]}, errors.BadUsage, True),
        ("wrong_usage", {"usage": {"prompt_tokens": 0, "completion_tokens": 30}}, errors.BadUsage, True),
        ("no_usage", {}, errors.BadUsage, True),
    ],
)
async def test_a_fault_is_told_by_its_type_and_the_next_request_is_served(server, client, kind, rule, error, started):
    base_url, driver = server
    assert await text_of(client, asking(base_url, "[[echo: раньше]]")) == "раньше"
    await driver.fault(kind, **rule)
    text, raised = await failure(client, asking(base_url, "[[tokens: 30]]"))
    assert type(raised) is error
    assert (raised.started, bool(text)) == (started, started)
    assert raised.retryable
    assert raised.what == "vllm"
    if isinstance(raised, errors.Busy):
        assert raised.retry_after_s == 7
    assert await text_of(client, asking(base_url, "[[echo: потом]]")) == "потом"
    state = await driver.state()
    assert (state["running"], state["waiting"], state["kv_used"]) == (0, 0, 0)


async def test_a_refused_connection_is_told(client):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    _, raised = await failure(client, asking(f"http://127.0.0.1:{port}"))
    assert type(raised) is errors.ConnectFailed


async def test_requests_that_no_replica_would_take_are_not_retryable(server, client):
    base_url, _ = server
    _, raised = await failure(client, asking(base_url, "слово " * 2000))
    assert type(raised) is errors.PromptTooLong
    _, refused = await failure(client, asking(base_url, max_tokens=1025))
    assert type(refused) is errors.RequestRefused
    assert (raised.retryable, refused.retryable) == (False, False)
    assert refused.param == "max_tokens"


async def test_a_wrong_key_or_model_blames_the_replica(server, client):
    base_url, _ = server
    _, raised = await failure(client, asking(base_url, model="other"))
    assert (type(raised), raised.status) == (errors.ReplicaRefused, 404)
    async with model_server(api_key="k") as (guarded, _):
        _, raised = await failure(client, asking(guarded.base_url))
        assert (type(raised), raised.status) == (errors.ReplicaRefused, 401)
        assert await text_of(client, asking(guarded.base_url, "[[echo: да]]", key="k")) == "да"


async def test_a_dropped_keep_alive_connection_is_not_noticed(server, client):
    base_url, driver = server
    await driver.fault("drop_keep_alive")
    assert await text_of(client, asking(base_url, "[[echo: раз]]")) == "раз"
    assert await text_of(client, asking(base_url, "[[echo: два]]")) == "два"
    await driver.fault("drop_keep_alive")
    await text_of(client, asking(base_url, "[[echo: три]]"))
    assert await client.tokenize(Replica(base_url), "forma-sim", [{"role": "user", "content": "x"}]) > 0


async def test_a_killed_engine_ends_streams_and_a_revived_one_serves(server, client):
    base_url, driver = server
    async with contextlib.aclosing(client.stream(asking(base_url, "[[slow]] [[tokens: 300]]"))) as deltas:
        await anext(deltas)
        await driver.die()
        with pytest.raises(errors.ServerFailed):
            await anext(deltas)
    _, raised = await failure(client, asking(base_url))
    assert type(raised) is errors.ConnectionLost
    await driver.revive()
    assert await text_of(client, asking(base_url, "[[echo: снова]]")) == "снова"


async def test_a_fault_can_be_asked_for_in_the_text(server, client):
    base_url, _ = server
    text, raised = await failure(client, asking(base_url, "[[fault: reset_after:4]]"))
    assert type(raised) is errors.ConnectionLost
    assert text


async def test_no_error_carries_the_prompt_or_the_answer(server, client):
    base_url, driver = server
    for kind in ("error", "engine_dead", "invalid_json", "half_stream"):
        await driver.fault(kind)
        _, raised = await failure(client, asking(base_url, "сокровенное [[echo: тайна тайна тайна тайна]]"))
        assert "сокровенное" not in repr(raised)
        assert "тайна" not in repr(raised)
