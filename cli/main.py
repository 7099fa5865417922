"""The command line: `forma up`, `forma bot`, `forma worker`, `forma web`, `forma migrate`, `forma doctor`, …"""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from kit import settings as settings_module
from kit.errors import FormaError, Misconfigured, Unavailable
from kit.settings import Settings


def main(argv: list[str] | None = None) -> None:
    """Run one command; exit 78 (EX_CONFIG) for a wrong setting, 1 for a dependency that is away."""
    parser = argparse.ArgumentParser(prog="forma", description="A Telegram-first LLM platform sold by subscription.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for name, (_, about) in _COMMANDS.items():
        commands.add_parser(name, help=about)
    for name, (_, about) in _EXPORTS.items():
        days = commands.add_parser(name, help=about)
        days.add_argument("first", metavar="FROM", help="the first day, such as 2026-10-01")
        days.add_argument("last", metavar="TO", help="the last day, within the period")
    models = commands.add_parser("models", help="show each model server's health, load, KV use and tokens a second")
    models.add_argument("--json", action="store_true", help="for programs")
    vllm = commands.add_parser("vllm", help="print the vLLM command lines of an entry of models.toml, or run one")
    vllm.add_argument("model", metavar="ID", help="the entry's id")
    vllm.add_argument(
        "--run", type=int, nargs="?", const=1, default=0, metavar="N", help="become replica N's server (1)"
    )
    sandbox = commands.add_parser("sandbox", help="run one simulated server: telegram, model or shop", add_help=False)
    sandbox.add_argument("rest", nargs=argparse.REMAINDER)
    arguments = parser.parse_args(argv)
    if arguments.command == "sandbox":
        os.execv(sys.executable, [sys.executable, "-m", "sandbox", *arguments.rest])  # noqa: S606
    try:
        chosen = settings_module.load()
        from kit.observability import configure_logs

        configure_logs(process=arguments.command, level=chosen.log_level, format=chosen.log_format)
        if arguments.command in _EXPORTS:
            code = _run(_EXPORTS[arguments.command][0](chosen, arguments.first, arguments.last))
        elif arguments.command in _MODELS:
            code = _MODELS[arguments.command](chosen, arguments)
        else:
            code = _run(_COMMANDS[arguments.command][0](chosen))
    except Misconfigured as error:
        _say(str(error))
        sys.exit(os.EX_CONFIG)
    except Unavailable as error:
        _say(_AWAY.get(error.what, "{}").format(error.detail))
        sys.exit(1)
    except FormaError as error:
        _say(" ".join(str(part) for part in error.args))
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    # All is closed and written. Taking thousands of model classes apart would only make the end late.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)


def _say(words: str) -> None:
    """Say what is wrong, one line each; nothing where a child process has said it already."""
    for line in filter(None, words.splitlines()):
        print(f"forma: {line}", file=sys.stderr)


_AWAY = {
    "postgres": "FORMA_DATABASE_URL: PostgreSQL does not answer ({}): is it running, and is the address right?",
    "redis": "FORMA_REDIS_URL: Redis does not answer ({}): is it running, and is the address right?",
}


def _run(work: Coroutine[Any, Any, int | None]) -> int | None:
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


async def _up(chosen: Settings) -> None:
    from cli.up import up

    await up(chosen)


def _process(name: str) -> Callable[[Settings], Coroutine[Any, Any, None]]:
    async def run(chosen: Settings) -> None:
        from cli import processes
        from cli.compose import open_app
        from cli.lifetime import say_ready

        runner: Callable[..., Awaitable[None]] = getattr(processes, f"run_{name}")
        stop, hangup = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(signum, stop.set)
        loop.add_signal_handler(signal.SIGHUP, hangup.set)
        async with open_app(chosen) as app:
            reloads = asyncio.create_task(processes.reload_on(hangup, app), name="reloads")
            try:
                await runner(app, stop, say_ready)
            finally:
                reloads.cancel()
                await asyncio.gather(reloads, return_exceptions=True)

    return run


async def _migrate(chosen: Settings) -> None:
    from cli.up import ensure_database

    if not chosen.database_url:
        raise Misconfigured("FORMA_DATABASE_URL is empty: `forma up` migrates the embedded database by itself")
    await ensure_database(chosen.database_url)
    print("The database is up to date.")


async def _doctor(chosen: Settings) -> int:
    from cli.doctor import doctor

    return await doctor(chosen)


async def _export_stars(chosen: Settings, first: str, last: str) -> None:
    from cli.star_export import print_stars

    await print_stars(chosen, first, last)


async def _export_roubles(chosen: Settings, first: str, last: str) -> None:
    from cli.rouble_export import print_roubles

    await print_roubles(chosen, first, last)


def _models(chosen: Settings, arguments: argparse.Namespace) -> int | None:
    from cli.models_table import show

    return _run(show(chosen, as_json=arguments.json))


def _vllm(chosen: Settings, arguments: argparse.Namespace) -> None:
    from cli.vllm_command import show

    show(chosen, arguments.model, run=arguments.run)


_MODELS: dict[str, Callable[[Settings, argparse.Namespace], int | None]] = {"models": _models, "vllm": _vllm}
_COMMANDS: dict[str, tuple[Callable[[Settings], Coroutine[Any, Any, int | None]], str]] = {
    "up": (_up, "run everything in this terminal"),
    "bot": (_process("bot"), "fetch updates, handle them, deliver answers"),
    "worker": (_process("worker"), "serve turns from the queue, run the schedules"),
    "web": (_process("web"), "serve webhooks, /health and /metrics"),
    "migrate": (_migrate, "bring the database up to date"),
    "doctor": (_doctor, "check a set-up and say what to do about each finding"),
}
_EXPORTS: dict[str, tuple[Callable[[Settings, str, str], Coroutine[Any, Any, None]], str]] = {
    "export-stars": (_export_stars, "print the Stars of a period as CSV, by days in UTC"),
    "export-roubles": (_export_roubles, "print the roubles of a period as CSV, by days in UTC"),
}
