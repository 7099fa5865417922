"""Forma for persons who talk a lot: a free plan without haste, and as little context as a test likes."""

import contextlib
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import sandbox.model.server
import sandbox.telegram.server
from tests.support.forma import Forma, running
from tests.support.stack import ROOT
from tests.support.telegram import Person

QUICK = {"first_token_base_s": 0.005, "inter_token_s": 0.001, "jitter": 0.0}


def plans(folder: Path, *, context_tokens: int) -> Path:
    """The product's plans.toml with a free plan that lets a test hurry."""
    text = (ROOT / "plans.toml").read_text(encoding="utf-8")
    head, mark, free = text.partition("[free]")
    wanted = {
        "daily_tokens": 900_000,
        "requests_per_minute": 1_000,
        "tokens_per_minute": 1_000_000,
        "queued": 20,
        "context_tokens": context_tokens,
    }
    for name, value in wanted.items():
        free = re.sub(rf"(?m)^{name} = \S+", f"{name} = {value}", free, count=1)
    written = folder / "plans.toml"
    written.write_text(head + mark + free, encoding="utf-8")
    return written


async def put_off(forma: Forma, person: Person, kind: str, tries: int) -> None:
    """Wait until a piece of the house's work for a person has failed so many times, and the failure is written down.

    A claim lasts longer than the pause after a failure; after the last one the work rests.
    """
    sql = """
        SELECT count(*) = 1 FROM house_work w JOIN dialogs d ON d.id = w.dialog_id
        WHERE d.person_id = :id AND w.kind = :kind AND w.tries = :tries
          AND (w.due_at IS NULL OR w.due_at - w.tried_at < interval '170 seconds')
    """
    await forma.quiet_until(sql, id=person.id, kind=kind, tries=tries)


@contextlib.asynccontextmanager
async def talkative(
    database_url: str, redis_url: str, folder: Path, *, context_tokens: int = 8_000, **more: Any
) -> AsyncIterator[Forma]:
    """Forma with a Telegram and a quick model server of its own; `more` are settings."""
    tg = await sandbox.telegram.server.start()
    model = await sandbox.model.server.start(**QUICK)
    settings = {"plans_file": plans(folder, context_tokens=context_tokens), **more}
    try:
        async with running(database_url, redis_url, tg, model, **settings) as forma:
            yield forma
    finally:
        await model.close()
        await tg.close()
