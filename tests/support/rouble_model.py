"""What roubles should do that are paid or go back: a row that only the shop's own word moves, and nothing swallowed."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from tests.support.books_model import Books, Charge, Order, Payment

OPEN = ("intent", "sent", "pending", "unknown")
# An hour less than the shop knows a key for.
REPEATABLE = timedelta(hours=23)


@dataclass
class Row:
    """A payment that was begun: `number` is ours, `shop_id` the shop's once it told of it."""

    number: int
    order: Order
    at: datetime
    status: str = "intent"
    shop_id: str | None = None

    def become(self, status: str) -> None:
        self.status, self.order.awaited = status, status in OPEN


@dataclass
class Bill:
    """A payment as the shop has it."""

    id: str
    number: int
    payload: str
    kopecks: int
    account: str
    status: str = "pending"


def follow(books: Books, rows: list[Row], bill: Bill, status: str, now: datetime) -> str:
    """Take the shop's word; credited, a reason of quarantine, or "" where it brought nothing."""
    row = next((one for one in rows if one.shop_id == bill.id), None)
    row = row or next(one for one in rows if one.number == bill.number)
    if row.shop_id not in (None, bill.id) or (row.status == "canceled" and not row.shop_id):
        if status != "succeeded":
            return ""
        rows.append(Row(-len(rows), row.order, now, "succeeded", bill.id))
        return _credit(books, bill, rows[-1], now)
    if row.status not in OPEN:
        return ""
    row.shop_id = bill.id
    row.become(status)
    return _credit(books, bill, row, now) if status == "succeeded" else ""


def _credit(books: Books, bill: Bill, row: Row, now: datetime) -> str:
    order = row.order
    charge = Charge(bill.id, order.payload, order.person, bill.kopecks, currency="RUB")
    reason = "wrong_recipient" if bill.account else "wrong_price" if bill.kopecks != order.amount else ""
    books.payments[bill.id] = Payment(charge, order, row.at, reason)
    if not reason:
        books.one_off(bill.id, order, now)
    return reason or "credited"


@dataclass
class Back:
    """A refund as we have it. `number` is ours where we sent it, `by` who asked for it, 0 where nobody did."""

    charge: str
    kopecks: int
    at: datetime
    status: str = "intent"
    kind: str = "refund"
    number: int = 0
    by: int = 0
    shop_id: str | None = None
    sent_at: datetime | None = None

    @property
    def is_open(self) -> bool:
        return self.status in OPEN

    def may_be_sent(self, now: datetime) -> bool:
        unknown = self.shop_id is None and self.status in ("intent", "sent", "unknown")
        return unknown and (self.sent_at is None or now < self.sent_at + REPEATABLE)


@dataclass
class Return:
    """A refund as the shop has it; `number` is ours where our request made it."""

    id: str
    charge: str
    kopecks: int
    number: int = 0
    status: str = "pending"


def follow_refund(books: Books, backs: list[Back], made: Return, status: str, now: datetime) -> str:
    """Take the shop's word on a refund; how ours stands then, "" where there is none."""
    payment = books.payments.get(made.charge)
    if payment is None:
        return ""
    ours = [one for one in backs if one.charge == made.charge and one.kind == "refund"]
    back = next((one for one in ours if one.shop_id == made.id), None)
    if back is None and made.number:
        back = next((one for one in ours if one.number == made.number and one.shop_id is None), None)
    if back is None or (back.status == "canceled" and back.shop_id is None):
        if status != "succeeded" or payment.status != "succeeded" or payment.charge.amount != made.kopecks:
            return ""
        back = next((one for one in ours if one.is_open), None)
        if back is None:
            back = Back(made.charge, made.kopecks, now)
            backs.append(back)
            books.refund(made.charge, now)
        elif back.shop_id is not None:
            return ""
    if not back.is_open:
        return back.status
    back.status, back.shop_id = status, made.id
    if status == "succeeded":
        books.confirm(made.charge, now)
    elif status == "canceled":
        books.refuse(made.charge, now)
    return status
