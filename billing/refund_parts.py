"""Parts of a payment that go back: a share of its tokens goes with each; lots, access and renewals stay.

    share = tokens · amount ÷ what had not gone back before, rounded down, in the person's favour

Of what is left the share is taken back, of what was spent it is forgiven. What answers under way hold is not taken, and
what repaid a debt stays repaid, until the parts come to the whole: then everything that is left goes (billing.refunds).
A month that is granted later loses each part's share as it comes. Callers have locked the wallet and the payment.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from billing import debts, lots
from billing.payments import STARS
from billing.tables import accounts, ledger_tx, lot_consumptions, payments, refunds
from billing.tables import lots as lots_table
from kit.errors import Rejected

_BIG, _TIME = sa.BigInteger(), sa.DateTime(timezone=True)
_TAKE: Final = sa.text("SELECT part_take_back(:refund, :wallet, :payment, :lot, :tokens, :now)").bindparams(
    sa.bindparam("refund", type_=_BIG),
    sa.bindparam("wallet", type_=_BIG),
    sa.bindparam("payment", type_=_BIG),
    sa.bindparam("lot", type_=_BIG),
    sa.bindparam("tokens", type_=_BIG),
    sa.bindparam("now", type_=_TIME),
)


class MoreThanLeft(Rejected):
    """So much of the payment is not there any more: `left` is, in Stars or kopecks."""

    code = "error-refund-more-than-left"

    def __init__(self, *, left: int) -> None:
        super().__init__(left=left)
        self.left = left


class WholeOnly(Rejected):
    """Telegram gives a payment in Stars back whole or not at all."""

    code = "error-refund-whole-only"


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to go back: `amount` of the `left` that no refund has yet; `partial`: more than that is still here."""

    amount: int
    left: int
    partial: bool


@dataclass(frozen=True, slots=True)
class Sums:
    """What a payment's refunds come to, in Stars or kopecks: `back` has gone back, `going` is on its way."""

    back: int
    going: int


@dataclass(frozen=True, slots=True)
class Tokens:
    """A payment's tokens: `bought`, `left` in its lots, and `refunded`: taken back, forgiven or owed."""

    bought: int
    left: int
    refunded: int


def share(tokens: int, amount: int, whole: int) -> int:
    """Return which of `tokens` go with `amount` of `whole` money."""
    return tokens * amount // whole


async def ask(connection: AsyncConnection, payment: sa.Row[Any], amount: int | None) -> Asked:
    """Return what a refund of `amount` would be, or (None) of all that is left. Raises MoreThanLeft, WholeOnly."""
    found = await sums(connection, payment.id)
    left = payment.amount - found.back - found.going
    asked = left if amount is None else amount
    if not 0 < asked <= left:
        raise MoreThanLeft(left=left)
    # With another one on its way nobody knows yet whether the two will come to the whole.
    partial = asked < payment.amount - found.back
    if partial and payment.provider == STARS:
        raise WholeOnly(payment=payment.id)
    return Asked(asked, left, partial)


async def sums(connection: AsyncConnection, payment_id: int) -> Sums:
    """Return what the refunds of a payment come to."""
    back = refunds.c.status == "succeeded"
    query = sa.select(
        sa.func.coalesce(sa.func.sum(refunds.c.amount).filter(back), 0),
        sa.func.coalesce(sa.func.sum(refunds.c.amount).filter(~back), 0),
    ).where(refunds.c.payment_id == payment_id, refunds.c.status != "canceled")
    found = (await connection.execute(query)).one()
    return Sums(int(found[0]), int(found[1]))


async def tokens_of(connection: AsyncConnection, payment_id: int) -> Tokens | None:
    """Return what became of a payment's tokens; None when it brought none, as one in quarantine does."""
    refunded = (
        sa.select(sa.func.coalesce(sa.func.sum(refunds.c.tokens), 0))
        .where(refunds.c.payment_id == payment_id, refunds.c.status != "canceled")
        .scalar_subquery()
    )
    query = sa.select(
        sa.func.sum(lots_table.c.granted).filter(lots_table.c.kind != "restored"),
        sa.func.sum(lots_table.c.remaining),
        refunded,
    ).where(lots_table.c.payment_id == payment_id)
    bought, left, gone = (await connection.execute(query)).one()
    return None if bought is None else Tokens(int(bought), int(left), int(gone))


