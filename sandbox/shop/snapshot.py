"""Reads what the shop kept in DIR/shop.json; sandbox.telegram's Snapshot writes it."""

from pathlib import Path

import orjson

from sandbox.shop.state import State, load_state

FILE = "shop.json"
WRITE_EVERY_S = 0.1  # money: a shop that is killed loses less than a merchant takes to look it up
# A shop that was killed gave out numbers after its last writing; none of them may come again.
NUMBERS_SKIPPED = 1_000


def read_snapshot(path: Path) -> State | None:
    """The kept state, or None at the first start. A file that cannot be read is an error with its path in it."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        state = load_state(orjson.loads(raw))
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} does not hold a shop's state: {error}; move it away to start anew") from error
    state.serial += NUMBERS_SKIPPED
    return state
