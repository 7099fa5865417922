"""Reports for the operator: the day in numbers, and one person's card. Read only, bounded, without texts."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app import persons
from app.persons import Person

TURNS_SHOWN = 5
PAYMENTS_SHOWN = 5
SOURCES_SHOWN = 10
QUERY_CHARS_MAX = 64
ID_DIGITS_MAX = 18


@dataclass(frozen=True, slots=True)
class Stats:
    """Numbers of the last `hours`; waits are from accept to first token, in seconds."""

    hours: int
    persons_new: int
    persons_active: int
    persons_all: int
    persons_blocked: int
    turns_done: int
    turns_stopped: int
    turns_failed: int
    wait_p50_s: float
    wait_p95_s: float
    billed: int
    courtesy: int
    payments: int
    stars: int
    refunded: int
    rouble_payments: int
    kopecks: int
    kopecks_refunded: int


@dataclass(frozen=True, slots=True)
class TurnLine:
    at: datetime
    status: str
    billed: int
    error_code: str | None


@dataclass(frozen=True, slots=True)
class PaymentLine:
    at: datetime
    amount: int
    currency: str
    titles: dict[str, str]
    status: str
    returned: int


@dataclass(frozen=True, slots=True)
class Card:
    """What /user shows beside plan and balance."""

    person: Person
    seen: datetime
    turns: tuple[TurnLine, ...]
    payments: tuple[PaymentLine, ...]


_STATS = sa.text(
    """
    WITH t AS (SELECT * FROM turns WHERE created_at > :since),
         w AS (SELECT extract(epoch FROM first_token_at - created_at) AS s FROM t WHERE first_token_at IS NOT NULL),
         m AS (SELECT * FROM payments WHERE created_at > :since AND currency = 'XTR'),
         k AS (SELECT * FROM payments WHERE created_at > :since AND currency = 'RUB' AND status IN
               ('succeeded', 'partially_refunded', 'refunded', 'charged_back'))
    SELECT CAST(:hours AS integer),
           (SELECT count(*) FROM persons WHERE created_at > :since),
           (SELECT count(DISTINCT person_id) FROM t),
           (SELECT count(*) FROM persons),
           (SELECT count(*) FROM persons WHERE blocked_at IS NOT NULL),
           (SELECT count(*) FROM t WHERE status = 'done'),
           (SELECT count(*) FROM t WHERE status = 'stopped'),
           (SELECT count(*) FROM t WHERE status = 'failed'),
           (SELECT coalesce(percentile_cont(0.5) WITHIN GROUP (ORDER BY s), 0) FROM w)::float,
           (SELECT coalesce(percentile_cont(0.95) WITHIN GROUP (ORDER BY s), 0) FROM w)::float,
           (SELECT coalesce(sum(billed_tokens), 0)::bigint FROM t),
           (SELECT coalesce(sum(courtesy_tokens), 0)::bigint FROM t),
           (SELECT count(*) FROM m WHERE status <> 'canceled'),
           (SELECT coalesce(sum(amount), 0)::bigint FROM m WHERE status IN
               ('succeeded', 'partially_refunded', 'refunded', 'charged_back')),
           (SELECT coalesce(sum(r.amount), 0)::bigint FROM refunds r JOIN payments p ON p.id = r.payment_id
            WHERE r.created_at > :since AND p.currency = 'XTR' AND r.status = 'succeeded'),
           (SELECT count(*) FROM k),
           (SELECT coalesce(sum(amount), 0)::bigint FROM k),
           (SELECT coalesce(sum(r.amount), 0)::bigint FROM refunds r JOIN payments p ON p.id = r.payment_id
            WHERE r.created_at > :since AND p.currency = 'RUB' AND r.status = 'succeeded')
    """
)


async def stats(connection: AsyncConnection, *, hours: int, now: datetime) -> Stats:
    """Return the numbers of the last `hours`."""
    row = (await connection.execute(_STATS, {"hours": hours, "since": now - timedelta(hours=hours)})).one()
    return Stats(*row)


# A code stands with the answer that failed, or in what the person was told: a notice in words, or an apology.
_OF_CODE = sa.text(
    """
    SELECT coalesce(
        (SELECT person_id FROM turns WHERE error_code = :code ORDER BY id DESC LIMIT 1),
        (SELECT chat_id FROM outbox WHERE kind = 'notice' AND chat_id > 0 AND
            (payload -> 'args' ->> 'code' = :code OR
             dedup_key LIKE 'update:%\\:aside' AND strpos(payload -> 'data' ->> 'text', :code) > 0)
         ORDER BY id DESC LIMIT 1))
    """
)
_CODE = re.compile("[A-Z0-9]{4,8}")


async def find_person(connection: AsyncConnection, query: str) -> Person | None:
    """Return the person meant by an id, an @name or an error code that they were shown; None if nobody is."""
    query = query.strip()
    if not 0 < len(query) <= QUERY_CHARS_MAX or not query.isprintable():
        return None
    if query.isdecimal() and len(query) <= ID_DIGITS_MAX:
        found = await persons.find(connection, person_id=int(query))
        if found:
            return found
    if _CODE.fullmatch(query.upper()):
        owner = await connection.scalar(_OF_CODE, {"code": query.upper()})
        if owner is not None:
            return await persons.find(connection, person_id=owner)
    return await persons.find(connection, username=query.removeprefix("@"))


async def card(connection: AsyncConnection, person: Person) -> Card:
    """Return a person's last turns and payments."""
    turns = await connection.execute(
        sa.text(
            """
            SELECT created_at, status, coalesce(billed_tokens, 0)::bigint, error_code FROM turns
            WHERE person_id = :person ORDER BY id DESC LIMIT :most
            """
        ),
        {"person": person.id, "most": TURNS_SHOWN},
    )
    lines = tuple(TurnLine(*row) for row in turns)
    payments = await connection.execute(
        sa.text(
            """
            SELECT p.created_at, p.amount, p.currency, coalesce(l.titles, '{}'), p.status,
                   (SELECT coalesce(sum(r.amount), 0)::bigint FROM refunds r
                    WHERE r.payment_id = p.id AND r.status = 'succeeded')
            FROM payments p LEFT JOIN orders o ON o.id = p.order_id LEFT JOIN plans l ON l.id = o.plan_id
            WHERE p.payer_id = :person AND p.status NOT IN ('intent', 'sent', 'pending') ORDER BY p.id DESC LIMIT :most
            """
        ),
        {"person": person.id, "most": PAYMENTS_SHOWN},
    )
    return Card(
        person=person,
        seen=lines[0].at if lines else person.created_at,
        turns=lines,
        payments=tuple(PaymentLine(*row) for row in payments),
    )


