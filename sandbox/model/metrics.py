"""/metrics in Prometheus' text format, under the names that vLLM uses."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

_SECONDS: Final = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
    160.0, 640.0, 2560.0,
)  # fmt: skip


class Histogram:
    """Counts of seconds in vLLM's buckets."""

    __slots__ = ("_counts", "_sum")

    def __init__(self) -> None:
        self._counts = [0] * (len(_SECONDS) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        """Counts one value."""
        self._counts[bisect_left(_SECONDS, seconds)] += 1
        self._sum += seconds

    def lines(self, name: str, labels: str) -> Iterable[str]:
        """The sample lines, buckets cumulative as the format wants them."""
        cumulative = 0
        for bound, count in zip((*map(str, _SECONDS), "+Inf"), self._counts, strict=True):
            cumulative += count
            yield f'{name}_bucket{{{labels},le="{bound}"}} {cumulative}'
        yield f"{name}_count{{{labels}}} {cumulative}"
        yield f"{name}_sum{{{labels}}} {self._sum}"


class Metrics:
    """What the server counts since it started."""

    def __init__(self) -> None:
        self.first_token, self.latency, self.queue_time = Histogram(), Histogram(), Histogram()
        self.prompt_tokens_total = 0
        self.generation_tokens_total = 0
        self.success: Counter[str] = Counter({"stop": 0, "length": 0, "abort": 0})

    def exposition(self, model: str, gauges: Mapping[str, float], counters: Mapping[str, int]) -> str:
        """The page. `gauges` and `counters` come from the engine, by name without the prefix."""
        labels = f'engine="0",model_name="{model}"'
        out: list[str] = []
        for name, value in gauges.items():
            out += (f"# TYPE vllm:{name} gauge", f"vllm:{name}{{{labels}}} {value}")
        counted = {
            **counters,
            "prompt_tokens_total": self.prompt_tokens_total,
            "generation_tokens_total": self.generation_tokens_total,
        }
        for name, value in counted.items():
            out += (f"# TYPE vllm:{name} counter", f"vllm:{name}{{{labels}}} {value}")
        out.append("# TYPE vllm:request_success_total counter")
        out += [
            f'vllm:request_success_total{{{labels},finished_reason="{reason}"}} {count}'
            for reason, count in self.success.items()
        ]
        for name, histogram in (
            ("time_to_first_token_seconds", self.first_token),
            ("e2e_request_latency_seconds", self.latency),
            ("request_queue_time_seconds", self.queue_time),
        ):
            out.append(f"# TYPE vllm:{name} histogram")
            out += histogram.lines(f"vllm:{name}", labels)
        return "\n".join(out) + "\n"
