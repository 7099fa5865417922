"""Reconcile Stars: what Telegram's list has and we do not is booked, what differs is named, and the operator is told.

Database work alone: the bot reads the list (bot/star_list.py). Everything that is booked goes the way that its update
would have gone, so a run may be repeated, or meet another one or the late update itself, and changes nothing.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from app import persons, purchase
from app.alerts import alert
from app.context import App
from app.notices import tell
from app.persons import Person
from app.purchase import StarsPayment, StarsRefund
from app.renewals import call_off
from billing import orders, payments, refunds, star_reconciliation, star_transactions
from billing.payments import Payment
from billing.star_reconciliation import Comparison, Difference
from billing.star_transactions import NANO, Reading, Transaction
from kit.errors import Unavailable

log = structlog.get_logger(__name__)

# A payment's own update comes within moments; with one that is older than this something went wrong.
SETTLE: Final = timedelta(hours=1)
BATCH_MAX: Final = 200
LINES_MAX: Final = 10_000
# More new differences than these are told as a number: after a restore there may be thousands.
TOLD_MAX: Final = 10
WHOLE_TIMEOUT_MS: Final = 120_000
RESULT_LOCK: Final = 0x53544152  # "STAR"

Cause = Literal["schedule", "fetch", "command"]
Found = Literal["credited", "refunded", "charged_back", "unknown", "nothing"]


@dataclass(frozen=True, slots=True)
class Summary:
    """What a reconciliation did and saw. `reading`: how far Telegram's list is known; `new`: differences told now."""

    credited: int
    refunded: int
    charged_back: int
    failed: int
    comparison: Comparison
    reading: Reading
    new: tuple[Difference, ...]


async def run(app: App, *, cause: Cause) -> Summary:
    """Book what is missing, compare both sides, keep the result, alert what is new. Idempotent; several may run."""
    began = app.clock.now()
    counts = {"credited": 0, "refunded": 0, "charged_back": 0, "failed": 0}
    failed = await _book_all(app, counts, before=began - SETTLE)
    counts["failed"] = len(failed)
    async with app.db.transaction() as tx:
        # One after the other from here, so that none closes a difference that another one has just seen.
        await tx.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": RESULT_LOCK})
        await tx.execute(sa.text(f"SET LOCAL statement_timeout = {WHOLE_TIMEOUT_MS}"))
        reading = await star_transactions.reading(tx)
        found = await star_reconciliation.compare(tx, read_to=reading.read_to)
        now = app.clock.now()
        await star_reconciliation.keep(tx, found, cause=cause, counts=counts, began_at=began, now=now)
        standing = [*found.unclear, *failed, *_of_balance(reading, found)]
        new = await star_reconciliation.see(tx, standing, now=now)
        await _tell_new(app, tx, new)
    log.info("stars_reconciled", cause=cause, unexplained=found.unexplained, new=len(new), **counts)
    return Summary(**counts, comparison=found, reading=reading, new=tuple(new))


