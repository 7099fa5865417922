"""Debts: tokens of a purchase that was charged back after they were spent. Repaid from paid credits alone.

A debt is the balance of the person's debt account, below zero by what is owed; which chargeback left what of it stands
in refunds (tokens_owed less tokens_repaid). Callers have locked the wallet.
"""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.tables import accounts, ledger_tx, lot_consumptions, lots, refunds

_BIG, _TIME = sa.BigInteger(), sa.DateTime(timezone=True)
_ADD = sa.text("SELECT debt_add(:refund, :wallet, :ref, :tokens, :now)").bindparams(
    sa.bindparam("refund", type_=_BIG),
    sa.bindparam("wallet", type_=_BIG),
    sa.bindparam("ref", type_=sa.Text()),
    sa.bindparam("tokens", type_=_BIG),
    sa.bindparam("now", type_=_TIME),
)
_REPAY = sa.text("SELECT debt_repay(:lot, :now)").bindparams(
    sa.bindparam("lot", type_=_BIG), sa.bindparam("now", type_=_TIME)
)
_REVIVE = sa.text("SELECT debt_revive(:payment, :now)").bindparams(
    sa.bindparam("payment", type_=_BIG), sa.bindparam("now", type_=_TIME)
)


async def add(tx: AsyncConnection, *, refund_id: int, wallet: int, tokens: int, now: datetime) -> None:
    """Let the owner of a wallet (account id) owe the tokens that a chargeback could not take back, if there are any."""
    if tokens:
        values = {"refund": refund_id, "wallet": wallet, "ref": str(refund_id), "tokens": tokens, "now": now}
        await tx.execute(_ADD, values)


async def repay(tx: AsyncConnection, *, lot_id: int, now: datetime) -> int:
    """Repay what the owner of a lot that was just paid for owes, from that lot; return the tokens that went."""
    return int((await tx.execute(_REPAY, {"lot": lot_id, "now": now})).scalar_one())


async def revive(tx: AsyncConnection, *, payment_id: int, now: datetime) -> int:
    """Let the owner owe again what a payment's tokens repaid, since they are taken back; return how many."""
    return int((await tx.execute(_REVIVE, {"payment": payment_id, "now": now})).scalar_one())


async def owed(connection: AsyncConnection, *, person_id: int) -> int:
    """Return the tokens that a person owes."""
    due = sa.func.coalesce(sa.func.sum(refunds.c.tokens_owed - refunds.c.tokens_repaid), 0)
    query = sa.select(due).join(accounts, accounts.c.id == refunds.c.debt_account_id)
    return int((await connection.execute(query.where(accounts.c.person_id == person_id))).scalar_one())


async def repaid_by(connection: AsyncConnection, *, payment_id: int) -> int:
    """Return the tokens of a payment that went into its owner's debt."""
    query = (
        sa.select(sa.func.coalesce(sa.func.sum(lot_consumptions.c.amount), 0))
        .join(lots, lots.c.id == lot_consumptions.c.lot_id)
        .join(ledger_tx, ledger_tx.c.id == lot_consumptions.c.tx_id)
        .where(lots.c.payment_id == payment_id, ledger_tx.c.kind == "takeback", ledger_tx.c.ref_type == "repayment")
    )
    return int((await connection.execute(query)).scalar_one())
