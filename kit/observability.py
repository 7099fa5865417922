"""Logs and metrics. Log events are static, ids are fields, and no field ever holds what a person or a model wrote."""

import logging
import os
import sys
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import structlog
from prometheus_client import REGISTRY as OWN_REGISTRY
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess

MULTIPROCESS_ENV = "PROMETHEUS_MULTIPROC_DIR"
CAUSES_MAX, ERROR_CHARS_MAX = 5, 200
_WAITS_S = (0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 20, 40, 80, 160, 320)

turns_total = Counter("forma_turns_total", "Turns that ended, by how.", ["status"])
turn_wait_s = Histogram("forma_turn_wait_seconds", "From accept to a worker's start.", buckets=_WAITS_S)
first_token_s = Histogram("forma_first_token_seconds", "From accept to the first token.", buckets=_WAITS_S)
turn_s = Histogram("forma_turn_seconds", "From accept to the settled answer.", buckets=_WAITS_S)
tokens_total = Counter("forma_model_tokens_total", "Model tokens of settled turns.", ["kind"])
billed_tokens_total = Counter("forma_billed_tokens_total", "Tokens charged to wallets.")
house_calls_total = Counter("forma_house_calls_total", "Titles and summaries that were asked for.", ["kind", "outcome"])
house_tokens_total = Counter("forma_house_tokens_total", "Model tokens of titles and summaries.", ["kind"])
updates_total = Counter("forma_updates_total", "Updates handled, by type and outcome.", ["type", "outcome"])
rejections_total = Counter("forma_rejections_total", "Requests refused before any charge, by reason.", ["code"])
jobs_total = Counter("forma_jobs_total", "Jobs and schedules that ran, by outcome.", ["job", "outcome"])
streams_open = Gauge("forma_streams_open", "Answers being generated.", multiprocess_mode="livesum")
outbox_age_s = Gauge("forma_outbox_age_seconds", "Age of the oldest undelivered post.", multiprocess_mode="mostrecent")


# What is counted must be seen to be zero before it is seen to grow.
for _status in ("done", "stopped", "failed"):
    turns_total.labels(status=_status)
for _kind in ("input", "cached", "output"):
    tokens_total.labels(kind=_kind)
    house_tokens_total.labels(kind=_kind)
for _outcome in ("done", "failed"):
    for _kind in ("title", "summary"):
        house_calls_total.labels(kind=_kind, outcome=_outcome)
for _outcome in ("handled", "failed"):
    updates_total.labels(type="message", outcome=_outcome)


def configure_logs(*, process: str, level: str, format: Literal["json", "text"]) -> None:  # noqa: A002 - the setting's name
    """Send structlog's and the libraries' logs to standard error in one form."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    renderers: list[Any] = (
        [structlog.processors.ExceptionRenderer(_told_exception), structlog.processors.JSONRenderer()]
        if format == "json"
        else [
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(),
                sort_keys=False,
                exception_formatter=lambda to, found: print("", _told_exception(found), sep="\n", file=to),
            )
        ]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # Their info lines are one per request or job; aiogram's would repeat what our own events say with ids.
    for noisy in ("aiogram", "aiohttp.access", "arq", "httpx", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    structlog.contextvars.bind_contextvars(process=process)


def _told_exception(exc_info: tuple[type[BaseException], BaseException, TracebackType | None]) -> str:
    """Return a traceback without what people wrote: no values of variables, of each error its type and first line.

    The further lines of a database's or a validator's error quote rows and inputs.
    """
    error: BaseException | None = exc_info[1]
    told: list[str] = []
    while error is not None and len(told) < CAUSES_MAX:
        frames = "".join(traceback.format_tb(error.__traceback__))
        first_line = str(error).partition("\n")[0][:ERROR_CHARS_MAX]
        told.append(f"{frames}{type(error).__module__}.{type(error).__qualname__}: {first_line}")
        inner = getattr(error, "exceptions", ())
        error = inner[0] if inner else error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\n\nwhich came of:\n".join(told)


def render_metrics() -> bytes:
    """Return all metrics in Prometheus' text format: of all processes where they share a folder, else of this one."""
    folder = os.environ.get(MULTIPROCESS_ENV)
    if not folder:
        return generate_latest(OWN_REGISTRY)
    _forget_the_dead(Path(folder))
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry, path=folder)  # type: ignore[no-untyped-call]
    return generate_latest(registry)


def _forget_the_dead(folder: Path) -> None:
    """Remove what processes that were killed had open; what they counted stays."""
    for gauge in folder.glob("gauge_live*.db"):
        pid = gauge.stem.rpartition("_")[2]
        if not pid.isdigit():
            continue
        try:
            os.kill(int(pid), 0)
        except ProcessLookupError:
            gauge.unlink(missing_ok=True)
        except PermissionError:
            continue  # it lives, and belongs to somebody else


def clear_metrics_dir(folder: Path) -> None:
    """Empty the shared folder at a start of everything: the numbers of processes that are gone must not add up."""
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob("*.db"):
        stale.unlink(missing_ok=True)
