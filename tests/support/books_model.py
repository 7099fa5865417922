"""What the ledger should do, said plainly in Python: orders, payments, refunds, gifts; wallets and access beside them.

What is given away and what brings it is in tests.support.growth_model.

No SQL and no locks, one thing at a time; tests compare it with the database after every step.
"""

import itertools
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tests.support.access_model import MONTH, Month, Period, Product, Subscription, later
from tests.support.growth_model import Invitation, Use, counted
from tests.support.wallet_model import Refund, Wallet

RESOLVABLE = ("unknown_payload", "wrong_price", "wrong_kind")
GIFT_LIFE = timedelta(days=365)


@dataclass
class Order:
    person: int
    product: Product
    payload: str
    expires: datetime
    amount: int
    currency: str = "XTR"
    gift: bool = False
    replaces: Subscription | None = None
    status: str = "open"
    # A percentage that its person held: the price without it, and the tokens that it brings on top.
    use: Use | None = None
    full: int = 0
    bonus: int = 0
    # A payment in roubles was begun, and may still come.
    awaited: bool = False

    @property
    def kind(self) -> str:
        """A month renews by Telegram's hand alone, and never as a gift."""
        once = self.gift or self.currency == "RUB"
        return "once" if once and self.product.kind == "subscription" else self.product.kind


@dataclass
class Gift:
    order: Order
    charge: str
    code: str
    expires: datetime
    status: str = "open"
    receiver: int | None = None


@dataclass(frozen=True)
class Charge:
    """A payment as its provider reports it; `amount` in Stars or kopecks."""

    id: str
    payload: str
    payer: int
    amount: int
    recurring: bool = False
    first: bool = False
    expires: datetime | None = None
    currency: str = "XTR"


@dataclass
class Payment:
    """`order`: what it paid for, also what it was credited as once its quarantine was resolved. `at`: when it began."""

    charge: Charge
    order: Order | None
    at: datetime
    reason: str = ""
    resolved: bool = False
    status: str = "succeeded"


