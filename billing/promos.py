"""Promo codes: what they bring, who may use them, and how often. Uses are counted under the lock of the code's row.

A code for tokens or days is used at once. One for a percentage is held by its person for some days, counted as a use
meanwhile, and given back when nothing was bought with it (billing.discounts).

    held → used | released → honoured        honoured: paid after the release, when no use was left
"""

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from billing import discounts, house_access, ledger, lots, trials
from billing.growth_tables import promo_codes, promo_redemptions
from billing.house_access import Grant
from kit.errors import Rejected

Kind = Literal["tokens", "days", "percent"]
CODE_LENGTH_MIN, CODE_LENGTH_MAX = 3, 32
# A percentage is held so long for the person who named the code.
HELD_FOR: Final = timedelta(days=7)

_TYPED_MAX: Final = 64
_CODE: Final = re.compile(rf"[A-ZА-ЯЁ0-9_-]{{{CODE_LENGTH_MIN},{CODE_LENGTH_MAX}}}")
# Typed on a Russian keyboard, and not to be told apart by eye.
_LOOKALIKES: Final = str.maketrans("АВЕЁКМНОРСТУХ", "ABEEKMHOPCTYX")


class PromoUnknown(Rejected):
    """There is no such code, or not yet."""

    code = "error-promo-unknown"


class PromoOver(Rejected):
    """The code has ended, or its uses are spent."""

    code = "error-promo-over"


class PromoUsed(Rejected):
    """This person has used the code, or holds its percentage."""

    code = "error-promo-used"


class PromoForNewcomers(Rejected):
    """The code is for a first purchase, and this person has paid before."""

    code = "error-promo-first-purchase"


class PromoExists(Rejected):
    """A code that reads the same is there, or was."""

    code = "admin-promo-exists"


@dataclass(frozen=True, slots=True)
class Terms:
    """What a code brings. tokens: `tokens` for `days`; days: `days` of `plan_id`; percent: `percent` off `plans`.

    `plans`: ids of what the percentage is for, None for all. `uses_max`: None for no limit.
    """

    kind: Kind
    tokens: int | None = None
    days: int | None = None
    percent: int | None = None
    plan_id: str | None = None
    plans: tuple[str, ...] | None = None
    uses_max: int | None = None
    first_purchase: bool = False
    valid_from: datetime | None = None
    valid_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Code:
    """A code as it is listed."""

    id: int
    code: str
    terms: Terms
    uses: int
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class Redeemed:
    """What a code brought: a lot of `tokens` until `until`, days (`grant`), or `percent` that is held until `until`."""

    code: Code
    until: datetime | None
    grant: Grant | None = None


def key_of(typed: str) -> str:
    """Return what a code is found by: any case, Cyrillic letters that look Latin as Latin; "" if it can be none."""
    if len(typed) > _TYPED_MAX:
        return ""
    plain = shown_as(typed)
    return plain.translate(_LOOKALIKES) if _CODE.fullmatch(plain) else ""


def shown_as(typed: str) -> str:
    """Return a code as it is written to people: upper case, without the quotes and spaces around it."""
    return unicodedata.normalize("NFKC", typed[:_TYPED_MAX]).strip(" \t\n«»\"'.,").upper()


async def create(tx: AsyncConnection, *, code: str, terms: Terms, created_by: int, now: datetime) -> Code:
    """Add a code. Raises PromoExists, ValueError for what can be no code."""
    key = key_of(code)
    if not key:
        raise ValueError(f"no promo code: {code!r}")
    row_id = (
        await tx.execute(
            insert(promo_codes)
            .values(
                code=shown_as(code),
                key=key,
                kind=terms.kind,
                tokens=terms.tokens,
                days=terms.days,
                percent=terms.percent,
                plan_id=terms.plan_id,
                plans=list(terms.plans) if terms.plans else None,
                uses_max=terms.uses_max,
                first_purchase=terms.first_purchase,
                valid_from=terms.valid_from or now,
                valid_until=terms.valid_until,
                created_by=created_by,
                created_at=now,
            )
            .on_conflict_do_nothing(index_elements=["key"])
            .returning(promo_codes.c.id)
        )
    ).scalar_one_or_none()
    if row_id is None:
        raise PromoExists(promo=shown_as(code))
    return _code((await tx.execute(_SELECT.where(promo_codes.c.id == row_id))).one())


async def find(connection: AsyncConnection, typed: str) -> Code | None:
    """Return a code by what somebody typed."""
    row = (await connection.execute(_SELECT.where(promo_codes.c.key == key_of(typed)))).one_or_none()
    return _code(row) if row else None


