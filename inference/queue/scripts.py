"""The queue's Lua, by name. Each operation is common.lua with its own file behind: Redis 6.2 knows no libraries."""

import hashlib
from pathlib import Path

_LUA = Path(__file__).parent / "lua"
# What stands between common.lua and an operation that needs it.
_BETWEEN = {
    "submit": "place",
    "position": "place",
    "admit": "rates",
    "release": "rates",
    "charge": "rates",
    "finish": "learn",
    "step": "learn",
}
OPERATIONS = (
    "admit",
    "release",
    "charge",
    "submit",
    "move",
    "claim",
    "renew",
    "step",
    "finish",
    "cancel",
    "reap",
    "position",
    "snapshot",
)


class Script:
    """One operation's source and the SHA-1 that Redis knows it by."""

    def __init__(self, name: str) -> None:
        files = [f"{name}.lua"]
        if name != "configure":
            files = ["common.lua", *([f"{_BETWEEN[name]}.lua"] if name in _BETWEEN else []), *files]
        self.name = name
        self.source = "\n".join((_LUA / file).read_text(encoding="utf-8") for file in files)
        self.sha = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()


SCRIPTS = {name: Script(name) for name in (*OPERATIONS, "configure")}
