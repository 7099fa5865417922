"""models.toml, read into frozen entries. A mistake is raised as Misconfigured with file and line."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, cast
from urllib.parse import urlsplit

import orjson

from inference.models import ANSWERING, PURPOSES, GpuGroup, Model, Models, Prices, Purpose, Replica, Serving
from kit.toml_source import KeyPath, TomlSource

REPLICAS_MAX: Final = 64
TOKENS_MAX: Final = 100_000_000
PRICE_MAX: Final = 1_000_000
"""Millitokens; a price above a thousand billed tokens for one of the model's is a slip of the keyboard."""

WEIGHT_MAX: Final = 100
GPU_SHARE_MAX: Final = 0.95
"""What all replicas on one GPU may take together; the rest is the driver's and CUDA's."""

SAMPLING_MAX: Final = 1_000_000

_ID: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_PARSER: Final = re.compile(r"[A-Za-z0-9_.-]{0,64}")
_URL: Final = re.compile(r"https?://[!-~]+")
_API_KEY: Final = re.compile(r"[!-~]*")
_SAMPLING: Final = {
    "temperature", "top_p", "top_k", "min_p", "presence_penalty", "frequency_penalty", "repetition_penalty",
}  # fmt: skip
_ENTRY_KEYS: Final = {
    "purpose", "name", "replicas", "slots", "kv_tokens", "context_length", "answer_tokens_max", "sampling",
    "chat_template", "prices", "plans", "fallback", "checkpoint", "gpu_memory", "reasoning_parser", "tool_parser",
    "vllm_args",
}  # fmt: skip


def single_model(url: str, name: str, key: str = "", *, reasoning_parser: str = "") -> Models:
    """The settings FORMA_MODEL_… as the only, chat, entry, with default prices and slots."""
    model = Model(
        id="chat",
        purpose="chat",
        name=name,
        replicas=(Replica(_without_v1(url), key),),
        serving=Serving(reasoning_parser=reasoning_parser),
    )
    return Models(MappingProxyType({model.id: model}))


def load(path: Path) -> Models:
    """Reads models.toml. Raises Misconfigured naming file and line."""
    source = TomlSource.read(path)
    for key in source.data:
        if key not in {"models", "gpus"}:
            raise source.wrong((key,), "is not known here; entries are tables such as [models.chat]")
    gpus = _gpus(_Table(source, ("gpus",), source.data.get("gpus", {})))
    tables = source.data.get("models")
    if not isinstance(tables, dict) or not tables:
        raise source.wrong(("models",), "must hold an entry: a table such as [models.chat]")
    entries = {model_id: _entry(_Table(source, ("models", model_id), table)) for model_id, table in tables.items()}
    if not any(model.purpose == "chat" for model in entries.values()):
        raise source.wrong(("models",), 'must hold an entry whose purpose is "chat"')
    for model in entries.values():
        _check_fallback(source, entries, model)
    if gpus:
        _check_shares(source, entries, gpus)
    return Models(MappingProxyType(entries), MappingProxyType(gpus), source)


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
        chat_template=_chat_template(table.table("chat_template")),
        serving=_serving(table),
    )


