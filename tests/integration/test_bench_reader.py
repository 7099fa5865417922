"""The yardstick of reading streams: both clients read the same tokens, each in a process of its own."""

import orjson

from bench import openai_reader
from tests.support.model import model_server


async def test_both_clients_read_the_same_streams_and_tell_what_it_took() -> None:
    async with model_server() as (server, driver):
        bodies = [
            orjson.dumps(
                {
                    "model": "forma-sim",
                    "messages": [{"role": "user", "content": f"[[tokens: {tokens}]] Как спать?"}],
                    "max_tokens": 400,
                    "stream": True,
                    "stream_options": {"include_usage": True, "continuous_usage_stats": True},
                    "cache_salt": "1",
                }
            )
            for tokens in (30, 60, 90)
        ]
        costs = [await openai_reader.measured(client, server.base_url, bodies) for client in ("openai", "forma")]
        asked = [one["body"] for one in await driver.requests()]
    assert [cost.tokens for cost in costs] == [180, 180]
    assert all(cost.cpu_s > 0 for cost in costs)
    assert [one["stream_options"] for one in asked[:3]] == [{"include_usage": True}] * 3
    assert sorted(map(str, asked[3:])) == sorted(str(orjson.loads(body)) for body in bodies)
    assert all(one["cache_salt"] == "1" for one in asked)
