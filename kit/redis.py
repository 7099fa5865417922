"""Redis: one client a process, bounded in time."""

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError

from kit.errors import Misconfigured, Unavailable

CONNECT_TIMEOUT_S = 5.0
# Longer than any script or blocking read of ours; a Redis that hangs must not hang the caller for ever.
SOCKET_TIMEOUT_S = 10.0
CONNECTIONS_MAX = 200
RETRIES_MAX = 2


def connect(url: str) -> Redis:
    """Return a client for `url` (redis://, rediss:// or unix://). Connects on first use."""
    client: Redis = Redis.from_url(
        url,
        socket_timeout=SOCKET_TIMEOUT_S,
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        max_connections=CONNECTIONS_MAX,
        # A restarted server resets kept connections; what we send is idempotent, so it may be sent again.
        retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), RETRIES_MAX),
        retry_on_error=[RedisConnectionError],
    )
    return client


async def check(client: Redis) -> None:
    """Raise Unavailable when Redis does not answer, Misconfigured when it refuses who we are."""
    try:
        await client.ping()
    except (AuthenticationError, NoPermissionError) as error:
        raise Misconfigured(f"FORMA_REDIS_URL: Redis refuses it: {error}") from error
    except (RedisError, OSError) as error:
        raise Unavailable("redis", type(error).__name__) from error
