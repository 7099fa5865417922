"""What a wallet should do, said plainly in Python: lots, holds, what a refund takes back, and what is owed."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

NEVER = datetime.max.replace(tzinfo=UTC)


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
    kind: str = "refund"
    owed: int = 0
    repaid: int = 0

    def lose(self, tokens: int) -> None:
        """Tokens of the refunded purchase are spent: forgiven, or owed where nobody granted the refund."""
        if self.kind == "refund":
            self.forgiven += tokens
        else:
            self.owed += tokens


@dataclass
class Wallet:
    """One person's tokens."""

    lots: list[Lot] = field(default_factory=list)
    holds: dict[int, int] = field(default_factory=dict)
    resolved: dict[int, str] = field(default_factory=dict)
    references: set[str] = field(default_factory=set)
    allowance_on: object = None
    welcomed: bool = False
    chargebacks: list[Refund] = field(default_factory=list)
    repayments: list[tuple[str | None, Refund, int]] = field(default_factory=list)
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

    @property
    def owed(self) -> int:
        return sum(one.owed - one.repaid for one in self.chargebacks)

    def add(self, kind: str, tokens: int, expires: datetime | None, charge: str | None = None) -> Lot:
        self._numbers += 1
        self.lots.append(Lot(self._numbers, kind, tokens, tokens, expires, charge))
        return self.lots[-1]

    def buy(self, kind: str, tokens: int, expires: datetime | None, charge: str) -> None:
        """A lot that money paid for: what is owed is repaid from it first, the oldest debt before the others."""
        lot = self.add(kind, tokens, expires, charge)
        free = min(lot.remaining, self.free)
        for debt in self.chargebacks:
            part = min(debt.owed - debt.repaid, free)
            if part > 0:
                lot.remaining -= part
                free -= part
                debt.repaid += part
                self.repayments.append((charge, debt, part))

    def revive(self, charge: str) -> int:
        """What a purchase repaid is owed again: its money went back itself."""
        undone = [one for one in self.repayments if one[0] == charge]
        self.repayments = [one for one in self.repayments if one[0] != charge]
        for _, debt, part in undone:
            debt.repaid -= part
        return sum(part for _, _, part in undone)

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
                lot.refund.lose(part)
        assert due == 0
        self.expire(now)
        return charged, courtesy

    def release(self, turn: int, now: datetime) -> None:
        del self.holds[turn]
        self.resolved[turn] = "released"
        self.expire(now)

    def take_back(self, refund: Refund, now: datetime) -> None:
        if refund.kind == "chargeback":
            self.chargebacks.append(refund)
        bought = [lot for lot in self.lots if lot.charge == refund.charge]
        if not bought:
            return
        refund.bought = sum(lot.granted for lot in bought if lot.kind != "restored")
        refund.taken = self.revive(refund.charge)
        refund.lose(refund.bought - sum(lot.remaining for lot in bought) - refund.taken)
        for lot in bought:
            lot.refund, lot.expires_before = refund, lot.expires
            lot.expires = min(lot.expires or NEVER, now)
        self.expire(now)

    def give_back(self, refund: Refund, now: datetime) -> None:
        mine = [lot for lot in self.lots if lot.refund is refund]
        for lot in mine:
            lot.refund, lot.expires = None, lot.expires_before
        if mine and refund.taken:
            lapses = max((lot.expires or NEVER) for lot in mine)
            if lapses > now:
                self.buy("restored", refund.taken, None if lapses == NEVER else lapses, refund.charge)
