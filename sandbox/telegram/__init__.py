"""A simulated Telegram: the Bot API over HTTP, and persons who use the bot. See docs/sandbox.md."""

import argparse
import asyncio
import re
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import _SubParsersAction

PORT_DEFAULT = 8081


def _token(raw: str) -> str:
    if not re.fullmatch(r"\d+:[A-Za-z0-9_-]+", raw):
        raise argparse.ArgumentTypeError("a token looks like 42:SANDBOX")
    return raw


def add_arguments(subparsers: "_SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the subcommand `telegram`."""
    parser = subparsers.add_parser("telegram", help="a simulated Telegram Bot API with a chat page")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=PORT_DEFAULT)
    parser.add_argument("--data", type=Path, default=None, help="folder that keeps the state between starts")
    parser.add_argument("--token", type=_token, default=None, help="the bot's token, 42:SANDBOX by default")
    parser.add_argument("--username", default=None, help="the bot's username")
    parser.add_argument("--no-limits", action="store_true", help="answer no 429 by itself")


async def _serve(args: argparse.Namespace) -> int:
    from sandbox.telegram.limits import Rates
    from sandbox.telegram.server import start

    rates = Rates(enabled=not args.no_limits)
    try:
        running = await start(
            args.host, args.port, data=args.data, rates=rates, token=args.token, username=args.username
        )
    except (OSError, ValueError) as error:
        sys.stderr.write(f"sandbox telegram: {error}\n")
        return 1
    sys.stdout.write(f"sandbox telegram (simulated) on {running.base_url}\n")
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
