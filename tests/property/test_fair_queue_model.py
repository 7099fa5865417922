"""The Lua against a plain Python scheduler, on virtual time, with holders that crash, come back late, or lose Redis."""

import asyncio
import copy
import random
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from redis.asyncio import Redis

from inference.queue.fair import FairQueue
from inference.queue.ticket import Claim, Limits, QueueConfig, Rate, Ticket, Usage
from kit.errors import QueueFull, RateLimited
from tests.support.queue_model import SECOND, Held, Model

START = 1_790_000_000 * SECOND
LIMITS = Limits((Rate("requests", 3), Rate("tokens", 2_000, per_token=True)), queued_max=6)
BETTER = Limits((Rate("requests", 9), Rate("day", 9_000, 3_600, per_token=True)), queued_max=8)
# A failure is shrunk, but not explained: tracing every line of the client takes longer than the test may.
PHASES = (Phase.explicit, Phase.generate, Phase.shrink)
# Counted from the newest back, so that small numbers are what is going on now.
PICK = st.integers(0, 40)
KEYS = [f"{person}:{message}" for person in (1, 2) for message in range(6)]


class QueueMachine(RuleBasedStateMachine):
    """Runs every operation on both and compares the answers, and after each step all that can be seen."""

    redis_url = ""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.redis = Redis.from_url(self.redis_url)
        self.now, self.latest, self.floor = START, START, 0
        self.fences: set[int] = set()
        self.claims: list[tuple[Claim, Held]] = []
        self.tickets: dict[int, Ticket] = {}
        self.ended: dict[int, str] = {}
        self.ended_at: dict[int, int] = {}
        self.ended_before_loss: set[int] = set()
        self.saved: tuple[dict[bytes, tuple[bytes, int]], Model] | None = None

    def run(self, operation):
        return self.loop.run_until_complete(operation)

    def teardown(self) -> None:
        try:
            self.drain()
        finally:
            self.run(self.redis.aclose())
            self.loop.close()

    @initialize(
        slots=st.integers(1, 4),
        kv_budget=st.sampled_from([0, 900, 2_500]),
        reserve=st.integers(0, 2),
        lag_max=st.sampled_from([0, 500, 16_384]),
        starve_s=st.sampled_from([3, 40, 180]),
    )
    def start(self, slots, kv_budget, reserve, lag_max, starve_s) -> None:
        self.config = QueueConfig(
            slots=slots,
            kv_budget=kv_budget,
            reserve_min=reserve,
            reserve_max=reserve,
            lag_max=lag_max,
            starve_s=starve_s,
            queued_max=12,
            cached_factor=0.2,
            idle_s=10**9,
            lend_spread=0,
        )
        self.queue = FairQueue(self.redis, "model", self.config)
        self.run(self.redis.flushdb())
        self.run(self.queue.configure(now_us=self.now))
        self.model = Model(self.config, self.now)

    def end(self, turn_id: int, how: str) -> None:
        assert turn_id not in self.ended, f"turn {turn_id} ended twice: {self.ended[turn_id]}, {how}"
        self.ended[turn_id] = how
        self.ended_at[turn_id] = self.now

    def held_on(self, turn_id: int) -> None:
        """A holder was believed. A loss of Redis forgets an ending, or the minute after it; Postgres closes again."""
        if turn_id in self.ended and not self.is_buried(turn_id):
            self.ended_before_loss.discard(turn_id)
            del self.ended[turn_id]
        assert turn_id not in self.ended

    @rule(key=st.sampled_from(KEYS), tokens=st.integers(0, 3_000), limits=st.sampled_from([LIMITS, LIMITS, BETTER]))
    def admit(self, key, tokens, limits) -> None:
        person = int(key[0])
        try:
            admission = self.run(self.queue.admit(key, person, limits, tokens=tokens, now_us=self.now))
            answer = ("new", None) if admission.fresh else ("known", admission.turn_id)
        except RateLimited as refused:
            answer = ("limited", refused.limit)
        except QueueFull as refused:
            answer = ("full", refused.scope)
        assert answer == self.model.admit(key, person, limits, tokens, self.now)

    @rule(key=st.sampled_from(KEYS), request=st.booleans())
    def release(self, key, request) -> None:
        self.run(self.queue.release(key, int(key[0]), request=request, now_us=self.now))
        self.model.release(key, request, self.now)

    @rule(person=st.integers(1, 2), tokens=st.integers(-1_000, 2_000))
    def charge(self, person, tokens) -> None:
        self.run(self.queue.charge(person, tokens, now_us=self.now))
        self.model.charge(person, tokens, self.now)

    @rule(
        person=st.integers(1, 4),
        count=st.integers(1, 3),
        input_tokens=st.integers(0, 600),
        cached=st.integers(0, 100),
        output_max=st.integers(1, 600),
        patience=st.sampled_from([0, 0, 3, 30]),
        cap=st.integers(1, 2),
        hard=st.sampled_from([0, 0, 2]),
        key=st.sampled_from(["", "", *KEYS]),
    )
    def submit(self, person, count, input_tokens, cached, output_max, patience, cap, hard, key) -> None:
        for _ in range(count):
            turn_id = len(self.tickets) + 1
            ticket = Ticket(
                turn_id=turn_id,
                person_id=person,
                weight=(1, 2, 4, 3)[person - 1],
                base_cap=cap,
                input_tokens=input_tokens,
                cached_tokens_est=min(cached, input_tokens),
                output_max=output_max,
                deadline_us=self.now + patience * SECOND if patience else 0,
                in_flight_max=hard,
            )
            key = key if key.startswith(f"{person}:") else ""
            self.tickets[turn_id] = ticket
            self.submit_now(ticket, key)
            key = ""

    def submit_now(self, ticket, key="") -> None:
        position = self.run(self.queue.submit(ticket, key=key, now_us=self.now))
        self.model.submit(ticket, key, self.now)
        assert position.position == (self.model.position(ticket.turn_id) or 0)
        assert 0 <= position.eta_low_s <= position.eta_high_s <= 2 * position.eta_low_s + 10

    @rule(pick=PICK, tries=st.integers(0, 2))
    def submit_again(self, pick, tries) -> None:
        """A caller that is not sure, or the sweeper, which counts the tries itself."""
        open_turns = [turn for turn in self.tickets if turn not in self.ended]
        if open_turns:
            ticket = self.tickets[open_turns[-1 - pick % len(open_turns)]]
            self.submit_now(replace(ticket, tries=tries))

    @rule(pick=PICK, key=st.sampled_from(["", *KEYS]))
    def submit_late(self, pick, key) -> None:
        """A turn that ended a moment ago is submitted once more: one that was answered stays so, others wait again."""
        buried = [turn for turn in self.ended if self.is_buried(turn)]
        if buried:
            turn_id = buried[-1 - pick % len(buried)]
            if self.ended[turn_id] != "finished":
                del self.ended[turn_id]
            ticket = self.tickets[turn_id]
            self.submit_now(ticket, key if key.startswith(f"{ticket.person_id}:") else "")

    def is_buried(self, turn_id) -> bool:
        return turn_id not in self.ended_before_loss and self.now < self.ended_at[turn_id] + 59 * SECOND

    @rule(times=st.integers(1, 4))
    def claim(self, times) -> None:
        for _ in range(times):
            self.claim_one()

    def claim_one(self) -> None:
        claimed = self.run(self.queue.claim(now_us=self.now))
        held, dropped = self.model.claim(self.now)
        assert [e.turn_id for e in claimed.expired] == dropped
        for turn_id in dropped:
            self.end(turn_id, "dropped")
        claim = claimed.claim
        assert (claim and (claim.turn_id, claim.fence, claim.tries)) == (
            held and (held.ticket.turn_id, held.fence, held.tries)
        )
        if claim and held:
            assert claim.fence > max(self.fences, default=0)
            assert claim.turn_id not in self.ended
            assert claim.waited_s >= 0
            assert replace(claim.ticket, tries=0) == replace(held.ticket, tries=0)
            self.fences.add(claim.fence)
            self.claims.append((claim, held))

    @rule(pick=PICK, output=st.integers(0, 700))
    def renew(self, pick, output) -> None:
        """Any holder, live or long replaced, may come at any time: one that crashed simply doesn't."""
        if self.claims:
            claim, held = self.claims[-1 - pick % len(self.claims)]
            renewal = self.run(self.queue.renew(claim, output, now_us=self.now))
            assert (renewal.alive, renewal.cancelled) == self.model.renew(held, output, self.now)
            if renewal.alive:
                self.held_on(claim.turn_id)

    @rule()
    def renew_all(self) -> None:
        """A worker's heartbeat: its newest claims in one pipeline."""
        newest = self.claims[-3:]
        renewals = self.run(self.queue.renew_many([(claim, 1) for claim, _ in newest], now_us=self.now))
        expected = [self.model.renew(held, 1, self.now) for _, held in newest]
        assert [(r.alive, r.cancelled) for r in renewals] == expected
        for (claim, _), renewal in zip(newest, renewals, strict=True):
            if renewal.alive:
                self.held_on(claim.turn_id)

    @rule(times=st.integers(1, 3), output=st.integers(0, 700), requeues=st.booleans())
    def holders_die_and_one_comes_back(self, times, output, requeues) -> None:
        """All leases expire, others take the turns over, and then a holder that was thought dead speaks."""
        for _ in range(times):
            self.now += 16 * SECOND
            self.reap()
            self.claim(4)
        for claim, held in self.claims[-6:]:
            renewal = self.run(self.queue.renew(claim, output, now_us=self.now))
            assert (renewal.alive, renewal.cancelled) == self.model.renew(held, output, self.now)
            if renewal.alive:
                self.held_on(claim.turn_id)
        if self.claims:
            claim, held = self.claims[-min(4, len(self.claims))]
            usage = None if requeues else Usage(claim.ticket.input_tokens, 0, output)
            self.end_claim(claim, held, usage)

    @rule(pick=PICK, output=st.integers(0, 700), cached=st.integers(0, 50), times=st.integers(1, 3))
    def finish(self, pick, output, cached, times) -> None:
        for number in range(times if self.claims else 0):
            claim, held = self.claims[-1 - (pick + number) % len(self.claims)]
            self.end_claim(claim, held, Usage(claim.ticket.input_tokens + 50, cached, output))

    @rule(
        pick=PICK,
        output=st.integers(0, 700),
        input_tokens=st.integers(0, 900),
        cached=st.integers(0, 600),
        output_max=st.integers(1, 600),
        asks_twice=st.booleans(),
    )
    def step(self, pick, output, input_tokens, cached, output_max, asks_twice) -> None:
        """A turn goes on with a further generation, asked for by its holder or by one that was long replaced."""
        if not self.claims:
            return
        claim, held = self.claims[-1 - pick % len(self.claims)]
        usage = Usage(claim.ticket.input_tokens, 0, output)
        cached = min(cached, input_tokens)
        following = replace(
            held.ticket,
            input_tokens=input_tokens,
            cached_tokens_est=cached,
            output_max=output_max,
            step=held.ticket.step + 1,
        )
        for _ in range(1 + asks_twice):
            stepped = self.run(
                self.queue.step(
                    claim,
                    usage,
                    input_tokens=input_tokens,
                    cached_tokens_est=cached,
                    output_max=output_max,
                    now_us=self.now,
                )
            )
            how, going_on = self.model.step(held, usage, following, self.now)
            assert (stepped.claim is not None, stepped.cancelled, stepped.requeued) == (
                how == "goes on",
                how == "cancelled",
                how == "requeued",
            )
            assert stepped.wakeups == self.model.wakeups()
            if how != "stale":
                self.held_on(claim.turn_id)
        if stepped.claim and going_on:
            assert stepped.claim.fence == claim.fence
            assert replace(stepped.claim.ticket, tries=0) == replace(following, tries=0)
            self.claims.append((stepped.claim, going_on))

    @rule(pick=PICK)
    def requeue(self, pick) -> None:
        if self.claims:
            self.end_claim(*self.claims[-1 - pick % len(self.claims)], None)

    def end_claim(self, claim, held, usage) -> None:
        """Finish, or requeue where there is no usage."""
        ending = self.queue.finish(claim, usage, now_us=self.now) if usage else None
        finished = self.run(ending or self.queue.requeue(claim, now_us=self.now))
        assert finished.accepted == self.model.finish(held, usage, self.now)
        assert finished.wakeups == self.model.wakeups()
        if finished.accepted:
            self.held_on(claim.turn_id)
            if usage:
                self.end(claim.turn_id, "finished")

    @rule(pick=PICK)
    def cancel(self, pick) -> None:
        if self.tickets:
            turn_id = len(self.tickets) - pick % len(self.tickets)
            found = self.run(self.queue.cancel(turn_id, now_us=self.now))
            assert found == self.model.cancel(turn_id, self.now)
            if found == "removed":
                self.end(turn_id, "cancelled")

    @rule(pick=PICK, weight=st.integers(0, 4), hard=st.integers(0, 2))
    def move(self, pick, weight, hard) -> None:
        if not self.tickets:
            return
        turn_id = len(self.tickets) - pick % len(self.tickets)
        if weight:
            moved = self.run(self.queue.move(turn_id, weight=weight, in_flight_max=hard, now_us=self.now))
        else:
            moved = self.run(self.queue.withdraw(turn_id, now_us=self.now))
        assert moved == self.model.move(turn_id, weight, hard, self.now)
        if moved and not weight:
            self.end(turn_id, "withdrawn")

    @rule()
    def reap(self) -> None:
        reaped = self.run(self.queue.reap(now_us=self.now))
        requeued, dead = self.model.reap(self.now)
        assert [e.turn_id for e in reaped.requeued] == requeued
        assert [e.turn_id for e in reaped.dead] == dead
        assert reaped.wakeups == self.model.wakeups()
        for turn_id in dead:
            self.end(turn_id, "dead")

    @rule(us=st.sampled_from([1, 1_000, SECOND, 3 * SECOND, 16 * SECOND, 61 * SECOND, -1, -2 * SECOND, -40 * SECOND]))
    def wait(self, us) -> None:
        """Time passes; a negative one is a clock that was set back."""
        self.latest = max(self.latest, self.now)
        self.now = max(self.floor, self.now + us)

    @precondition(lambda self: self.tickets)
    @rule(scripts_too=st.booleans())
    def lose_redis(self, scripts_too) -> None:
        self.now = max(self.now, self.latest) + SECOND
        self.ended_before_loss |= set(self.ended)
        self.run(self.redis.flushdb())
        if scripts_too:
            self.run(self.redis.script_flush())
        self.run(self.queue.position(1, now_us=self.now))
        self.model = Model(self.config, self.now)

    @rule()
    def redis_saves(self) -> None:
        async def dump() -> dict[bytes, tuple[bytes, int]]:
            keys = [key async for key in self.redis.scan_iter()]
            return {key: (await self.redis.dump(key), max(0, await self.redis.pttl(key))) for key in keys}

        self.saved = (self.run(dump()), copy.deepcopy(self.model))

    @precondition(lambda self: self.saved)
    @rule()
    def redis_comes_back_as_it_was_saved(self) -> None:
        """What happened since is unknown to it, and holders come with fences that it has not handed out.

        Fences still grow, by the clock, which for once must not be set back as well.
        """
        self.now = self.floor = max(self.now, self.latest) + SECOND
        keys, model = self.saved
        # Postgres would know that these have ended, and answers whoever is given them again.
        for turn_id in model.entries:
            self.ended.pop(turn_id, None)
        self.ended_before_loss = set(self.ended)

        async def restore() -> None:
            await self.redis.flushdb()
            for key, (value, ttl_ms) in keys.items():
                await self.redis.restore(key, ttl_ms, value)

        self.run(restore())
        self.model = copy.deepcopy(model)

    @invariant()
    def looks_as_the_model(self) -> None:
        if not hasattr(self, "model"):
            return
        seen, model = self.run(self.queue.snapshot(now_us=self.now)), self.model
        assert [(h.person_id, h.waiting, h.running, h.counter) for h in seen.heads] == model.heads()
        assert (seen.waiting, seen.running) == (len(model.waiting()), len(model.running()))
        assert seen.kv_used == model.kv_used()
        assert seen.places == model.places_kept(self.now)
        for entry in model.waiting()[-2:]:
            turn_id = entry.ticket.turn_id
            position = self.run(self.queue.position(turn_id, now_us=self.now))
            assert position is not None
            assert position.position == model.position(turn_id)

    def drain(self) -> None:
        """The sweeper and one worker finish what is left: nothing may be lost, and all of it goes back to zero."""
        if not hasattr(self, "model"):
            return
        self.now = max(self.now, self.latest) + 100 * SECOND
        for _ in range(4):
            self.reap()
            self.submit_lost()
            while True:
                before = len(self.claims)
                self.claim_one()
                if len(self.claims) == before:
                    break
                claim, held = self.claims[-1]
                usage = Usage(claim.ticket.input_tokens, 0, 10)
                assert self.run(self.queue.finish(claim, usage, now_us=self.now)).accepted
                assert self.model.finish(held, usage, self.now)
                self.end(claim.turn_id, "finished")
        assert set(self.ended) == set(self.tickets)
        seen = self.run(self.queue.snapshot(now_us=self.now))
        assert (seen.waiting, seen.running, seen.kv_used, seen.persons_waiting) == (0, 0, 0, 0)
        assert int(self.run(self.redis.hget("{fq:model}:st", "w")) or 0) == 0
        self.no_key_stays()

    def submit_lost(self) -> None:
        for turn_id, ticket in self.tickets.items():
            if turn_id not in self.ended and not self.run(self.queue.known(turn_id, now_us=self.now)):
                self.submit_now(ticket)

    def no_key_stays(self) -> None:
        async def lasting() -> set[bytes]:
            return {key async for key in self.redis.scan_iter("{fq:model}*") if await self.redis.ttl(key) == -1}

        assert self.run(lasting()) <= {b"{fq:model}:cfg", b"{fq:model}:st"}


