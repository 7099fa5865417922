"""`python -m bench.gpu SHAPE`: every part prints as it goes and adds a line to the results; the last line is JSON.

Parts: serve (vLLM's own benchmark, alone and with 100 at once), throughput, first (added first token and stop), flood.
Each is bounded in time; one that fails says so and the next begins. With --url a server that runs already is measured,
so that a run which was cut off can go on with --parts.
"""

import argparse
import asyncio
import contextlib
import json
import shlex
import sys
import tempfile
import traceback
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from bench.gpu import first_token, flood, shapes, throughput, vllm
from bench.gpu.place import Place
from kit.observability import configure_logs

SLOTS = 32
PARTS = ("serve", "throughput", "first", "flood")
PART_S_MAX = {"serve": 240.0, "throughput": 300.0, "first": 240.0, "flood": 480.0}
ROUNDS = 48
TRACEBACK_FRAMES = 4
ALONE = {"at_once": 1, "requests": 3, "tokens_in": 512, "tokens_out": 256}
TOGETHER = {"at_once": 100, "requests": 120, "tokens_in": 1_024, "tokens_out": 400}


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="bench.gpu", description=__doc__)
    parser.add_argument("shape", choices=sorted(shapes.SHAPES))
    parser.add_argument("--parts", default=",".join(PARTS), help="which, in this order (default: %(default)s)")
    parser.add_argument("--vllm", default="vllm", help="the command that is vLLM's (default: %(default)s)")
    parser.add_argument("--url", default="", help="a server that serves the shape already; needs --kv-tokens")
    parser.add_argument("--kv-tokens", type=int, default=0, help="what its KV cache holds")
    parser.add_argument("--folder", type=Path, default=None, help="where model folders and logs lie")
    parser.add_argument("--results", type=Path, default=None, help="the file of JSON lines (default: in the folder)")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of a window (default: %(default)s)")
    chosen = parser.parse_args()
    if unknown := set(chosen.parts.split(",")) - set(PARTS):
        parser.error(f"no such parts: {', '.join(sorted(unknown))}")
    if bool(chosen.url) != bool(chosen.kv_tokens):
        parser.error("--url and --kv-tokens belong together")
    return chosen


async def main(chosen: argparse.Namespace) -> int:
    """Run the parts; the exit status is 1 when one of them failed."""
    folder = chosen.folder or Path(tempfile.gettempdir()) / "forma-gpu"
    model = shapes.make(chosen.shape, folder)
    summary: dict[str, Any] = {"bench": "gpu", "shape": chosen.shape, "slots": SLOTS}
    async with _place(chosen, model) as place:
        place.say("server", {"url": place.url, "kv_tokens": place.kv_tokens})
        summary["kv_tokens"] = place.kv_tokens
        for part in chosen.parts.split(","):
            try:
                async with asyncio.timeout(PART_S_MAX[part]):
                    summary[part] = await _run(part, place, chosen, model)
            except Exception as error:  # whatever happened to this part, the lease goes on for the next
                traceback.print_exc(limit=-TRACEBACK_FRAMES)
                summary[part] = {"failed": f"{type(error).__name__}: {error}"[:500]}
            place.say(part, summary[part])
    print(json.dumps(summary), flush=True)
    return int(any("failed" in summary[part] for part in chosen.parts.split(",")))


@contextlib.asynccontextmanager
async def _place(chosen: argparse.Namespace, model: Path) -> AsyncIterator[Place]:
    results = chosen.results or model.parent / f"{chosen.shape}.jsonl"
    if chosen.url:
        yield Place(chosen.url, model.name, SLOTS, chosen.kv_tokens, results)
        return
    log = model.parent / f"{chosen.shape}.vllm.log"
    async with vllm.serving(shlex.split(chosen.vllm), model, SLOTS, log) as (url, kv_tokens):
        yield Place(url, model.name, SLOTS, kv_tokens, results)


async def _run(part: str, place: Place, chosen: argparse.Namespace, model: Path) -> dict[str, Any]:
    if part == "serve":
        command = shlex.split(chosen.vllm)
        alone = await vllm.own_benchmark(command, place.url, model, **ALONE)
        place.say("serve.alone", alone)
        return {"alone": alone, "together": await vllm.own_benchmark(command, place.url, model, **TOGETHER)}
    if part == "throughput":
        return await throughput.measure(place, chosen.seconds)
    if part == "first":
        return await first_token.measure(place, ROUNDS)
    return await flood.measure(place, chosen.seconds)


if __name__ == "__main__":
    import uvloop

    configure_logs(process="bench", level="WARNING", format="text")
    sys.exit(uvloop.run(main(arguments())))
