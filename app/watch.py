"""Watch: what an operator must hear of at night is looked for once a minute, and told once for each incident."""

from datetime import datetime, timedelta

import sqlalchemy as sa
import structlog

from app import diagnosis, incidents
from app.context import App
from kit import outbox

log = structlog.get_logger(__name__)

FAILED_WINDOW = timedelta(minutes=10)
FAILED_MIN = 5
# One look can be unlucky: a restart of the model server, a minute of Telegram's.
PATIENCE_LOOKS = 2
JOB_QUIET = timedelta(minutes=10)


async def look(app: App) -> None:
    """Look at the models, the outbox, failed answers and jobs; tell what is new and what is over. Idempotent."""
    now = app.clock.now()
    await _models(app, now)
    await _outbox(app, now)
    await _failed_turns(app, now)


async def _models(app: App, now: datetime) -> None:
    for model in app.models.of("chat"):
        part = await diagnosis.model(model)
        name, args = f"model:{model.id}", {"model": model.id}
        async with app.db.transaction() as tx:
            if part.state != "bad":
                await incidents.over(app, tx, name, "admin-alert-model-up", args, now=now)
            elif await incidents.seen(app, tx, name, "admin-alert-model-down", args, now=now, patience=PATIENCE_LOOKS):
                log.error("model_down", model=model.id)


async def _outbox(app: App, now: datetime) -> None:
    async with app.db.transaction() as tx:
        waiting, oldest_s = await outbox.waiting(tx, now=now)
        if oldest_s < diagnosis.OUTBOX_AGE_BAD_S:
            await incidents.over(app, tx, "outbox", "admin-alert-outbox-over", {}, now=now)
            return
        args = {"waiting": waiting, "oldest_s": int(oldest_s)}
        if await incidents.seen(app, tx, "outbox", "admin-alert-outbox", args, now=now, patience=PATIENCE_LOOKS):
            log.error("outbox_stuck", waiting=waiting, oldest_s=int(oldest_s))


async def _failed_turns(app: App, now: datetime) -> None:
    async with app.db.transaction() as tx:
        count: int = (
            await tx.execute(
                sa.text(
                    """
                    SELECT count(*) FROM turns
                    WHERE status = 'failed' AND closed_at > :since AND created_at > :since - interval '1 day'
                    """
                ),
                {"since": now - FAILED_WINDOW},
            )
        ).scalar_one()
        args = {"window_s": int(FAILED_WINDOW.total_seconds()), "count": count}
        if count >= FAILED_MIN:
            if await incidents.seen(app, tx, "turns", "admin-alert-turns-failed", args, now=now):
                log.error("turns_failed", count=count)
        elif not count:
            await incidents.over(app, tx, "turns", "admin-alert-turns-over", args, now=now)


async def job_failed(app: App, name: str, code: str, *, passing: bool) -> None:
    """Tell that a job failed. `passing`: something it stands on was away, which one more failure must confirm."""
    now = app.clock.now()
    async with app.db.transaction() as tx:
        await incidents.seen(
            app,
            tx,
            f"job:{name}",
            "admin-alert-job",
            {"job": name, "code": code},
            now=now,
            patience=PATIENCE_LOOKS if passing else 1,
        )


async def job_done(app: App, name: str, *, quiet: timedelta | None = None) -> None:
    """Tell that a job which had failed works again; of frequent jobs only after a while without a failure."""
    now = app.clock.now()
    async with app.db.transaction() as tx:
        await incidents.over(app, tx, f"job:{name}", "admin-alert-job-over", {"job": name}, now=now, quiet=quiet)