@dataclass(frozen=True, slots=True)
class Subscribers:
    """Persons by the state of their subscription: charged again, running out, in grace after a failed charge."""

    active: int
    cancelled: int
    past_due: int


async def subscribers(connection: AsyncConnection) -> Subscribers:
    """Count the subscriptions that are alive."""
    row = await connection.execute(
        sa.text(
            """
            SELECT count(*) FILTER (WHERE status = 'active'),
                   count(*) FILTER (WHERE status = 'cancel_scheduled' AND provider <> 'house'),
                   count(*) FILTER (WHERE status = 'past_due') FROM subscriptions
            """
        )
    )
    return Subscribers(*row.one())


@dataclass(frozen=True, slots=True)
class Source:
    """A link that brought people: src_NAME by its name, all of ref_, promo_ and gift_ as "ref", …; "" without one."""

    name: str
    persons: int
    paying: int


async def sources(connection: AsyncConnection, *, hours: int, now: datetime) -> list[Source]:
    """Return where the newcomers of the last `hours` came from, the most frequent first; empty when no link is used.

    A person's first start counts. What a link's name may not be is counted with those who came without one.
    """
    rows = await connection.execute(
        sa.text(
            """
            SELECT coalesce(substring(source FROM '^src_([A-Za-z0-9_-]+)$'),
                            substring(source FROM '^(ref|promo|gift)_[A-Za-z0-9_-]+$'), '') AS name,
                   count(*), count(*) FILTER (WHERE EXISTS (
                       SELECT FROM payments m WHERE m.payer_id = persons.id
                       AND m.status IN ('succeeded', 'partially_refunded')))
            FROM persons WHERE created_at > :since GROUP BY name ORDER BY count(*) DESC, name LIMIT :most
            """
        ),
        {"since": now - timedelta(hours=hours), "most": SOURCES_SHOWN},
    )
    found = [Source(*row) for row in rows]
    return found if any(one.name for one in found) else []


async def plans_held(connection: AsyncConnection, *, now: datetime) -> list[tuple[dict[str, str], int]]:
    """Return (titles by language, number of persons) of the plans that people have now by subscription."""
    rows = await connection.execute(
        sa.text(
            """
            SELECT p.titles, count(DISTINCT s.person_id) AS persons FROM subscription_periods s
            JOIN plan_versions v ON v.id = s.plan_version_id JOIN plans p ON p.id = v.plan_id
            WHERE s.starts_at <= :now AND s.ends_at > :now GROUP BY p.id ORDER BY p.position
            """
        ),
        {"now": now},
    )
    return [(row.titles, row.persons) for row in rows]
