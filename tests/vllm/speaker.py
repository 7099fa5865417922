"""Makes a tiny model that vLLM serves and that says what a test expects: VLLM_PYTHON speaker.py FOLDER.

A Qwen3 of two layers whose attention and feed-forward add nothing. What is left is: the next token is a function of the
last one. So its head is built by hand, as chains of tokens; the chat template chooses where a chain begins, by a word
in the last message, as the directives of the simulated server do:

| in the message | the answer |
|---|---|
| | SAID |
| `loop` | LOOP, again and again, to max_tokens |
| `mute` | ends at once |
| `crash` | HTTP 500: the template divides by zero |
| with enable_thinking | THOUGHT as reasoning, then SAID |

Words are single tokens, so counts are known as well. No word stands in two chains.
"""

import sys
from itertools import pairwise
from pathlib import Path

SAID = "Спите восемь часов, пейте воду и гуляйте каждый день.".replace(",", " ,").replace(".", " .")
LOOP = "шаг бег вдох выдох пауза ещё круг потом снова"
THOUGHT = "Сначала подумаю о сне"
END, PAD = "<|im_end|>", "<|endoftext|>"
STARTS = {"say": "<|say|>", "loop": "<|loop|>", "mute": "<|mute|>"}
SPECIAL = [PAD, "<|im_start|>", END, *STARTS.values()]
# As in Qwen's vocabulary these are not special: the parser of reasoning looks for them in the text.
THINKING = ["<think>", "</think>"]
TEMPLATE = """{%- for message in messages -%}
<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endfor -%}
{%- if add_generation_prompt -%}
<|im_start|>assistant
{% if enable_thinking is defined and enable_thinking -%}<think>
{%- elif 'loop' in messages[-1].content -%}<|loop|>
{%- elif 'crash' in messages[-1].content -%}{{ 1 // 0 }}
{%- elif 'mute' in messages[-1].content -%}<|mute|>
{%- else -%}<|say|>{%- endif -%}
{%- endif -%}"""
VOCABULARY, WIDTH, CONTEXT = 2_048, 256, 4_096
# How far the right token's logit stands above the others: any temperature finds it.
SURE = 4.0
ROOT = Path(__file__).resolve().parents[2]


def words_of(text: str) -> list[str]:
    """The words as the tokenizer cuts them: with the space before them."""
    return [" " + word for word in text.split()]


def texts():
    """Something to learn a vocabulary from, and the words of the answers so often that each becomes one token."""
    for path in sorted((ROOT / "locales").rglob("*.ftl")):
        yield path.read_text(encoding="utf-8")
    for text in (SAID, LOOP, THOUGHT):
        for word in words_of(text):
            yield word * 2_000


def make_tokenizer(folder: Path):
    """A byte-level BPE like Qwen's, with the template; saved into the folder."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bare = Tokenizer(models.BPE())
    bare.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bare.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(SPECIAL) - len(THINKING),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bare.train_from_iterator(texts(), trainer)
    bare.add_special_tokens(SPECIAL)
    bare.add_tokens(THINKING)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bare, eos_token=END, pad_token=PAD, model_max_length=CONTEXT, chat_template=TEMPLATE
    )
    tokenizer.save_pretrained(folder)
    return tokenizer


def chains(tokenizer):
    """Pairs of token ids: after the first comes the second."""
    special = tokenizer.convert_tokens_to_ids

    def ids(text: str) -> list[int]:
        found = [tokenizer.encode(word, add_special_tokens=False) for word in words_of(text)]
        assert all(len(one) == 1 for one in found), found
        return [one[0] for one in found]

    said, loop, thought = ids(SAID), ids(LOOP), ids(THOUGHT)
    assert len({*said, *loop, *thought}) == len(said) + len(loop) + len(thought)
    yield from pairwise([special(STARTS["say"]), *said, special(END)])
    yield from pairwise([special(STARTS["loop"]), *loop, loop[0]])
    yield from pairwise([special(STARTS["mute"]), special(END)])
    yield from pairwise([special("<think>"), *thought, special("</think>"), said[0]])


def make_model(folder: Path, tokenizer) -> None:
    """The weights."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=False,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
        pad_token_id=tokenizer.pad_token_id,
        dtype="bfloat16",
    )
    model = Qwen3ForCausalLM(config)
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        names = torch.nn.functional.normalize(torch.randn(VOCABULARY, WIDTH), dim=1)
        model.model.embed_tokens.weight.copy_(names)
        head = torch.zeros(VOCABULARY, WIDTH)
        for before, after in chains(tokenizer):
            head[after] += SURE * names[before]
        model.lm_head.weight.copy_(head)
    model.to(torch.bfloat16)
    model.generation_config.eos_token_id = [tokenizer.eos_token_id]
    model.save_pretrained(folder)


if __name__ == "__main__":
    into = Path(sys.argv[1])
    into.mkdir(parents=True, exist_ok=True)
    make_model(into, make_tokenizer(into))
