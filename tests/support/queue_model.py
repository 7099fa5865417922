"""The fair queue as a plain Python program: lists, scans and no Redis. The Lua has to agree with it step by step.

It knows a fixed reserve only (reserve_min = reserve_max), lends at once (lend_spread = 0) and forgets nobody; all three
have tests of their own.
"""

import math
from dataclasses import dataclass, field, replace

from inference.queue.ticket import Limits, QueueConfig, Ticket, Usage

SECOND = 1_000_000
TOMB_US = 60 * SECOND
ADMITTED_US = 600 * SECOND
SAMPLES_MIN = 5
LOOK_MAX = 8
BATCH_MAX = 16


@dataclass
class Estimate:
    p80: float = 0.0
    samples: int = 0

    def learn(self, tokens: int) -> None:
        step = max(8, self.p80 * 0.1)
        if self.samples == 0:
            self.p80 = tokens
        else:
            self.p80 = max(1, self.p80 + 0.8 * step if tokens > self.p80 else self.p80 - 0.2 * step)
        self.samples += 1


@dataclass
class Person:
    id: int
    v: float = 0.0
    weight: int = 1
    cap: int = 1
    hard: int = 0
    since: int = 0
    """Waits unserved since then; 0: nothing waits."""
    outputs: Estimate = field(default_factory=Estimate)
    # By limit: what is due when, µs a unit, and whether tokens are counted.
    arrivals: dict[str, tuple[float, float, bool]] = field(default_factory=dict)


@dataclass
class Entry:
    ticket: Ticket
    seq: int
    at: int
    tries: int
    running: bool = False
    fence: int = 0
    stop: bool = False
    kv: int = 0
    charged: float = 0.0
    output: int = 0
    lease_until: int = 0


@dataclass(frozen=True)
class Held:
    """What a holder remembers of its claim."""

    ticket: Ticket
    fence: int
    at: int
    tries: int


