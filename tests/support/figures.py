"""Figures of the big runs: each test adds its own, the runner sums them up (tests.money)."""

import json
import os
import sys
from pathlib import Path

FIGURES_ENV = "FORMA_TEST_FIGURES"


def add(**figures: int) -> None:
    """Add to the run's figures; without a run that collects them they go nowhere."""
    place = os.environ.get(FIGURES_ENV)
    if place:
        with Path(place).open("a") as file:
            file.write(json.dumps(figures) + "\n")


def tell(**figures: float) -> None:
    """Print a run's figures as a line of JSON; pytest lets it through with --capture=sys."""
    (sys.__stderr__ or sys.stderr).write(json.dumps(figures) + "\n")


def total(place: Path) -> dict[str, int]:
    """Return the sums of all that was added."""
    sums: dict[str, int] = {}
    for line in place.read_text().splitlines():
        for name, figure in json.loads(line).items():
            sums[name] = sums.get(name, 0) + figure
    return sums
