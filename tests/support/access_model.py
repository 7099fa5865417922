"""What access should do, said plainly in Python: subscriptions of periods, and the months that a purchase brings."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

GRACE = timedelta(days=3)
MONTH = timedelta(days=30)
ENDED = ("expired", "revoked")


@dataclass(frozen=True)
class Product:
    """What is sold, or the free plan."""

    id: str
    kind: str
    stars: int = 0
    kopecks: int = 0
    months: int = 1
    days: int = 0
    tokens: int = 0
    tokens_days: int = 0
    roll_over: bool = False
    daily: int = 0
    welcome: int = 0
    welcome_days: int = 0
    weight: int = 1


@dataclass
class Period:
    kind: str
    starts: datetime
    ends: datetime
    charge: str | None = None


@dataclass
class Month:
    """A month of paid time that does not renew: its tokens come when it begins."""

    starts: datetime
    ends: datetime
    charge: str
    tokens: int
    status: str = "due"


@dataclass
class Subscription:
    """`payload` is "" where nobody ordered it: a gift, a trial, days that were given."""

    product: Product
    payload: str
    person: int
    status: str = "incomplete"
    periods: list[Period] = field(default_factory=list)
    first_charge: str | None = None
    months: list[Month] = field(default_factory=list)

    @property
    def until(self) -> datetime | None:
        return max((period.ends for period in self.periods), default=None)

    @property
    def alive(self) -> bool:
        return self.status not in ENDED

    def covers_until(self, now: datetime) -> datetime | None:
        return next((period.ends for period in self.periods if period.starts <= now < period.ends), None)

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


def later(at: datetime, count: int) -> datetime:
    """`count` months after `at`, on its day or on the month's last one."""
    month = at.month - 1 + count
    year, month = at.year + month // 12, month % 12 + 1
    after = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
    return at.replace(year=year, month=month, day=min(at.day, (after - timedelta(days=1)).day))
