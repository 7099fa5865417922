"""The catalog: plans.toml as frozen objects, and its publication to the database as immutable plan versions.

A mistake in the file is a Misconfigured that names the line. Publishing is all or nothing, and writes a version only
where terms changed; a plan that left the file is withdrawn from sale and stays with whoever has it.
"""

import tomllib
from dataclasses import dataclass, fields, replace
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, Literal

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.amounts import MONEY_MAX, TOKENS_MAX
from billing.plans_file import PlansFile
from billing.tables import plan_versions, plans
from kit.errors import Misconfigured

Kind = Literal["free", "subscription", "pack", "once", "trial"]

# Telegram's own limits: price of a subscription in Stars, price of an invoice in Stars, title of an invoice.
SUBSCRIPTION_STARS_MAX: Final = 10_000
INVOICE_STARS_MAX: Final = 100_000
TITLE_LENGTH_MAX: Final = 32
LANGUAGES: Final = ("ru", "en")
PLANS_MAX: Final = 32
# The longest time that is sold at once.
MONTHS_MAX: Final = 36
TRIAL_DAYS_MAX: Final = 365


@dataclass(frozen=True, slots=True)
class Terms:
    """What a plan version fixes. Prices in Stars and kopecks (None: not sold for it); the rest as in plans.toml."""

    price_xtr: int | None
    price_rub: int | None
    period_months: int | None
    period_days: int | None
    tokens: int
    tokens_days: int | None
    tokens_roll_over: bool
    daily_tokens: int
    welcome_tokens: int
    welcome_days: int
    requests_per_minute: int
    tokens_per_minute: int
    tokens_per_day: int
    in_flight: int
    queued: int
    context_tokens: int
    answer_tokens: int
    photos_per_day: int
    weight: int


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan as it is sold now. `of`: the subscription that it is of, for the kinds "once" and "trial".

    What is bought once has that subscription's terms; a trial has terms of its own.
    """

    id: str
    kind: Kind
    titles: dict[str, str]
    terms: Terms
    of: str | None = None

    def price(self, currency: str) -> int | None:
        """Return the price in "XTR" (Stars) or "RUB" (kopecks), None when it is not sold for it."""
        return {"XTR": self.terms.price_xtr, "RUB": self.terms.price_rub}[currency]


@dataclass(frozen=True, slots=True)
class Catalog:
    """All plans, in the order of the file."""

    plans: tuple[Plan, ...]

    def plan(self, plan_id: str) -> Plan | None:
        """Return a plan by id, None if the file no longer has it."""
        return next((plan for plan in self.plans if plan.id == plan_id), None)

    @property
    def free(self) -> Plan:
        return next(plan for plan in self.plans if plan.kind == "free")

    @property
    def trial(self) -> Plan | None:
        """The trial, None if none is offered."""
        return next((plan for plan in self.plans if plan.kind == "trial"), None)

    def on_sale(self, currency: str) -> tuple[Plan, ...]:
        """Return what can be bought for a currency, in the order of the file."""
        return tuple(plan for plan in self.plans if plan.price(currency) is not None)


@dataclass(frozen=True, slots=True)
class _Field:
    kinds: str  # initials of the kinds that may have it: f, s, p, o, t; upper case where it must stand
    least: int = 0
    most: int = TOKENS_MAX


_MINUTE_MAX, _DAYS_MAX, _SLOTS_MAX, _CONTEXT_MAX = 10_000, 3_660, 1_000, 10_000_000
_NUMBERS: Final = {
    "stars": _Field("spo", 1, INVOICE_STARS_MAX),
    "roubles": _Field("spo", 1, MONEY_MAX // 100),
    "months": _Field("O", 1, MONTHS_MAX),
    "tokens": _Field("SPT", 1),
    "tokens_days": _Field("P", 1, _DAYS_MAX),
    "days": _Field("T", 1, TRIAL_DAYS_MAX),
    "daily_tokens": _Field("fst"),
    "welcome_tokens": _Field("f"),
    "welcome_days": _Field("f", 1, _DAYS_MAX),
    "requests_per_minute": _Field("FST", 1, _MINUTE_MAX),
    "tokens_per_minute": _Field("fst"),
    "tokens_per_day": _Field("fst"),
    "in_flight": _Field("FST", 1, _SLOTS_MAX),
    "queued": _Field("FST", 1, _SLOTS_MAX),
    "context_tokens": _Field("FST", 1_000, _CONTEXT_MAX),
    "answer_tokens": _Field("FST", 100, _CONTEXT_MAX),
    "photos_per_day": _Field("fst", 0, _MINUTE_MAX),
    "weight": _Field("FST", 1, 100),
}
_KNOWN: Final = ("kind", "title", "of", "tokens_roll_over", *_NUMBERS)


def load(path: Path) -> Catalog:
    """Read plans.toml; raise Misconfigured that names file and line."""
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors put a mark in front
    except FileNotFoundError:
        raise Misconfigured(f"{path}: there is no such file; FORMA_PLANS_FILE says where plans.toml is") from None
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"{path}: cannot be read: {error}") from None
    return parse(text, str(path))


def parse(text: str, name: str = "plans.toml") -> Catalog:
    """Check the text of a plans.toml and return its catalog; raise Misconfigured for the first mistake."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PlansFile.unreadable(name, text, error) from None
    file = PlansFile(name, text)
    read = [_plan(file, plan_id, body) for plan_id, body in data.items()]
    found = tuple(_of_another(file, plan, read) for plan in read)
    free = [plan.id for plan in found if plan.kind == "free"]
    if len(free) != 1:
        where = free[1] if free else ""
        raise file.mistake(where, "kind", f'exactly one plan must have kind = "free", not {len(free)}')
    _check_one_trial(file, found)
    if len(found) > PLANS_MAX:
        raise file.mistake(found[PLANS_MAX].id, "", f"at most {PLANS_MAX} plans")
    return Catalog(found)


