"""The fair queue's Python side: it carries values to the Lua and back, and decides nothing.

Scripts are called by their SHA-1. A Redis that has lost them, or the configuration, gets both again and is asked once
more: a loss costs one more round trip, no error.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from inference.queue.scripts import SCRIPTS
from inference.queue.ticket import (
    Admission,
    Cancelled,
    Claim,
    Claimed,
    Expired,
    Finished,
    Limits,
    PersonLoad,
    Position,
    QueueConfig,
    Reaped,
    Renewal,
    Snapshot,
    Stepped,
    Ticket,
    Usage,
)
from kit.errors import QueueFull, RateLimited, Unavailable

HEADS_MAX = 20
_US = 1_000_000
_CANCELLED = {0: Cancelled.UNKNOWN, 1: Cancelled.REMOVED, 2: Cancelled.FLAGGED}


class FairQueue:
    """One model group's queue in Redis. Every method is one atomic script; all raise Unavailable('redis').

    `now_us` is µs since the epoch; 0, the default, means Redis' own clock.
    """

    def __init__(self, redis: Redis, group: str, config: QueueConfig) -> None:
        self.group, self.config = group, config
        self._redis = redis
        self._key = f"{{fq:{group}}}"

    async def configure(self, config: QueueConfig | None = None, *, now_us: int = 0) -> None:
        """Store the configuration; called by each process at its start, and with a new one on reload."""
        self.config = config or self.config
        fields: list[Any] = []
        for name, value in asdict(self.config).items():
            if name in {"lease_s", "place_s", "overtake_s", "starve_s", "idle_s"}:
                fields += [f"{name[:-2]}_us", round(value * _US)]
            else:
                fields += [name, value]
        try:
            await self._call("EVAL", SCRIPTS["configure"].source, now_us, *fields)
        except (RedisConnectionError, RedisTimeoutError) as error:
            raise Unavailable("redis", str(error)) from error

    async def admit(self, key: str, person_id: int, limits: Limits, *, tokens: int = 0, now_us: int = 0) -> Admission:
        """Keep a place for 30 s, before the turn exists; `key` is the caller's, 'chat:message' say, and idempotent.

        `tokens` is what the answer is expected to cost, for the rates that count tokens; `charge` trues it up. A key
        that is known counts nothing. Raises RateLimited, QueueFull, and has then changed nothing.
        """
        rates: list[Any] = []
        for rate in limits.rates:
            rates += [rate.name, rate.amount, round(rate.period_s * _US), int(rate.per_token)]
        reply = await self._run("admit", now_us, key, person_id, tokens, limits.queued_max, *rates)
        if int(reply[0]) == -1:
            raise RateLimited(limit=_text(reply[1]), retry_after_s=float(reply[2]) / _US)
        if int(reply[0]) == -2:
            raise QueueFull(scope=_text(reply[1]), retry_after_s=float(reply[2]) / _US)
        turn_id = int(reply[2]) if reply[2] else None
        return Admission(key, fresh=int(reply[0]) == 0, place_until_us=int(reply[1]), turn_id=turn_id)

    async def release(self, key: str, person_id: int, *, request: bool = True, now_us: int = 0) -> None:
        """Give up a kept place that will not be submitted, and the tokens that it counted.

        `request`: whether the request counts no more either.
        """
        await self._run("release", now_us, key, person_id, int(request))

    async def charge(self, person_id: int, tokens: int, *, now_us: int = 0) -> None:
        """Count what an answer took beyond the tokens of its admission, or took less (negative).

        It never refuses and is not idempotent: call it once, after the turn is closed in Postgres.
        """
        await self._run("charge", now_us, person_id, tokens)

    async def submit(self, ticket: Ticket, *, key: str = "", now_us: int = 0) -> Position:
        """Queue a ticket, turning the place kept under `key` into it. Idempotent by turn; never refuses.

        A turn that was finished within the last minute is left alone and answers position 0.
        """
        return _position(await self._run("submit", now_us, _seal(ticket), key, ticket.tries))

    async def move(self, turn_id: int, *, weight: int, in_flight_max: int, now_us: int = 0) -> bool:
        """Give a waiting ticket another weight and bound, and its person with it; False where the turn doesn't wait."""
        assert weight > 0
        return bool(int(await self._run("move", now_us, turn_id, weight, in_flight_max)))

    async def withdraw(self, turn_id: int, *, now_us: int = 0) -> bool:
        """Take a waiting ticket out, to be submitted again later; False where the turn doesn't wait: it may run."""
        return bool(int(await self._run("move", now_us, turn_id, 0, 0)))

    async def claim(self, *, now_us: int = 0) -> Claimed:
        """Lease the fairest ticket that fits."""
        reply = await self._run("claim", now_us)
        expired = _pairs(reply[0])
        if len(reply) <= 2:
            return Claimed(None, expired, int(reply[1]) / _US if len(reply) > 1 else 0.0)
        sealed, (fence, until, tries, at) = _text(reply[1]), map(int, reply[2:6])
        claim = Claim(
            ticket=_unseal(sealed, tries),
            fence=fence,
            lease_until_us=until,
            tries=tries,
            waited_s=float(reply[6]),
            sealed=f"{sealed}:{at}:{tries}",
        )
        return Claimed(claim, expired)

    async def renew(self, claim: Claim, output_tokens: int, *, now_us: int = 0) -> Renewal:
        """Extend a lease and charge the output so far. Takes up again a lease that Redis has lost."""
        return _renewal(await self._run("renew", now_us, *_held(claim, output_tokens)))

    async def renew_many(self, items: Sequence[tuple[Claim, int]], *, now_us: int = 0) -> list[Renewal]:
        """Renew all of a worker's leases in one pipeline; the answers are in the items' order."""
        if not items:
            return []
        return await self.read_renewals(items, await self._send_renewals(items, now_us), now_us=now_us)

    def add_renew(self, pipe: Pipeline, claim: Claim, output_tokens: int, *, now_us: int = 0) -> None:
        """Put one renewal into a pipeline of the caller's, who executes it with raise_on_error=False."""
        pipe.execute_command("EVALSHA", SCRIPTS["renew"].sha, 1, self._key, now_us, *_held(claim, output_tokens))

    async def read_renewals(
        self, items: Sequence[tuple[Claim, int]], replies: Sequence[Any], *, now_us: int = 0
    ) -> list[Renewal]:
        """Read the replies of `add_renew`, one an item; those that met a Redis without our state are sent again."""
        lost = [i for i, reply in enumerate(replies) if isinstance(reply, Exception) and _is_loss(reply)]
        answers = list(replies)
        if lost:
            await self._restore("renew", now_us)
            again = await self._send_renewals([items[i] for i in lost], now_us)
            for i, reply in zip(lost, again, strict=True):
                answers[i] = reply
        return [_renewal(reply) for reply in answers]

    async def step(
        self,
        claim: Claim,
        usage: Usage,
        *,
        input_tokens: int,
        cached_tokens_est: int,
        output_max: int,
        now_us: int = 0,
    ) -> Stepped:
        """End one generation of a turn and begin the next in the same slot, under the same fence (a tool was called).

        Charges what `usage` says and the next input, and books KV anew. What doesn't fit waits at the head of the
        queue. How many steps a turn may have is the caller's limit. Idempotent by the claim's step.
        """
        following = replace(
            claim.ticket,
            input_tokens=input_tokens,
            cached_tokens_est=cached_tokens_est,
            output_max=output_max,
            step=claim.ticket.step + 1,
        )
        counts = (usage.input_tokens, usage.cached_tokens, usage.output_tokens)
        sealed = _seal(following)
        reply = await self._run("step", now_us, claim.turn_id, claim.fence, claim.sealed, *counts, sealed)
        what, wakeups = map(int, reply)
        times = claim.sealed.split(":")[-2:]
        going_on = replace(claim, ticket=following, sealed=":".join((sealed, *times))) if what == 1 else None
        return Stepped(going_on, cancelled=what == 3, requeued=what == 2, wakeups=wakeups)

    async def finish(self, claim: Claim, usage: Usage, *, now_us: int = 0) -> Finished:
        """Free slot and KV and true the charge up. Called after the turn is closed in Postgres."""
        counts = (usage.input_tokens, usage.cached_tokens, usage.output_tokens)
        return _finished(await self._run("finish", now_us, claim.turn_id, claim.fence, claim.sealed, *counts))

    async def requeue(self, claim: Claim, *, now_us: int = 0) -> Finished:
        """Give a claim back to the head of its person's tickets without spending a try (a worker shuts down)."""
        return _finished(await self._run("finish", now_us, claim.turn_id, claim.fence, claim.sealed))

    async def cancel(self, turn_id: int, *, now_us: int = 0) -> Cancelled:
        """Remove a waiting ticket, or flag a running one: its next renewal says so."""
        return _CANCELLED[int(await self._run("cancel", now_us, turn_id))]

    async def reap(self, *, now_us: int = 0) -> Reaped:
        """Take expired leases back. Its wake-ups also make good for wake-ups that were lost."""
        requeued, dead, wakeups = await self._run("reap", now_us)
        return Reaped(_pairs(requeued), _pairs(dead), int(wakeups))

    async def position(self, turn_id: int, *, now_us: int = 0) -> Position | None:
        """Return where a ticket stands, None if the queue doesn't know it."""
        reply = await self._run("position", now_us, turn_id)
        return _position(reply) if reply else None

    async def known(self, turn_id: int, *, now_us: int = 0) -> bool:
        """Return whether a turn waits or runs here. After a loss wait one lease before you believe a False."""
        return await self.position(turn_id, now_us=now_us) is not None

    async def snapshot(self, *, now_us: int = 0) -> Snapshot:
        """Return the queue's state at one moment, bounded in size."""
        reply = await self._run("snapshot", now_us, HEADS_MAX)
        waiting, running, places, slots, reserve, kv_used, kv_budget, persons = map(int, reply[:8])
        loads = reply[10]
        return Snapshot(
            waiting=waiting,
            running=running,
            places=places,
            slots=slots,
            free=max(0, slots - running),
            reserve=reserve,
            kv_used=kv_used,
            kv_budget=kv_budget,
            persons_waiting=persons,
            oldest_wait_s=float(reply[8]),
            service_s=float(reply[9]),
            heads=tuple(
                PersonLoad(int(loads[i]), int(loads[i + 1]), int(loads[i + 2]), float(loads[i + 3]))
                for i in range(0, len(loads), 4)
            ),
        )

    async def _run(self, name: str, *arguments: Any) -> Any:
        script = SCRIPTS[name]
        try:
            try:
                return await self._call("EVALSHA", script.sha, *arguments)
            except ResponseError as error:
                if not _is_loss(error):
                    raise
            await self._restore(name, int(arguments[0]))
            return await self._call("EVALSHA", script.sha, *arguments)
        except (RedisConnectionError, RedisTimeoutError) as error:
            raise Unavailable("redis", str(error)) from error

    async def _call(self, command: str, script: str, *arguments: Any) -> Any:
        # redis-py's own eval() and evalsha() are typed for sync and async at once and take strings alone.
        return await self._redis.execute_command(command, script, 1, self._key, *arguments)  # type: ignore[no-untyped-call]

    async def _send_renewals(self, items: Sequence[tuple[Claim, int]], now_us: int) -> list[Any]:
        pipe = self._redis.pipeline(transaction=False)
        for claim, output_tokens in items:
            self.add_renew(pipe, claim, output_tokens, now_us=now_us)
        try:
            return await pipe.execute(raise_on_error=False)
        except (RedisConnectionError, RedisTimeoutError) as error:
            raise Unavailable("redis", str(error)) from error

    async def _restore(self, name: str, now_us: int) -> None:
        """Give Redis the script and, where it has none, the configuration."""
        try:
            await self._redis.script_load(SCRIPTS[name].source)
            if not await self._redis.exists(f"{self._key}:cfg"):
                await self.configure(now_us=now_us)
        except (RedisConnectionError, RedisTimeoutError) as error:
            raise Unavailable("redis", str(error)) from error


