"""What answers: the entries of models.toml, each with its servers, prices and bounds.

Prices are millitokens (thousandths of a billed token) for each token of the model; slots and kv_tokens are those of
one replica. `inference.models_file` reads them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal, get_args

from kit.errors import Misconfigured
from kit.toml_source import TomlSource

Purpose = Literal["chat", "vision", "transcription", "embedding"]

PURPOSES: Final = get_args(Purpose)
ANSWERING: Final = frozenset({"chat", "vision"})
"""Purposes whose entries generate text, so that they have answer_tokens_max."""

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Replica:
    """One server that serves the model. `base_url` has no /v1 and no slash at its end."""

    base_url: str
    api_key: str = field(default="", repr=False)
    gpu_group: str = ""
    weight: int = 1
    """How much of the load it gets beside the others: twice the weight, twice the requests."""
    api_key_env: str = ""
    """The environment variable that the key came from, if it did."""


@dataclass(frozen=True, slots=True)
class Prices:
    """Millitokens per token of the model."""

    input: int = 250
    cached: int = 50
    output: int = 1_000

    def above(self, other: "Prices") -> bool:
        """Whether anything costs more than by `other`."""
        return self.input > other.input or self.cached > other.cached or self.output > other.output


@dataclass(frozen=True, slots=True)
class Serving:
    """How `forma vllm` starts the entry's servers."""

    checkpoint: str = ""
    """What vLLM loads: a name at a hub or a folder; empty: the served name."""
    gpu_memory: float = 0.9
    """The share of each of its GPUs that one replica takes: vLLM's --gpu-memory-utilization."""
    reasoning_parser: str = ""
    tool_parser: str = ""
    arguments: tuple[str, ...] = ()
    """Further arguments for vLLM, as they are."""


@dataclass(frozen=True, slots=True)
class Model:
    """One entry. An empty `plans` means that every plan may use it; `fallback` is another entry's id or empty."""

    id: str
    purpose: Purpose
    name: str
    replicas: tuple[Replica, ...]
    slots: int = 32
    kv_tokens: int = 262_144
    context_length: int = 32_768
    answer_tokens_max: int = 2_048
    prices: Prices = Prices()
    plans: frozenset[str] = frozenset()
    fallback: str = ""
    sampling: Mapping[str, float] = field(default_factory=lambda: _NOTHING)
    chat_template: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    serving: Serving = Serving()

    @property
    def reasons(self) -> bool:
        """Whether it can reason before it answers, and its server tells the reasoning apart."""
        return bool(self.serving.reasoning_parser)

    def allows(self, plan: str) -> bool:
        """Whether people of that plan may use it."""
        return not self.plans or plan in self.plans

    @property
    def input_tokens_max(self) -> int:
        """The longest prompt that leaves room for the longest answer."""
        return self.context_length - self.answer_tokens_max


@dataclass(frozen=True, slots=True)
class GpuGroup:
    """GPUs of one machine that serve together: a replica in it spreads over all of them."""

    name: str
    devices: tuple[int, ...]


class Models:
    """All entries by id, in the order of the file. A reload swaps them in place: `become`."""

    def __init__(
        self,
        entries: Mapping[str, Model],
        gpus: Mapping[str, GpuGroup] = _NOTHING,
        source: TomlSource | None = None,
    ) -> None:
        self.entries, self.gpus, self.source = entries, gpus, source
        self.retired: dict[str, Model] = {}
        """Entries that a reload removed while this process ran; turns of theirs may still be open."""

    def __getitem__(self, model_id: str) -> Model:
        return self.entries[model_id]

    def __iter__(self) -> Iterator[Model]:
        return iter(self.entries.values())

    def __len__(self) -> int:
        return len(self.entries)

    def of(self, purpose: Purpose) -> tuple[Model, ...]:
        """The entries of a purpose; the first is the one used by default."""
        return tuple(model for model in self if model.purpose == purpose)

    def fallback_of(self, model: Model) -> Model | None:
        """The entry that answers when `model` cannot."""
        return self.entries.get(model.fallback)

    def fallbacks(self, model: Model) -> tuple[Model, ...]:
        """The entries that answer in place of `model`, in the order in which they are asked."""
        found: list[Model] = []
        current = self.fallback_of(model)
        while current is not None and current not in found:
            found.append(current)
            current = self.fallback_of(current)
        return tuple(found)

    def heir(self, model_id: str) -> Model | None:
        """The entry that answers turns of `model_id`: its own, or the fallback of one that is gone."""
        seen: set[str] = set()
        while model_id not in self.entries:
            gone = self.retired.get(model_id)
            if gone is None or model_id in seen:
                return None
            seen.add(model_id)
            model_id = gone.fallback
        return self.entries[model_id]

    def become(self, other: "Models") -> None:
        """Take over what a file says now."""
        self.retired |= {model.id: model for model in self if model.id not in other.entries}
        for model_id in other.entries:
            self.retired.pop(model_id, None)
        self.entries, self.gpus, self.source = other.entries, other.gpus, other.source

    def wrong(self, model_id: str, key: str, says: str) -> Misconfigured:
        """The error that names where an entry's key stands, for what turns out after reading."""
        if self.source is None:
            return Misconfigured(f"FORMA_MODEL_URL: {says}")
        return self.source.wrong(("models", model_id, key), says)