class Books:
    """Everybody's wallets, orders, payments and subscriptions."""

    def __init__(self, products: list[Product], persons: list[int]) -> None:
        self.products = {product.id: product for product in products}
        self.free = next(product for product in products if product.kind == "free")
        self.wallets = {person: Wallet() for person in persons}
        self.orders: dict[str, Order] = {}
        self.subscriptions: list[Subscription] = []
        self.payments: dict[str, Payment] = {}
        self.refunds: list[Refund] = []
        self.gifts: dict[str, Gift] = {}  # by charge
        self.days: list[tuple[int, Product, int]] = []  # given, and waiting: whose, of what, how many
        self.uses: list[Use] = []
        self.invitations: list[Invitation] = []

    def copy(self) -> "Books":
        return deepcopy(self)

    def of(self, person: int) -> list[Subscription]:
        return [one for one in self.subscriptions if one.person == person]

    def plan(self, person: int, now: datetime) -> Product:
        covering = [(until, one.product) for one in self.of(person) if (until := one.covers_until(now))]
        return max(covering, key=lambda one: (one[1].weight, one[0]), default=(now, self.free))[1]

    def renewing(self, person: int) -> Subscription | None:
        return next((one for one in self.of(person) if one.status == "active"), None)

    def allow(self, person: int, now: datetime) -> None:
        """The welcome lot once, today's lot where the plan has one."""
        wallet, daily = self.wallets[person], self.plan(person, now).daily
        if not wallet.welcomed:
            wallet.welcomed = True
            wallet.add("welcome", self.free.welcome, now + timedelta(days=self.free.welcome_days))
        if daily and (wallet.allowance_on is None or wallet.allowance_on < now.date()):
            wallet.allowance_on = now.date()
            midnight = datetime(now.year, now.month, now.day, tzinfo=UTC) + timedelta(days=1)
            wallet.add("daily", daily, midnight)

    def look(self, person: int, now: datetime) -> None:
        self.allow(person, now)
        self.wallets[person].expire(now)

    def refusal(self, charge: Charge) -> str | None:
        """Why a charge in Stars cannot be credited; for subscriptions what is there decides as well."""
        order = self.orders.get(charge.payload)
        if order is None:
            return "unknown_payload"
        if order.person != charge.payer:
            return "wrong_payer"
        if (order.amount, order.currency) != (charge.amount, "XTR"):
            return "wrong_price"
        if (order.kind == "subscription") != charge.recurring:
            return "wrong_kind"
        if not charge.recurring:
            return None
        same = [one for one in self.subscriptions if one.payload == charge.payload]
        alive = next((one for one in same if one.alive), None)
        if alive:
            if charge.first:
                return "second_subscription" if alive.first_charge else None
            replaced = any(one.replaces is alive and one.status == "paid" for one in self.orders.values())
            return "second_subscription" if replaced and alive.status != "active" else None
        if (other := self.renewing(order.person)) and other is not order.replaces:
            return "second_subscription"
        if same and same[-1].status == "revoked" and not charge.first:
            return "subscription_revoked"
        return None

    def pay(self, charge: Charge, now: datetime) -> str:
        """credited, repeated, or the reason why it stands in quarantine."""
        if charge.id in self.payments:
            return "repeated"
        reason = self.refusal(charge)
        if reason is None and charge.recurring:
            reason = self._extend(charge, now)
        order = self.orders.get(charge.payload)
        self.payments[charge.id] = Payment(charge, order, now, reason or "")
        if reason:
            return reason
        assert order
        if charge.recurring:
            assert charge.expires
            order.status = "paid"
            until = charge.expires + MONTH if order.product.roll_over else charge.expires
            self.wallets[order.person].buy("plan", order.product.tokens, until, charge.id)
            self.spend(order, charge.id, until)
        else:
            self.one_off(charge.id, order, now)
        return "credited"

    def one_off(self, charge: str, order: Order, now: datetime) -> None:
        """A pack, months that do not renew, or a gift of either."""
        order.status, product = "paid", order.product
        until = now + timedelta(days=product.tokens_days)
        if order.gift:
            self.gifts[charge] = Gift(order, charge, "", now + GIFT_LIFE)
        elif order.kind == "once":
            self._months(order.person, order.payload, product, charge, now, behind=product.weight)
        else:
            self.wallets[order.person].buy("pack", product.tokens, until, charge)
        self.spend(order, charge, until)

    # -- percentages and invitations

    def has_paid(self, person: int) -> bool:
        return any(one.charge.payer == person for one in self.payments.values())

    def reduce(self, order: Order, now: datetime) -> None:
        """What the percentage that its person holds makes of a new order."""
        use = next((one for one in self.uses if one.holds(order.person, now)), None)
        if use is None or (use.terms.first_purchase and self.has_paid(order.person)):
            return
        order.use, order.full = use, order.amount
        if order.kind == "subscription":
            order.bonus = -(-order.product.tokens * use.terms.percent // 100)
        else:
            order.amount = max(1, order.amount * (100 - use.terms.percent) // 100)

    def spend(self, order: Order, charge: str, until: datetime) -> None:
        """A percentage is used by the first payment of its order."""
        use = order.use
        if use is None or use.status in ("used", "honoured"):
            return
        of_code = counted(self.uses, use.code)
        anew = any(one.person == use.person for one in of_code)
        again = not anew and (use.terms.uses_max is None or len(of_code) < use.terms.uses_max)
        use.status = "used" if use.status == "held" or again else "honoured"
        if order.bonus:
            self.wallets[order.person].add("promo", order.bonus, until, charge)

    def is_awaited(self, use: Use) -> bool:
        """Whether a payment with this percentage may still come: until then it is for nothing else."""
        return any(order.use is use and order.awaited for order in self.orders.values())

    def release(self, use: Use) -> None:
        """A percentage is given back, and what it made cheaper is not for sale at that price any more."""
        use.status = "released"
        for order in self.orders.values():
            if order.use is use and order.status == "open":
                order.status = "canceled"

    def reward(self, now: datetime) -> None:
        """Invitations whose friends have paid half the price or more, and can no longer have it back."""
        for one in self.invitations:
            paid = (payment for payment in self.payments.values() if payment.charge.payer == one.friend)
            if not one.rewarded and any(self._earns(payment, now - one.window) for payment in paid):
                one.rewarded = True
                for person, tokens in ((one.inviter, one.inviter_tokens), (one.friend, one.friend_tokens)):
                    self.wallets[person].add("gift", tokens, now + GIFT_LIFE)

    def _earns(self, payment: Payment, until: datetime) -> bool:
        back = any(r.charge == payment.charge.id and r.status != "canceled" for r in self.refunds)
        if back or payment.reason or payment.status != "succeeded" or payment.at > until:
            return False
        assert payment.order
        return 2 * payment.charge.amount >= (payment.order.full or payment.order.amount)

    def _months(self, person: int, payload: str, product: Product, charge: str, now: datetime, *, behind: int) -> None:
        """Paid time begins where what is as good ends (`behind`: the least weight that counts)."""
        has = [
            period.ends for one in self.of(person) if one.product.weight >= behind
            for period in one.periods if period.kind != "grace"
        ]  # fmt: skip
        begins = max([now, *has])
        alive = next((one for one in self.of(person) if payload and one.payload == payload and one.alive), None)
        if alive is None:
            alive = Subscription(product, payload, person, "cancel_scheduled")
            self.subscriptions.append(alive)
        bounds = [later(begins, number) for number in range(product.months + 1)]
        alive.periods.append(Period("paid", begins, bounds[-1], charge))
        for starts, ends in itertools.pairwise(bounds):
            alive.months.append(Month(starts, ends, charge, product.tokens))
        self.grant_due(alive, now)

    def grant_due(self, one: Subscription, now: datetime) -> None:
        """The tokens of months that have begun, with the life of the month that runs now."""
        due = [
            month for month in one.months
            if month.status == "due" and month.starts <= now and self.payments_kept(month.charge)
        ]  # fmt: skip
        running = [m.ends for m in one.months if m.status != "void" and m.starts <= now < m.ends]
        for month in due:
            month.status = "granted" if running else "missed"
            if running:
                until = max(running) + (MONTH if one.product.roll_over else timedelta())
                self.wallets[one.person].add("plan" if one.payload else "gift", month.tokens, until, month.charge)

    def payments_kept(self, charge: str) -> bool:
        """Whether a payment's money is ours: not once a refund was asked for."""
        payment = self.payments.get(charge)
        return payment is None or (payment.status == "succeeded" and self.open_refund(charge) is None)

    def house(self, person: int, product: Product, kind: str, days: int, tokens: int, now: datetime) -> None:
        """Access that nobody pays for, with tokens that lapse with it."""
        until = now + timedelta(days=days)
        status = "trialing" if kind == "trial" else "cancel_scheduled"
        period = Period("trial" if kind == "trial" else "granted", now, until)
        self.subscriptions.append(Subscription(product, "", person, status, [period]))
        self.wallets[person].add(kind, tokens, until)

    def give_days(self, now: datetime, *, latest: bool = False) -> None:
        """Days given (the `latest` alone, or all) begin where no plan as good is left."""
        for given in self.days[-1:] if latest else list(self.days):
            person, product, days = given
            if not any(one.alive and one.product.weight >= product.weight for one in self.of(person)):
                self.days.remove(given)
                self.house(person, product, "promo", days, -(-product.tokens * days // 30), now)

    def redeem(self, gift: Gift, person: int, now: datetime) -> str:
        """redeemed, repeated, or why not."""
        if gift.receiver is not None:
            return "repeated" if gift.receiver == person else "GiftTaken"
        if gift.status == "withdrawn" or self.payments[gift.charge].status != "succeeded":
            return "GiftWithdrawn"
        if gift.status == "expired" or gift.expires <= now:
            return "GiftExpired"
        gift.status, gift.receiver, product = "redeemed", person, gift.order.product
        if gift.order.kind == "pack":
            self.wallets[person].add("gift", product.tokens, now + timedelta(days=product.tokens_days), gift.charge)
        else:
            self._months(person, "", product, gift.charge, now, behind=0)
        return "redeemed"

    def _extend(self, charge: Charge, now: datetime) -> str | None:
        same = [one for one in self.subscriptions if one.payload == charge.payload]
        alive = next((one for one in same if one.alive), None)
        begins = alive is None
        order = self.orders[charge.payload]
        if alive is None:
            alive = Subscription(order.product, charge.payload, order.person)
            self.subscriptions.append(alive)
        assert charge.expires
        if not alive.add(charge.id, charge.expires, now, first=charge.first):
            return "period_covered"
        ended = [one for one in same if not one.alive]
        if alive.first_charge is None:
            alive.first_charge = charge.id if charge.first else ended[-1].first_charge if ended else None
        if begins:
            if order.replaces and order.replaces.status == "active":
                order.replaces.status = "cancel_scheduled"
            for other in self.of(charge.payer):
                other.end_grace(now)
        return None

    def resolve(self, charge: str, order: Order, now: datetime) -> None:
        """Credit what stands in quarantine as the order that it should have had."""
        for other in self.orders.values():
            if (other.person, other.product, other.status) == (order.person, order.product, "open"):
                other.status = "canceled"
        payment = self.payments[charge]
        payment.order, payment.resolved = order, True
        self.orders[order.payload] = order
        if order.kind != "subscription":
            self.one_off(charge, order, now)
            return
        order.status, product = "paid", order.product
        period = Period("paid", now, now + MONTH, charge)
        self.subscriptions.append(Subscription(product, order.payload, order.person, "cancel_scheduled", [period]))
        until = now + (2 * MONTH if product.roll_over else MONTH)
        self.wallets[order.person].buy("plan", product.tokens, until, charge)

    def open_refund(self, charge: str) -> Refund | None:
        return next((r for r in self.refunds if r.charge == charge and r.status == "intent"), None)

    def _owner(self, charge: str) -> Wallet | None:
        gift, order = self.gifts.get(charge), self.payments[charge].order
        if gift and gift.receiver:
            return self.wallets[gift.receiver]
        return self.wallets[order.person] if order else None

    def refund(self, charge: str, now: datetime, kind: str = "refund") -> None:
        if self.open_refund(charge) is None:
            refund = Refund(charge, kind=kind)
            self.refunds.append(refund)
            gift = self.gifts.get(charge)
            if gift and gift.status in ("open", "expired"):
                gift.status = "withdrawn"
            if wallet := self._owner(charge):
                wallet.take_back(refund, now)

    def confirm(self, charge: str, now: datetime) -> None:
        refund = self.open_refund(charge)
        if refund:
            refund.status = "succeeded"
            self.payments[charge].status = "refunded" if refund.kind == "refund" else "charged_back"
            self.payments[charge].resolved = True
            for one in self.subscriptions:
                for month in one.months:
                    if (month.charge, month.status) == (charge, "due"):
                        month.status = "void"
                one.revoke(charge, now)

    def refuse(self, charge: str, now: datetime) -> None:
        refund = self.open_refund(charge)
        if refund:
            refund.status = "canceled"
            gift = self.gifts.get(charge)
            if gift and gift.status == "withdrawn":
                gift.status = "open"
            if wallet := self._owner(charge):
                wallet.give_back(refund, now)

    def charge_back(self, charge: str, now: datetime) -> None:
        if self.payments[charge].status == "succeeded":
            self.refund(charge, now, "chargeback")
            self.confirm(charge, now)

    def report_refund(self, charge: Charge, now: datetime) -> None:
        """Telegram says it refunded; perhaps before it said that it was paid."""
        if charge.id not in self.payments:
            self.payments[charge.id] = Payment(charge, self.orders.get(charge.payload), now, "refunded_first")
        if self.payments[charge.id].status == "succeeded":
            self.refund(charge.id, now)
            self.confirm(charge.id, now)

    def say(self, payload: str, person: int, state: str) -> None:
        """Telegram's word on a person's subscription."""
        for one in self.of(person):
            if one.payload != payload or not one.alive:
                continue
            if (state, one.status) == ("canceled", "active"):
                one.status = "cancel_scheduled"
            elif (state, one.status) == ("active", "cancel_scheduled"):
                one.status = "active"
            elif (state, one.status) == ("failed", "active"):
                one.fall_due()

    def sweep(self, now: datetime) -> None:
        for one in self.subscriptions:
            one.sweep(now)
        for one in self.subscriptions:
            self.grant_due(one, now)
        self.give_days(now)
        for gift in self.gifts.values():
            if gift.status == "open" and gift.expires <= now:
                gift.status = "expired"
        for wallet in self.wallets.values():
            if wallet.posted > wallet.reserved:
                wallet.expire(now)
        for order in self.orders.values():
            if order.status == "open" and order.expires <= now:
                order.status = "expired"
        ordered = [order.use for order in self.orders.values() if order.status == "open"]
        for use in self.uses:
            if use.status != "held" or use.expires > now or self.is_awaited(use):
                continue
            if not any(one is use for one in ordered):
                use.status = "released"
        self.reward(now)
