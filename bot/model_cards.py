"""What the admin group reads about models: their replicas, and what a reload did."""

from app.model_groups import Reloaded
from app.replica_desk import ReplicaReport
from inference.models import Model
from kit.words import Words


def models(say: Words, reports: list[tuple[Model, list[ReplicaReport]]]) -> str:
    """Return /models: an entry's name, then two lines a replica."""
    return "\n\n".join(
        "\n".join(
            [
                say.say("admin-models-head", model=model.id, name=model.name, purpose=model.purpose),
                *(_replica(say, model, one) for one in replicas),
            ]
        )
        for model, replicas in reports
    )


def _replica(say: Words, model: Model, one: ReplicaReport) -> str:
    state = "out" if one.state.out else "drained" if one.drained else "in"
    head = say.say(
        "admin-models-replica", number=one.number, url=one.replica.base_url, state=state, back_s=one.state.back_s
    )
    held = say.say("admin-models-held", in_flight=one.state.in_flight, slots=model.slots, weight=one.weight)
    if one.load is None:
        return f"{head}\n{held}"
    load = say.say(
        "admin-models-load",
        running=one.load.running,
        waiting=one.load.waiting,
        kv_percent=round(100 * one.load.kv_share),
        tokens_per_s=round(one.load.tokens_per_s),
    )
    return f"{head}\n{held}\n{load}"


def reloaded(say: Words, done: Reloaded) -> str:
    """Return what a reload of models.toml changed, and which servers do not answer."""
    lines = [say.say("admin-models-reloaded")]
    if done.added:
        lines.append(say.say("admin-models-added", models=", ".join(done.added)))
    if done.changed:
        lines.append(say.say("admin-models-changed", models=", ".join(done.changed)))
    if done.removed:
        lines.append(say.say("admin-models-removed", models=", ".join(done.removed)))
    if len(lines) == 1:
        lines.append(say.say("admin-models-unchanged"))
    lines += [say.say("admin-models-warning", warning=warning) for warning in done.warnings]
    return "\n".join(lines)
