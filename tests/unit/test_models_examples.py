"""The shipped examples of models.toml: shares fit the GPUs, and kv_tokens follow from the arithmetic that they show."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import pytest

from cli.vllm_command import command
from inference.models import Models
from inference.models_file import load

DEPLOY = Path(__file__).parents[2] / "deploy"
GB = 1_000_000_000
EXAMPLES = pytest.mark.parametrize(("name", "gpu_gb"), [("models.one-96gb.toml", 96), ("models.two-80gb.toml", 80)])


@dataclass(frozen=True)
class Architecture:
    """What a checkpoint takes: weights and workspace in GB, and what one token's keys and values are made of."""

    weights_gb: float
    workspace_gb: float
    layers: int
    kv_heads: int
    head_size: int

    @property
    def kv_bytes(self) -> int:
        return 2 * self.layers * self.kv_heads * self.head_size * 2


CHECKPOINTS = {
    "Qwen/Qwen3-VL-30B-A3B-Instruct": Architecture(62.2, 5.0, layers=48, kv_heads=4, head_size=128),
    "Qwen/Qwen3-32B-FP8": Architecture(34.33, 4.0, layers=64, kv_heads=8, head_size=128),
    "openai/whisper-large-v3-turbo": Architecture(1.62, 1.5, layers=4, kv_heads=20, head_size=64),
    "Qwen/Qwen3-Embedding-0.6B": Architecture(1.2, 1.5, layers=28, kv_heads=8, head_size=128),
}


def read(name: str) -> Models:
    return load(DEPLOY / name)


@EXAMPLES
def test_the_shares_of_each_gpu_add_up(name: str, gpu_gb: int) -> None:
    models = read(name)
    servers: dict[str, dict[str, float]] = defaultdict(dict)
    for model in models:
        for replica in model.replicas:
            for device in models.gpus[replica.gpu_group].devices:
                servers[str(device)][replica.base_url] = model.serving.gpu_memory
    assert servers
    assert all(0.8 < sum(shares.values()) <= 0.95 for shares in servers.values()), servers


@EXAMPLES
def test_kv_tokens_follow_from_the_arithmetic_and_the_comments_show_it(name: str, gpu_gb: int) -> None:
    text = (DEPLOY / name).read_text(encoding="utf-8")
    for model in read(name):
        taken = CHECKPOINTS[model.serving.checkpoint]
        left = model.serving.gpu_memory * gpu_gb * GB - (taken.weights_gb + taken.workspace_gb) * GB
        assert model.kv_tokens == int(left / taken.kv_bytes) // 1_000 * 1_000, model.id
        for shown in (taken.kv_bytes, model.kv_tokens):
            assert f"{shown:,}" in text, (model.id, shown)
        # Every slot can hold a dialog of some length, and one of full length fits.
        assert model.kv_tokens >= max(model.context_length, model.slots * 1_500), model.id


@EXAMPLES
def test_every_purpose_is_there_and_every_server_can_be_started(name: str, gpu_gb: int) -> None:
    models = read(name)
    assert {model.purpose for model in models} == {"chat", "vision", "transcription", "embedding"}
    lines: dict[str, set[str]] = defaultdict(set)
    for model in models:
        for replica in model.replicas:
            lines[replica.base_url].add(command(models, model, replica).shell())
    # Entries that share a server agree on how it is started.
    assert all(len(found) == 1 for found in lines.values()), lines
    assert len({line.split("--port ")[1].split()[0] for found in lines.values() for line in found}) == len(lines)
