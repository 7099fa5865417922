"""What reading streams costs a client, against the official openai client: each in a process of its own.

    python -m bench.openai_reader openai|forma URL < bodies

`bodies` are chat requests as JSON lines. All are sent, AT_ONCE at a time, and their streams read to the end, the text
and the usage taken. The last line is JSON: tokens by the server's own usage, and the process's user and system seconds
from the first request on. The openai client asks for the usage once, at the end, which is its cheapest way; Forma's
reader (inference/vllm.py, inference/events.py) asks for it with every chunk, as the product does.
"""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import orjson
from openai import AsyncOpenAI

from inference.models import Replica
from inference.vllm import ChatRequest, VllmClient

AT_ONCE = 100
READ_TIMEOUT_S = 300.0
Read = Callable[[dict[str, Any]], Awaitable[int]]


@dataclass(frozen=True, slots=True)
class Cost:
    """What one client took for so many tokens."""

    tokens: int
    cpu_s: float

    @property
    def cpu_s_per_1000_tokens(self) -> float:
        return self.cpu_s / self.tokens * 1000


async def measured(client: str, url: str, bodies: list[bytes]) -> Cost:
    """Have a fresh process read the streams of these requests with that client."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.openai_reader", client, url,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(READ_TIMEOUT_S):
            said, _ = await process.communicate(b"\n".join(bodies))
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Cost(**orjson.loads(said.splitlines()[-1]))


async def read_all(read: Read, bodies: list[dict[str, Any]]) -> Cost:
    """Read every body's stream, AT_ONCE at a time."""
    feed = iter(bodies)

    async def loop() -> int:
        return sum([await read(body) for body in feed])

    began = time.process_time()
    tokens = await asyncio.gather(*(loop() for _ in range(AT_ONCE)))
    return Cost(sum(tokens), time.process_time() - began)


async def by_openai(url: str, bodies: list[dict[str, Any]]) -> Cost:
    """With the official client, as its documentation shows."""
    async with AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:

        async def read(body: dict[str, Any]) -> int:
            own = {"model", "messages", "max_tokens"}
            stream = await client.chat.completions.create(
                **{name: body[name] for name in own},
                stream=True,
                stream_options={"include_usage": True},
                extra_body={name: value for name, value in body.items() if name not in {*own, "stream_options"}},
            )
            text, tokens = "", 0
            async for chunk in stream:
                if chunk.choices:
                    text += chunk.choices[0].delta.content or ""
                if chunk.usage:
                    tokens = chunk.usage.completion_tokens
            assert text
            return tokens

        return await read_all(read, bodies)


async def by_forma(url: str, bodies: list[dict[str, Any]]) -> Cost:
    """With the product's own client alone: no queue, no flusher, no database."""
    async with VllmClient() as client:

        async def read(body: dict[str, Any]) -> int:
            request = ChatRequest(Replica(url), body["model"], body["messages"], body["max_tokens"], extra=body)
            text, tokens = "", 0
            async for delta in client.stream(request):
                text += delta.text
                if delta.usage:
                    tokens = delta.usage.completion_tokens
            assert text
            return tokens

        return await read_all(read, bodies)


async def main() -> None:
    """Read standard input's requests and print the cost."""
    _, client, url = sys.argv
    bodies = [orjson.loads(line) for line in sys.stdin.buffer]
    cost = await {"openai": by_openai, "forma": by_forma}[client](url, bodies)
    print(json.dumps({"tokens": cost.tokens, "cpu_s": round(cost.cpu_s, 3)}))


if __name__ == "__main__":
    import uvloop

    uvloop.run(main())
