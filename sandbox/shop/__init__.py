"""A simulated YooKassa: its API v3 over HTTP, and a page where customers pay. See docs/sandbox.md."""

import argparse
import asyncio
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import _SubParsersAction

PORT_DEFAULT = 8083


def add_arguments(subparsers: "_SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the subcommand `shop`."""
    parser = subparsers.add_parser("shop", help="a simulated YooKassa with a checkout page")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=PORT_DEFAULT)
    parser.add_argument("--data", type=Path, default=None, help="folder that keeps the state between starts")
    parser.add_argument("--shop-id", default=None, help="the shop's id, 100500 by default")
    parser.add_argument("--secret-key", default=None, help="the shop's secret key, test_SANDBOX by default")
    parser.add_argument("--notification-url", default=None, help="where notifications are sent; http is allowed here")
    parser.add_argument("--forwarded-for", default=None, help="X-Forwarded-For of notifications, as from a proxy")


async def _serve(args: argparse.Namespace) -> int:
    from sandbox.shop.server import start

    try:
        running = await start(
            args.host,
            args.port,
            data=args.data,
            shop_id=args.shop_id,
            secret_key=args.secret_key,
            notification_url=args.notification_url,
            forwarded_for=args.forwarded_for,
        )
    except (OSError, ValueError) as error:
        sys.stderr.write(f"sandbox shop: {error}\n")
        return 1
    sys.stdout.write(f"sandbox shop (simulated) on {running.api_url}\n")
    sys.stdout.flush()
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stopped.set)
    await stopped.wait()
    await running.close()
    return 0


def run(args: argparse.Namespace) -> int:
    """Serves until SIGINT or SIGTERM; 1 when the port is taken or the data cannot be read."""
    if sys.platform == "win32":
        return asyncio.run(_serve(args))
    import uvloop

    return uvloop.run(_serve(args))
