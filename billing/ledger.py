"""The ledger: transactions of signed entries that sum to zero per unit, append only, once per (kind, ref).

Wallets belong to persons and cache their balance; house accounts are sums. What runs with every answer (holds, lots)
is in the database's functions; here stand the rarer postings and the wallet's lock.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import IntEnum

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.tables import accounts, ledger_entries, ledger_tx


class House(IntEnum):
    """The house accounts, with the ids that the migration gives them."""

    TOKENS_SOLD = 1
    TOKENS_GIVEN = 2
    TOKENS_USED = 3
    TOKENS_LAPSED = 4
    TOKENS_TAKEN_BACK = 5
    STARS = 10
    STARS_EARNED = 11
    STARS_UNCLEAR = 12
    ROUBLES = 20
    ROUBLES_EARNED = 21
    ROUBLES_UNCLEAR = 22


# Where a currency's money lies, what of it is earned, and what nobody could assign yet.
CASH = {"XTR": House.STARS, "RUB": House.ROUBLES}
EARNED = {"XTR": House.STARS_EARNED, "RUB": House.ROUBLES_EARNED}
UNCLEAR = {"XTR": House.STARS_UNCLEAR, "RUB": House.ROUBLES_UNCLEAR}


async def post(
    tx: AsyncConnection,
    *,
    kind: str,
    ref_type: str,
    ref_id: str,
    entries: Sequence[tuple[int, int]],
    now: datetime,
) -> bool:
    """Post (account id, amount) entries between house accounts; False when this (kind, ref) was posted before.

    Wallets are not for this function: their balance, lots and entries change together, in `holds` and `lots`.
    """
    assert all(account in House.__members__.values() for account, _ in entries)
    tx_id = (
        await tx.execute(
            insert(ledger_tx)
            .values(kind=kind, ref_type=ref_type, ref_id=ref_id, created_at=now)
            .on_conflict_do_nothing(index_elements=["kind", "ref_type", "ref_id"])
            .returning(ledger_tx.c.id)
        )
    ).scalar_one_or_none()
    if tx_id is None:
        return False
    # One INSERT for the whole transaction: the database judges each statement's entries together.
    rows = [{"tx_id": tx_id, "account_id": int(account), "amount": amount} for account, amount in entries]
    await tx.execute(sa.insert(ledger_entries).values(rows))
    return True


async def lock_wallet(tx: AsyncConnection, *, person_id: int, now: datetime) -> int:
    """Lock a person's wallet (made when missing) until the transaction ends; return its account id.

    Everything that concerns one person's money takes this lock first: that is the lock order, and what makes a
    person's purchases, refunds and answers come one after the other.
    """
    locked = (
        sa.select(accounts.c.id)
        .where(accounts.c.person_id == person_id, accounts.c.kind == "wallet")
        .with_for_update(key_share=True)
    )
    account_id: int | None = (await tx.execute(locked)).scalar_one_or_none()
    if account_id is None:
        await tx.execute(
            insert(accounts)
            .values(person_id=person_id, kind="wallet", unit="token", created_at=now)
            .on_conflict_do_nothing(index_elements=["person_id", "kind"])
        )
        account_id = (await tx.execute(locked)).scalar_one()
    assert account_id is not None
    return account_id
