"""Payment sheets: which message of a chat shows the payment of an order, so that it can change once it is paid.

Kept in Redis only: losing it leaves a stale button behind, whose press is refused in words.
"""

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

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

    async def of_order(self, order_id: int) -> int | None:
        """Return the message that shows an order's payment."""
        try:
            raw = await self._redis.get(_key(order_id))
        except (RedisError, OSError):
            return None
        return int(raw.decode().partition(":")[2]) if raw else None


def _key(order_id: int) -> str:
    return f"forma:sheet:{order_id}"
