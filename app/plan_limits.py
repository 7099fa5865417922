"""Plan limits: what a person's plan lets them ask a minute and a day, and which plan would let them ask more.

Requests count when they are admitted. Tokens count twice: at admission what a usual answer takes, so that several
questions at once cannot slip through, and at the turn's end the difference to what it took, so that a turn that was
stopped or failed gives its part back. The windows are in Redis alone; docs/decisions/plan-limits.md says why.
"""

from dataclasses import dataclass

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from app import pay_sheet
from app.context import App
from billing import entitlements
from billing.catalog import Plan, Terms
from billing.entitlements import Entitlement
from inference.models import Model, Prices
from inference.queue.fair import FairQueue
from inference.queue.ticket import REQUESTS_PER_MINUTE, TOKENS_PER_DAY, TOKENS_PER_MINUTE, Limits
from inference.turns import Turn
from kit.errors import Lift, QueueFull, RateLimited, Unavailable
from kit.observability import rejections_total

log = structlog.get_logger(__name__)

# What a usual answer takes, in tokens of the model.
INPUT_TOKENS_USUAL = 1_500
CACHED_TOKENS_USUAL = 2_000
OUTPUT_TOKENS_USUAL = 450
# What the admission key of a turn begins with for which no tokens were counted: its messages waited and gave theirs
# back, or Redis was away.
UNCOUNTED = "waiting:"

_TERM_OF = {
    REQUESTS_PER_MINUTE: "requests_per_minute",
    TOKENS_PER_MINUTE: "tokens_per_minute",
    TOKENS_PER_DAY: "tokens_per_day",
}


@dataclass(frozen=True, slots=True)
class Place:
    """A place that is kept for a turn. `fresh` is false where another handling of the same message keeps it."""

    queue: FairQueue
    key: str
    person_id: int
    fresh: bool


async def admit(app: App, model: Model, entitlement: Entitlement, *, person_id: int, key: str) -> Place | None:
    """Check the plan's limits, count what the turn is expected to take and keep its place; once for each `key`.

    Returns None while Redis is away: then nothing is limited. Raises RateLimited and QueueFull, which say the plan that
    would have let it through, and then nothing has been counted.
    """
    limits = Limits.of(
        requests_per_minute=entitlement.requests_per_minute,
        tokens_per_minute=entitlement.tokens_per_minute,
        tokens_per_day=entitlement.tokens_per_day,
        queued_max=entitlement.queued,
    )
    queue = app.queues[model.id]
    try:
        admission = await queue.admit(key, person_id, limits, tokens=expected(model.prices))
    except Unavailable:
        log.warning("admission_skipped", person=person_id)
        return None
    except RateLimited as refused:
        rejections_total.labels(code=refused.code).inc()
        found = lift(app, entitlement, _TERM_OF[refused.limit])
        raise RateLimited(limit=refused.limit, retry_after_s=refused.retry_after_s, lift=found) from None
    except QueueFull as refused:
        rejections_total.labels(code=refused.code).inc()
        if refused.scope != "person":
            raise
        found = lift(app, entitlement, "queued")
        raise QueueFull(scope=refused.scope, retry_after_s=refused.retry_after_s, lift=found) from None
    return Place(queue, key, person_id, admission.fresh)


def turn_key(place: Place | None, key: str) -> str:
    """Return the admission key for the turn that takes a place kept under `key`, or takes none."""
    return key if place else f"{UNCOUNTED}{key}"


async def give_back(place: Place | None, *, request: bool = True) -> None:
    """Give up a place that no turn takes, and the tokens counted for it; `request`: the request counts no more either.

    A Redis that is away is no error: the place lapses by itself.
    """
    if place is None or not place.fresh:
        return
    try:
        await place.queue.release(place.key, place.person_id, request=request)
    except Unavailable:
        log.warning("place_not_given_back", person=place.person_id)


async def true_up(app: App, turn: Turn, tokens: int) -> None:
    """Count what a turn took beyond what was expected of it, or less, once it is closed with `tokens` billed in all.

    A crash between the two leaves the expectation in the windows: never more than a usual answer's difference.
    """
    counted = 0 if turn.admit_key.startswith(UNCOUNTED) else expected(_prices(turn))
    queue = app.queues.get(turn.model)
    if queue is None or tokens == counted:
        return
    try:
        await queue.charge(turn.person_id, tokens - counted)
    except Unavailable:
        log.warning("charge_skipped", turn=turn.id)


async def more_context(app: App, turn: Turn) -> dict[str, object]:
    """Return, as arguments of a notice, the plan with which the model would read more than this turn's plan let it;
    none where a group would read that."""
    most = app.chat_model(turn.model).input_tokens_max
    async with app.db.read() as connection:
        return await _more(app, connection, turn, "context_tokens", bound=turn.input_max, most=most)


async def more_answer(app: App, connection: AsyncConnection, turn: Turn) -> dict[str, object]:
    """Return, as `more_context` does, the plan with which answers get longer than this one, which was cut."""
    most = app.chat_model(turn.model).answer_tokens_max
    return await _more(app, connection, turn, "answer_tokens", bound=turn.output_max, most=most)


async def _more(
    app: App, connection: AsyncConnection, turn: Turn, term: str, *, bound: int, most: int
) -> dict[str, object]:
    if turn.in_group:  # which plan its person has is nobody else's business
        return {"plan": None, "plan_id": ""}
    entitlement = await entitlements.current(connection, person_id=turn.person_id, now=app.clock.now())
    found = lift(app, entitlement, term)
    # Where the model or the balance was the bound, no plan helps.
    if bound < found.own or found.own >= most:
        found = Lift()
    return {"plan": found.titles, "plan_id": found.plan_id}


def expected(prices: Prices) -> int:
    """Return what a usual answer costs, in billed tokens."""
    millitokens = (
        INPUT_TOKENS_USUAL * prices.input + CACHED_TOKENS_USUAL * prices.cached + OUTPUT_TOKENS_USUAL * prices.output
    )
    return -(-millitokens // 1000)


def _prices(turn: Turn) -> Prices:
    return Prices(turn.price_input, turn.price_cached, turn.price_output)


def lift(app: App, entitlement: Entitlement, term: str) -> Lift:
    """Return a limit of the person's plan, and the cheapest plan for sale that allows more; 0 means no limit.

    `term` is the limit's name in plans.toml.
    """
    own = int(getattr(entitlement, term))
    more = [plan for plan in _sold(app) if _allows_more(plan.terms, term, own)]
    if not more:
        return Lift(own)
    return Lift(own, more[0].id, more[0].titles, int(getattr(more[0].terms, term)))


def _sold(app: App) -> list[Plan]:
    """Return the subscriptions for sale, the cheapest first: those for Stars, or else those for roubles."""
    stars = [plan for plan in app.plans.on_sale("XTR") if plan.kind == "subscription"]
    if stars:
        return sorted(stars, key=lambda plan: plan.price("XTR") or 0)
    roubles = [plan for plan in pay_sheet.on_sale(app) if plan.kind == "subscription"]
    return sorted(roubles, key=lambda plan: plan.price("RUB") or 0)


def _allows_more(terms: Terms, term: str, own: int) -> bool:
    most = int(getattr(terms, term))
    return own > 0 and (most == 0 or most > own)
