"""The fair queue's benchmark, small: it measures every operation on queues that keep their length."""

import json

from bench import queue


async def test_the_benchmark_measures_each_operation_on_queues_that_keep_their_length(redis_url: str) -> None:
    result = json.loads(json.dumps(await queue.measure(redis_url, (20, 200), rounds=40)))
    keys = {f"{operation} {shape}" for operation in queue.OPERATIONS for shape in queue.SHAPES}
    for kind in ("round_trip", "in_redis"):
        figures = result[kind]
        assert set(figures["p50_us"]) == set(figures["p99_us"]) == set(figures["growth_ratios_p99"]) == keys
        for key in keys:
            assert set(figures["p99_us"][key]) == {"20", "200"}
            assert all(figures["p99_us"][key][size] >= figures["p50_us"][key][size] > 0 for size in ("20", "200"))
    assert result["growth_ratio_p99"] == max(result["round_trip"]["growth_ratios_p99"].values())
    assert "submit ten_a_person" in queue.table(result)