class Model:
    def __init__(self, config: QueueConfig, now: int) -> None:
        self.config, self.born = config, now
        self.persons: dict[int, Person] = {}
        self.entries: dict[int, Entry] = {}
        self.tombs: dict[int, tuple[int, bool, int]] = {}
        # Once for the whole queue and once for their persons: what has lapsed is forgotten when somebody looks.
        self.places: dict[str, tuple[int, int]] = {}
        self.own_places: dict[str, tuple[int, int]] = {}
        self.admitted: dict[str, tuple[int, int | None]] = {}
        self.counted: dict[str, tuple[int, int]] = {}
        self.vsys, self.fence, self.seq, self.starved = 0.0, now, 0, 0
        self.outputs = Estimate()
        self.inputs = Estimate()  # what prompts take of their bound, per mille
        self.right: tuple[float, float] | None = None  # bounds of prompt and answer of tickets claimed by right
        self.blocked: tuple[int, int] | None = None

    # What can be seen

    def waiting(self, person_id: int | None = None) -> list[Entry]:
        found = [e for e in self.entries.values() if not e.running and person_id in (None, e.ticket.person_id)]
        return sorted(found, key=lambda e: (e.seq, str(e.ticket.turn_id)))

    def running(self, person_id: int | None = None) -> list[Entry]:
        return [e for e in self.entries.values() if e.running and person_id in (None, e.ticket.person_id)]

    def kv_used(self) -> int:
        return sum(e.kv for e in self.running())

    def _line(self, borrowing: bool) -> list[Person]:
        line = []
        for p in self.persons.values():
            busy = len(self.running(p.id))
            if self.waiting(p.id) and borrowing == (busy >= p.cap) and (busy < p.cap or not p.hard or busy < p.hard):
                line.append(p)
        return sorted(line, key=lambda p: (p.v, str(p.id)))

    def heads(self) -> list[tuple[int, int, int, float]]:
        line = self._line(borrowing=False) + self._line(borrowing=True)
        return [(p.id, len(self.waiting(p.id)), len(self.running(p.id)), p.v) for p in line]

    def position(self, turn_id: int) -> int | None:
        e = self.entries.get(turn_id)
        if e is None:
            return None
        if e.running:
            return 0
        first, second = self._line(borrowing=False), self._line(borrowing=True)
        line = [p.id for p in (first if any(p.id == e.ticket.person_id for p in first) else first + second)]
        own = [other.ticket.turn_id for other in self.waiting(e.ticket.person_id)].index(turn_id)
        person = e.ticket.person_id
        return (line.index(person) if person in line else len(line)) + own + 1

    def places_kept(self, now: int) -> int:
        return sum(till > now for till, _ in self.places.values())

    def wakeups(self) -> int:
        free = self.config.slots - len(self.running())
        if not self._line(borrowing=False):
            free -= self._reserve()
        return max(0, min(free, len(self.waiting())))

    def _reserve(self) -> int:
        return max(0, min(self.config.reserve_min, self.config.slots - 1))

    # Rules that several operations share

    def _cost(self, usage: Usage) -> float:
        uncached = usage.input_tokens - usage.cached_tokens
        return uncached + self.config.cached_factor * usage.cached_tokens + 2 * usage.output_tokens

    def _usual_need(self) -> float:
        input_tokens, output_max = self.right or (0, 0)
        if self.outputs.samples >= SAMPLES_MIN:
            output_max = min(output_max, math.floor(self.outputs.p80 + 0.5))
        return self._expected(input_tokens) + output_max

    def _expected(self, input_tokens: float) -> float:
        if self.inputs.samples < SAMPLES_MIN:
            return input_tokens
        return min(input_tokens, math.ceil(input_tokens * self.inputs.p80 / 1000))

    def _expected_input(self, t: Ticket) -> int:
        return t.input_tokens if t.step else int(self._expected(t.input_tokens))

    def _kv_need(self, t: Ticket) -> int:
        p = self.persons[t.person_id]
        for estimate in (p.outputs, self.outputs):
            if estimate.samples >= SAMPLES_MIN:
                return self._expected_input(t) + min(t.output_max, math.floor(estimate.p80 + 0.5))
        return self._expected_input(t) + t.output_max

    def _settle(self, person_id: int, now: int) -> None:
        p = self.persons[person_id]
        if self.waiting(person_id):
            p.v, p.since = max(p.v, self.vsys - self.config.lag_max / p.weight), p.since or now
        else:
            p.since = 0

    def _arrive(self, t: Ticket, *, lifted: bool) -> Person:
        p = self.persons.setdefault(t.person_id, Person(t.person_id))
        if lifted:
            p.v = max(p.v, self.vsys)
        p.weight, p.cap, p.hard = t.weight, t.base_cap, t.in_flight_max
        return p

    def _lease(self, e: Entry, now: int) -> None:
        p = self.persons[e.ticket.person_id]
        e.kv = self._kv_need(e.ticket)
        e.running, e.lease_until, e.output = True, now + round(self.config.lease_s * SECOND), 0
        expected = self._expected_input(e.ticket)
        e.charged = self._cost(Usage(expected, min(e.ticket.cached_tokens_est, expected), 0))
        p.v += e.charged / e.ticket.weight
        p.since = 0
        self._settle(p.id, now)

    def _put_back(self, e: Entry, now: int) -> None:
        p = self.persons[e.ticket.person_id]
        p.v = max(0, p.v - e.charged / e.ticket.weight)
        e.running, e.kv, e.charged, e.output = False, 0, 0.0, 0
        self._settle(p.id, now)

    def _bury(self, e: Entry, now: int, *, done: bool) -> None:
        turn_id = e.ticket.turn_id
        del self.entries[turn_id]
        self.tombs[turn_id] = (now + TOMB_US, done, e.fence)
        self._settle(e.ticket.person_id, now)

    def _tomb(self, turn_id: int, now: int) -> tuple[int, bool, int] | None:
        tomb = self.tombs.get(turn_id)
        return tomb if tomb and tomb[0] > now else None

    def _held(self, held: Held, now: int) -> Entry | None:
        e, t = self.entries.get(held.ticket.turn_id), held.ticket
        if e and e.running and e.fence == held.fence:
            return e
        if self._tomb(t.turn_id, now) or (e and e.fence >= held.fence):
            return None
        lost_with_redis = held.fence < self.born and now <= self.born + TOMB_US
        ahead_of_redis = held.fence >= self.born and held.fence > self.fence
        if not (lost_with_redis or ahead_of_redis):
            return None
        stop = False
        if e:
            if e.running:
                p = self.persons[t.person_id]
                p.v, stop = max(0, p.v - e.charged / e.ticket.weight), e.stop
            del self.entries[t.turn_id]
        idle = t.person_id not in self.persons or not (
            (e and not e.running) or self.waiting(t.person_id) or self.running(t.person_id)
        )
        self._arrive(t, lifted=idle)
        self.fence = max(self.fence, held.fence)
        e = Entry(t, seq=0, at=held.at, tries=held.tries, fence=held.fence, stop=stop)
        self.entries[t.turn_id] = e
        self._lease(e, now)
        return e

    def _leave_place(self, key: str) -> None:
        self.places.pop(key, None)
        self.own_places.pop(key, None)

    # The operations

    def admit(self, key: str, person_id: int, limits: Limits, tokens: int, now: int) -> tuple[str, object]:
        till, turn = self.admitted.get(key, (0, None))
        if till > now:
            return "known", turn
        self.own_places = {k: p for k, p in self.own_places.items() if p[1] != person_id or p[0] > now}
        own = sum(owner == person_id for _, owner in self.own_places.values())
        if own + len(self.waiting(person_id)) >= limits.queued_max:
            return "full", "person"
        self.places = {k: p for k, p in self.places.items() if p[0] > now}
        if len(self.places) + len(self.waiting()) >= self.config.queued_max:
            return "full", "all"
        p = self.persons.setdefault(person_id, Person(person_id))
        arrivals, refused = {}, []
        for rate in limits.rates:
            units, period = tokens if rate.per_token else 1, rate.period_s * SECOND
            due, per, _ = p.arrivals.get(rate.name, (0, 1, False))
            owed = max(0, due - now)
            if rate.name in p.arrivals and per != period / rate.amount:
                owed = owed / per * (period / rate.amount)
            wait = owed + min(units, rate.amount) * period / rate.amount - period
            if wait > 1:
                refused.append((wait, rate.name))
            arrivals[rate.name] = now + owed + units * period / rate.amount, period / rate.amount, rate.per_token
        if refused:
            return "limited", max(refused)[1]
        p.arrivals.update(arrivals)
        till = now + round(self.config.place_s * SECOND)
        self.places[key] = self.own_places[key] = (till, person_id)
        self.admitted[key] = (till, None)
        self.counted[key] = (person_id, tokens)
        return "new", None

    def release(self, key: str, request: bool, now: int) -> None:
        self._leave_place(key)
        till, turn = self.admitted.get(key, (0, None))
        if till > now and turn is None:
            del self.admitted[key]
            person_id, tokens = self.counted[key]
            self._count(person_id, -int(request), -tokens, now)

    def charge(self, person_id: int, tokens: int, now: int) -> None:
        self._count(person_id, 0, tokens, now)

    def _count(self, person_id: int, requests: int, tokens: int, now: int) -> None:
        p = self.persons.setdefault(person_id, Person(person_id))
        for name, (due, per, per_token) in p.arrivals.items():
            p.arrivals[name] = max(now, due) + (tokens if per_token else requests) * per, per, per_token

    def submit(self, t: Ticket, key: str, now: int) -> None:
        if key:
            self._leave_place(key)
            self.admitted[key] = (now + ADMITTED_US, t.turn_id)
        tomb = self._tomb(t.turn_id, now)
        if t.turn_id in self.entries or (tomb and tomb[1]):
            return
        self.tombs.pop(t.turn_id, None)
        self._arrive(t, lifted=not self.waiting(t.person_id))
        self.seq += 1
        self.entries[t.turn_id] = Entry(t, self.seq, now, t.tries, fence=tomb[2] if tomb else 0)
        self._settle(t.person_id, now)

    def move(self, turn_id: int, weight: int, hard: int, now: int) -> bool:
        e = self.entries.get(turn_id)
        if not e or e.running:
            return False
        if weight == 0:
            self._bury(e, now, done=False)
            return True
        p = self.persons[e.ticket.person_id]
        p.weight, p.hard = weight, hard
        e.ticket = replace(e.ticket, weight=weight, in_flight_max=hard)
        self._settle(p.id, now)
        return True

    def claim(self, now: int) -> tuple[Held | None, list[int]]:
        due = [e for e in self.waiting() if 0 < e.ticket.deadline_us <= now]
        due = sorted(due, key=lambda e: (e.ticket.deadline_us, str(e.ticket.turn_id)))[:BATCH_MAX]
        for e in due:
            self._bury(e, now, done=False)
        chosen, by_counter = self._choose(now) if len(self.running()) < self.config.slots else (None, True)
        if chosen:
            if self.blocked and self.blocked[0] == chosen.ticket.turn_id:
                self.blocked = None
            if by_counter:
                self.vsys = max(self.vsys, self.persons[chosen.ticket.person_id].v)
            self.fence = chosen.fence = max(self.fence + 1, now)
            by_right = len(self.running(chosen.ticket.person_id)) < self.persons[chosen.ticket.person_id].cap
            self._lease(chosen, now)
            if by_right:
                new = (chosen.ticket.input_tokens, chosen.ticket.output_max)
                self.right = tuple(a + 0.1 * (b - a) for a, b in zip(self.right or new, new, strict=True))
        held = Held(chosen.ticket, chosen.fence, chosen.at, chosen.tries) if chosen else None
        return held, [e.ticket.turn_id for e in due]

    def _waiting_for_kv(self) -> Entry | None:
        ready = [self.waiting(p.id)[0] for p in self._line(borrowing=False)]
        return next((e for e in ready if self.blocked and e.ticket.turn_id == self.blocked[0]), None)

    def _starving(self, line: list[Person], now: int) -> Entry | None:
        longest = min(line, key=lambda p: (p.since, str(p.id)), default=None)
        if not longest or now - longest.since < self.config.starve_s * SECOND:
            return None
        self.starved += 1
        return self.waiting(longest.id)[0] if self.starved % 4 == 1 else None

    def _choose(self, now: int) -> tuple[Entry | None, bool]:
        """The ticket, and whether its person's counter decided."""
        budget, busy = self.config.kv_budget, len(self.running())

        def fits(e: Entry, spared: float = 0) -> bool:
            return not budget or not busy or self.kv_used() + self._kv_need(e.ticket) + spared <= budget

        line, blocked = self._line(borrowing=False), self._waiting_for_kv()
        ready = [self.waiting(p.id)[0] for p in line]
        if blocked and self.blocked and now - self.blocked[1] >= self.config.overtake_s * SECOND:
            return (blocked if fits(blocked) else None), True
        first = self._starving(line, now)
        for e in ([first] if first else []) + ready[:LOOK_MAX]:
            if fits(e):
                return e, e is not first
            if not blocked:
                blocked, self.blocked = e, (e.ticket.turn_id, now)
        if self.config.slots - busy > self._reserve():
            borrowers = [self.waiting(p.id)[0] for p in self._line(borrowing=True)]
            spared = self._reserve() * self._usual_need()
            return next((e for e in borrowers[:LOOK_MAX] if fits(e, spared)), None), True
        return None, True

    def renew(self, held: Held, output: int, now: int) -> tuple[bool, bool]:
        e = self._held(held, now)
        if not e:
            return False, False
        output = max(e.output, output)
        if output > e.output:
            charge = 2 * (output - e.output)
            self.persons[e.ticket.person_id].v += charge / e.ticket.weight
            e.charged, e.output = e.charged + charge, output
            e.kv = max(e.kv, self._expected_input(e.ticket) + output)
        e.lease_until = now + round(self.config.lease_s * SECOND)
        return True, e.stop

    def step(self, held: Held, usage: Usage, following: Ticket, now: int) -> tuple[str, Held | None]:
        e = self._held(held, now)
        if not e:
            return "stale", None
        if e.stop:
            return "cancelled", None
        going_on = replace(held, ticket=following)
        if e.ticket.step >= following.step:
            return "goes on", going_on
        p = self.persons[e.ticket.person_id]
        p.v = max(0, p.v + (self._cost(usage) - e.charged) / e.ticket.weight)
        self._learn(e.ticket, usage)
        e.ticket, e.charged, e.output = following, 0.0, 0
        need, budget = self._kv_need(following), self.config.kv_budget
        if budget and len(self.running()) > 1 and self.kv_used() - e.kv + need > budget:
            self._put_back(e, now)
            if not self._waiting_for_kv():
                self.blocked = (following.turn_id, now)
            return "requeued", None
        e.kv, e.lease_until = need, now + round(self.config.lease_s * SECOND)
        e.charged = self._cost(Usage(following.input_tokens, following.cached_tokens_est, 0))
        p.v += e.charged / following.weight
        self._settle(p.id, now)
        return "goes on", going_on

    def _learn(self, t: Ticket, usage: Usage) -> None:
        p = self.persons[t.person_id]
        if usage.output_tokens:
            if usage.input_tokens and not t.step:
                self.inputs.learn(math.floor(1000 * min(1, usage.input_tokens / t.input_tokens) + 0.5))
            p.outputs.learn(usage.output_tokens)
            self.outputs.learn(usage.output_tokens)

    def finish(self, held: Held, usage: Usage | None, now: int) -> bool:
        e = self._held(held, now)
        if not e:
            return False
        if usage is None:
            self._put_back(e, now)
            return True
        p = self.persons[e.ticket.person_id]
        p.v = max(0, p.v + (self._cost(usage) - e.charged) / e.ticket.weight)
        self._learn(e.ticket, usage)
        self._bury(e, now, done=True)
        return True

    def cancel(self, turn_id: int, now: int) -> str:
        e = self.entries.get(turn_id)
        if not e:
            return "unknown"
        if e.running:
            e.stop = True
            return "flagged"
        self._bury(e, now, done=False)
        return "removed"

    def reap(self, now: int) -> tuple[list[int], list[int]]:
        expired = sorted(
            (e for e in self.running() if e.lease_until <= now), key=lambda e: (e.lease_until, str(e.ticket.turn_id))
        )
        latest = now + round(self.config.lease_s * SECOND)
        for e in self.running():
            e.lease_until = min(e.lease_until, latest)
        requeued, dead = [], []
        for e in expired[:BATCH_MAX]:
            e.tries += 1
            self._put_back(e, now)
            if e.tries >= self.config.tries_max:
                self._bury(e, now, done=False)
                dead.append(e.ticket.turn_id)
            else:
                requeued.append(e.ticket.turn_id)
        return requeued, dead
