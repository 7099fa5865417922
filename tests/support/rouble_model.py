"""What payments in roubles should do: a row that only the shop's own word moves, and money that is never swallowed."""

from dataclasses import dataclass
from datetime import datetime

from tests.support.books_model import Books, Charge, Order, Payment

OPEN = ("intent", "sent", "pending", "unknown")


@dataclass
class Row:
    """A payment that was begun: `number` is ours, `shop_id` the shop's once it told of it."""

    number: int
    order: Order
    at: datetime
    status: str = "intent"
    shop_id: str | None = None


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
    row.status, row.shop_id = status, bill.id
    return _credit(books, bill, row, now) if status == "succeeded" else ""


def _credit(books: Books, bill: Bill, row: Row, now: datetime) -> str:
    order = row.order
    charge = Charge(bill.id, order.payload, order.person, bill.kopecks, currency="RUB")
    reason = "wrong_recipient" if bill.account else "wrong_price" if bill.kopecks != order.amount else ""
    books.payments[bill.id] = Payment(charge, order, row.at, reason)
    if not reason:
        books.one_off(bill.id, order, now)
    return reason or "credited"
