"""Everything that can be set about the simulated model server, at its start and while it runs."""

import argparse
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sandbox.model import faults


@dataclass(slots=True)
class Options:
    """The defaults imitate one H200 with a 32B model in bf16, measured with vLLM 0.26: see docs/model-server.md.

    All times are seconds of the simulated server; `speed` makes all of them pass faster.
    """

    name: str = "forma-sim"
    """Served model name; a comma separates several, the first is the one that answers carry."""
    api_key: str = ""
    """Guards /v1 when it is not empty."""
    context_length: int = 32_768
    slots: int = 32
    kv_tokens: int = 262_144
    """Tokens that all running requests may hold; beyond it the newest of the lowest priority is preempted."""
    cache_tokens: int = 524_288
    """Bound of the prefix cache, dropped in order of last use; 0 turns the cache off."""
    block_tokens: int = 16
    """Only whole blocks of the prompt are found in the prefix cache; vLLM on a CPU uses 128."""
    first_token_base_s: float = 0.045
    prompt_token_s: float = 0.00004
    inter_token_s: float = 0.018
    full_factor: float = 2.0
    """How much longer a decoding step takes at full slots than alone; linear in between."""
    jitter: float = 0.05
    """Each time is stretched by a random factor within 1 ± this."""
    speed: float = 1.0
    stream_interval: int = 1
    """Tokens per streamed chunk after the first; vLLM's --stream-interval."""
    answer_tokens_min: int = 80
    answer_tokens_max: int = 200
    """Bounds of an answer whose length no directive asks for."""
    reasoning_field: str = "reasoning"
    """The delta's field for reasoning; older vLLM says reasoning_content."""
    prompt_tokens_details: bool = True
    """Report cached tokens, as vLLM does with --enable-prompt-tokens-details."""
    tokenizer: bool = True
    """Serve /tokenize; other servers of the same dialect have none."""
    seed: int = 0

    def __post_init__(self) -> None:
        self._check()

    def change(self, values: Mapping[str, Any]) -> None:
        """Sets some options at run time. Raises ValueError naming the first wrong one, and then changes nothing."""
        known = {field.name: field for field in dataclasses.fields(self)}
        merged = dataclasses.asdict(self)
        for key, value in values.items():
            if key not in known:
                raise ValueError(f"unknown option: {key}")
            wanted = type(merged[key])
            if wanted is float and type(value) is int:
                value = float(value)  # noqa: PLW2901
            if type(value) is not wanted:
                raise ValueError(f"{key} must be {wanted.__name__}")
            merged[key] = value
        checked = Options(**merged)
        for key in known:
            setattr(self, key, getattr(checked, key))

    @property
    def names(self) -> list[str]:
        """The served names, first the one that answers carry."""
        return [name.strip() for name in self.name.split(",") if name.strip()]

    def step_s(self, running: int) -> float:
        """How long one decoding step takes with that many running requests, without jitter."""
        load = (running - 1) / (self.slots - 1) if self.slots > 1 else 0.0
        return self.inter_token_s * (1.0 + (self.full_factor - 1.0) * min(1.0, max(0.0, load))) / self.speed

    def prefill_s(self, uncached_tokens: int) -> float:
        """How long until the first token, without jitter and waiting."""
        return (self.first_token_base_s + uncached_tokens * self.prompt_token_s) / self.speed

    def _check(self) -> None:
        at_least_one = ("context_length", "slots", "kv_tokens", "block_tokens", "stream_interval", "answer_tokens_min")
        for key in at_least_one:
            if getattr(self, key) < 1:
                raise ValueError(f"{key} must be at least 1")
        for key in ("cache_tokens", "first_token_base_s", "prompt_token_s"):
            if getattr(self, key) < 0:
                raise ValueError(f"{key} must not be negative")
        if self.inter_token_s <= 0 or self.speed <= 0:
            raise ValueError("inter_token_s and speed must be above 0")
        if not 0 <= self.jitter < 1:
            raise ValueError("jitter must be at least 0 and below 1")
        if self.answer_tokens_max < self.answer_tokens_min:
            raise ValueError("answer_tokens_max must not be below answer_tokens_min")
        if not self.names:
            raise ValueError("name must not be empty")


_HELP: Final = {
    "name": "served model name; a comma separates several",
    "api_key": "key that guards /v1; empty: open",
    "context_length": "longest prompt and answer together, tokens",
    "slots": "requests that run at once",
    "kv_tokens": "tokens that running requests may hold together",
    "cache_tokens": "bound of the prefix cache, tokens; 0: off",
    "block_tokens": "block of the prefix cache, tokens",
    "first_token_base_s": "first token of an empty prompt, seconds",
    "prompt_token_s": "what each uncached prompt token adds, seconds",
    "inter_token_s": "time between tokens of a lone stream, seconds",
    "full_factor": "how much longer that is at full slots",
    "jitter": "random stretch of each time, 0 to below 1",
    "speed": "how many times faster than real time",
    "stream_interval": "tokens per chunk after the first",
    "answer_tokens_min": "shortest answer of its own choice, tokens",
    "answer_tokens_max": "longest answer of its own choice, tokens",
    "reasoning_field": "name of the reasoning field in a delta",
    "prompt_tokens_details": "report cached tokens",
    "tokenizer": "serve /tokenize",
    "seed": "seed of jitter and faults",
}


def add_option_arguments(parser: argparse.ArgumentParser) -> None:
    """One argument per option: --slots, --kv-tokens, --no-prompt-tokens-details, …"""
    for field in dataclasses.fields(Options):
        flag = "--" + field.name.replace("_", "-")
        text = f"{_HELP[field.name]} (default: %(default)s)"
        if isinstance(field.default, bool):
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, default=field.default, help=text)
        else:
            parser.add_argument(flag, type=type(field.default), default=field.default, help=text)
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="KIND[:TOKENS[:PROBABILITY]]",
        help=f"fault from the start, repeatable; kinds: {', '.join(faults.KINDS)}",
    )


def from_arguments(args: argparse.Namespace) -> Options:
    """Reads back what add_option_arguments offered. Raises ValueError for a value out of bounds."""
    return Options(**{field.name: getattr(args, field.name) for field in dataclasses.fields(Options)})
