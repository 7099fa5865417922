"""Model folders of real shapes for dummy weights: config.json and a tokenizer, all that vLLM needs to fill one itself.

The speed of a model is that of its shape, whatever the numbers in it. The tokenizer is byte-level BPE trained on the
standard library of the Python that runs this, so nothing is downloaded.
"""

import json
import sysconfig
from pathlib import Path
from typing import Any, Final

VOCABULARY: Final = 32_000
ROOM_FOR_SPECIAL: Final = 10
FILES_MAX: Final = 600
SPECIAL: Final = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TEMPLATE: Final = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

_COMMON: Final[dict[str, Any]] = {
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "head_dim": 128,
    "hidden_act": "silu",
    "initializer_range": 0.02,
    "max_position_embeddings": 40_960,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1_000_000,
    "tie_word_embeddings": False,
    "dtype": "bfloat16",
    "use_cache": True,
    "vocab_size": VOCABULARY,
}
_DENSE: Final = {"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3"}

# As the models' own config.json say, but for the vocabulary.
SHAPES: Final[dict[str, dict[str, Any]]] = {
    "qwen3-32b": {
        **_DENSE,
        "hidden_size": 5_120,
        "intermediate_size": 25_600,
        "num_attention_heads": 64,
        "num_hidden_layers": 64,
        "num_key_value_heads": 8,
    },
    "qwen3-30b-a3b": {
        "architectures": ["Qwen3MoeForCausalLM"],
        "model_type": "qwen3_moe",
        "hidden_size": 2_048,
        "intermediate_size": 6_144,
        "num_attention_heads": 32,
        "num_hidden_layers": 48,
        "num_key_value_heads": 4,
        "num_experts": 128,
        "num_experts_per_tok": 8,
        "moe_intermediate_size": 768,
        "norm_topk_prob": True,
        "decoder_sparse_step": 1,
        "mlp_only_layers": [],
    },
    "tiny": {
        **_DENSE,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
        "num_key_value_heads": 2,
        "head_dim": 16,
    },
}


def make(shape: str, parent: Path) -> Path:
    """Write the folder of a shape below `parent`, unless it is there; return it. Needs the package tokenizers."""
    folder = parent / shape
    config = folder / "config.json"
    if config.exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    _write_tokenizer(folder)
    config.write_text(json.dumps({**_COMMON, **SHAPES[shape]}, indent=1))
    return folder


def _write_tokenizer(folder: Path) -> None:
    from tokenizers import (  # type: ignore[import-not-found]
        Tokenizer,
        decoders,
        models,
        pre_tokenizers,
        trainers,
    )

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - ROOM_FOR_SPECIAL,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    sources = sorted(Path(sysconfig.get_path("stdlib")).rglob("*.py"))[:FILES_MAX]
    tokenizer.train([str(path) for path in sources], trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": SPECIAL[0],
        "eos_token": SPECIAL[2],
        "pad_token": SPECIAL[0],
        "chat_template": TEMPLATE,
        "model_max_length": 32_768,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
