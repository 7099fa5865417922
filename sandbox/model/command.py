"""`python -m sandbox model`: the simulated model server as a process of its own."""

import argparse
import asyncio
import signal
import sys
from typing import TypeAlias

from sandbox.model import faults
from sandbox.model.options import add_option_arguments, from_arguments

HELP = "a simulated vLLM server with an OpenAI-compatible chat"

Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001


def add_arguments(subparsers: Subparsers) -> None:
    """Offers `model` as a command of `python -m sandbox`."""
    add_server_arguments(subparsers.add_parser("model", help=HELP, description=HELP))


def add_server_arguments(parser: argparse.ArgumentParser) -> None:
    """--host, --port, and one argument per option."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="port; 0: a free one (default: %(default)s)")
    add_option_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Serves until SIGINT or SIGTERM. Returns the exit status: 2 for a wrong option, 1 for a taken port."""
    try:
        from_arguments(args)
        rules = [faults.from_argument(text) for text in args.fault]
    except ValueError as error:
        sys.stderr.write(f"sandbox model: {error}\n")
        return 2
    try:
        import uvloop
    except ImportError:
        return asyncio.run(_serve(args, rules))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(args, rules))


async def _serve(args: argparse.Namespace, rules: list[faults.Fault]) -> int:
    import dataclasses

    from sandbox.model.server import start

    try:
        running = await start(args.host, args.port, rules, **dataclasses.asdict(from_arguments(args)))
    except OSError as error:
        sys.stderr.write(f"sandbox model: cannot listen on {args.host}:{args.port}: {error.strerror or error}\n")
        return 1
    sys.stdout.write(f"simulated model server: {running.base_url}\n")
    sys.stdout.flush()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()
    await running.close()
    return 0
