"""What answers: models.toml, read once at the start into frozen entries.

A mistake is raised as Misconfigured with file and line. Prices are millitokens (thousandths of a billed token) for
each token of the model; slots and kv_tokens are those of one replica.
"""

import asyncio
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, cast, get_args

import aiohttp
import orjson

from kit.toml_source import KeyPath, TomlSource

Purpose = Literal["chat", "vision", "transcription", "embedding"]

PURPOSES: Final = get_args(Purpose)
ANSWERING: Final = frozenset({"chat", "vision"})
"""Purposes whose entries generate text, so that they have answer_tokens_max."""

REPLICAS_MAX: Final = 64
TOKENS_MAX: Final = 100_000_000
PRICE_MAX: Final = 1_000_000
"""Millitokens; a price above a thousand billed tokens for one of the model's is a slip of the keyboard."""

PROBE_S: Final = 5.0
"""How long a server may take to list its models."""

PROBE_BYTES_MAX: Final = 1_048_576

_ID: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_SAMPLING: Final = {
    "temperature", "top_p", "top_k", "min_p", "presence_penalty", "frequency_penalty", "repetition_penalty",
}  # fmt: skip
_ENTRY_KEYS: Final = {
    "purpose", "name", "replicas", "slots", "kv_tokens", "context_length", "answer_tokens_max", "sampling",
    "chat_template", "prices", "plans", "fallback",
}  # fmt: skip
_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Replica:
    """One server that serves the model. `base_url` has no /v1 and no slash at its end."""

    base_url: str
    api_key: str = field(default="", repr=False)
    gpu_group: str = ""
    weight: int = 1
    """How much of the load it gets beside the others: twice the weight, twice the requests."""


@dataclass(frozen=True, slots=True)
class Prices:
    """Millitokens per token of the model."""

    input: int = 250
    cached: int = 50
    output: int = 1_000


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

    def allows(self, plan: str) -> bool:
        """Whether people of that plan may use it."""
        return not self.plans or plan in self.plans

    @property
    def input_tokens_max(self) -> int:
        """The longest prompt that leaves room for the longest answer."""
        return self.context_length - self.answer_tokens_max


@dataclass(frozen=True, slots=True)
class Models:
    """All entries by id, in the order of the file."""

    entries: Mapping[str, Model]

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
        return self.entries[model.fallback] if model.fallback else None


def single_model(url: str, name: str, key: str = "") -> Models:
    """FORMA_MODEL_URL, FORMA_MODEL_NAME and FORMA_MODEL_KEY as the only, chat, entry, with default prices and slots."""
    model = Model(id="chat", purpose="chat", name=name, replicas=(Replica(_without_v1(url), key),))
    return Models(MappingProxyType({model.id: model}))


def load(path: Path) -> Models:
    """Reads models.toml. Raises Misconfigured naming file and line."""
    source = TomlSource.read(path)
    for key in source.data:
        if key != "models":
            raise source.wrong((key,), "is not known here; entries are tables such as [models.chat]")
    tables = source.data.get("models")
    if not isinstance(tables, dict) or not tables:
        raise source.wrong(("models",), "must hold an entry: a table such as [models.chat]")
    entries = {model_id: _entry(_Table(source, ("models", model_id), table)) for model_id, table in tables.items()}
    if not any(model.purpose == "chat" for model in entries.values()):
        raise source.wrong(("models",), 'must hold an entry whose purpose is "chat"')
    for model in entries.values():
        _check_fallback(source, entries, model)
    return Models(MappingProxyType(entries))


class _Table:
    """A table of the file, with checks that know where it stands."""

    def __init__(self, source: TomlSource, path: KeyPath, value: Any) -> None:
        self.source, self.path = source, path
        if not isinstance(value, dict):
            raise source.wrong(path, "must be a table")
        self.value: dict[str, Any] = value

    def wrong(self, key: str, says: str) -> Exception:
        return self.source.wrong((*self.path, key), says)

    def known(self, keys: set[str]) -> None:
        for key in self.value:
            if key not in keys:
                raise self.wrong(key, f"is not known; known are {', '.join(sorted(keys))}")

    def text(self, key: str, default: str | None = None) -> str:
        value = self.value.get(key, default)
        if value is None:
            raise self.wrong(key, "is missing")
        if not isinstance(value, str) or (default is None and not value.strip()):
            raise self.wrong(key, "must be a text in quotes" + (", not empty" if default is None else ""))
        return value.strip()

    def whole(self, key: str, default: int, *, least: int, most: int) -> int:
        value = self.value.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise self.wrong(key, f"must be a whole number from {least} to {most}, not {value!r}")
        return value

    def table(self, key: str) -> "_Table":
        return _Table(self.source, (*self.path, key), self.value.get(key, {}))


