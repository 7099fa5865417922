"""`forma models`: what each server of each model does now, as a table or as JSON."""

import asyncio
from dataclasses import dataclass

import orjson

from app import model_groups
from inference import model_metrics, model_probe
from inference.model_metrics import ServerLoad
from inference.model_probe import ReplicaProbe
from inference.models import Model
from inference.vllm import open_session
from kit.settings import Settings

_HEAD = ("MODEL", "SERVER", "HEALTH", "RUNNING", "WAITING", "KV", "TOKENS/S")
_NONE = "–"


@dataclass(frozen=True, slots=True)
class _Row:
    model: Model
    number: int
    probe: ReplicaProbe
    load: ServerLoad | None

    def cells(self) -> tuple[str, ...]:
        """Return the row's texts, by _HEAD."""
        name = f"{self.model.id} {self.number}"
        server, health = self.probe.replica.base_url, self.probe.problem or "ok"
        if self.load is None:
            return (name, server, health, _NONE, _NONE, _NONE, _NONE)
        return (
            name,
            server,
            health,
            f"{self.load.running}/{self.model.slots}",
            str(self.load.waiting),
            f"{self.load.kv_share:.1%}",
            f"{self.load.tokens_per_s:.0f}",
        )

    def fields(self) -> dict[str, object]:
        """Return the row for programs; what the server did not say is None."""
        load = self.load
        return {
            "model": self.model.id,
            "name": self.model.name,
            "purpose": self.model.purpose,
            "replica": self.number,
            "base_url": self.probe.replica.base_url,
            "healthy": not self.probe.problem,
            "problem": self.probe.problem,
            "context_length": self.probe.max_model_len,
            "slots": self.model.slots,
            "running": load.running if load else None,
            "waiting": load.waiting if load else None,
            "kv_share": round(load.kv_share, 4) if load else None,
            "tokens_per_s": round(load.tokens_per_s, 1) if load else None,
        }


async def show(settings: Settings, *, as_json: bool) -> int:
    """Print every server's health, load, KV use and tokens a second; return 1 when one of them is not fit, else 0."""
    models = model_groups.read(settings)
    async with open_session() as session:
        urls = {replica.base_url for model in models for replica in model.replicas}
        probes, loads = await asyncio.gather(
            asyncio.gather(*(model_probe.probe(model, session) for model in models)),
            model_metrics.loads(urls, session),
        )
    rows = [
        _Row(result.model, number, probe, loads[probe.replica.base_url])
        for result in probes
        for number, probe in enumerate(result.replicas, 1)
    ]
    if as_json:
        print(orjson.dumps([row.fields() for row in rows], option=orjson.OPT_INDENT_2).decode())
    else:
        _print_table([_HEAD, *(row.cells() for row in rows)])
    return int(any(row.probe.problem for row in rows))


def _print_table(lines: list[tuple[str, ...]]) -> None:
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEAD))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
