"""Identifiers that people read aloud and machines put into payloads."""

import secrets

# Without 0/O and 1/I: the code is read off a phone and typed by an operator.
_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"


def error_code() -> str:
    """Return a short code such as 'K7QX3M' that ties a person's message to a log line (32^6 values)."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(6))


def token(length_bytes: int = 12) -> str:
    """Return a URL-safe random string with 8 × length_bytes bits of entropy."""
    return secrets.token_urlsafe(length_bytes)