def _plan(file: PlansFile, plan_id: str, body: Any) -> Plan:
    if not isinstance(body, dict):
        raise file.mistake("", plan_id, f"{plan_id!r} stands outside of a plan; plans begin with a line such as [lite]")
    if not (plan_id.isascii() and plan_id.replace("_", "").isalnum() and plan_id.islower() and len(plan_id) <= 32):
        raise file.mistake(plan_id, "", "the name of a plan is 1 to 32 letters a-z, digits and _")
    for key in body:
        if key not in _KNOWN:
            near = get_close_matches(key, _KNOWN, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise file.mistake(plan_id, key, f"unknown setting {key!r}{hint}")
    kind = body.get("kind")
    if kind not in ("free", "subscription", "pack", "once", "trial"):
        raise file.mistake(plan_id, "kind", 'kind must be "free", "subscription", "pack", "once" or "trial"')
    titles = _titles(file, plan_id, body.get("title"))
    numbers = {key: _number(file, plan_id, kind, key, body.get(key)) for key in _NUMBERS}
    roll_over = body.get("tokens_roll_over", False)
    if not isinstance(roll_over, bool) or (roll_over and kind != "subscription"):
        raise file.mistake(plan_id, "tokens_roll_over", "tokens_roll_over is true or false, for subscriptions only")
    stars, roubles = numbers.pop("stars"), numbers.pop("roubles")
    if kind not in ("free", "trial") and stars is None and roubles is None:
        raise file.mistake(plan_id, "", "has no price: give stars, roubles or both")
    if kind == "subscription" and stars is not None and stars > SUBSCRIPTION_STARS_MAX:
        raise file.mistake(plan_id, "stars", f"Telegram allows at most {SUBSCRIPTION_STARS_MAX} Stars a subscription")
    if numbers["welcome_tokens"] and not numbers["welcome_days"]:
        raise file.mistake(plan_id, "welcome_tokens", "welcome_tokens need welcome_days")
    if (kind in ("once", "trial")) != ("of" in body):
        raise file.mistake(plan_id, "of", 'plans of kind "once" and "trial", and no others, say of = "…": of what')
    tokens_days, months, days = numbers.pop("tokens_days"), numbers.pop("months"), numbers.pop("days")
    return Plan(
        id=plan_id,
        kind=kind,
        titles=titles,
        terms=Terms(
            price_xtr=stars,
            price_rub=None if roubles is None else roubles * 100,
            period_months=1 if kind == "subscription" else months,
            period_days=days,
            tokens_days=tokens_days,
            tokens_roll_over=roll_over,
            **{key: value or 0 for key, value in numbers.items()},
        ),
        of=body.get("of"),
    )


def _of_another(file: PlansFile, plan: Plan, every: list[Plan]) -> Plan:
    """Return a plan of kind "once" with the terms of the subscription that it is of; any other plan as it is.

    Raises Misconfigured where that is no subscription of the file.
    """
    if plan.of is None:
        return plan
    whose = next((other for other in every if other.id == plan.of), None)
    if whose is None or whose.kind != "subscription":
        raise file.mistake(plan.id, "of", f"{plan.of!r} is no subscription of this file")
    if plan.kind != "once":
        return plan
    own = plan.terms
    terms = replace(whose.terms, price_xtr=own.price_xtr, price_rub=own.price_rub, period_months=own.period_months)
    return replace(plan, terms=terms)


def _check_one_trial(file: PlansFile, found: tuple[Plan, ...]) -> None:
    trials = [plan for plan in found if plan.kind == "trial"]
    if len(trials) > 1:
        raise file.mistake(trials[1].id, "kind", 'at most one plan may have kind = "trial"')


def _titles(file: PlansFile, plan_id: str, value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or set(value) != set(LANGUAGES):
        raise file.mistake(plan_id, "title", 'write title = { ru = "…", en = "…" }')
    for text in value.values():
        if not isinstance(text, str) or not 1 <= len(text.strip()) <= TITLE_LENGTH_MAX:
            raise file.mistake(plan_id, "title", f"a title has 1 to {TITLE_LENGTH_MAX} characters")
    return {language: value[language].strip() for language in LANGUAGES}


def _number(file: PlansFile, plan_id: str, kind: Kind, key: str, value: Any) -> int | None:
    field, initial = _NUMBERS[key], kind[0]
    if initial not in field.kinds.lower():
        if value is not None:
            raise file.mistake(plan_id, key, f"a plan of kind {kind!r} has no {key}")
        return None
    if value is None:
        if initial.upper() in field.kinds:
            raise file.mistake(plan_id, "", f"{key} is missing")
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise file.mistake(plan_id, key, f"{key} must be a whole number without quotes")
    if not field.least <= value <= field.most:
        raise file.mistake(plan_id, key, f"{key} must be from {field.least} to {field.most}")
    return value


@dataclass(frozen=True, slots=True)
class Published:
    """What a publication changed: ids of plans with new terms, and of plans no longer sold."""

    changed: tuple[str, ...]
    withdrawn: tuple[str, ...]


_TERMS: Final = tuple(field.name for field in fields(Terms))


async def publish(tx: AsyncConnection, catalog: Catalog, now: datetime) -> Published:
    """Bring the database's plans to the catalog within the caller's transaction. Writes nothing when nothing changed.

    Raises Misconfigured when a plan's kind changed: whoever has it relies on the kind it was.
    """
    # Several processes start at once; the second one finds nothing left to do.
    await tx.execute(sa.text("LOCK TABLE plans IN SHARE ROW EXCLUSIVE MODE"))
    known = {row.id: row for row in await tx.execute(sa.select(plans))}
    latest = {
        row.plan_id: row
        for row in await tx.execute(
            sa.select(plan_versions)
            .ext(distinct_on(plan_versions.c.plan_id))
            .order_by(plan_versions.c.plan_id, plan_versions.c.version.desc())
        )
    }
    gone = tuple(row.id for row in known.values() if row.withdrawn_at is None and catalog.plan(row.id) is None)
    if gone:
        await tx.execute(sa.update(plans).where(plans.c.id.in_(gone)).values(withdrawn_at=now, updated_at=now))
    changed = []
    for position, plan in enumerate(catalog.plans):
        row = known.get(plan.id)
        values = {"position": position, "titles": plan.titles, "withdrawn_at": None}
        if row is None:
            await tx.execute(
                sa.insert(plans).values(id=plan.id, kind=plan.kind, created_at=now, updated_at=now, **values)
            )
        elif row.kind != plan.kind:
            raise Misconfigured(f"plans.toml: [{plan.id}] was a {row.kind}; give a plan of another kind a new name")
        elif any(getattr(row, key) != value for key, value in values.items()):
            await tx.execute(sa.update(plans).where(plans.c.id == plan.id).values(updated_at=now, **values))
        before = latest.get(plan.id)
        terms = {key: getattr(plan.terms, key) for key in _TERMS}
        if before is None or any(getattr(before, key) != value for key, value in terms.items()):
            version = 1 if before is None else before.version + 1
            await tx.execute(sa.insert(plan_versions).values(plan_id=plan.id, version=version, created_at=now, **terms))
            changed.append(plan.id)
    return Published(tuple(changed), gone)


async def latest_version_id(connection: AsyncConnection, plan_id: str) -> int:
    """Return the id of the terms under which a published plan is sold now."""
    versions = sa.select(plan_versions.c.id).where(plan_versions.c.plan_id == plan_id)
    latest = versions.order_by(plan_versions.c.version.desc()).limit(1)
    return int((await connection.execute(latest)).scalar_one())
