"""The fair queue's benchmark, small in `make test` and at full size in `make test-fair`."""

import json

import pytest
from redis.asyncio import Redis

from bench import fair, queue_live
from bench.queue_scenes import FORMA, flood_requests


@pytest.mark.timeout(400)
async def test_the_benchmark_compares_three_policies(redis: Redis) -> None:
    result = json.loads(json.dumps(await fair.measure(redis, seed=1, requests=400, seconds=120)))
    assert result["light_wait_s_p95"] <= 1
    assert result["light_wait_s_p95"] <= result["light_wait_s_p95_vtc"] < result["light_wait_s_p95_fcfs"]
    assert result["light_wait_s_p95_fcfs"] > 30
    assert result["idle_slot_share"] <= 0.10
    assert result["jain"] > 0.9  # in a minute a person of the smallest plan is served twice
    assert result["newcomer_wait_s_max"] < 5
    assert result["eta_hit_share"] > 0.7


@pytest.mark.fair
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_the_scenes_at_full_size_keep_their_goals(redis: Redis, seed: int) -> None:
    result = await fair.measure(redis, seed=seed, requests=fair.FLOOD_REQUESTS, seconds=fair.SCENE_S)
    assert result["light_wait_s_p95"] <= 1
    assert result["idle_slot_share"] <= 0.10
    assert result["jain"] >= 0.99
    assert result["eta_hit_share"] >= 0.9
    assert result["longest_wait_to_p95_service"] <= 3


async def test_the_flood_in_real_time_serves_everybody(redis: Redis) -> None:
    requests = flood_requests(seed=1, requests=60)
    seen = await queue_live.run(redis, FORMA.config, requests)
    assert len(seen.served) == len(requests)
    assert 0 <= seen.idle_share < 0.5
