"""The client of YooKassa's API: aiohttp with an explicit key and an explicit deadline on each call.

    async with YooKassa(shop_id, secret_key) as shop:
        paid = await shop.create_payment(body, key=key)

The SDK's own client blocks, waits for ever on a hung server and keeps its configuration in globals, so only its models
are used (docs/decisions/yookassa-client.md). Each call ends in an object, or in one of billing.yookassa.errors.
"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import aiohttp
import orjson
from yarl import URL

from billing.yookassa import objects
from billing.yookassa.errors import NotReached, Refused, Unknown
from billing.yookassa.objects import Page, Payment, Refund
from billing.yookassa.requests import KEY_LENGTH_MAX

API_URL: Final = "https://api.yookassa.ru/v3"
CALL_S: Final = 15.0
CONNECT_S: Final = 5.0
CONNECTIONS_MAX: Final = 32
BODY_BYTES_MAX: Final = 2 * 1024 * 1024
LIST_LIMIT: Final = 100
_WORD_LENGTH_MAX: Final = 64
# Not carried out, and may be carried out later: rate limit, and credentials that the operator has to mend.
_NOT_TAKEN: Final = frozenset({401, 429})
_TIMED_OUT: Final = 408

T = TypeVar("T")


class YooKassa:
    """Speaks for one shop. A given session stays the caller's; without one it opens and closes its own."""

    def __init__(
        self,
        shop_id: str,
        secret_key: str,
        *,
        api_url: str = API_URL,
        session: aiohttp.ClientSession | None = None,
        call_s: float = CALL_S,
    ) -> None:
        self.shop_id = shop_id
        self._auth = aiohttp.encode_basic_auth(shop_id, secret_key)
        self._api_url = api_url.rstrip("/")
        self._session, self._owned, self._call_s = session, session is None, call_s

    async def __aenter__(self) -> Self:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=CONNECTIONS_MAX)
            self._session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._owned and self._session is not None:
            await self._session.close()
            self._session = None

    async def create_payment(self, body: str, *, key: str) -> Payment:
        """Ask for a payment, with a body of billing.yookassa.requests. Raises Refused, NotReached, Unknown."""
        return await self._call("POST", "payments", objects.payment, body=body, key=key)

    async def payment(self, payment_id: str) -> Payment:
        """Return a payment as it stands. Raises Refused (404: no such payment), NotReached, Unknown."""
        return await self._call("GET", f"payments/{_checked(payment_id)}", objects.payment)

    async def payments(
        self,
        *,
        created_from: datetime | None = None,
        created_until: datetime | None = None,
        cursor: str = "",
        limit: int = LIST_LIMIT,
    ) -> Page[Payment]:
        """Return a page of the payments created in [from, until), the newest first. Raises as `payment`."""
        query = _window(created_from, created_until, cursor, limit)
        return await self._call("GET", "payments", lambda raw: objects.page(raw, objects.payment), query=query)

    async def create_refund(self, body: str, *, key: str) -> Refund:
        """Ask for money to go back. Raises Refused, NotReached, Unknown."""
        return await self._call("POST", "refunds", objects.refund, body=body, key=key)

    async def refund(self, refund_id: str) -> Refund:
        """Return a refund as it stands. Raises Refused (404), NotReached, Unknown."""
        return await self._call("GET", f"refunds/{_checked(refund_id)}", objects.refund)

    async def refunds(
        self,
        *,
        created_from: datetime | None = None,
        created_until: datetime | None = None,
        payment_id: str = "",
        cursor: str = "",
        limit: int = LIST_LIMIT,
    ) -> Page[Refund]:
        """Return a page of the refunds created in [from, until), the newest first. Raises as `refund`."""
        query = _window(created_from, created_until, cursor, limit)
        if payment_id:
            query["payment_id"] = payment_id
        return await self._call("GET", "refunds", lambda raw: objects.page(raw, objects.refund), query=query)

    async def _call(
        self,
        method: str,
        path: str,
        read: Callable[[Any], T],
        *,
        query: Mapping[str, str] | None = None,
        body: str | None = None,
        key: str = "",
    ) -> T:
        """Make one call; the deadline covers connecting, waiting and reading."""
        headers = {"Authorization": self._auth, "Accept": "application/json"}
        if method == "POST":
            assert 1 <= len(key) <= KEY_LENGTH_MAX, "a POST without a key would be another payment each time"
            headers |= {"Idempotence-Key": key, "Content-Type": "application/json"}
        try:
            async with asyncio.timeout(self._call_s):
                status, raw = await self._exchange(method, path, query, body, headers)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise NotReached(type(error).__name__) from error
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise Unknown(type(error).__name__) from error
        return _judged(status, raw, read)

    async def _exchange(
        self, method: str, path: str, query: Mapping[str, str] | None, body: str | None, headers: Mapping[str, str]
    ) -> tuple[int, bytes]:
        assert self._session is not None, "use the client as a context manager"
        async with self._session.request(
            method,
            URL(f"{self._api_url}/{path}"),
            params=query,
            data=None if body is None else body.encode(),
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S),
            allow_redirects=False,
        ) as response:
            raw = bytearray()
            async for part in response.content.iter_any():
                raw += part
                if len(raw) > BODY_BYTES_MAX:
                    raise aiohttp.ClientPayloadError("an answer without an end")
            return response.status, bytes(raw)


def _judged(status: int, raw: bytes, read: Callable[[Any], T]) -> T:
    """Return the object of a 200, or raise what the status means. Only JSON with a 4xx counts as a refusal."""
    if status == 200:
        try:
            return read(orjson.loads(raw))
        except ValueError as error:
            raise Unknown(f"200, {error}"[:120]) from error
    if status in _NOT_TAKEN:
        raise NotReached(f"HTTP {status}")
    if not 400 <= status < 500 or status == _TIMED_OUT:
        raise Unknown(f"HTTP {status}")
    try:
        said = orjson.loads(raw)
        reason, parameter = str(said["code"]), str(said.get("parameter") or "")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        # Something between us and YooKassa may have said it, before or after YooKassa did its part.
        raise Unknown(f"HTTP {status} without a reason") from error
    raise Refused(status=status, reason=reason[:_WORD_LENGTH_MAX], parameter=parameter[:_WORD_LENGTH_MAX])


def _checked(object_id: str) -> str:
    if not objects.is_id(object_id):
        raise ValueError("not an id of YooKassa's")
    return object_id


def _window(start: datetime | None, end: datetime | None, cursor: str, limit: int) -> dict[str, str]:
    query = {"limit": str(limit)}
    if start is not None:
        query["created_at.gte"] = _iso(start)
    if end is not None:
        query["created_at.lt"] = _iso(end)
    if cursor:
        query["cursor"] = cursor
    return query


def _iso(at: datetime) -> str:
    if at.tzinfo is None:
        raise ValueError("a time without a zone")
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
