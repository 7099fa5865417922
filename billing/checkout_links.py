"""Links from the chat to the page where roubles are paid: signed, short-lived, and used for one order.

A link is a row; its address carries the row's nonce and a signature over person, product and expiry. The signing key is
made of a secret that no table holds, so a copy of the database opens nobody's page. Opening a link twice shows the same
order: the first use binds it.
"""

import hashlib
import hmac
import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.rouble_tables import checkout_links
from kit import ids
from kit.errors import Rejected

LINK_LIFE: Final = timedelta(minutes=30)
# The page of a payment is shown for so long after; then the row goes.
KEEP_LINKS: Final = timedelta(days=30)
_PURPOSE: Final = b"forma checkout link v1"
_TOKEN: Final = re.compile(r"([A-Za-z0-9_-]{24})\.([A-Za-z0-9_-]{43})")


class LinkUnknown(Rejected):
    """No such link, or not signed by us."""

    code = "error-link-unknown"


class LinkExpired(Rejected):
    """The link is too old to begin anything with; what was begun by it is still shown."""

    code = "error-link-expired"


@dataclass(frozen=True, slots=True)
class Link:
    """A link of a person's, to a product or (`plan_id` None) to all of them; `order_id` once it was used.

    `renews_id`: instead, to the month of that subscription that begins at `renews_from`.
    `replaces_id`: the subscription whose place the product takes.
    """

    id: int
    nonce: str
    person_id: int
    plan_id: str | None
    order_id: int | None
    back_url: str
    expires_at: datetime
    renews_id: int | None
    renews_from: datetime | None
    replaces_id: int | None


_SELECT: Final[sa.Select[Any]] = sa.select(
    checkout_links.c.id,
    checkout_links.c.nonce,
    checkout_links.c.person_id,
    checkout_links.c.plan_id,
    checkout_links.c.order_id,
    checkout_links.c.back_url,
    checkout_links.c.expires_at,
    checkout_links.c.renews_id,
    checkout_links.c.renews_from,
    checkout_links.c.replaces_id,
)


async def issue(
    tx: AsyncConnection,
    *,
    person_id: int,
    plan_id: str | None,
    back_url: str,
    secret: str,
    now: datetime,
    renews: tuple[int, datetime] | None = None,
    replaces_id: int | None = None,
) -> str:
    """Make a link; return the token that its address carries."""
    row = (
        await tx.execute(
            sa.insert(checkout_links)
            .values(
                nonce=ids.token(18),
                person_id=person_id,
                plan_id=plan_id,
                back_url=back_url,
                renews_id=renews[0] if renews else None,
                renews_from=renews[1] if renews else None,
                replaces_id=replaces_id,
                expires_at=now + LINK_LIFE,
                created_at=now,
            )
            .returning(*_SELECT.selected_columns)
        )
    ).one()
    return token_of(Link(*row), secret)


def token_of(link: Link, secret: str) -> str:
    """Return the token of a link's address."""
    return f"{link.nonce}.{_signature(link, secret)}"


async def find(connection: AsyncConnection, token: str, *, secret: str) -> Link:
    """Return the link of a token. Raises LinkUnknown; whether the link may still begin something is `check_fresh`."""
    parts = _TOKEN.fullmatch(token)
    row = None
    if parts:
        row = (await connection.execute(_SELECT.where(checkout_links.c.nonce == parts[1]))).one_or_none()
    if parts is None or row is None:
        raise LinkUnknown
    link = Link(*row)
    if not hmac.compare_digest(parts[2], _signature(link, secret)):
        raise LinkUnknown
    return link


def check_fresh(link: Link, *, now: datetime) -> None:
    """Raise LinkExpired when nothing may be begun by the link any more."""
    if link.expires_at <= now:
        raise LinkExpired


async def use(tx: AsyncConnection, link: Link, *, order_id: int, now: datetime) -> int:
    """Bind a link to an order, if it is not bound yet; return the order that it is bound to."""
    await tx.execute(
        sa.update(checkout_links)
        .where(checkout_links.c.id == link.id, checkout_links.c.order_id.is_(None))
        .values(order_id=order_id, used_at=now)
    )
    bound = await tx.execute(sa.select(checkout_links.c.order_id).where(checkout_links.c.id == link.id))
    return int(bound.scalar_one())


async def rebind(tx: AsyncConnection, link: Link, *, order_id: int) -> None:
    """Bind a link to another order: its first one was not paid, and the person chose otherwise."""
    await tx.execute(sa.update(checkout_links).where(checkout_links.c.id == link.id).values(order_id=order_id))


async def purge(tx: AsyncConnection, *, now: datetime, limit: int) -> int:
    """Delete links that nobody needs to open again; return how many."""
    old = sa.select(checkout_links.c.id).where(checkout_links.c.expires_at < now - KEEP_LINKS).limit(limit)
    return (await tx.execute(sa.delete(checkout_links).where(checkout_links.c.id.in_(old)))).rowcount


def _signature(link: Link, secret: str) -> str:
    key = hmac.digest(secret.encode(), _PURPOSE, hashlib.sha256)
    said = f"{link.nonce}|{link.person_id}|{link.plan_id or ''}|{int(link.expires_at.timestamp())}"
    if link.renews_id is not None:
        said += f"|{link.renews_id}"
    raw = hmac.digest(key, said.encode(), hashlib.sha256)
    return urlsafe_b64encode(raw).decode().rstrip("=")
