"""Payment sheets: which message of a chat shows the payment of an order, and the one link from which it is paid.

One link for an order, so that Telegram itself sees a second payment of it. Kept in Redis only: losing it leaves a stale
button behind, whose press is refused in words, and another link.
"""

from collections.abc import Awaitable, Callable

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from billing.orders import Order

log = structlog.get_logger(__name__)

KEEP_S = 8 * 24 * 3600


class Sheets:
    """Order id to message id."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def remember(self, order_id: int, chat_id: int, message_id: int) -> None:
        """Keep where an order is being paid; the latest message wins."""
        try:
            await self._redis.set(_key(order_id), f"{chat_id}:{message_id}", ex=KEEP_S)
        except (RedisError, OSError) as error:
            log.warning("sheet_not_kept", order=order_id, error=type(error).__name__)

    async def link(self, order: Order, language: str, make: Callable[[], Awaitable[str]]) -> str:
        """Return the order's link in a language, made once: whoever comes second is given the first one's."""
        key = f"forma:invoice:{order.id}:{language}"
        try:
            known = await self._redis.get(key)
            if known:
                return str(known.decode())
            made = await make()
            if await self._redis.set(key, made, ex=KEEP_S, nx=True):
                return made
            first = await self._redis.get(key)
        except (RedisError, OSError) as error:
            log.warning("link_not_kept", order=order.id, error=type(error).__name__)
            return await make()
        return str(first.decode()) if first else made

    async def of_order(self, order_id: int) -> int | None:
        """Return the message that shows an order's payment."""
        try:
            raw = await self._redis.get(_key(order_id))
        except (RedisError, OSError):
            return None
        return int(raw.decode().partition(":")[2]) if raw else None


def _key(order_id: int) -> str:
    return f"forma:sheet:{order_id}"
