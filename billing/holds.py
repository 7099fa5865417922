"""Holds: tokens set aside for a turn before it runs. held → settled | released, once.

A hold only reserves; lots are spent at settlement, in order of expiry. Each operation is one statement that calls a
function of the database (docs/decisions/ledger-in-plpgsql.md).
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from billing import amounts
from kit import db
from kit.errors import Conflict, InsufficientTokens

_PLACE = "SELECT * FROM hold_place($1, $2, $3, $4, $5, $6)"
_SETTLE = "SELECT * FROM hold_settle($1, $2, $3, $4, $5)"


@dataclass(frozen=True, slots=True)
class Hold:
    """A hold of `tokens`; `status` is "held" unless the same (turn, step) was resolved before."""

    person_id: int
    turn_id: int
    step: int
    tokens: int
    status: str


@dataclass(frozen=True, slots=True)
class Settlement:
    """What an answer cost. Tokens: `charged` to the wallet, `courtesy` given by the house, `unpaid` by nobody.

    `posted_after` and `reserved_after` are the wallet's; `available_after` is what may be held next.
    """

    held: int
    charged: int
    courtesy: int
    unpaid: int
    posted_after: int
    reserved_after: int

    @property
    def available_after(self) -> int:
        return self.posted_after - self.reserved_after


async def place(
    tx: AsyncConnection, *, person_id: int, turn_id: int, step: int = 0, tokens_min: int, tokens_max: int, now: datetime
) -> Hold:
    """Hold min(available, tokens_max) of a person's tokens, after expiring the lots that are due.

    Idempotent by (turn_id, step): the first hold is returned again, resolved or not. Raises InsufficientTokens when
    less than `tokens_min` is available, Conflict when the key belongs to another person.
    """
    amounts.tokens(tokens_min)
    amounts.tokens(tokens_max, least=tokens_min)
    row = await db.call(tx, _PLACE, person_id, turn_id, step, tokens_min, tokens_max, now)
    if row["outcome"] == "insufficient":
        raise InsufficientTokens(
            posted=row["wallet_posted"] or 0, reserved=row["wallet_reserved"] or 0, needed=tokens_min
        )
    if row["outcome"] == "conflict":
        raise Conflict(f"hold {turn_id}/{step} belongs to another person")
    return Hold(person_id, turn_id, step, row["held"], row["outcome"])


async def settle(
    tx: AsyncConnection, *, turn_id: int, step: int = 0, tokens: int, now: datetime, courtesy_max: int = 0
) -> Settlement | None:
    """Resolve a hold by what was used. None: it is resolved already, or never was; the caller discards its result.

    What exceeds the hold comes from the free balance, then from a courtesy lot of at most `courtesy_max`, then from
    nobody. The balance never falls below zero or below what other holds reserve.
    """
    amounts.tokens(tokens, least=0)
    amounts.tokens(courtesy_max, least=0)
    row = await db.call(tx, _SETTLE, turn_id, step, tokens, courtesy_max, now)
    if row["outcome"] is None:
        return None
    return Settlement(
        held=row["held"],
        charged=row["charged"],
        courtesy=row["courtesy"],
        unpaid=tokens - row["charged"] - row["courtesy"],
        posted_after=row["wallet_posted"],
        reserved_after=row["wallet_reserved"],
    )


async def release(tx: AsyncConnection, *, turn_id: int, step: int = 0, now: datetime) -> bool:
    """Give a hold back uncharged. False: it is resolved already, or never was."""
    row = await db.call(tx, _SETTLE, turn_id, step, None, 0, now)
    return row["outcome"] is not None
