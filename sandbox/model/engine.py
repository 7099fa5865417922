"""The scheduler: slots, a waiting line, prefill times and one timer that steps all decoding requests together.

Like vLLM's continuous batching it gives every decoding request one token a step. One timer a step, whatever the number
of streams, is what lets a hundred of them run on a fraction of a core.
"""

import asyncio
import heapq
import itertools
import random
import time
from collections.abc import Sequence
from typing import Final, Protocol

from sandbox.model.cache import PrefixCache, chain_of
from sandbox.model.metrics import Metrics
from sandbox.model.options import Options

WAITING_MAX: Final = 20_000
"""More waiting requests than this are answered 503; vLLM itself has no bound."""

_LATE_S: Final = 0.05
"""A step that starts later than this counts as late: the machine, not the model, is then the limit."""
_SLOW_EVERY: Final = 10


class Sink(Protocol):
    """Where a request's tokens go."""

    def push(self, emitted: int) -> bool:
        """Token number `emitted` (from 1) is there. False: this request is over, by a fault."""

    def end(self) -> None:
        """The last token was pushed."""

    def die(self) -> None:
        """The engine died under the request."""


class Request:
    """One request in the engine. `total` is the number of tokens that its answer has, end token included."""

    __slots__ = (
        "arrived_at", "cached_tokens", "chain", "emitted", "first_token_at", "gone", "hung", "order", "priority",
        "prompt", "ready_at", "running", "salt", "sink", "slow", "slow_left", "tokens", "total",
    )  # fmt: skip

    def __init__(
        self,
        sink: Sink,
        prompt: Sequence[str],
        tokens: Sequence[str],
        total: int,
        *,
        priority: int,
        salt: str,
        slow: bool,
    ) -> None:
        self.sink, self.prompt, self.tokens, self.total = sink, prompt, tokens, total
        self.priority, self.salt, self.slow = priority, salt, slow
        self.slow_left = _SLOW_EVERY
        self.order = 0
        self.chain: list[int] = []
        self.emitted = self.cached_tokens = 0
        self.running = self.gone = self.hung = False
        self.arrived_at = time.monotonic()
        self.first_token_at: float | None = None
        self.ready_at = 0.0

    @property
    def held_tokens(self) -> int:
        """Tokens of KV cache that it holds while it runs."""
        return len(self.prompt) + self.emitted


