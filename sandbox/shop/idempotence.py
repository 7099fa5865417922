"""Idempotence-Key: for a day the same key and request give the same object; with another request they are refused."""

import hashlib

import orjson

from sandbox.shop.errors import invalid
from sandbox.shop.state import Json, KeyUse
from sandbox.shop.world import World

HEADER = "Idempotence-Key"
KEY_MAX = 64
REMEMBERED_MS = 24 * 3600 * 1000


def read_key(raw: str | None) -> str:
    """The header of a POST. Raises ApiError."""
    if not raw:
        raise invalid("A POST needs an idempotence key", HEADER)
    if len(raw) > KEY_MAX or not (raw.isascii() and raw.isprintable()):
        raise invalid(f"An idempotence key is at most {KEY_MAX} characters of ASCII", HEADER)
    return raw


def fingerprint(path: str, body: Json) -> str:
    """What makes two requests the same: path and values, not the order of the names or the spaces."""
    return hashlib.sha256(path.encode() + b"\n" + orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()


def used(world: World, key: str, print_of: str) -> KeyUse | None:
    """The first use of the key, if it is remembered. Raises ApiError when it was for another request."""
    use = world.state.keys.get(key)
    if use is None or use.used_ms + REMEMBERED_MS <= world.now_ms():
        return None
    if use.fingerprint != print_of:
        raise invalid("This idempotence key was used for another request", HEADER)
    return use


def remember(world: World, key: str, print_of: str, kind: str, object_id: str) -> None:
    """Notes what the key was used for. A refused request is not noted: it has made nothing."""
    world.state.keys.pop(key, None)  # the order of the keys is that of their use
    world.state.keys[key] = KeyUse(print_of, kind, object_id, world.now_ms())
    world.changed()


def forget_old(world: World) -> None:
    """Drops the keys that are older than a day."""
    keys = world.state.keys
    limit_ms = world.now_ms() - REMEMBERED_MS
    while keys:
        oldest = next(iter(keys))
        if keys[oldest].used_ms > limit_ms:
            return
        del keys[oldest]