async def _book_all(app: App, counts: dict[str, int], *, before: datetime) -> list[Difference]:
    """Go through the lines that nothing explains; return those that could not be booked."""
    failed: list[Difference] = []
    after_id = 0
    for _ in range(LINES_MAX // BATCH_MAX):
        async with app.db.transaction() as tx:
            await star_reconciliation.name_and_match(tx)
        async with app.db.read() as connection:
            lines = await star_transactions.unclassed(connection, before=before, after_id=after_id, limit=BATCH_MAX)
        for row_id, line in lines:
            after_id = row_id
            try:
                booked = await _book(app, row_id, line)
            except Unavailable:
                raise
            except Exception as error:
                log.exception(
                    "star_transaction_not_booked", transaction=line.transaction_id, error=type(error).__name__
                )
                failed.append(Difference(_subject(line), "uncredited", _signed(line)))
                continue
            if booked in counts:
                counts[booked] += 1
                log.warning("star_transaction_found", transaction=line.transaction_id, booked=booked)
        if len(lines) < BATCH_MAX:
            break
    async with app.db.transaction() as tx:
        await star_reconciliation.name_and_match(tx)
    return failed


async def _book(app: App, row_id: int, line: Transaction) -> Found:
    """Book one line in a transaction of its own."""
    now = app.clock.now()
    sale = line.partner == "user" and line.kind == "invoice_payment" and line.person_id is not None
    async with app.db.transaction() as tx:
        payment = await payments.by_charge(tx, charge_id=line.transaction_id)
        if line.direction == "in" and sale:
            return await _credit(app, tx, line, now)
        if line.direction == "out" and sale:
            return await _refund(app, tx, line, payment, now)
        if line.direction == "out" and payment is not None:
            # Stars that leave under a payment's own id, and not to its payer: the payer's bank took them back.
            return await charge_back(app, tx, payment, now=now)
        await star_reconciliation.leave_unknown(tx, row_id)
    return "unknown"


async def _credit(app: App, tx: AsyncConnection, line: Transaction, now: datetime) -> Found:
    """Credit a payment whose update was lost, as the update would have done.

    Telegram's list does not say whether it was a subscription's first payment, nor until when it runs: the first is
    the one that no earlier payment has the payload of, and a period is paid for from the moment of its charge.
    """
    assert line.person_id is not None
    person = await persons.find(tx, person_id=line.person_id) or _stranger(app, line.person_id)
    recurring = line.period_s is not None
    paid = StarsPayment(
        charge_id=line.transaction_id,
        payload=line.payload or "",
        person_id=person.id,
        amount=await _paid_stars(tx, line),
        is_recurring=recurring,
        is_first_recurring=recurring and not await star_transactions.began_before(tx, line),
        expires_at=line.at + timedelta(seconds=line.period_s) if line.period_s is not None else None,
    )
    credit = await purchase.record(app, tx, person, paid, now=now)
    if credit.outcome == "repeated":
        return "nothing"
    over = credit.outcome == "credited" and credit.until is not None and credit.until <= now
    args = {
        "stars": paid.amount,
        "id": person.id,
        "at": line.at.isoformat(),
        "outcome": "over" if over else credit.outcome,
    }
    key = f"alert:found:payment:{credit.payment_id}"
    await alert(app, tx, "admin-alert-star-payment-found", args, dedup_key=key, now=now)
    return "credited"


async def _paid_stars(tx: AsyncConnection, line: Transaction) -> int:
    """Return what the payer gave: the line's amount, with an affiliate's share where only so it is the order's."""
    order = await orders.by_payload(tx, line.payload) if line.payload else None
    if order is not None and line.share_nanostars and order.amount * NANO == line.nanostars + line.share_nanostars:
        return order.amount
    return line.nanostars // NANO


async def _refund(app: App, tx: AsyncConnection, line: Transaction, payment: Payment | None, now: datetime) -> Found:
    """Book a refund whose update was lost. Forgiving: that a payer owes something needs better evidence than this."""
    if payment is not None and payment.status != "succeeded":
        return "nothing"
    assert line.person_id is not None
    amount = payment.amount if payment else await _paid_stars(tx, line)
    refunded = StarsRefund(line.transaction_id, line.payload or "", line.person_id, amount)
    await purchase.confirm_refund(app, tx, refunded, now=now)
    return "refunded"


async def charge_back(app: App, tx: AsyncConnection, payment: Payment, *, now: datetime) -> Found:
    """Book a chargeback: access and tokens go, what was spent is owed, the renewal stops, person and operator hear."""
    booked = await refunds.charge_back(tx, payment_id=payment.id, reason="provider", now=now)
    if booked is None:
        return "nothing"
    refund, change = booked.refund, booked.change
    log.warning("charged_back", payment=payment.id, person=payment.payer_id, owed=refund.tokens_owed)
    if change is not None and change.before != change.after:
        await call_off(tx, change.subscription, key=f"chargeback:{refund.id}", now=now)
    # Whose tokens went is who ordered; whoever paid somebody else's invoice had nothing of it.
    money = {"amount": refund.amount, "currency": payment.currency, "owed": refund.tokens_owed}
    await tell(tx, payment.payer_id, "charged-back", money, str(refund.id), now)
    args = money | {"id": payment.payer_id}
    await alert(app, tx, "admin-alert-chargeback", args, dedup_key=f"alert:chargeback:{refund.id}", now=now)
    return "charged_back"


def _of_balance(reading: Reading, found: Comparison) -> list[Difference]:
    """Return what Telegram's balance and its own list differ in: a chargeback may be seen nowhere else.

    What the operator booked of it explains itself.
    """
    if reading.balance_nanostars is None or reading.listed_nanostars is None:
        return []
    _, booked = found.classes.get("chargeback_unlisted", (0, 0))
    gap = reading.balance_nanostars - reading.listed_nanostars + booked
    return [Difference(f"balance:{gap}", "unlisted", gap)] if gap else []


async def _tell_new(app: App, tx: AsyncConnection, new: list[Difference]) -> None:
    now = app.clock.now()
    for one in new[:TOLD_MAX]:
        log.error("stars_differ", subject=one.subject, kind=one.class_, nanostars=one.nanostars)
        args = {"kind": one.class_, "subject": one.subject, "stars": stars(one.nanostars)}
        await alert(app, tx, "admin-alert-stars-differ", args, now=now)
    if len(new) > TOLD_MAX:
        await alert(app, tx, "admin-alert-stars-differ-more", {"count": len(new) - TOLD_MAX}, now=now)


def stars(nanostars: int) -> str:
    """Return an amount as people write it: '-600', '97.5'; a sign only below zero, nanostars only where there are."""
    whole, rest = divmod(abs(nanostars), NANO)
    fraction = f".{rest:09}".rstrip("0") if rest else ""
    return f"{'-' if nanostars < 0 else ''}{whole}{fraction}"


def _stranger(app: App, person_id: int) -> Person:
    """Return somebody who never wrote to the bot, and is not stored for having paid."""
    language = app.settings.admin_language
    return Person(person_id, str(person_id), None, language, {}, blocked=False, created_at=app.clock.now())


def _subject(line: Transaction) -> str:
    return f"transaction:{line.direction}:{line.transaction_id}"


def _signed(line: Transaction) -> int:
    return line.nanostars if line.direction == "in" else -line.nanostars