class Engine:
    """Runs requests within `options.slots` and `options.kv_tokens`, lower priority first, then first come."""

    def __init__(self, options: Options, metrics: Metrics) -> None:
        self.options, self.metrics, self.cache = options, metrics, PrefixCache()
        self.preemptions_total = self.late_steps_total = self.steps_total = 0
        self.kv_used = 0
        self.running: set[Request] = set()
        self._waiting: list[tuple[int, int, Request]] = []
        self._waiting_count = 0
        self._prefill: list[tuple[float, int, Request]] = []
        self._decoding: list[Request] = []
        self._order = itertools.count(1)
        self._dice = random.Random(options.seed)
        self._step_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._loop = asyncio.get_running_loop()

    @property
    def waiting_count(self) -> int:
        """Requests without a slot."""
        return self._waiting_count

    @property
    def full(self) -> bool:
        """Whether the waiting line is at its bound."""
        return self._waiting_count >= WAITING_MAX

    def submit(self, request: Request) -> None:
        """Takes a request in; its sink hears of it later. The caller has looked at `full`."""
        request.order = next(self._order)
        self._wait(request)
        self._admit()

    def abort(self, request: Request) -> None:
        """Frees what the request holds at once; nothing happens for one that has ended."""
        if request.gone:
            return
        self._leave(request)
        self._admit()

    def die(self) -> None:
        """Everything that runs or waits ends as with a killed engine, and the prefix cache is lost."""
        doomed = [*self.running, *(request for _, _, request in self._waiting if not request.gone)]
        for request in doomed:
            self._leave(request)
            request.sink.die()
        self.cache.clear()

    def close(self) -> None:
        """Stops the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def reseed(self) -> None:
        """Starts the jitter again from the option's seed."""
        self._dice = random.Random(self.options.seed)

    def readmit(self) -> None:
        """To be called after options changed: more slots may be free now."""
        self._admit()

    def _jittered(self, seconds: float) -> float:
        jitter = self.options.jitter
        return seconds * (1.0 + jitter * (2.0 * self._dice.random() - 1.0)) if jitter else seconds

    def _wait(self, request: Request) -> None:
        heapq.heappush(self._waiting, (request.priority, request.order, request))
        self._waiting_count += 1

    def _leave(self, request: Request) -> None:
        request.gone = True
        if request.running:
            self._release(request)
        else:
            self._waiting_count -= 1

    def _release(self, request: Request) -> None:
        request.running = False
        self.running.discard(request)
        self.kv_used -= request.held_tokens
        if request in self._decoding:
            self._decoding.remove(request)

    def _admit(self) -> None:
        options = self.options
        while self._waiting and len(self.running) < options.slots:
            request = self._waiting[0][2]
            if request.gone:
                heapq.heappop(self._waiting)
                continue
            if self.running and self.kv_used + request.held_tokens > options.kv_tokens:
                break
            heapq.heappop(self._waiting)
            self._waiting_count -= 1
            self._start(request)
        self._arm()

    def _start(self, request: Request) -> None:
        options = self.options
        if options.cache_tokens:
            # A preempted request computes its own tokens again, unless the cache still has them.
            known = [*request.prompt, *request.tokens[: request.emitted]] if request.emitted else request.prompt
            request.chain = chain_of(known, request.salt, options.block_tokens)
            cached = self.cache.match(request.chain, len(known), options.block_tokens)
        else:
            cached = 0
        if not request.emitted:
            request.cached_tokens = cached
        request.running = True
        self.running.add(request)
        self.kv_used += request.held_tokens
        now = self._loop.time()
        self.metrics.queue_time.observe(time.monotonic() - request.arrived_at)
        ready_at = now + self._jittered(options.prefill_s(request.held_tokens - cached))
        request.ready_at = ready_at
        heapq.heappush(self._prefill, (ready_at, request.order, request))

    def _arm(self) -> None:
        due: float | None = self._step_at if self._decoding else None
        if self._prefill and (due is None or self._prefill[0][0] < due):
            due = self._prefill[0][0]
        if self._timer is not None:
            if due == self._timer_at:
                return
            self._timer.cancel()
            self._timer = None
        if due is not None:
            self._timer_at = due
            self._timer = self._loop.call_at(due, self._wake)

    def _wake(self) -> None:
        self._timer = None
        # Timers fire up to a millisecond early or late; what is due within one is due now.
        now = self._loop.time() + 0.001
        if self._decoding and self._step_at <= now:
            self._step(now)
        while self._prefill and self._prefill[0][0] <= now:
            ready_at, _, request = heapq.heappop(self._prefill)
            # An entry of a request that left or was preempted since is stale.
            if request.running and request.ready_at == ready_at:
                self._first_token(request, now)
        self._admit()

    def _first_token(self, request: Request, now: float) -> None:
        options = self.options
        if options.cache_tokens:
            self.cache.insert(request.chain, options.cache_tokens // options.block_tokens)
        if request.first_token_at is None:
            request.first_token_at = time.monotonic()
            self.metrics.first_token.observe(request.first_token_at - request.arrived_at)
            self.metrics.prompt_tokens_total += len(request.prompt)
        if not self._decoding:
            self._step_at = now + self._jittered(options.step_s(len(self.running)))
        if self._emit(request):
            self._decoding.append(request)

    def _step(self, now: float) -> None:
        step_s = self._jittered(self.options.step_s(len(self.running)))
        self.steps_total += 1
        if now - self._step_at > _LATE_S:
            self.late_steps_total += 1
            self._step_at = now
        self._step_at += step_s
        over: list[Request] = []
        for request in self._decoding:
            if request.slow:
                request.slow_left -= 1
                if request.slow_left:
                    continue
                request.slow_left = _SLOW_EVERY
            if not request.hung and not self._emit(request):
                over.append(request)
        if over:
            ended = set(over)
            self._decoding = [request for request in self._decoding if request not in ended]
        while self.kv_used > self.options.kv_tokens and len(self.running) > 1:
            self._preempt(max(self.running, key=lambda request: (request.priority, request.order)))

    def _emit(self, request: Request) -> bool:
        """One token for a request; whether it goes on. The caller keeps the list of those that decode."""
        request.emitted += 1
        self.kv_used += 1
        self.metrics.generation_tokens_total += 1
        goes_on = request.sink.push(request.emitted)
        if goes_on and request.emitted < request.total:
            return True
        request.gone = True
        request.running = False
        self.running.discard(request)
        self.kv_used -= request.held_tokens
        if goes_on:
            self._ended(request)
            request.sink.end()
        return False

    def _ended(self, request: Request) -> None:
        options = self.options
        if options.cache_tokens:
            known = [*request.prompt, *request.tokens]
            chain = chain_of(known, request.salt, options.block_tokens)
            self.cache.insert(chain, options.cache_tokens // options.block_tokens)
        self.metrics.latency.observe(time.monotonic() - request.arrived_at)

    def _preempt(self, request: Request) -> None:
        self.preemptions_total += 1
        self._release(request)
        self._wait(request)
