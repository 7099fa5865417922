"""The list of Star transactions, read on from Telegram: by schedule, after a start, and when the operator asks.

A page is stored with the position behind it in one transaction, so a crash between two pages loses nothing and reads
nothing twice that would count twice. Every reading begins a little before its position: what Telegram says of the last
lines may have changed, and a list that is shorter than it was is read from its beginning.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import structlog
from aiogram.methods import GetMyStarBalance

from app.context import App
from billing import star_transactions
from billing.star_transactions import NANO, Transaction
from bot.sender import Sender
from bot.star_entries import ReadStarTransactions, page_of
from kit.errors import FormaError, Unavailable

log = structlog.get_logger(__name__)

# After a start updates that waited come first: what they tell is then not taken for lost.
FIRST_AFTER_S: Final = 60.0
EVERY_S: Final = 3_600.0
# When a reading ended at its bound instead of the list's end.
GO_ON_AFTER_S: Final = 30.0
PAGE: Final = 100  # Telegram's own limit
OVERLAP: Final = 50
PAGES_MAX: Final = 50
JOB: Final = "reconcile_stars"


@dataclass(frozen=True, slots=True)
class Progress:
    """What a reading did: new lines stored, and whether the end of the list was reached."""

    new: int
    complete: bool


class StarList:
    """Reads the list; one reading at a time."""

    def __init__(self, app: App, sender: Sender) -> None:
        self._app = app
        self._sender = sender
        self._one = asyncio.Lock()

    async def run(self) -> None:
        """Read and let a worker reconcile, until cancelled."""
        pause_s = FIRST_AFTER_S
        while True:
            await asyncio.sleep(pause_s)
            pause_s = EVERY_S
            try:
                progress = await self.read()
                if not progress.complete:
                    pause_s = GO_ON_AFTER_S
                await self._app.jobs.enqueue(JOB, "fetch")
            except FormaError as error:  # read on next time; a worker reconciles daily by itself
                log.warning("star_list_unread", error=type(error).__name__, detail=str(error)[:200])
            except Exception:
                log.exception("star_list_failed")

    async def read(self) -> Progress:
        """Read on to the end, or PAGES_MAX pages. Raises Unavailable, or Refused where Telegram will not."""
        async with self._one:
            began = self._app.clock.now()
            balance = await self._balance()
            new, offset = 0, None
            for _ in range(PAGES_MAX):
                async with self._app.db.read() as connection:
                    position = (await star_transactions.reading(connection)).position
                offset = max(position - OVERLAP, 0) if offset is None else min(offset, position)
                page = await self._page(offset)
                reached = offset + len(page)
                if reached < position:
                    log.warning("star_list_shorter", position=position, reached=reached)
                    reached = 0
                stored = await self._store(page, expected=position, position=reached)
                new += stored or 0
                if stored is None or reached < position:
                    offset = 0 if stored is not None else None
                    continue
                offset = reached
                if len(page) < PAGE:
                    await self._reach_end(balance if balance == await self._balance() else None, began)
                    return Progress(new, complete=True)
            return Progress(new, complete=False)

    async def _page(self, offset: int) -> list[Transaction]:
        answer = await self._sender.answer(ReadStarTransactions(offset=offset, limit=PAGE))
        try:
            return page_of(answer, offset, self._app.clock.now())
        except TypeError as error:
            raise Unavailable("telegram", str(error)) from error

    async def _balance(self) -> int:
        found: Any = await self._sender.answer(GetMyStarBalance())
        return int(found.amount) * NANO + int(found.nanostar_amount or 0)

    async def _store(self, page: list[Transaction], *, expected: int, position: int) -> int | None:
        app = self._app
        async with app.db.transaction() as tx:
            return await star_transactions.store_page(
                tx, page, expected=expected, position=position, now=app.clock.now()
            )

    async def _reach_end(self, balance: int | None, began: datetime) -> None:
        async with self._app.db.transaction() as tx:
            await star_transactions.reach_end(tx, balance_nanostars=balance, read_to=began, now=self._app.clock.now())