async def latest(connection: AsyncConnection, *, limit: int) -> list[Code]:
    """Return codes, those that can be used first, then the latest."""
    rows = await connection.execute(
        _SELECT.order_by(promo_codes.c.ended_at.is_not(None), promo_codes.c.id.desc()).limit(limit)
    )
    return [_code(row) for row in rows]


async def any_open(connection: AsyncConnection, *, now: datetime) -> bool:
    """Whether there is a code that somebody could still use."""
    table = promo_codes.c
    found = sa.select(table.id).where(
        table.ended_at.is_(None),
        table.valid_from <= now,
        sa.or_(table.valid_until.is_(None), table.valid_until > now),
        sa.or_(table.uses_max.is_(None), table.uses < table.uses_max),
    )
    return bool(await connection.scalar(sa.select(found.exists())))


async def end(tx: AsyncConnection, code_id: int, *, now: datetime) -> bool:
    """End a code: nobody can use it from now on, and who holds its percentage keeps it. False if it had ended."""
    result = await tx.execute(
        sa.update(promo_codes).where(promo_codes.c.id == code_id, promo_codes.c.ended_at.is_(None)).values(ended_at=now)
    )
    return result.rowcount == 1


async def redeem(tx: AsyncConnection, *, person_id: int, typed: str, now: datetime) -> Redeemed:
    """Use a code for a person: once for each person and code, within its limits, whoever else is at it.

    Raises PromoUnknown, PromoUsed, PromoOver, PromoForNewcomers, DiscountUnderWay.
    Lock order: wallet, redemptions, codes.
    """
    await ledger.lock_wallet(tx, person_id=person_id, now=now)
    found = await find(tx, typed)
    if found is None or (found.terms.valid_from or now) > now:
        raise PromoUnknown
    counted = promo_redemptions.c.status.in_(("held", "used"))
    mine = sa.select(promo_redemptions.c.id).where(
        promo_redemptions.c.code_id == found.id, promo_redemptions.c.person_id == person_id, counted
    )
    if await tx.scalar(mine) is not None:
        raise PromoUsed(promo=found.code)
    if found.ended_at is not None or (found.terms.valid_until or now + HELD_FOR) <= now:
        raise PromoOver(promo=found.code)
    if found.terms.first_purchase and await trials.has_paid(tx, person_id=person_id):
        raise PromoForNewcomers(promo=found.code)
    if found.terms.kind == "percent":
        await discounts.make_room(tx, person_id=person_id, code_id=found.id, now=now)
    if not await discounts.take_use(tx, found.id):
        raise PromoOver(promo=found.code)
    return await _bring(tx, person_id, found, now)


async def _bring(tx: AsyncConnection, person_id: int, found: Code, now: datetime) -> Redeemed:
    terms, held_until = found.terms, None
    if terms.kind == "percent":
        held_until = min(now + HELD_FOR, terms.valid_until or now + HELD_FOR)
    redemption_id = (
        await tx.execute(
            sa.insert(promo_redemptions)
            .values(
                code_id=found.id,
                person_id=person_id,
                status="held" if held_until else "used",
                expires_at=held_until,
                created_at=now,
                updated_at=now,
            )
            .returning(promo_redemptions.c.id)
        )
    ).scalar_one()
    if held_until:
        return Redeemed(found, held_until)
    if terms.kind == "days":
        assert terms.plan_id is not None
        assert terms.days is not None
        grant = await house_access.give(
            tx,
            person_id=person_id,
            plan_id=terms.plan_id,
            days=terms.days,
            ref_type="promo",
            ref_id=str(redemption_id),
            now=now,
        )
        if grant is None:  # the plan is not sold any more, and so is the code
            raise PromoOver(promo=found.code)
        return Redeemed(found, grant.until, grant)
    assert terms.tokens is not None
    until = now + timedelta(days=terms.days or 0)
    await lots.grant(
        tx,
        person_id=person_id,
        tokens=terms.tokens,
        kind="promo",
        ref_type="promo",
        ref_id=str(redemption_id),
        expires_at=until,
        now=now,
    )
    return Redeemed(found, until)


_SELECT: Final[sa.Select[Any]] = sa.select(promo_codes)


def _code(row: Any) -> Code:
    terms = Terms(
        kind=row.kind,
        tokens=row.tokens,
        days=row.days,
        percent=row.percent,
        plan_id=row.plan_id,
        plans=tuple(row.plans) if row.plans else None,
        uses_max=row.uses_max,
        first_purchase=row.first_purchase,
        valid_from=row.valid_from,
        valid_until=row.valid_until,
    )
    return Code(row.id, row.code, terms, row.uses, row.ended_at)
