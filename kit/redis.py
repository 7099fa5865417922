"""Redis: one client a process, bounded in time."""

import asyncio
from collections.abc import Iterable

from redis.asyncio import Connection, ConnectionPool, Redis, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from kit.errors import Misconfigured, Unavailable

CONNECT_TIMEOUT_S = 5.0
# Longer than any script or blocking read of ours; a Redis that hangs must not hang the caller for ever.
SOCKET_TIMEOUT_S = 10.0
CONNECTIONS_MAX = 200
RETRIES_MAX = 2


class _Cancellable(AbstractConnection):
    """Sends within socket_timeout, and whoever is cancelled while it sends is.

    redis-py sends through asyncio.wait_for, which before Python 3.12 swallows a cancellation that comes as the bytes
    have just gone: a loop that speaks to Redis would not end when it is told to. It also costs a task a command.
    """

    async def send_packed_command(
        self,
        command: bytes | str | Iterable[bytes],
        check_health: bool = True,
    ) -> None:
        """Send packed commands; raises redis-py's ConnectionError and TimeoutError as it does itself."""
        if not self.is_connected:
            await self.connect()  # type: ignore[no-untyped-call]
        elif check_health:
            await self.check_health()  # type: ignore[no-untyped-call]
        if isinstance(command, str):
            command = command.encode()
        try:
            async with asyncio.timeout(self.socket_timeout):
                await self._send_packed_command([command] if isinstance(command, bytes) else command)
        except TimeoutError:
            await self.disconnect(nowait=True)
            raise RedisTimeoutError("Timeout writing to socket") from None
        except OSError as error:
            await self.disconnect(nowait=True)
            raise RedisConnectionError(f"Error while writing to socket: {error}") from error
        except BaseException:
            # Nobody knows how much of it has gone.
            await self.disconnect(nowait=True)
            raise


class _Tcp(_Cancellable, Connection):
    pass


class _Tls(_Cancellable, SSLConnection):
    pass


class _Unix(_Cancellable, UnixDomainSocketConnection):
    pass


_CONNECTIONS = {Connection: _Tcp, SSLConnection: _Tls, UnixDomainSocketConnection: _Unix}


def connect(url: str) -> Redis:
    """Return a client for `url` (redis://, rediss:// or unix://). Connects on first use."""
    pool = ConnectionPool.from_url(
        url,
        socket_timeout=SOCKET_TIMEOUT_S,
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        max_connections=CONNECTIONS_MAX,
        # A restarted server resets kept connections; what we send is idempotent, so it may be sent again.
        retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), RETRIES_MAX),
        retry_on_error=[RedisConnectionError],
    )
    pool.connection_class = _CONNECTIONS[pool.connection_class]
    return Redis.from_pool(pool)


async def check(client: Redis) -> None:
    """Raise Unavailable when Redis does not answer, Misconfigured when it refuses who we are."""
    try:
        await client.ping()
    except (AuthenticationError, NoPermissionError) as error:
        raise Misconfigured(f"FORMA_REDIS_URL: Redis refuses it: {error}") from error
    except (RedisError, OSError) as error:
        raise Unavailable("redis", type(error).__name__) from error
