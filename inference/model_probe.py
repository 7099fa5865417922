"""Asking the servers what they serve, and whether they answer at all."""

import asyncio
from dataclasses import dataclass
from typing import Final

import aiohttp
import orjson

from inference.models import ANSWERING, Model, Replica

PROBE_S: Final = 5.0
"""How long a server may take to list its models."""

PROBE_BYTES_MAX: Final = 1_048_576


@dataclass(frozen=True, slots=True)
class ReplicaProbe:
    """What one server said. `problem` is empty for a good one, else a sentence for the operator."""

    replica: Replica
    served: tuple[str, ...] = ()
    max_model_len: int | None = None
    problem: str = ""
    mistaken_key: str = ""
    """The key of models.toml that the server contradicts, if `problem` is one of those."""


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


async def answers(model: Model, replica: Replica, session: aiohttp.ClientSession) -> str:
    """Return what is wrong with a server, empty where it is fit for requests: it writes a token of an answer."""
    headers = {"Authorization": f"Bearer {replica.api_key}"} if replica.api_key else {}
    try:
        async with (
            asyncio.timeout(PROBE_S),
            session.get(f"{replica.base_url}/health", allow_redirects=False) as response,
        ):
            if response.status != 200:
                return f"answers HTTP {response.status} to /health"
        served = await _probe_replica(model, replica, session)
        if served.problem or model.purpose not in ANSWERING:
            return served.problem
        body = {"model": model.name, "messages": [{"role": "user", "content": "ping"}], "max_tokens": 1}
        async with (
            asyncio.timeout(PROBE_S),
            session.post(
                f"{replica.base_url}/v1/chat/completions", json=body, headers=headers, allow_redirects=False
            ) as response,
        ):
            if response.status != 200:
                return f"answers HTTP {response.status} to a short question"
            orjson.loads(await _read(response))["choices"][0]["message"]
    except TimeoutError:
        return f"does not answer within {PROBE_S:g} s"
    except (aiohttp.ClientError, OSError) as error:
        return f"cannot be reached: {type(error).__name__}"
    except (ValueError, KeyError, TypeError, IndexError):
        return "answers something else than a chat completion"
    return ""


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
        return ReplicaProbe(replica, names, problem=says, mistaken_key="name")
    length = served.get(model.name or next(iter(names), ""))
    if length is not None and length < model.context_length:
        says = f"has a context of {length} tokens, and models.toml says {model.context_length}"
        return ReplicaProbe(replica, names, length, problem=says, mistaken_key="context_length")
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
