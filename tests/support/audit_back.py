"""The auditor's sixth part: what goes back in roubles, by rule, by the operator, in the cabinet, by a bank."""

import itertools
from datetime import timedelta

import sqlalchemy as sa
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from app import purchase, refunding
from billing import history, ledger, refund_policy, rouble_refunds
from billing.refund_policy import AUTOMATIC_MAX, AUTOMATIC_WITHIN, Rule
from billing.refunds import NotRefundable
from billing.yookassa import objects
from tests.support import rouble_model
from tests.support.audit_refunds import RefundsAudit
from tests.support.audit_roubles import RoublesAudit
from tests.support.books_model import Payment
from tests.support.rouble_model import Back, Return

RULE = Rule(hours=72, percent=20)
OPERATOR = 1
STATUSES = ("pending", "succeeded", "canceled")
# What becomes of a request: not carried out, carried out and unanswered, or answered with how it stands.
ENDS = ("lost", "unanswered", *STATUSES)
# Our refunds of two persons in the order in which they began, as the model has them.
BOOKED = """
    SELECT p.provider_payment_id, r.kind, r.status, r.provider_refund_id
    FROM refunds r JOIN payments p ON p.id = r.payment_id
    WHERE p.provider = 'yookassa' AND p.payer_id = ANY(:persons) ORDER BY r.id
"""
LATEST = """
    SELECT max(r.id) FROM refunds r JOIN payments p ON p.id = r.payment_id WHERE p.provider_payment_id = :charge
"""
_returns = itertools.count(1)


