"""The desk for replicas: how each does, and drain, resume and weight by command, with a line in the audit log."""

from dataclasses import dataclass
from datetime import datetime

from redis.exceptions import RedisError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.context import App
from inference import model_metrics
from inference.model_metrics import ServerLoad
from inference.models import Model, Replica
from inference.models_file import WEIGHT_MAX
from inference.replicas import orders
from inference.replicas.choice import ReplicaState
from inference.replicas.orders import Order
from inference.vllm import open_session
from kit import audit
from kit.errors import Rejected, Unavailable

__all__ = ["WEIGHT_MAX", "NoSuchReplica", "ReplicaReport", "drain", "find", "report", "weigh"]


class NoSuchReplica(Rejected):
    """models.toml has no such entry, or the entry no replica of that number."""

    code = "admin-models-none"


@dataclass(frozen=True, slots=True)
class ReplicaReport:
    """One replica now; `load` is None where its server shows no metrics. Numbers count from 1, as in the file."""

    number: int
    replica: Replica
    weight: int
    drained: bool
    state: ReplicaState
    load: ServerLoad | None


async def report(app: App) -> list[tuple[Model, list[ReplicaReport]]]:
    """Return every entry with its replicas. Takes a second, for the tokens a second. Raises Unavailable."""
    urls = {replica.base_url for model in app.models for replica in model.replicas}
    try:
        states = await app.replicas.states(urls)
    except (RedisError, OSError) as error:
        raise Unavailable("redis", type(error).__name__) from error
    async with open_session() as session:
        loads = await model_metrics.loads(urls, session)
    return [
        (
            model,
            [
                ReplicaReport(
                    number=number,
                    replica=replica,
                    weight=app.replicas.weight(model, replica),
                    drained=app.replicas.orders.get((model.id, replica.base_url), Order()).drained,
                    state=states[replica.base_url],
                    load=loads[replica.base_url],
                )
                for number, replica in enumerate(model.replicas, 1)
            ],
        )
        for model in app.models
    ]


def find(app: App, model_id: str, number: int) -> Replica:
    """Return an entry's replica by its number, from 1. Raises NoSuchReplica."""
    model = app.models.entries.get(model_id)
    if model is None or not 1 <= number <= len(model.replicas):
        raise NoSuchReplica(model=model_id[:64], number=number)
    return model.replicas[number - 1]


async def drain(
    tx: AsyncConnection, *, actor_id: int, model_id: str, replica: Replica, drained: bool, now: datetime
) -> None:
    """Let a replica finish what it has and give it nothing new, or take it back in."""
    await orders.drain(tx, model_id, replica.base_url, drained=drained, now=now)
    details = {"model": model_id, "replica": replica.base_url}
    action = "replica_drain" if drained else "replica_resume"
    await audit.record(tx, actor_id=actor_id, action=action, subject_id=None, details=details, now=now)


async def weigh(
    tx: AsyncConnection, *, actor_id: int, model_id: str, replica: Replica, weight: int, now: datetime
) -> None:
    """Give a replica another weight, 1 … WEIGHT_MAX."""
    assert 1 <= weight <= WEIGHT_MAX
    await orders.weigh(tx, model_id, replica.base_url, weight=weight, now=now)
    details = {"model": model_id, "replica": replica.base_url, "weight": weight}
    await audit.record(tx, actor_id=actor_id, action="replica_weight", subject_id=None, details=details, now=now)