def _serving(table: _Table) -> Serving:
    gpu_memory = table.value.get("gpu_memory", Serving().gpu_memory)
    if not isinstance(gpu_memory, float) or not 0 < gpu_memory <= GPU_SHARE_MAX:
        raise table.wrong("gpu_memory", f"must be a share of the GPU, above 0.0 and up to {GPU_SHARE_MAX}")
    for key in ("reasoning_parser", "tool_parser"):
        if not _PARSER.fullmatch(table.text(key, "")):
            raise table.wrong(key, "must be the name that vLLM knows it by, such as qwen3")
    arguments = table.value.get("vllm_args", [])
    if not isinstance(arguments, list) or not all(isinstance(one, str) and one for one in arguments):
        raise table.wrong("vllm_args", 'must be a list of texts in quotes, such as ["--quantization", "fp8"]')
    return Serving(
        checkpoint=table.text("checkpoint", ""),
        gpu_memory=gpu_memory,
        reasoning_parser=table.text("reasoning_parser", ""),
        tool_parser=table.text("tool_parser", ""),
        arguments=tuple(arguments),
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
        one.known({"base_url", "api_key", "api_key_env", "gpu_group", "weight"})
        url = _without_v1(one.text("base_url"))
        if not _is_url(url):
            raise one.wrong("base_url", "must start with http:// or https:// and name a host, in Latin letters")
        if any(url == other.base_url for other in replicas):
            raise one.wrong("base_url", "stands in two replicas of this model")
        weight = one.whole("weight", 1, least=1, most=WEIGHT_MAX)
        key_env = one.text("api_key_env", "")
        replicas.append(Replica(url, _api_key(one), one.text("gpu_group", ""), weight, key_env))
    return tuple(replicas)


def _is_url(url: str) -> bool:
    """Whether requests can be sent there: what a client would refuse is refused here, with its line."""
    try:
        parts = urlsplit(url)
        return bool(_URL.fullmatch(url) and parts.hostname) and parts.port != 0
    except ValueError:  # a port or an IPv6 address that is none
        return False


def _api_key(table: _Table) -> str:
    name = table.text("api_key_env", "")
    if name and "api_key" in table.value:
        raise table.wrong("api_key_env", "and api_key exclude each other")
    if name and not os.environ.get(name):
        raise table.wrong("api_key_env", f"names the environment variable {name}, which is not set")
    # A key that was read from a file often ends in a newline.
    key = os.environ[name].strip() if name else table.text("api_key", "")
    if not _API_KEY.fullmatch(key):
        raise table.wrong("api_key_env" if name else "api_key", "is no key: an HTTP header cannot hold it")
    return key


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
        if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) <= SAMPLING_MAX:
            raise table.wrong(key, f"must be a number, {SAMPLING_MAX} at most")
    return MappingProxyType(table.value)


def _chat_template(table: _Table) -> Mapping[str, Any]:
    try:
        orjson.dumps(table.value)
    except TypeError as error:  # an integer beyond 64 bits, tables in tables without end
        raise table.source.wrong(table.path, f"cannot be sent to a server: {error}") from error
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
        if other.prices.above(current.prices):
            raise source.wrong(key, f"names {other.id!r}, which costs more")
        seen.add(other.id)
        current = other


def _gpus(table: _Table) -> dict[str, GpuGroup]:
    groups: dict[str, GpuGroup] = {}
    for name in table.value:
        one = table.table(name)
        one.known({"devices"})
        devices = one.value.get("devices")
        if not isinstance(devices, list) or not devices or not all(type(d) is int and 0 <= d < 64 for d in devices):
            raise one.wrong("devices", "must list the GPUs' numbers, as nvidia-smi shows them: [0]")
        if len(set(devices)) < len(devices):
            raise one.wrong("devices", "names a GPU twice")
        groups[name] = GpuGroup(name, tuple(devices))
    return groups


def _check_shares(source: TomlSource, entries: Mapping[str, Model], gpus: Mapping[str, GpuGroup]) -> None:
    """The servers of a group must fit on its GPUs side by side. Entries may share a server: it counts once."""
    taken = dict.fromkeys(gpus, 0.0)
    counted: dict[str, Model] = {}
    for model in entries.values():
        for index, replica in enumerate(model.replicas):
            group = replica.gpu_group
            if not group:
                continue
            if group not in gpus:
                key = ("models", model.id, "replicas", index, "gpu_group")
                raise source.wrong(key, f"names {group!r}, and there is no [gpus.{group}]")
            other = counted.setdefault(replica.base_url, model)
            if other is not model:
                if other.serving.gpu_memory != model.serving.gpu_memory:
                    says = f"differs from that of {other.id!r}, which has the same server"
                    raise source.wrong(("models", model.id, "gpu_memory"), says)
                continue
            taken[group] += model.serving.gpu_memory
            if taken[group] > GPU_SHARE_MAX + 1e-9:
                says = f"brings the shares of [gpus.{group}] to {taken[group]:.2f}, and {GPU_SHARE_MAX} is the most"
                raise source.wrong(("models", model.id, "gpu_memory"), says)


def _without_v1(url: str) -> str:
    return url.strip().rstrip("/").removesuffix("/v1").rstrip("/")
