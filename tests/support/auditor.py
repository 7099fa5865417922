"""An auditor who reads everybody's books: Forma's, the simulated Telegram's and its shop's. He trusts none of them.

What he finds is named; two books that agree to the Star, the kopeck and the token have no differences.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, NamedTuple

import sqlalchemy as sa

from kit.db import Database
from tests.support.shop_driver import SandboxShop
from tests.support.telegram import SandboxTelegram

# What a payment should have brought: its order's tokens, or its months that have begun, or the gift once it is taken.
LEDGER = """
    SELECT p.provider_payment_id AS id, p.payer_id, p.amount, p.status, p.quarantine_reason IS NOT NULL AS aside,
           coalesce(l.granted, 0) AS granted,
           (SELECT coalesce(sum(r.amount), 0) FROM refunds r
            WHERE r.payment_id = p.id AND r.kind = 'refund' AND r.status = 'succeeded') AS refunded,
           CASE WHEN m.payment_id IS NOT NULL THEN m.tokens
                WHEN o.gift AND g.status IS DISTINCT FROM 'redeemed' THEN 0
                ELSE o.tokens END AS tokens
    FROM payments p
    LEFT JOIN orders o ON o.id = p.order_id
    LEFT JOIN gifts g ON g.payment_id = p.id
    LEFT JOIN (
        SELECT payment_id, coalesce(sum(tokens) FILTER (WHERE status = 'granted'), 0) AS tokens
        FROM subscription_months GROUP BY payment_id
    ) m ON m.payment_id = p.id
    LEFT JOIN (
        SELECT payment_id, sum(granted) AS granted FROM lots WHERE kind NOT IN ('restored', 'promo')
        GROUP BY payment_id
    ) l ON l.payment_id = p.id
    WHERE p.provider = :provider AND p.status IN ('succeeded', 'partially_refunded', 'refunded', 'charged_back')
"""
CASH = """
    SELECT coalesce(sum(e.amount), 0) FROM ledger_entries e JOIN accounts a ON a.id = e.account_id
    WHERE a.code = :code
"""


class Difference(NamedTuple):
    """Two books that do not agree: on what, and what each says."""

    what: str
    forma: Any
    other: Any


async def of_telegram(tg: SandboxTelegram, db: Database) -> list[Difference]:
    """Compare Forma's books with Telegram's: charge by charge, refunds, tokens, and all Stars."""
    state = await tg.state()
    theirs = {payment["charge_id"]: payment for payment in state["payments"]}
    ours = await _ours(db, "stars")
    found = _missing("charge", ours, theirs) + _tokens(ours.values())
    for charge in ours.keys() & theirs.keys():
        mine, other = ours[charge], theirs[charge]
        if (mine.payer_id, mine.amount) != (other["person_id"], other["amount"]):
            found.append(Difference(f"charge {charge}", (mine.payer_id, mine.amount), other))
        if (mine.status == "refunded") != bool(other["refunded"]):
            found.append(Difference(f"refund of {charge}", mine.status, other["refunded"]))
    return found + await _sum(db, "stars", "all Stars", state["bot"]["stars"])


async def of_the_shop(shop: SandboxShop, db: Database) -> list[Difference]:
    """Compare Forma's books with the shop's, in kopecks: payment by payment, with what went back, and the sum.

    What a payer's bank took back stands in no book of the shop's: only Forma's operator has noted it.
    """
    listed = (await shop.control("GET", "payments", None, status="succeeded"))["payments"]
    theirs = {one["id"]: one for one in listed}
    ours = await _ours(db, "yookassa")
    found = _missing("payment", ours, theirs) + _tokens(ours.values())
    for number in ours.keys() & theirs.keys():
        mine, other = ours[number], theirs[number]
        if mine.amount != _kopecks(other["amount"]):
            found.append(Difference(f"payment {number}", mine.amount, other["amount"]))
        if mine.refunded != (back := _kopecks(other.get("refunded_amount"))):
            found.append(Difference(f"refund of {number}", mine.refunded, back))
    totals = await shop.totals()
    taken = sum(mine.amount for mine in ours.values() if mine.status == "charged_back")
    return found + await _sum(db, "roubles", "all kopecks", totals["paid"] - totals["refunded"] - taken)


def _kopecks(money: dict[str, str] | None) -> int:
    return int(Decimal(money["value"]) * 100) if money else 0


async def _ours(db: Database, provider: str) -> dict[str, Any]:
    async with db.read() as connection:
        return {row.id: row for row in await connection.execute(sa.text(LEDGER), {"provider": provider})}


async def _sum(db: Database, code: str, what: str, theirs: int) -> list[Difference]:
    async with db.read() as connection:
        ours = await connection.scalar(sa.text(CASH), {"code": code})
    return [Difference(what, ours, theirs)] if ours != theirs else []


def _missing(what: str, ours: dict[str, Any], theirs: dict[str, Any]) -> list[Difference]:
    """What only one side knows."""
    unheard = [Difference(f"{what} {one}", "never heard of", theirs[one]) for one in theirs.keys() - ours.keys()]
    return unheard + [Difference(f"{what} {one}", ours[one], "never taken") for one in ours.keys() - theirs.keys()]


def _tokens(ours: Iterable[Any]) -> list[Difference]:
    """Payments that brought other tokens than were sold; what was put aside brought none."""
    return [
        Difference(f"tokens of {mine.id}", mine.granted, mine.tokens)
        for mine in ours
        if not mine.aside and mine.granted != mine.tokens
    ]
