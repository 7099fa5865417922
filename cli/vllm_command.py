"""`forma vllm ID`: the command line of vLLM that an entry of models.toml stands for, printed or run."""

import os
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from app import model_groups
from inference.models import ANSWERING, Model, Models, Replica
from kit.errors import Misconfigured
from kit.settings import Settings

KEY_ENV: Final = "VLLM_API_KEY"
"""vLLM reads its --api-key from here as well, and so it stands in no list of processes."""

_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Command:
    """What starts one replica's server. `key_from` names where its key comes from, empty for a server without one."""

    environment: Mapping[str, str]
    arguments: tuple[str, ...]
    key_from: str = ""

    def shell(self) -> str:
        """Return one line for a shell; a key is named by its variable, never shown."""
        words = [f"{name}={shlex.quote(value)}" for name, value in self.environment.items()]
        if self.key_from:
            words.append(f'{KEY_ENV}="${self.key_from}"')
        return " ".join([*words, *map(shlex.quote, self.arguments)])


def command(models: Models, model: Model, replica: Replica) -> Command:
    """Return how one replica of an entry is started."""
    group = models.gpus.get(replica.gpu_group)
    environment = {"CUDA_VISIBLE_DEVICES": ",".join(map(str, group.devices))} if group else {}
    address, serving = urlsplit(replica.base_url), model.serving
    arguments = ["vllm", "serve", serving.checkpoint or model.name, "--served-model-name", model.name]
    if address.hostname in {"127.0.0.1", "localhost", "::1"}:
        arguments += ["--host", address.hostname]
    arguments += ["--port", str(address.port or _PORTS[address.scheme])]
    if model.purpose == "embedding":
        arguments += ["--runner", "pooling"]
    arguments += ["--max-model-len", str(model.context_length), "--max-num-seqs", str(model.slots)]
    arguments += ["--gpu-memory-utilization", f"{serving.gpu_memory:g}"]
    if group and len(group.devices) > 1:
        arguments += ["--tensor-parallel-size", str(len(group.devices))]
    if model.purpose in ANSWERING:
        arguments += ["--enable-prompt-tokens-details"]
    if serving.reasoning_parser:
        arguments += ["--reasoning-parser", serving.reasoning_parser]
    if serving.tool_parser:
        arguments += ["--enable-auto-tool-choice", "--tool-call-parser", serving.tool_parser]
    key_from = replica.api_key_env or (KEY_ENV if replica.api_key else "")
    return Command(environment, (*arguments, *serving.arguments), key_from)


def show(settings: Settings, model_id: str, *, run: int = 0) -> None:
    """Print an entry's command lines, one a replica; with `run` become the server of that replica instead.

    Raises Misconfigured for an entry or replica that is not in models.toml, and where vLLM is not installed.
    """
    models = model_groups.read(settings)
    model = models.entries.get(model_id)
    if model is None:
        raise Misconfigured(f"models.toml has no entry {model_id!r}; it has {', '.join(models.entries)}")
    if not run:
        for replica in model.replicas:
            print(command(models, model, replica).shell())
        return
    if not 1 <= run <= len(model.replicas):
        raise Misconfigured(f"{model_id} has replicas 1 to {len(model.replicas)}, and no {run}")
    replica = model.replicas[run - 1]
    chosen = command(models, model, replica)
    program = shutil.which(chosen.arguments[0])
    if program is None:
        raise Misconfigured("vllm is not on the PATH: install it, or activate its environment")
    key = {KEY_ENV: replica.api_key} if replica.api_key else {}
    os.execve(program, chosen.arguments, {**os.environ, **chosen.environment, **key})  # noqa: S606 - becomes vLLM
