"""What the ledger should do, said plainly in Python: wallets of lots, holds, subscriptions of periods, refunds.

No SQL and no locks, one thing at a time; tests compare it with the database after every step.
"""

from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

GRACE = timedelta(days=3)
MONTH = timedelta(days=30)
NEVER = datetime.max.replace(tzinfo=UTC)
ENDED = ("expired", "revoked")


@dataclass(frozen=True)
class Product:
    """What is sold, or the free plan."""

    id: str
    kind: str
    stars: int = 0
    tokens: int = 0
    tokens_days: int = 0
    roll_over: bool = False
    daily: int = 0
    welcome: int = 0
    welcome_days: int = 0
    weight: int = 1


@dataclass
class Lot:
    number: int
    kind: str
    granted: int
    remaining: int
    expires: datetime | None
    charge: str | None = None
    refund: "Refund | None" = None
    expires_before: datetime | None = None

    @property
    def order(self) -> tuple[datetime, int]:
        return self.expires or NEVER, self.number


@dataclass
class Refund:
    charge: str
    status: str = "intent"
    bought: int = 0
    taken: int = 0
    forgiven: int = 0


@dataclass
class Wallet:
    """One person's tokens."""

    lots: list[Lot] = field(default_factory=list)
    holds: dict[int, int] = field(default_factory=dict)
    resolved: dict[int, str] = field(default_factory=dict)
    references: set[str] = field(default_factory=set)
    allowance_on: object = None
    welcomed: bool = False
    _numbers: int = 0

    @property
    def posted(self) -> int:
        return sum(lot.remaining for lot in self.lots)

    @property
    def reserved(self) -> int:
        return sum(self.holds.values())

    @property
    def free(self) -> int:
        return self.posted - self.reserved

    def live(self) -> list[Lot]:
        return sorted((lot for lot in self.lots if lot.remaining), key=lambda lot: lot.order)

    def add(self, kind: str, tokens: int, expires: datetime | None, charge: str | None = None) -> None:
        self._numbers += 1
        self.lots.append(Lot(self._numbers, kind, tokens, tokens, expires, charge))

    def expire(self, now: datetime) -> None:
        for lot in self.live():
            if (lot.expires or NEVER) > now:
                return
            part = min(lot.remaining, self.free)
            lot.remaining -= part
            if lot.refund:
                lot.refund.taken += part

    def place(self, turn: int, least: int, most: int, now: datetime) -> int | None:
        """The tokens held; None where there are not enough."""
        self.expire(now)
        held = min(self.free, most)
        if held < least:
            return None
        self.holds[turn] = held
        return held

    def settle(self, turn: int, used: int, courtesy_max: int, now: datetime) -> tuple[int, int]:
        """(charged, courtesy)."""
        free = self.free
        held = self.holds.pop(turn)
        self.resolved[turn] = "settled"
        extra = min(max(used - held, 0), free)
        charged = min(used, held) + extra
        courtesy = min(max(used - held, 0) - extra, courtesy_max)
        due = charged
        for lot in self.live():
            part = min(lot.remaining, due)
            lot.remaining -= part
            due -= part
            if lot.refund:
                lot.refund.forgiven += part
        assert due == 0
        self.expire(now)
        return charged, courtesy

    def release(self, turn: int, now: datetime) -> None:
        del self.holds[turn]
        self.resolved[turn] = "released"
        self.expire(now)

    def take_back(self, refund: Refund, now: datetime) -> None:
        bought = [lot for lot in self.lots if lot.charge == refund.charge]
        if not bought:
            return
        for lot in bought:
            refund.bought += lot.granted if lot.kind != "restored" else 0
            refund.forgiven -= lot.remaining
            lot.refund, lot.expires_before = refund, lot.expires
            lot.expires = min(lot.expires or NEVER, now)
        refund.forgiven += refund.bought
        self.expire(now)

    def give_back(self, refund: Refund, now: datetime) -> None:
        mine = [lot for lot in self.lots if lot.refund is refund]
        for lot in mine:
            lot.refund, lot.expires = None, lot.expires_before
        if mine and refund.taken and (mine[0].expires or NEVER) > now:
            self.add("restored", refund.taken, mine[0].expires, refund.charge)


@dataclass
class Period:
    kind: str
    starts: datetime
    ends: datetime
    charge: str | None = None


