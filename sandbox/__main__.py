"""`python -m sandbox <server>`: each server is a module with `add_arguments(subparsers)` and `run(args) -> int`."""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

SERVERS = ("telegram", "model", "shop")


def main(argv: Sequence[str] | None = None) -> int:
    """Parses the command line and runs the chosen server until SIGINT or SIGTERM; answers its exit status."""
    parser = argparse.ArgumentParser(prog="sandbox", description=__doc__)
    subparsers = parser.add_subparsers(dest="server", required=True)
    servers = {name: importlib.import_module(f"sandbox.{name}") for name in SERVERS}
    for server in servers.values():
        server.add_arguments(subparsers)
    args = parser.parse_args(argv)
    return int(servers[args.server].run(args))


if __name__ == "__main__":
    status = main()
    # All is closed and written. Taking thousands of model classes apart would only make the end late.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
