"""The auditor's fourth part: what is paid in roubles, and what the shop says of it, late, twice, or wrong."""

import itertools

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from billing import ledger, orders, rouble_following, rouble_payments
from billing.yookassa import objects
from tests.support import rouble_model
from tests.support.audit_stars import StarsAudit
from tests.support.rouble_model import Bill, Row

SHOP = "100500"
# In this order alone; the shop's last word is one of the two last.
STATUSES = ("pending", "waiting_for_capture", "succeeded", "canceled")
_bills = itertools.count(1)


class RoublesAudit(StarsAudit):
    """What is bought for roubles: a row, a request that may be lost, and the shop's word."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[Row] = []
        self.bills: list[Bill] = []

    @rule(
        who=st.integers(0, 1),
        product=st.sampled_from(["pack", "top"]),
        lost=st.booleans(),
        answer=st.sampled_from([None, *STATUSES]),
    )
    def pay_in_roubles(self, who, product, lost, answer) -> None:
        """The page's button is pressed: what is under way goes on, else a request goes out. `lost`: unanswered."""
        order = self.order(self.persons[who], product, currency="RUB")
        if order is None:
            return

        async def begun() -> int:
            async with self.db.transaction() as tx:
                await ledger.lock_wallet(tx, person_id=order.person, now=self.now)
                found = await orders.by_payload(tx, order.payload)
                payment = await rouble_payments.begin(tx, found, build=lambda _: "{}", now=self.now)
            return payment.id

        async def sent(number: int) -> None:
            async with self.db.transaction() as tx:
                await rouble_payments.take_to_post(tx, number, now=self.now)
            if lost:
                async with self.db.transaction() as tx:
                    await rouble_payments.mark_unknown(tx, number, now=self.now)

        number = self.run(self.ledger.again(begun))
        latest = [row for row in self.rows if row.order is order]
        if latest and latest[-1].status != "canceled":
            assert number == latest[-1].number or latest[-1].number < 0
            return
        row = Row(number, order, self.now)
        self.rows.append(row)
        self.run(self.ledger.again(lambda: sent(number)))
        row.become("unknown" if lost else "sent")
        if answer:
            self.bills.append(Bill(f"bill-{next(_bills):031}", number, order.payload, order.amount, ""))
            self._hear(self.bills[-1], answer)

    @precondition(lambda self: self.asked)
    @rule(
        data=st.data(), wrong=st.sampled_from(["", "", "", "amount", "shop"]), status=st.sampled_from([None, *STATUSES])
    )
    def make_a_bill(self, data, wrong, status) -> None:
        """The shop carries a request out, perhaps a second time: its key is old, or its answer was lost."""
        row = data.draw(st.sampled_from(self.asked))
        kopecks = row.order.amount - (100 if wrong == "amount" else 0)
        account = "999" if wrong == "shop" else ""
        self.bills.append(Bill(f"bill-{next(_bills):031}", row.number, row.order.payload, kopecks, account))
        if status:
            self._hear(self.bills[-1], status)

    @property
    def asked(self) -> list[Row]:
        return [row for row in self.rows if row.number > 0]

    @precondition(lambda self: self.bills)
    @rule(data=st.data(), status=st.sampled_from(STATUSES), stale=st.booleans())
    def hear_of_a_bill(self, data, status, stale) -> None:
        """A notification or a look: the object as it stands, or (`stale`) as it stood before a later word came."""
        bill = data.draw(st.sampled_from(self.bills))
        if bill.status in ("succeeded", "canceled"):
            status = "pending" if stale else bill.status
        self._hear(bill, status)

    def _hear(self, bill: Bill, status: str) -> None:
        if bill.status not in ("succeeded", "canceled"):
            bill.status = status
        found = objects.payment(self._object(bill, status))

        async def followed() -> rouble_following.Followed | None:
            async with self.db.transaction() as tx:
                return await rouble_following.follow(tx, found, shop_id=SHOP, now=self.now)

        outcome = self.run(self.ledger.again(followed))
        heard = "pending" if status == "waiting_for_capture" else status
        expected = rouble_model.follow(self.model, self.rows, bill, heard, self.now)
        credit = outcome.credit if outcome else None
        assert (credit.reason or credit.outcome if credit else "") == expected

    @staticmethod
    def _object(bill: Bill, status: str) -> dict[str, object]:
        """The shop's JSON."""
        declined = {"cancellation_details": {"party": "payment_network", "reason": "insufficient_funds"}}
        return {
            "id": bill.id,
            "status": status,
            "paid": status == "succeeded",
            "amount": objects.rendered(bill.kopecks),
            "created_at": "2026-11-24T10:30:00.000Z",
            "recipient": {"account_id": bill.account or SHOP, "gateway_id": "1"},
            "metadata": {
                rouble_payments.PAYMENT_KEY: str(bill.number),
                rouble_payments.ORDER_KEY: bill.payload,
            },
            "refundable": status == "succeeded",
            "test": True,
            **(declined if status == "canceled" else {}),
        }

    @precondition(lambda self: self.asked)
    @rule(data=st.data())
    def give_up(self, data) -> None:
        """The shop's list has no such payment, and so nothing was charged; it may turn up all the same."""
        row = data.draw(st.sampled_from(self.asked))

        async def canceled() -> bool:
            async with self.db.transaction() as tx:
                return await rouble_payments.cancel(tx, row.number, reason="not_found", now=self.now)

        expected = row.shop_id is None and row.status in ("intent", "sent", "unknown")
        assert self.run(self.ledger.again(canceled)) == expected
        if expected:
            row.become("canceled")
