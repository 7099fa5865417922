"""Lots: tokens that came together and lapse together. Spent in order of expiry; one without expiry comes last."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Literal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from billing import amounts, debts
from billing.tables import accounts, lots
from kit.errors import Conflict

# What a period's tokens outlive it by, where the plan lets them roll over.
ROLL_OVER: Final = timedelta(days=30)

Kind = Literal["daily", "welcome", "plan", "pack", "grant", "gift", "trial", "promo", "restored"]

_BIG, _TIME = sa.BigInteger(), sa.DateTime(timezone=True)

_GRANT = sa.text(
    "SELECT * FROM lot_grant(:person, :tokens, :kind, :ledger_kind, :ref_type, :ref_id,"
    " :expires_at, :now, :payment, :plan_version, :currency, :money)"
).bindparams(
    sa.bindparam("person", type_=_BIG),
    sa.bindparam("tokens", type_=_BIG),
    sa.bindparam("kind", type_=sa.Text()),
    sa.bindparam("ledger_kind", type_=sa.Text()),
    sa.bindparam("ref_type", type_=sa.Text()),
    sa.bindparam("ref_id", type_=sa.Text()),
    sa.bindparam("expires_at", type_=_TIME),
    sa.bindparam("now", type_=_TIME),
    sa.bindparam("payment", type_=_BIG),
    sa.bindparam("plan_version", type_=_BIG),
    sa.bindparam("currency", type_=sa.Text()),
    sa.bindparam("money", type_=_BIG),
)
_EXPIRE = sa.text("SELECT lots_expire(:account, :now)").bindparams(
    sa.bindparam("account", type_=_BIG), sa.bindparam("now", type_=_TIME)
)


@dataclass(frozen=True, slots=True)
class Lot:
    """Tokens granted at once; `remaining` of them are left until `expires_at` (None: they never lapse)."""

    id: int
    kind: str
    granted: int
    remaining: int
    expires_at: datetime | None
    repeated: bool = False


async def grant(
    tx: AsyncConnection,
    *,
    person_id: int,
    tokens: int,
    kind: Kind,
    ref_type: str,
    ref_id: str,
    expires_at: datetime | None,
    now: datetime,
    payment_id: int | None = None,
    plan_version: int | None = None,
) -> Lot:
    """Credit a lot that nobody paid for; the wallet is made when it is missing.

    Idempotent by (ref_type, ref_id): the earlier lot comes back with `repeated`. Raises Conflict when that one is
    another person's or of another size, ValueError for an amount that no lot can have.
    """
    return await _credit(
        tx,
        person=person_id,
        tokens=amounts.tokens(tokens),
        kind=kind,
        ledger_kind="grant",
        ref_type=ref_type,
        ref_id=ref_id,
        expires_at=expires_at,
        now=now,
        payment=payment_id,
        plan_version=plan_version,
        currency=None,
        money=None,
    )


async def purchase(
    tx: AsyncConnection,
    *,
    person_id: int,
    tokens: int,
    kind: Kind,
    payment_id: int,
    currency: str,
    amount: int,
    plan_version: int,
    expires_at: datetime | None,
    now: datetime,
) -> Lot:
    """Credit the lot that a payment bought, and book its money, in one ledger transaction. Idempotent by payment.

    What the person owes for a chargeback is repaid from it at once.
    """
    bought = await _credit(
        tx,
        person=person_id,
        tokens=amounts.tokens(tokens),
        kind=kind,
        ledger_kind="purchase",
        ref_type="payment",
        ref_id=str(payment_id),
        expires_at=expires_at,
        now=now,
        payment=payment_id,
        plan_version=plan_version,
        currency=currency,
        money=amounts.money(amount),
    )
    if bought.repeated:
        return bought
    repaid = await debts.repay(tx, lot_id=bought.id, now=now)
    return replace(bought, remaining=bought.remaining - repaid)


async def _credit(tx: AsyncConnection, **values: object) -> Lot:
    row = (await tx.execute(_GRANT, values)).one()
    if row.outcome == "conflict":
        raise Conflict(f"{values['ledger_kind']} {values['ref_type']} {values['ref_id']} was made with other terms")
    lot = (await tx.execute(_SELECT.where(lots.c.id == row.lot_id))).one()
    return Lot(*lot, repeated=row.outcome == "repeated")


_SELECT = sa.select(lots.c.id, lots.c.kind, lots.c.granted, lots.c.remaining, lots.c.expires_at)


async def live(connection: AsyncConnection, *, person_id: int) -> list[Lot]:
    """Return a person's lots with tokens in them, in the order of spending.

    One that is due already is among them while an answer that began before its expiry holds its tokens.
    """
    rows = await connection.execute(
        _SELECT.join(accounts, accounts.c.id == lots.c.account_id)
        .where(accounts.c.person_id == person_id, accounts.c.kind == "wallet", lots.c.live)
        .order_by(lots.c.expires_at.nulls_last(), lots.c.id)
    )
    return [Lot(*row) for row in rows]


async def expire(tx: AsyncConnection, *, account_id: int, now: datetime) -> int:
    """End the due lots of a wallet that the caller has locked; return the tokens that lapsed."""
    gone: int = (await tx.execute(_EXPIRE, {"account": account_id, "now": now})).scalar_one()
    return gone


async def expire_due(tx: AsyncConnection, *, now: datetime, limit: int) -> int:
    """End the due lots of up to `limit` wallets, within what no hold reserves; return the tokens that lapsed.

    Balances are right without this, since a hold expires what is due first; it keeps the books of idle persons true.
    """
    due = await tx.execute(
        sa.select(accounts.c.id)
        .where(
            accounts.c.posted > accounts.c.reserved,
            accounts.c.id.in_(
                sa.select(lots.c.account_id).where(lots.c.live, lots.c.expires_at <= now).order_by(lots.c.expires_at)
            ),
        )
        .order_by(accounts.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True, key_share=True)
    )
    gone = 0
    for account_id in due.scalars().all():
        gone += await expire(tx, account_id=account_id, now=now)
    return gone