async def take(
    tx: AsyncConnection, refund_id: int, payment_id: int, asked: Asked, *, wallet: int, now: datetime
) -> None:
    """Take the share of a part that was asked back, and forgive its share of what was spent."""
    await lots.expire(tx, account_id=wallet, now=now)
    found = await tokens_of(tx, payment_id)
    if found is None:
        return
    repaid = await debts.repaid_by(tx, payment_id=payment_id)
    forgiven = share(max(0, found.bought - found.refunded - found.left - repaid), asked.amount, asked.left)
    await tx.execute(
        sa.update(refunds).where(refunds.c.id == refund_id).values(tokens=forgiven, tokens_forgiven=forgiven)
    )
    await _take(tx, refund_id, wallet, payment_id, None, share(found.left, asked.amount, asked.left), now)


async def take_of_lot(tx: AsyncConnection, *, payment_id: int, lot_id: int, now: datetime) -> int:
    """Take each part's share of a lot that its payment has brought only now; return the tokens that went."""
    found = await tx.execute(
        sa.select(refunds.c.id, refunds.c.amount, payments.c.amount.label("paid"))
        .add_columns(lots_table.c.granted, lots_table.c.account_id)
        .join(payments, payments.c.id == refunds.c.payment_id)
        .join(lots_table, lots_table.c.payment_id == payments.c.id)
        .where(refunds.c.payment_id == payment_id, refunds.c.partial, refunds.c.status != "canceled")
        .where(lots_table.c.id == lot_id)
        .order_by(refunds.c.id)
    )
    gone = 0
    for part in found.all():
        tokens = share(part.granted, part.amount, part.paid)
        gone += await _take(tx, part.id, part.account_id, payment_id, lot_id, tokens, now)
    return gone


async def restore(tx: AsyncConnection, *, refund_id: int, now: datetime) -> None:
    """Grant again what a part took that does not go back after all, each lot's tokens until they would have lapsed."""
    name = sa.func.concat(refund_id, ":", lots_table.c.id)
    taken = await tx.execute(
        sa.select(lots_table, lot_consumptions.c.amount, accounts.c.person_id)
        .join(refunds, refunds.c.payment_id == lots_table.c.payment_id)
        .join(accounts, accounts.c.id == lots_table.c.account_id)
        .join(
            ledger_tx,
            sa.and_(ledger_tx.c.kind == "takeback", ledger_tx.c.ref_type == "part", ledger_tx.c.ref_id == name),
        )
        .join(
            lot_consumptions,
            sa.and_(lot_consumptions.c.lot_id == lots_table.c.id, lot_consumptions.c.tx_id == ledger_tx.c.id),
        )
        .where(refunds.c.id == refund_id)
        .order_by(lots_table.c.id)
    )
    restored = 0
    for lot in taken.all():
        if lot.expires_at is not None and lot.expires_at <= now:
            continue
        again = await lots.grant(
            tx,
            person_id=lot.person_id,
            tokens=lot.amount,
            kind="restored",
            ref_type="refund",
            ref_id=f"{refund_id}:{lot.id}",
            expires_at=lot.expires_at,
            now=now,
            payment_id=lot.payment_id,
            plan_version=lot.plan_version_id,
        )
        await debts.repay(tx, lot_id=again.id, now=now)  # what was paid for repays what is owed, as before
        restored += lot.amount
    await tx.execute(sa.update(refunds).where(refunds.c.id == refund_id).values(tokens_restored=restored))


async def _take(
    tx: AsyncConnection, refund_id: int, wallet: int, payment_id: int, lot_id: int | None, tokens: int, now: datetime
) -> int:
    values = {"refund": refund_id, "wallet": wallet, "payment": payment_id, "lot": lot_id, "tokens": tokens, "now": now}
    return int((await tx.execute(_TAKE, values)).scalar_one())