class BackAudit(RefundsAudit, RoublesAudit):
    """What goes back of what was paid in roubles: a row, a request that may be lost, and the shop's word."""

    def __init__(self) -> None:
        super().__init__()
        self.backs: list[Back] = []
        self.returns: list[Return] = []

    @property
    def paid_in_roubles(self) -> list[str]:
        return [one for one, payment in self.model.payments.items() if payment.charge.currency == "RUB"]

    # -- refunds that somebody asks us for

    @precondition(lambda self: self.paid_in_roubles)
    @rule(data=st.data())
    def ask_by_the_rule(self, data) -> None:
        """Its payer presses the button: at once, or told why not."""
        charge = data.draw(st.sampled_from(self.paid_in_roubles))
        payer = self.model.payments[charge].charge.payer

        async def asked() -> str:
            async with self.db.transaction() as tx:
                await ledger.lock_wallet(tx, person_id=payer, now=self.now)
                number = await self._payment_number(tx, charge)
                found = await history.find(tx, number)
                automatic = await refund_policy.automatic_of(tx, person_id=payer, now=self.now)
                verdict = refund_policy.judge(found, RULE, automatic=automatic, now=self.now)
                if verdict == "at_once":
                    await purchase.request_refund(
                        tx, payment_id=number, requested_by=payer, reason="policy", now=self.now
                    )
                return verdict

        expected = self._verdict(self.model.payments[charge])
        assert self.run(self.ledger.again(asked)) == expected
        if expected == "at_once":
            self._begun(charge, by=payer)

    def _verdict(self, payment: Payment) -> str:
        charge, payer = payment.charge.id, payment.charge.payer
        if self.model.open_refund(charge):
            return "refunding"
        if payment.status != "succeeded":
            return "gone"
        if payment.reason and not payment.resolved:
            return "review"
        lots = [(who, lot) for who, wallet in self.model.wallets.items() for lot in wallet.lots if lot.charge == charge]
        # A month that was paid in advance has brought nothing yet, and is its payer's all the same.
        ahead = {payer} if payment.order and not payment.order.gift else set()
        if ({who for who, _ in lots} or ahead) != {payer}:
            return "gift"
        if self.now - payment.at > timedelta(hours=RULE.hours):
            return "late"
        bought = sum(lot.granted for _, lot in lots if lot.kind != "restored")
        left = sum(lot.remaining for _, lot in lots)
        if (bought - left) * 100 > RULE.percent * bought:
            return "spent"
        lately = self.now - AUTOMATIC_WITHIN
        own = [one for one in self.backs if one.by == payer and one.status != "canceled" and one.at > lately]
        return "often" if len(own) >= AUTOMATIC_MAX else "at_once"

    @precondition(lambda self: self.paid_in_roubles)
    @rule(data=st.data())
    def ask_by_the_operator(self, data) -> None:
        """Whatever its age, and also from quarantine; once."""
        charge = data.draw(st.sampled_from(self.paid_in_roubles))

        async def asked() -> bool:
            try:
                async with self.db.transaction() as tx:
                    number = await self._payment_number(tx, charge)
                    await refunding.refund_any(tx, payment_id=number, actor_id=OPERATOR, reason="test", now=self.now)
            except NotRefundable:
                return False
            return True

        allowed = self.model.payments[charge].status == "succeeded" and not self.model.open_refund(charge)
        assert self.run(self.ledger.again(asked)) == allowed
        if allowed:
            self._begun(charge, by=OPERATOR)

    def _begun(self, charge: str, *, by: int) -> None:
        number = self.run(self.books.scalar(LATEST, charge=charge))
        self.backs.append(Back(charge, self.model.payments[charge].charge.amount, self.now, number=number, by=by))
        self.model.refund(charge, self.now)

    # -- what the shop is asked, and says

    @property
    def going(self) -> list[Back]:
        return [one for one in self.backs if one.number]

    @precondition(lambda self: self.going)
    @rule(data=st.data(), end=st.sampled_from(ENDS))
    def send_a_refund(self, data, end) -> None:
        """For the first time or again, with the same key; the shop gives nothing back twice."""
        back = data.draw(st.sampled_from(self.going))

        async def taken() -> bool:
            async with self.db.transaction() as tx:
                return await rouble_refunds.take_to_post(tx, back.number, now=self.now) is not None

        goes = back.may_be_sent(self.now)
        assert self.run(self.ledger.again(taken)) == goes
        if not goes:
            return
        back.sent_at = back.sent_at or self.now
        back.status = "sent" if back.status == "intent" else back.status
        made = next((one for one in self.returns if one.number == back.number), None)
        if end != "lost" and made is None:
            if any(one.charge == back.charge and one.status != "canceled" for one in self.returns):
                self._give_up(back)  # refused: it is given back already
                return
            made = Return(f"return-{next(_returns):029}", back.charge, back.kopecks, back.number)
            self.returns.append(made)
        if end in ("lost", "unanswered"):
            self.run(self.ledger.again(lambda: self._unknown(back.number)))
            back.status = "unknown"
        else:
            assert made
            self._hear_of(made, end if made.status == "pending" else made.status)

    async def _unknown(self, number: int) -> None:
        async with self.db.transaction() as tx:
            await rouble_refunds.mark_unknown(tx, number, now=self.now)

    @precondition(lambda self: self.going)
    @rule(data=st.data())
    def give_up_a_refund(self, data) -> None:
        """The shop refuses it, or its list lacks it; it may turn up all the same."""
        self._give_up(data.draw(st.sampled_from(self.going)))

    def _give_up(self, back: Back) -> None:
        async def canceled() -> bool:
            async with self.db.transaction() as tx:
                return await rouble_refunds.cancel(tx, back.number, reason="test", now=self.now) is not None

        expected = back.is_open and back.shop_id is None
        assert self.run(self.ledger.again(canceled)) == expected
        if expected:
            back.status = "canceled"
            self.model.refuse(back.charge, self.now)

    @property
    def refundable(self) -> list[str]:
        """What the shop has taken and not given back, nor begun to, whether we have heard of it or not."""
        gone = {one.charge for one in self.returns if one.status != "canceled"}
        return [bill.id for bill in self.bills if bill.status == "succeeded" and bill.id not in gone]

    @precondition(lambda self: self.refundable)
    @rule(data=st.data(), status=st.sampled_from([None, *STATUSES]))
    def refund_in_the_cabinet(self, data, status) -> None:
        """Somebody gives a whole payment back past Forma, which hears of it now or later."""
        charge = data.draw(st.sampled_from(self.refundable))
        bill = next(one for one in self.bills if one.id == charge)
        self.returns.append(Return(f"return-{next(_returns):029}", bill.id, bill.kopecks))
        if status:
            self._hear_of(self.returns[-1], status)

    @precondition(lambda self: self.returns)
    @rule(data=st.data(), status=st.sampled_from(STATUSES), stale=st.booleans(), payment_first=st.booleans())
    def hear_of_a_refund(self, data, status, stale, payment_first) -> None:
        """As the object stands, or (`stale`) stood before; mostly after a look at its payment."""
        made = data.draw(st.sampled_from(self.returns))
        if payment_first:
            self._hear(next(one for one in self.bills if one.id == made.charge), "succeeded")
        self._hear_of(made, status if made.status == "pending" else "pending" if stale else made.status)

    def _hear_of(self, made: Return, status: str) -> None:
        if made.status == "pending":
            made.status = status
        found = objects.refund(self._refund_object(made, status))

        async def followed() -> str:
            async with self.db.transaction() as tx:
                outcome = await rouble_refunds.follow(tx, found, now=self.now)
            return outcome.refund.status if outcome else ""

        expected = rouble_model.follow_refund(self.model, self.backs, made, status, self.now)
        # What was repeated is told from what is new by the books alone: a crash may have come after neither.
        assert self.run(self.ledger.again(followed)) == expected

    @staticmethod
    def _refund_object(made: Return, status: str) -> dict[str, object]:
        """The shop's JSON."""
        declined = {"cancellation_details": {"party": "refund_network", "reason": "insufficient_funds"}}
        return {
            "id": made.id,
            "payment_id": made.charge,
            "status": status,
            "created_at": "2026-11-24T10:30:00.000Z",
            "amount": objects.rendered(made.kopecks),
            "metadata": {rouble_refunds.REFUND_KEY: str(made.number)} if made.number else {},
            **(declined if status == "canceled" else {}),
        }

    # -- past the shop

    @precondition(lambda self: self.paid_in_roubles)
    @rule(data=st.data())
    def a_bank_takes_roubles_back(self, data) -> None:
        """Not while a refund of them is under way: then nothing is booked."""
        charge = data.draw(st.sampled_from(self.paid_in_roubles))
        allowed = self.model.payments[charge].status == "succeeded" and not self.model.open_refund(charge)
        booked = self.run(self.ledger.charge_back(self.run(self._number_of(charge))))
        assert (booked is not None) == allowed
        if allowed:
            self.backs.append(
                Back(charge, self.model.payments[charge].charge.amount, self.now, "succeeded", "chargeback")
            )
            self.model.charge_back(charge, self.now)

    async def _number_of(self, charge: str) -> int:
        async with self.db.read() as connection:
            return await self._payment_number(connection, charge)

    async def _compare(self) -> None:
        await super()._compare()
        async with self.db.read() as connection:
            rows = await connection.execute(sa.text(BOOKED), {"persons": self.persons})
            assert [tuple(row) for row in rows] == [
                (one.charge, one.kind, one.status, one.shop_id) for one in self.backs
            ]
