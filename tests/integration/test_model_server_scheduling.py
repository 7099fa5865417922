"""Slots, priority, abort, preemption, time and the control API of the simulated model server."""

import asyncio
import contextlib
import time

import aiohttp
import pytest

from sandbox.model.options import Options
from tests.support.model import FAST, model_server


async def streaming(session, text, **fields):
    body = {"messages": [{"role": "user", "content": text}], "stream": True, **fields}
    return await session.post("/v1/chat/completions", json=body)


async def until(condition, within_s=3.0):
    deadline = time.monotonic() + within_s
    while not await condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def served(**options):
    async with model_server(**options) as (running, driver), aiohttp.ClientSession(running.base_url) as session:
        yield driver, session


async def test_a_client_that_goes_away_frees_its_slot_at_once():
    async with served(slots=1, inter_token_s=0.02) as (driver, session):
        response = await streaming(session, "[[tokens: 2000]]")
        await response.content.readany()
        assert (await driver.state())["running"] == 1
        response.close()
        gone_at = time.monotonic()

        async def idle():
            return (await driver.state())["running"] == 0

        await until(idle)
        assert time.monotonic() - gone_at < 0.5
        entry = (await driver.requests())[0]
        assert entry["outcome"] == "aborted"
        assert 0 < entry["completion_tokens"] < 2000
        assert (await driver.state())["kv_used"] == 0


async def test_waiting_requests_and_unstreamed_ones_are_aborted_too():
    async with served(slots=1, inter_token_s=0.02) as (driver, session):
        first = await streaming(session, "[[tokens: 2000]]")
        waiting = await streaming(session, "второй")
        body = {"messages": [{"role": "user", "content": "третий"}]}
        whole = asyncio.create_task(session.post("/v1/chat/completions", json=body))

        async def two_wait():
            return (await driver.state())["waiting"] == 2

        await until(two_wait)
        waiting.close()
        whole.cancel()

        async def none_waits():
            return (await driver.state())["waiting"] == 0

        await until(none_waits)
        first.close()


async def test_lower_priority_goes_first_and_equals_in_order_of_arrival():
    async with served(slots=1) as (driver, session):
        running = await streaming(session, "[[tokens: 100]]")
        texts = [("a", 5), ("b", 5), ("c", -1)]
        responses = [await streaming(session, text, priority=priority) for text, priority in texts]
        await asyncio.gather(*(response.read() for response in (running, *responses)))
        entries = (await driver.requests())[1:]
        started = sorted(entries, key=lambda entry: entry["first_token_at"])
        assert [entry["body"]["messages"][0]["content"] for entry in started] == ["c", "a", "b"]


async def test_the_kv_budget_preempts_the_newest_and_both_answers_come_whole():
    async with served(slots=4, kv_tokens=1_000) as (driver, session):
        responses = [await streaming(session, f"[[tokens: 700]] {number}") for number in range(2)]
        await asyncio.gather(*(response.read() for response in responses))
        state = await driver.state()
        assert state["preemptions_total"] >= 1
        assert state["kv_used"] == state["running"] == 0
        assert [entry["completion_tokens"] for entry in await driver.requests()] == [700, 700]


async def test_time_follows_the_latency_model():
    async with served(slots=8, first_token_base_s=0.1, prompt_token_s=0.001, inter_token_s=0.01) as (driver, session):
        prompt = "слово " * 50
        await (await streaming(session, f"[[tokens: 40]] {prompt}")).read()
        alone = (await driver.requests())[0]
        first_s = alone["first_token_at"] - alone["received_at"]
        # A busy machine makes everything later, never earlier.
        due_s = 0.1 + 0.001 * alone["prompt_tokens"]
        assert due_s * 0.95 < first_s < due_s * 3
        alone_s = alone["finished_at"] - alone["first_token_at"]
        assert 39 * 0.01 * 0.9 < alone_s < 39 * 0.01 * 4
        await driver.options(first_token_base_s=0.0, prompt_token_s=0.0)
        responses = [await streaming(session, "[[tokens: 40]]") for _ in range(8)]
        await asyncio.gather(*(response.read() for response in responses))
        full = (await driver.requests())[1:]
        full_s = max(entry["finished_at"] - entry["first_token_at"] for entry in full)
        assert 39 * 0.02 * 0.9 < full_s < 39 * 0.02 * 4


def test_a_step_takes_twice_as_long_at_full_slots():
    options = Options(slots=33, inter_token_s=0.02, full_factor=2.0, speed=2.0)
    assert [options.step_s(running) for running in (1, 17, 33)] == pytest.approx([0.01, 0.015, 0.02])
    assert Options(first_token_base_s=0.1, prompt_token_s=0.001).prefill_s(50) == pytest.approx(0.15)


async def test_metrics_have_the_names_of_vllm():
    async with served() as (_, session):
        await (await streaming(session, "[[tokens: 10]]")).read()
        async with session.get("/metrics") as response:
            page = await response.text()
    label = '{engine="0",model_name="forma-sim"'
    assert f"vllm:num_requests_running{label}}} 0.0" in page
    assert f"vllm:generation_tokens_total{label}}} 10" in page
    assert f'vllm:request_success_total{label},finished_reason="stop"}} 1' in page
    assert f'vllm:time_to_first_token_seconds_bucket{label},le="+Inf"}} 1' in page
    for name in ("num_requests_waiting", "kv_cache_usage_perc", "num_preemptions_total", "prompt_tokens_total"):
        assert f"vllm:{name}{label}" in page


async def test_a_wrong_option_or_fault_changes_nothing_and_is_named():
    async with served(slots=3) as (driver, session):
        for path, body, says in (
            ("/options", {"slots": 5, "jitter": 2}, "jitter"),
            ("/options", {"slot": 5}, "unknown option: slot"),
            ("/options", {"slots": "5"}, "slots must be int"),
            ("/faults", {"kind": "flood"}, "unknown fault: flood"),
            ("/faults", {"kind": "reset", "probability": 2}, "probability"),
        ):
            async with session.post(f"/_control{path}", json=body) as response:
                assert response.status == 400
                assert says in (await response.json())["error"]["message"]
        state = await driver.state()
        assert (state["options"]["slots"], state["faults"]) == (3, [])


async def test_reset_forgets_options_faults_and_requests():
    async with served() as (driver, session):
        await driver.options(slots=1)
        await driver.fault("error", count=None)
        async with await streaming(session, "x") as response:
            assert response.status == 500
        await driver.reset()
        state = await driver.state()
        assert (state["options"]["slots"], state["faults"], await driver.requests()) == (32, [], [])
        assert state["options"]["inter_token_s"] == FAST["inter_token_s"]


async def test_a_faults_probability_is_drawn_from_its_seed():
    async with served() as (driver, session):

        async def statuses():
            await driver.clear_faults()
            await driver.fault("busy", count=None, probability=0.5, seed=4)
            found = []
            for _ in range(12):
                async with await streaming(session, "[[echo: x]]") as response:
                    await response.read()
                    found.append(response.status)
            return found

        first = await statuses()
        assert set(first) == {200, 429}
        assert await statuses() == first