def _entry(table: _Table) -> Model:
    model_id = str(table.path[-1])
    if not _ID.fullmatch(model_id):
        raise table.source.wrong(table.path, "must be small Latin letters, digits, '.', '_' or '-', 64 at most")
    table.known(_ENTRY_KEYS)
    purpose = table.text("purpose")
    if purpose not in PURPOSES:
        raise table.wrong("purpose", f"must be one of {', '.join(PURPOSES)}, not {purpose!r}")
    context_length = table.whole("context_length", 32_768, least=16, most=TOKENS_MAX)
    answer_tokens_max = table.whole("answer_tokens_max", min(2_048, context_length // 2), least=1, most=TOKENS_MAX)
    if purpose in ANSWERING and answer_tokens_max >= context_length:
        raise table.wrong("answer_tokens_max", f"must be below context_length, {context_length}")
    return Model(
        id=model_id,
        purpose=cast("Purpose", purpose),
        name=table.text("name"),
        replicas=_replicas(table),
        slots=table.whole("slots", 32, least=1, most=4_096),
        kv_tokens=table.whole("kv_tokens", 262_144, least=context_length, most=TOKENS_MAX),
        context_length=context_length,
        answer_tokens_max=answer_tokens_max,
        prices=_prices(table.table("prices")),
        plans=_plans(table),
        fallback=table.text("fallback", ""),
        sampling=_sampling(table.table("sampling")),
        chat_template=MappingProxyType(table.table("chat_template").value),
    )


def _replicas(table: _Table) -> tuple[Replica, ...]:
    given = table.value.get("replicas")
    if not isinstance(given, list) or not given:
        raise table.wrong("replicas", f"needs at least one [[models.{table.path[-1]}.replicas]] with a base_url")
    if len(given) > REPLICAS_MAX:
        raise table.wrong("replicas", f"are more than {REPLICAS_MAX}")
    replicas: list[Replica] = []
    for index, value in enumerate(given):
        one = _Table(table.source, (*table.path, "replicas", index), value)
        one.known({"base_url", "api_key", "api_key_env", "gpu_group"})
        url = _without_v1(one.text("base_url"))
        if not re.match(r"https?://[^/\s]+", url):
            raise one.wrong("base_url", "must start with http:// or https:// and name a host")
        if any(url == other.base_url for other in replicas):
            raise one.wrong("base_url", "stands in two replicas of this model")
        replicas.append(Replica(url, _api_key(one), one.text("gpu_group", "")))
    return tuple(replicas)


def _api_key(table: _Table) -> str:
    name = table.text("api_key_env", "")
    if not name:
        return table.text("api_key", "")
    if "api_key" in table.value:
        raise table.wrong("api_key_env", "and api_key exclude each other")
    if not os.environ.get(name):
        raise table.wrong("api_key_env", f"names the environment variable {name}, which is not set")
    return os.environ[name]


def _prices(table: _Table) -> Prices:
    table.known({"input", "cached", "output"})
    usual = Prices()
    prices = Prices(
        input=table.whole("input", usual.input, least=0, most=PRICE_MAX),
        cached=table.whole("cached", usual.cached, least=0, most=PRICE_MAX),
        output=table.whole("output", usual.output, least=0, most=PRICE_MAX),
    )
    if prices.cached > prices.input:
        raise table.wrong("cached", f"must not be above input, {prices.input}")
    return prices


def _plans(table: _Table) -> frozenset[str]:
    plans = table.value.get("plans", [])
    if not isinstance(plans, list) or not all(isinstance(plan, str) and plan for plan in plans):
        raise table.wrong("plans", "must be a list of plan names in quotes; leave it out to allow all")
    return frozenset(plans)


def _sampling(table: _Table) -> Mapping[str, float]:
    table.known(_SAMPLING)
    for key, value in table.value.items():
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise table.wrong(key, "must be a number")
    return MappingProxyType(table.value)


def _check_fallback(source: TomlSource, entries: Mapping[str, Model], model: Model) -> None:
    seen = {model.id}
    current = model
    while current.fallback:
        key = ("models", current.id, "fallback")
        other = entries.get(current.fallback)
        if other is None:
            raise source.wrong(key, f"names {current.fallback!r}, and there is no such entry")
        if other.id in seen:
            raise source.wrong(key, "leads back to the entry it started from")
        if other.purpose != current.purpose:
            raise source.wrong(key, f"names {other.id!r}, whose purpose is {other.purpose}, not {current.purpose}")
        # The hold is made at the first model's price, so its fallback must fit under it.
        ours, theirs = current.prices, other.prices
        if theirs.input > ours.input or theirs.cached > ours.cached or theirs.output > ours.output:
            raise source.wrong(key, f"names {other.id!r}, which costs more")
        seen.add(other.id)
        current = other


def _without_v1(url: str) -> str:
    return url.strip().rstrip("/").removesuffix("/v1").rstrip("/")


@dataclass(frozen=True, slots=True)
class ReplicaProbe:
    """What one server said. `problem` is empty for a good one, else a sentence for the operator."""

    replica: Replica
    served: tuple[str, ...] = ()
    max_model_len: int | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What all servers of an entry said."""

    model: Model
    replicas: tuple[ReplicaProbe, ...]

    @property
    def reachable(self) -> bool:
        """Whether at least one replica can serve."""
        return any(not probe.problem for probe in self.replicas)

    @property
    def problems(self) -> tuple[str, ...]:
        """All findings, each naming its server."""
        return tuple(f"{probe.replica.base_url}: {probe.problem}" for probe in self.replicas if probe.problem)


async def probe(model: Model, session: aiohttp.ClientSession) -> ProbeResult:
    """Asks every replica what it serves and how long its context is. Raises nothing that a server can cause."""
    found = await asyncio.gather(*(_probe_replica(model, replica, session) for replica in model.replicas))
    return ProbeResult(model, tuple(found))


async def _probe_replica(model: Model, replica: Replica, session: aiohttp.ClientSession) -> ReplicaProbe:
    headers = {"Authorization": f"Bearer {replica.api_key}"} if replica.api_key else {}
    try:
        async with (
            asyncio.timeout(PROBE_S),
            session.get(f"{replica.base_url}/v1/models", headers=headers, allow_redirects=False) as response,
        ):
            if response.status in {401, 403}:
                return ReplicaProbe(replica, problem="refuses the API key")
            if response.status != 200:
                return ReplicaProbe(replica, problem=f"answers HTTP {response.status} to /v1/models")
            served = _served(await _read(response))
    except TimeoutError:
        return ReplicaProbe(replica, problem=f"does not answer within {PROBE_S:g} s")
    except (aiohttp.ClientError, OSError) as error:
        return ReplicaProbe(replica, problem=f"cannot be reached: {type(error).__name__}")
    except (ValueError, KeyError, TypeError, AttributeError):
        return ReplicaProbe(replica, problem="answers something else than a list of models")
    names = tuple(served)
    if model.name and model.name not in served:
        says = f"serves {', '.join(names) or 'nothing'}, not {model.name}"
        return ReplicaProbe(replica, names, problem=says)
    length = served.get(model.name or next(iter(names), ""))
    if length is not None and length < model.context_length:
        says = f"has a context of {length} tokens, and models.toml says {model.context_length}"
        return ReplicaProbe(replica, names, length, problem=says)
    return ReplicaProbe(replica, names, length)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    raw = b""
    async for part in response.content.iter_any():
        raw += part
        if len(raw) > PROBE_BYTES_MAX:
            raise ValueError("too long")
    return raw


def _served(raw: bytes) -> dict[str, int | None]:
    """Names and context lengths; servers other than vLLM do not tell the length."""
    served: dict[str, int | None] = {}
    for entry in orjson.loads(raw)["data"]:
        length = entry.get("max_model_len")
        served[str(entry["id"])] = length if isinstance(length, int) else None
    return served