@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("examples", [100, pytest.param(2_000, marks=pytest.mark.fair)])
def test_the_queue_does_what_the_plain_scheduler_does(redis_url, examples) -> None:
    QueueMachine.redis_url = redis_url
    run_state_machine_as_test(
        QueueMachine,
        settings=settings(max_examples=examples, stateful_step_count=40, deadline=None, database=None, phases=PHASES),
    )


@pytest.mark.parametrize("seed", [*range(24), *(pytest.param(seed, marks=pytest.mark.fair) for seed in range(24, 200))])
def test_long_days_of_the_queue_are_those_of_the_plain_scheduler(redis_url, seed) -> None:
    """Chance alone goes further than Hypothesis, whose examples are short: full queues, many holders, losses."""
    QueueMachine.redis_url = redis_url
    dice = random.Random(seed)
    machine = QueueMachine()
    machine.start(
        slots=dice.randint(1, 4),
        kv_budget=dice.choice([0, 900, 2_500]),
        reserve=dice.randint(0, 2),
        lag_max=dice.choice([0, 500, 16_384]),
        starve_s=dice.choice([3, 40, 180]),
    )
    try:
        for _ in range(300):
            _step(machine, dice)
            machine.looks_as_the_model()
    finally:
        machine.teardown()


def _step(machine: QueueMachine, dice: random.Random) -> None:
    """One likely thing happens."""
    pick, output, key = min(40, int(dice.expovariate(0.4))), dice.randint(0, 700), dice.choice(KEYS)
    submit = partial(
        machine.submit, dice.randint(1, 4), dice.randint(1, 3), dice.randint(0, 600), dice.randint(0, 100),
        dice.randint(1, 600), dice.choice([0, 0, 3, 30]), dice.randint(1, 2), dice.choice([0, 0, 2]),
        dice.choice(["", key]),
    )  # fmt: skip
    likely: list[tuple[float, Callable[[], object]]] = [
        (5, submit),
        (5, partial(machine.claim, dice.randint(1, 4))),
        (5, partial(machine.finish, pick, output, dice.randint(0, 50), 1)),
        (4, partial(machine.renew, pick, output)),
        (
            3,
            partial(
                machine.step, pick, output, dice.randint(0, 900), dice.randint(0, 600), dice.randint(1, 600), False
            ),
        ),
        (0.5, partial(machine.step, pick, output, dice.randint(0, 900), 0, dice.randint(1, 600), True)),
        (1, machine.renew_all),
        (1, partial(machine.requeue, pick)),
        (1, partial(machine.cancel, pick)),
        (1, partial(machine.move, pick, dice.randint(0, 4), dice.randint(0, 2))),
        (1, machine.reap),
        (4, partial(machine.wait, dice.choice([1, 1_000, SECOND, SECOND, 3 * SECOND]))),
        (0.5, partial(machine.wait, dice.choice([8 * SECOND, 61 * SECOND, -2 * SECOND, -40 * SECOND]))),
        (0.5, partial(machine.holders_die_and_one_comes_back, dice.randint(1, 3), output, dice.random() < 0.5)),
        (0.3, partial(machine.lose_redis, dice.random() < 0.3)),
        (0.3, machine.redis_saves),
        (0.3, machine.redis_comes_back_as_it_was_saved if machine.saved else machine.redis_saves),
        (3, partial(machine.admit, key, dice.choice([0, 100, 1_500, 3_000]), dice.choice([LIMITS, LIMITS, BETTER]))),
        (0.5, partial(machine.release, key, dice.random() < 0.5)),
        (1, partial(machine.charge, dice.choice([1, 2]), dice.choice([-500, 100, 900]))),
        (0.5, partial(machine.submit_again, pick, dice.randint(0, 2))),
        (0.5, partial(machine.submit_late, pick, key)),
    ]
    dice.choices([what for _, what in likely], [weight for weight, _ in likely])[0]()
