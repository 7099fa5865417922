"""Promo codes as their persons and the operator use them: guesses bounded, uses written down."""

from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

import structlog
from redis.exceptions import RedisError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.context import App
from billing import promos
from billing.promos import Code, Redeemed, Terms
from kit import audit
from kit.errors import RateLimited

log = structlog.get_logger(__name__)

# A person names so many codes in so long, right or wrong; a code of six letters then takes ages to guess.
TRIES_MAX: Final = 10
TRIES_WINDOW_S: Final = 3_600


async def count_try(app: App, *, person_id: int) -> None:
    """Count that a person names a code; raises RateLimited('promo'). Without Redis nobody is held up."""
    key = f"forma:promo-tries:{person_id}"
    try:
        async with app.redis.pipeline(transaction=True) as pipe:
            pipe.set(key, 0, ex=TRIES_WINDOW_S, nx=True)
            pipe.incr(key)
            pipe.ttl(key)
            _, tries, left_s = await pipe.execute()
    except (RedisError, OSError) as error:
        log.warning("promo_tries_not_counted", person=person_id, error=type(error).__name__)
        return
    if tries > TRIES_MAX:
        raise RateLimited(limit="promo", retry_after_s=max(1, left_s))


async def redeem(tx: AsyncConnection, *, person_id: int, typed: str, now: datetime) -> Redeemed:
    """Use a code for a person, with a row in the audit log. Raises what promos.redeem raises."""
    redeemed = await promos.redeem(tx, person_id=person_id, typed=typed, now=now)
    details = {"code": redeemed.code.code, "kind": redeemed.code.terms.kind}
    await audit.record(tx, actor_id=person_id, action="promo", subject_id=person_id, details=details, now=now)
    log.info("promo_redeemed", person=person_id, promo=redeemed.code.id)
    return redeemed


async def create(tx: AsyncConnection, details: dict[str, Any], *, created_by: int, now: datetime) -> Code:
    """Add the code of a confirmed request, with a row in the audit log. Raises PromoExists."""
    made = await promos.create(tx, code=details["code"], terms=thawed(details), created_by=created_by, now=now)
    await audit.record(tx, actor_id=created_by, action="promo_new", subject_id=None, details=details, now=now)
    return made


async def end(tx: AsyncConnection, details: dict[str, Any], *, ended_by: int, now: datetime) -> bool:
    """End the code of a confirmed request, with a row in the audit log; False if it had ended."""
    ended = await promos.end(tx, details["code_id"], now=now)
    if ended:
        await audit.record(tx, actor_id=ended_by, action="promo_end", subject_id=None, details=details, now=now)
    return ended


def frozen(code: str, terms: Terms) -> dict[str, Any]:
    """Return a code's terms as the details of a request."""
    values = asdict(terms)
    for name in ("valid_from", "valid_until"):
        values[name] = values[name].isoformat() if values[name] else None
    return {"code": code, **values}


def thawed(details: dict[str, Any]) -> Terms:
    """Return the terms that `frozen` made details of."""
    values = {name: value for name, value in details.items() if name in Terms.__dataclass_fields__}
    for name in ("valid_from", "valid_until"):
        values[name] = datetime.fromisoformat(values[name]) if values[name] else None
    values["plans"] = tuple(values["plans"]) if values["plans"] else None
    return Terms(**values)
