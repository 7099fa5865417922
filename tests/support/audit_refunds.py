"""The auditor's third part: refunds, chargebacks, and what becomes of a payment in quarantine."""

import sqlalchemy as sa
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from billing import payments, quarantine
from kit.errors import Rejected
from tests.support.audit_stars import StarsAudit
from tests.support.books_model import RESOLVABLE, Order


class RefundsAudit(StarsAudit):
    """What goes back, and what is cleared up."""

    # -- refunds

    async def _payment(self, charge: str) -> int:
        async with self.db.read() as connection:
            payment = await payments.by_charge(connection, charge_id=charge)
            assert payment is not None
            return payment.id

    @precondition(lambda self: self.reported)
    @rule(data=st.data())
    def ask_refund(self, data) -> None:
        charge = data.draw(st.sampled_from(self.reported))
        if self.model.payments[charge.id].status == "succeeded":
            refund = self.run(self.ledger.request(self.run(self._payment(charge.id))))
            self.model.refund(charge.id, self.now)
            kept = self.model.open_refund(charge.id)
            assert kept
            assert (refund.tokens, refund.tokens_taken, refund.tokens_forgiven) == (
                kept.bought, kept.taken, kept.forgiven,
            )  # fmt: skip

    @property
    def waiting(self) -> list[str]:
        """The charges in Stars whose refunds are under way."""
        going = [refund.charge for refund in self.model.refunds if refund.status == "intent"]
        return [charge for charge in going if self.model.payments[charge].charge.currency == "XTR"]

    @precondition(lambda self: self.waiting)
    @rule(data=st.data(), granted=st.booleans())
    def answer_refund(self, data, granted) -> None:
        charge = data.draw(st.sampled_from(self.waiting))
        refund = self.run(self.ledger.request(self.run(self._payment(charge))))
        if granted:
            self.run(self.ledger.confirm(refund.id))
            self.model.confirm(charge, self.now)
        else:
            self.run(self.ledger.refuse(refund.id))
            self.model.refuse(charge, self.now)

    @precondition(lambda self: self.charged)
    @rule(data=st.data())
    def telegram_refunds(self, data) -> None:
        """Without being asked, and perhaps told before the payment is."""
        charge = data.draw(st.sampled_from(self.charged))
        self.run(self.ledger.report_refund(charge.id, charge.payload, charge.payer, charge.amount))
        self.model.report_refund(charge, self.now)
        self.reported.append(charge)

    @precondition(lambda self: self.reported)
    @rule(data=st.data())
    def charge_back(self, data) -> None:
        """The payer's bank takes the money back."""
        charge = data.draw(st.sampled_from(self.reported))
        self.run(self.ledger.charge_back(self.run(self._payment(charge.id))))
        self.model.charge_back(charge.id, self.now)

    # -- quarantine

    @property
    def unclear(self) -> list[str]:
        return [one for one, payment in self.model.payments.items() if payment.reason]

    @precondition(lambda self: self.unclear)
    @rule(
        data=st.data(), product=st.sampled_from(["", "lite", "top", "pack", "year"]), who=st.sampled_from([None, 0, 1])
    )
    def resolve(self, data, product, who) -> None:
        """The operator credits what did not fit: as its order says, or as something else, to somebody else perhaps."""
        charge = data.draw(st.sampled_from(self.unclear))
        payment = self.model.payments[charge]
        sold = self.model.products[product] if product else payment.order and payment.order.product
        owner = (
            self.persons[who] if who is not None else payment.order.person if payment.order else payment.charge.payer
        )
        waits = not payment.resolved and payment.status == "succeeded" and not self.model.open_refund(charge)
        renews_in_roubles = sold and sold.kind == "subscription" and payment.charge.currency != "XTR"
        allowed = waits and payment.reason in RESOLVABLE and sold is not None and not renews_in_roubles

        async def resolved() -> str:
            async with self.db.transaction() as tx:
                number = await self._payment_number(tx, charge)
                person = None if who is None else owner
                agreed = await quarantine.terms(tx, payment_id=number, person_id=person, product_id=product)
            async with self.db.transaction() as tx:
                await quarantine.credit(tx, agreed, now=self.now)
                return await self._payload(tx, number)

        try:
            payload = self.run(self.ledger.again(resolved))
        except Rejected:
            assert not allowed
            return
        assert allowed
        order = Order(owner, sold, payload, self.now, payment.charge.amount, payment.charge.currency)
        self.model.resolve(charge, order, self.now)

    async def _payment_number(self, tx, charge: str) -> int:
        return int(await tx.scalar(sa.text("SELECT id FROM payments WHERE provider_payment_id = :id"), {"id": charge}))

    async def _payload(self, tx, number: int) -> str:
        query = "SELECT o.payload FROM orders o JOIN payments p ON p.order_id = o.id WHERE p.id = :id"
        return str(await tx.scalar(sa.text(query), {"id": number}))
