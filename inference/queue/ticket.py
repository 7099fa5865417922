"""The values that go into the fair queue and come out of it. Times are µs since the epoch, in real time."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

MINUTE_S = 60.0
DAY_S = 86_400.0
REQUESTS_PER_MINUTE = "requests-per-minute"
TOKENS_PER_MINUTE = "tokens-per-minute"
TOKENS_PER_DAY = "tokens-per-day"


def microseconds(instant: datetime) -> int:
    """Return a timezone-aware instant as µs since the epoch, the queue's only unit of absolute time."""
    assert instant.tzinfo is not None
    return round(instant.timestamp() * 1_000_000)


@dataclass(frozen=True, slots=True)
class QueueConfig:
    """What all workers of a model group agree on; stored in Redis by `FairQueue.configure`, the last writer wins.

    `slots` is how many requests the group's servers run at once, `kv_budget` how many tokens their KV caches hold
    together (0: not limited). `cached_factor` is the price of a cached input token ÷ the price of an input token.
    """

    slots: int
    kv_budget: int = 0
    cached_factor: float = 0.2
    queued_max: int = 10_000
    """Tickets and kept places in all; beyond it `admit` raises QueueFull(scope='all')."""
    lease_s: float = 15.0
    place_s: float = 30.0
    """How long `admit` keeps a place for a `submit` that has not come yet."""
    tries_max: int = 3
    """A ticket whose lease expires for the tries_max-th time is dead."""
    overtake_s: float = 2.0
    """How long a ticket that does not fit the KV budget may be overtaken before the queue drains for it."""
    reserve_min: int = 0
    reserve_max: int = 6
    """Bounds of R, the slots that borrowers leave free; R follows light arrivals between them."""
    reserve_wait_s: float = 0.1
    """R is the least reserve with which 95 % of the light arrivals wait no longer than this."""
    smoothing_s: float = 60.0
    """Time constant of the light arrivals' rate."""
    lend_spread: float = 1.0
    """The part of a service time over which borrowers take all slots; 0: at once. Slots that are taken at once are
    given back at once, and until then whoever comes by right waits for them."""
    lend_burst: int = 4
    """How many slots may be borrowed at once all the same."""
    lag_max: int = 16_384
    """Charge by which a person whom only a cap held back may stay behind the queue's virtual time."""
    starve_s: float = 180.0
    """Every fourth claim goes to whoever has waited longest, once somebody has waited so long without being served."""
    idle_s: float = 3_600.0
    """A person without tickets for so long is forgotten: counter, output estimate."""
    service_s: float = 8.0
    """Expected time in a slot, until finished requests tell."""


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `amount` per `period_s` by GCRA, with the whole amount as burst.

    `per_token` counts a call's tokens instead of the call. A single call that is larger than the amount is let in
    when nothing else is owed, and owes it all.
    """

    name: str
    amount: int
    period_s: float = MINUTE_S
    per_token: bool = False

    def __post_init__(self) -> None:
        assert self.amount > 0
        assert self.period_s > 0


@dataclass(frozen=True, slots=True)
class Limits:
    """A person's limits at this moment, from the plan; they come by value with every `admit`."""

    rates: tuple[Rate, ...] = ()
    queued_max: int = 10
    """Waiting tickets and kept places of this person."""

    @classmethod
    def of(cls, *, requests_per_minute: int, tokens_per_minute: int, tokens_per_day: int, queued_max: int) -> "Limits":
        """Return the limits of a plan; 0: no such limit."""
        rates = []
        if requests_per_minute:
            rates.append(Rate(REQUESTS_PER_MINUTE, requests_per_minute))
        if tokens_per_minute:
            rates.append(Rate(TOKENS_PER_MINUTE, tokens_per_minute, per_token=True))
        if tokens_per_day:
            rates.append(Rate(TOKENS_PER_DAY, tokens_per_day, DAY_S, per_token=True))
        return cls(rates=tuple(rates), queued_max=queued_max)


