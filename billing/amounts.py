"""The border for amounts: what is no positive, sane integer never reaches SQL."""

from typing import Final

# A thousand years of the largest plan; far below 2^63, so that sums over everybody stay within a bigint.
TOKENS_MAX: Final = 10**12
MONEY_MAX: Final = 10**9


def tokens(value: int, *, least: int = 1) -> int:
    """Return `value` if it is an integer of tokens from `least` to TOKENS_MAX; raise ValueError otherwise."""
    return _within(value, least, TOKENS_MAX, "tokens")


def money(value: int) -> int:
    """Return `value` if it is a positive integer of Stars or kopecks up to MONEY_MAX; raise ValueError otherwise."""
    return _within(value, 1, MONEY_MAX, "money")


def _within(value: int, least: int, most: int, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{what} must be an integer")
    if not least <= value <= most:
        raise ValueError(f"{what} must be from {least} to {most}")
    return value
