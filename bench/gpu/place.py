"""Where a run stands: the model server, what Forma is told of it, and where results go."""

import contextlib
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.stack import ModelServer, Stack, running
from kit import settings
from kit.settings import Settings

CONTEXT_LENGTH = 16_384
ANSWER_TOKENS_MAX = 2_048


@dataclass
class Place:
    """One model server and the file that every finished part is written to at once: a lease may end at any moment."""

    url: str
    model: str
    slots: int
    kv_tokens: int
    results: Path
    began: float = field(default_factory=time.perf_counter)

    @property
    def models_toml(self) -> str:
        """What an operator would write for this server."""
        return f"""
[models.chat]
purpose = "chat"
name = "{self.model}"
context_length = {CONTEXT_LENGTH}
answer_tokens_max = {ANSWER_TOKENS_MAX}
slots = {self.slots}
kv_tokens = {self.kv_tokens}

[models.chat.sampling]
temperature = 1.0

[[models.chat.replicas]]
base_url = "{self.url}"
"""

    @contextlib.asynccontextmanager
    async def forma(self, plans: str) -> AsyncIterator[Stack]:
        """Run Forma in front of this server."""
        async with running(plans, model=ModelServer(self.url, self.models_toml)) as stack:
            yield stack

    @staticmethod
    def settings(stack: Stack) -> Settings:
        """Return the settings of a stack's processes, for an App in this process."""
        return settings.load(**{key.removeprefix("FORMA_").lower(): value for key, value in stack.environment.items()})

    def say(self, part: str, result: dict[str, Any]) -> None:
        """Print a part's result and append it to the file."""
        line = json.dumps(
            {"part": part, "model": self.model, "at_s": round(time.perf_counter() - self.began), **result}
        )
        print(line, flush=True)
        with self.results.open("a") as file:
            file.write(line + "\n")
