"""The auditor's second part: packs, months, years and gifts for Stars, their renewals and changes, their refunds."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from billing import discounts, orders, stars, subscriptions
from billing.crediting import Credit
from kit.errors import Conflict
from tests.support.audit import Audit
from tests.support.books import MONTH
from tests.support.books_model import Charge, Order

SOLD_FOR_STARS = ["lite", "top", "pack", "year"]
OUTCOMES = {"credited", "repeated"}


class StarsAudit(Audit):
    """What is bought for Stars."""

    # -- purchases

    def order(
        self, person: int, product: str, *, currency: str = "XTR", gift: bool = False, change: bool = False
    ) -> Order | None:
        replaces = self.model.renewing(person) if change else None
        wanted = Order(
            person, self.model.products[product], "", self.now,
            self.model.products[product].stars if currency == "XTR" else self.model.products[product].kopecks,
            currency, gift, replaces,
        )  # fmt: skip
        self.model.reduce(wanted, self.now)
        renewing = self.model.renewing(person)
        refused = wanted.kind == "subscription" and renewing is not None and renewing is not replaces
        try:
            number = self.run(self._number(replaces.payload)) if replaces else None
            made = self.run(self.ledger.order(person, product, currency, gift=gift, replaces_id=number))
        except orders.SecondSubscription:
            assert refused
            return None
        except discounts.DiscountUnderWay:
            assert wanted.use
            assert self.model.is_awaited(wanted.use)
            return None
        assert not refused
        assert made.amount == wanted.amount
        if made.payload not in self.model.orders:
            assert not wanted.use or not self.model.is_awaited(wanted.use)
            for other in self.model.orders.values():
                same = (other.person, other.product, other.gift) == (person, wanted.product, gift)
                if other.status == "open" and (same or (wanted.use and other.use is wanted.use)):
                    other.status = "canceled"
            wanted.payload = made.payload
            self.model.orders[made.payload] = wanted
            if currency == "XTR":
                self.orders.append(wanted)
                self.links[made.payload] = []
        self.model.orders[made.payload].expires = made.expires_at
        return self.model.orders[made.payload]

    async def _number(self, payload: str) -> int:
        query = (
            "SELECT s.id FROM subscriptions s JOIN orders o ON o.id = s.order_id"
            " WHERE o.payload = :payload ORDER BY s.id DESC LIMIT 1"
        )
        return int(await self.books.scalar(query, payload=payload))

    @rule(who=st.integers(0, 1), product=st.sampled_from(SOLD_FOR_STARS), gift=st.booleans())
    def buy(self, who, product, gift) -> None:
        if order := self.order(self.persons[who], product, gift=gift):
            self._report(self._charge(order, first=True))

    @rule(who=st.integers(0, 1), product=st.sampled_from(SOLD_FOR_STARS), gift=st.booleans())
    def order_only(self, who, product, gift) -> None:
        self.order(self.persons[who], product, gift=gift)

    @rule(who=st.integers(0, 1), product=st.sampled_from(["lite", "top"]), paid=st.booleans())
    def change_plan(self, who, product, paid) -> None:
        """Another plan in the place of the one that renews."""
        renewing = self.model.renewing(self.persons[who])
        if renewing and renewing.product.id != product:
            order = self.order(self.persons[who], product, change=True)
            if order and paid:
                self._report(self._charge(order, first=True))

    def _charge(self, order: Order, *, first: bool, wrong: str = "") -> Charge:
        """Telegram takes the Stars. A renewal runs on from what was charged before."""
        recurring = (order.kind == "subscription") != (wrong == "kind")
        earlier = [one.expires for one in self.links[order.payload] if one.expires and not first]
        self.number += 1
        charge = Charge(
            id=f"c{self.persons[0]}-{self.number}",
            payload="forma:nobody" if wrong == "payload" else order.payload,
            payer=next(one for one in self.persons if one != order.person) if wrong == "payer" else order.person,
            amount=order.amount + (7 if wrong == "amount" else 0),
            recurring=recurring,
            first=recurring and first,
            expires=max([self.now, *earlier]) + MONTH if recurring else None,
        )
        self.links[order.payload].append(charge)
        return charge

    @precondition(lambda self: self.orders)
    @rule(
        data=st.data(),
        wrong=st.sampled_from(["", "", "payer", "amount", "kind", "payload"]),
        first=st.booleans(),
        told=st.booleans(),
    )
    def charge(self, data, wrong, first, told) -> None:
        """Any invoice is paid (again); the report comes at once or whenever it comes."""
        charge = self._charge(data.draw(st.sampled_from(self.orders)), first=first, wrong=wrong)
        if told:
            self._report(charge)

    @property
    def bound(self) -> list[Order]:
        """The orders of subscriptions."""
        return [order for order in self.orders if order.kind == "subscription"]

    @precondition(lambda self: self.bound)
    @rule(
        data=st.data(),
        late=st.sampled_from([-1, 0, 1, 100, 3 * 1440 - 1, 3 * 1440 + 1, 9 * 1440]),
        swept=st.booleans(),
        told=st.sampled_from([True, True, False]),
    )
    def renew(self, data, late, swept, told) -> None:
        """A subscription lives to about its end (`late` minutes); then Telegram charges again."""
        order = data.draw(st.sampled_from(self.bound))
        ends = [s.until for s in self.model.subscriptions if s.payload == order.payload and s.until is not None]
        if ends:
            self.books.now = max(self.now, max(ends) + timedelta(minutes=late))
        if swept:
            self.sweep()
        charge = self._charge(order, first=False)
        if told:
            self._report(charge)

    @property
    def charged(self) -> list[Charge]:
        return [one for charges in self.links.values() for one in charges]

    async def _record(self, charge: Charge) -> Credit:
        async with self.db.transaction() as tx:
            return await stars.record(
                tx, charge_id=charge.id, payload=charge.payload, person_id=charge.payer, amount=charge.amount,
                is_recurring=charge.recurring, is_first_recurring=charge.first, expires_at=charge.expires, now=self.now,
            )  # fmt: skip

    @precondition(lambda self: self.charged)
    @rule(data=st.data())
    def report(self, data) -> None:
        """In any order, and as often as it pleases."""
        self._report(data.draw(st.sampled_from(self.charged)))

    def _report(self, charge: Charge) -> None:
        credit = self.run(self.ledger.again(lambda: self._record(charge)))
        outcome = credit.outcome if credit.outcome in OUTCOMES else credit.reason
        assert outcome == self.model.pay(charge, self.now)
        self.reported.append(charge)
        self._learn_code(charge)

    def _learn_code(self, charge: Charge) -> None:
        gift = self.model.gifts.get(charge.id)
        if gift and not gift.code:
            query = (
                "SELECT g.code FROM gifts g JOIN payments p ON p.id = g.payment_id WHERE p.provider_payment_id = :id"
            )
            gift.code = self.run(self.books.scalar(query, id=charge.id))

    @precondition(lambda self: self.reported)
    @rule(data=st.data(), what=st.sampled_from(["amount", "payer"]))
    def report_with_other_terms(self, data, what) -> None:
        charge = data.draw(st.sampled_from(self.reported))
        other = {"amount": charge.amount + 1, "payer": charge.payer + 1}[what]
        try:
            self.run(self._record(replace(charge, **{what: other})))
        except Conflict:
            return
        raise AssertionError("another payment under the same charge id was taken")

    # -- subscriptions

    @precondition(lambda self: self.bound)
    @rule(data=st.data(), mine=st.integers(0, 3), state=st.sampled_from(["canceled", "active", "failed"]))
    def follow(self, data, mine, state) -> None:
        order = data.draw(st.sampled_from(self.bound))
        person = order.person if mine else next(one for one in self.persons if one != order.person)
        self.run(self.ledger.say(order.payload, person, state))
        self.model.say(order.payload, person, state)

    @rule(who=st.integers(0, 1))
    def to_free(self, who) -> None:
        async def ended() -> None:
            async with self.db.transaction() as tx:
                await subscriptions.end_grace(tx, person_id=self.persons[who], now=self.now)

        self.run(self.ledger.again(ended))
        for one in self.model.of(self.persons[who]):
            one.end_grace(self.now)