@dataclass
class Subscription:
    product: Product
    payload: str
    status: str = "incomplete"
    periods: list[Period] = field(default_factory=list)
    first_charge: str | None = None

    @property
    def until(self) -> datetime | None:
        return max((period.ends for period in self.periods), default=None)

    @property
    def alive(self) -> bool:
        return self.status not in ENDED

    def covers(self, now: datetime) -> bool:
        return any(period.starts <= now < period.ends for period in self.periods)

    def add(self, charge: str, ends: datetime, now: datetime, *, first: bool) -> bool:
        starts = min(now, ends - MONTH) if first else ends - MONTH
        bought = [p for p in self.periods if p.kind == "paid" and p.ends > starts and p.starts < ends]
        starts = max([starts, *(period.ends for period in bought)])
        if starts >= ends:
            return False
        until = self.until
        for grace in [p for p in self.periods if p.kind == "grace" and p.ends > starts and p.starts < ends]:
            if grace.starts >= starts:
                self.periods.remove(grace)
            else:
                grace.ends = starts
        self.periods.append(Period("paid", starts, ends, charge))
        if until is None or ends > until:
            self.status = "active"
        return True

    def fall_due(self) -> None:
        until = self.until
        assert until is not None
        self.periods.append(Period("grace", until, until + GRACE))
        self.status = "past_due"

    def sweep(self, now: datetime) -> None:
        if self.alive and self.until and self.until <= now:
            if self.status == "active":
                self.fall_due()
            if self.until <= now:
                self.status = "expired"

    def end_grace(self, now: datetime) -> None:
        if self.status == "past_due":
            self._cut(now, [p for p in self.periods if p.kind == "grace"])
            if self.until and self.until <= now:
                self.status = "expired"

    def revoke(self, charge: str, now: datetime) -> None:
        period = next((p for p in self.periods if p.charge == charge), None)
        if period is None:
            return
        covered = any(p.kind == "paid" and p is not period and p.ends > now for p in self.periods)
        self._cut(now, [period] if covered else self.periods)
        if self.alive and not covered:
            self.status = "revoked"

    def _cut(self, now: datetime, periods: list[Period]) -> None:
        for period in list(periods):
            if period.starts >= now:
                self.periods.remove(period)
            else:
                period.ends = min(period.ends, now)


@dataclass
class Order:
    person: int
    product: Product
    payload: str
    expires: datetime
    status: str = "open"


@dataclass(frozen=True)
class Charge:
    """A payment as Telegram reports it."""

    id: str
    payload: str
    payer: int
    amount: int
    recurring: bool = False
    first: bool = False
    expires: datetime | None = None


@dataclass
class Payment:
    charge: Charge
    credited: bool
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

    def copy(self) -> "Books":
        return deepcopy(self)

    def of(self, person: int) -> list[Subscription]:
        return [one for one in self.subscriptions if self.orders[one.payload].person == person]

    def plan(self, person: int, now: datetime) -> Product:
        covering = [one.product for one in self.of(person) if one.covers(now)]
        return max(covering, key=lambda product: product.weight, default=self.free)

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
        """Why a charge cannot be credited; for subscriptions what is there decides as well."""
        order = self.orders.get(charge.payload)
        if order is None:
            return "unknown_payload"
        if order.person != charge.payer:
            return "wrong_payer"
        if order.product.stars != charge.amount:
            return "wrong_price"
        if (order.product.kind == "subscription") != charge.recurring:
            return "wrong_kind"
        if not charge.recurring:
            return None
        same = [one for one in self.subscriptions if one.payload == charge.payload]
        alive = next((one for one in same if one.alive), None)
        if alive:
            return "second_subscription" if charge.first and alive.first_charge else None
        if self.renewing(order.person):
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
        self.payments[charge.id] = Payment(charge, credited=reason is None)
        if reason:
            return reason
        order = self.orders[charge.payload]
        order.status, product = "paid", order.product
        if charge.recurring:
            assert charge.expires
            until = charge.expires + MONTH if product.roll_over else charge.expires
            self.wallets[order.person].add("plan", product.tokens, until, charge.id)
        else:
            until = now + timedelta(days=product.tokens_days)
            self.wallets[order.person].add("pack", product.tokens, until, charge.id)
        return "credited"

    def _extend(self, charge: Charge, now: datetime) -> str | None:
        same = [one for one in self.subscriptions if one.payload == charge.payload]
        alive = next((one for one in same if one.alive), None)
        begins = alive is None
        if alive is None:
            alive = Subscription(self.orders[charge.payload].product, charge.payload)
            self.subscriptions.append(alive)
        assert charge.expires
        if not alive.add(charge.id, charge.expires, now, first=charge.first):
            return "period_covered"
        ended = [one for one in same if not one.alive]
        if alive.first_charge is None:
            alive.first_charge = charge.id if charge.first else ended[-1].first_charge if ended else None
        if begins:
            for other in self.of(charge.payer):
                other.end_grace(now)
        return None

    def open_refund(self, charge: str) -> Refund | None:
        return next((r for r in self.refunds if r.charge == charge and r.status == "intent"), None)

    def refund(self, charge: str, now: datetime) -> None:
        if self.open_refund(charge) is None:
            refund = Refund(charge)
            self.refunds.append(refund)
            order = self.orders.get(self.payments[charge].charge.payload)
            if order:
                self.wallets[order.person].take_back(refund, now)

    def confirm(self, charge: str, now: datetime) -> None:
        refund = self.open_refund(charge)
        if refund:
            refund.status = "succeeded"
            self.payments[charge].status = "refunded"
            for one in self.subscriptions:
                one.revoke(charge, now)

    def refuse(self, charge: str, now: datetime) -> None:
        refund = self.open_refund(charge)
        if refund:
            refund.status = "canceled"
            order = self.orders.get(self.payments[charge].charge.payload)
            if order:
                self.wallets[order.person].give_back(refund, now)

    def report_refund(self, charge: Charge, now: datetime) -> None:
        """Telegram says it refunded; perhaps before it said that it was paid."""
        if charge.id not in self.payments:
            self.payments[charge.id] = Payment(charge, credited=False)
        if self.payments[charge.id].status != "refunded":
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
        for wallet in self.wallets.values():
            if wallet.posted > wallet.reserved:
                wallet.expire(now)
        for order in self.orders.values():
            if order.status == "open" and order.expires <= now:
                order.status = "expired"
