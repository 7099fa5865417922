"""The money tests at full size: `make test-money`. The last line is JSON with what was tried and what was broken.

A failure fails the run; the seed that repeats it is in pytest's output.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.support.figures import FIGURES_ENV, total

KEYS = ("steps", "kill_points", "people", "days", "invariant_violations", "books_differences")


def main() -> int:
    """Run them, print the figures; returns pytest's exit status."""
    with tempfile.TemporaryDirectory(prefix="forma-money-") as home:
        place = Path(home) / "figures"
        place.touch()
        began = time.monotonic()
        command = [sys.executable, "-m", "pytest", "-q", "-m", "money", "tests", *sys.argv[1:]]
        status = subprocess.run(command, env={**os.environ, FIGURES_ENV: str(place)}, check=False).returncode
        figures = dict.fromkeys(KEYS, 0) | total(place)
    figures |= {"minutes": round((time.monotonic() - began) / 60), "passed": not status}
    sys.stdout.write(json.dumps(figures) + "\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