@dataclass(frozen=True, slots=True)
class Ticket:
    """One turn that waits for the model.

    `input_tokens` bounds the prompt; the queue learns what prompts take of it. `base_cap` is how many of this person's
    requests may run at once by right; beyond it they borrow. `in_flight_max` is never exceeded, borrowed or not (0: no
    such bound). `deadline_us` is absolute (0: waits for ever). `tries` are those already spent, for a caller that
    submits again what the queue has lost. `step` counts the generations of this turn that are over (FairQueue.step);
    with it `input_tokens` is no bound any more.
    """

    turn_id: int
    person_id: int
    weight: int
    base_cap: int
    input_tokens: int
    cached_tokens_est: int
    output_max: int
    deadline_us: int = 0
    in_flight_max: int = 0
    tries: int = 0
    step: int = 0


@dataclass(frozen=True, slots=True)
class Admission:
    """A kept place. `turn_id` is set when this key was submitted before; `fresh` is false for a repeated key."""

    key: str
    fresh: bool
    place_until_us: int
    turn_id: int | None


@dataclass(frozen=True, slots=True)
class Position:
    """Where a waiting ticket stands, 1 being the next; the wait is expected within eta_low_s … eta_high_s.

    eta_high_s ≤ 2 × eta_low_s + 10. position 0: it runs already.
    """

    position: int
    eta_low_s: float
    eta_high_s: float


@dataclass(frozen=True, slots=True)
class Claim:
    """A lease on a ticket. Pass it unchanged to renew, finish and requeue.

    `fence` grows over all claims of the group, across a loss of Redis too. `waited_s` is from the first submit.
    """

    ticket: Ticket
    fence: int
    lease_until_us: int
    tries: int
    waited_s: float
    sealed: str
    """The ticket as one string, so that a renewal costs no formatting and a lost lease can be taken up again."""

    @property
    def turn_id(self) -> int:
        return self.ticket.turn_id

    @property
    def person_id(self) -> int:
        return self.ticket.person_id


@dataclass(frozen=True, slots=True)
class Expired:
    """A ticket that left the queue unserved: past its deadline, or dead. Its caller closes the turn and tells."""

    turn_id: int
    person_id: int


@dataclass(frozen=True, slots=True)
class Claimed:
    """What a claim brought: at most one claim, and at most 16 tickets dropped for their deadline.

    `again_s`: without a claim, in how many seconds a slot may be lent to whoever waits; 0: nothing to wait for.
    """

    claim: Claim | None
    expired: tuple[Expired, ...]
    again_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Renewal:
    """alive=False: the lease belongs to somebody else or to nobody; stop and discard. cancelled: stop and settle."""

    alive: bool
    cancelled: bool


@dataclass(frozen=True, slots=True)
class Usage:
    """What the model server says a request took; input_tokens includes cached_tokens."""

    input_tokens: int
    cached_tokens: int
    output_tokens: int


class Cancelled(StrEnum):
    """What `cancel` found: a waiting ticket is removed at once, a running one is flagged for its holder."""

    REMOVED = "removed"
    FLAGGED = "flagged"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Stepped:
    """What became of a turn that goes on with a further generation.

    `claim` is the one to generate and go on with. Without it the holder stops: `cancelled`, the person wants no more
    and the holder finishes as usual with the usage of the generation that has ended; `requeued`, the KV cache has no
    room for what comes next and whoever claims the turn goes on; neither, the claim was stale and nothing changed.
    """

    claim: Claim | None
    cancelled: bool
    requeued: bool
    wakeups: int


@dataclass(frozen=True, slots=True)
class Finished:
    """accepted=False: the fence was stale and nothing changed. `wakeups` is how many claims are worth trying now."""

    accepted: bool
    wakeups: int


@dataclass(frozen=True, slots=True)
class Reaped:
    """Expired leases that were taken back, at most 16 a call; `dead` have spent all their tries and are gone."""

    requeued: tuple[Expired, ...]
    dead: tuple[Expired, ...]
    wakeups: int


@dataclass(frozen=True, slots=True)
class PersonLoad:
    """One waiting person: tickets waiting and running, and the virtual counter that decides the order."""

    person_id: int
    waiting: int
    running: int
    counter: float


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The queue at one moment, for /queue and the metrics. `heads` are those who come next, at most 20."""

    waiting: int
    running: int
    places: int
    slots: int
    free: int
    reserve: int
    kv_used: int
    kv_budget: int
    persons_waiting: int
    oldest_wait_s: float
    service_s: float
    heads: tuple[PersonLoad, ...]