def _is_loss(error: Exception) -> bool:
    return isinstance(error, NoScriptError) or "NOCONFIG" in str(error)


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _seal(t: Ticket) -> str:
    assert t.weight > 0
    assert t.base_cap > 0
    assert 0 <= t.cached_tokens_est <= t.input_tokens
    return (
        f"{t.turn_id}:{t.person_id}:{t.weight}:{t.base_cap}:{t.in_flight_max}:{t.input_tokens}:{t.cached_tokens_est}"
        f":{t.output_max}:{t.deadline_us}:{t.step}"
    )


def _unseal(sealed: str, tries: int) -> Ticket:
    turn_id, person_id, weight, base_cap, in_flight_max, input_tokens, cached, output_max, deadline_us, step = map(
        int, sealed.split(":")
    )
    return Ticket(
        turn_id=turn_id,
        person_id=person_id,
        weight=weight,
        base_cap=base_cap,
        input_tokens=input_tokens,
        cached_tokens_est=cached,
        output_max=output_max,
        deadline_us=deadline_us,
        in_flight_max=in_flight_max,
        tries=tries,
        step=step,
    )


def _held(claim: Claim, output_tokens: int) -> tuple[Any, ...]:
    return claim.turn_id, claim.fence, output_tokens, claim.sealed


def _pairs(flat: Sequence[Any]) -> tuple[Expired, ...]:
    return tuple(Expired(int(flat[i]), int(flat[i + 1])) for i in range(0, len(flat), 2))


def _position(reply: Sequence[Any]) -> Position:
    """Turn an expected wait into the widest range that the promise allows, whose geometric mean the wait is."""
    position, wait_s = int(reply[0]), float(reply[1])
    if not position:
        return Position(0, 0.0, 0.0)
    # low · high = wait² and high = 2 · low + 10.
    low_s = float(math.floor((math.sqrt(25 + 2 * wait_s * wait_s) - 5) / 2))
    return Position(position, low_s, 2 * low_s + 10)


def _renewal(reply: Any) -> Renewal:
    if isinstance(reply, RedisConnectionError | RedisTimeoutError):
        raise Unavailable("redis", str(reply)) from reply
    if isinstance(reply, Exception):
        raise reply
    return Renewal(alive=int(reply) > 0, cancelled=int(reply) == 2)


def _finished(reply: Sequence[Any]) -> Finished:
    return Finished(accepted=int(reply[0]) == 1, wakeups=int(reply[1]))
