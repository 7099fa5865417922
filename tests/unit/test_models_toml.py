import re
from pathlib import Path

import pytest

from inference.models_file import load, single_model
from kit.errors import Misconfigured
from kit.toml_source import TomlSource

GOOD = """# models
[gpus.a]
devices = [0]

[models.coach]
purpose = "chat"
name = "big"
context_length = 4096
answer_tokens_max = 512
kv_tokens = 20000
slots = 8
gpu_memory = 0.5
reasoning_parser = "qwen3"
tool_parser = "hermes"
vllm_args = ["--quantization", "fp8"]
fallback = "small"
plans = [
  "forma",  # a comment with ] and "
  "max",
]

[models.coach.prices]
input = 250
cached = 50
output = 1000

[models.coach.sampling]
temperature = 0.7

[[models.coach.replicas]]
base_url = "http://one:8000/v1/"
gpu_group = "a"

[[models.coach.replicas]]
base_url = "http://two:8000"
api_key = "secret"

[models.small]
purpose = "chat"
name = "small"
gpu_memory = 0.9
replicas = [{ base_url = "http://three:8000" }]
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "models.toml"
    path.write_text(text, encoding="utf-8")
    return path


def line_of(text: str, part: str) -> int:
    return next(number for number, row in enumerate(text.split("\n"), 1) if part in row)


def test_the_file_is_read_whole(tmp_path):
    models = load(written(tmp_path, GOOD))
    coach = models["coach"]
    assert [replica.base_url for replica in coach.replicas] == ["http://one:8000", "http://two:8000"]
    assert coach.replicas[1].api_key == "secret"
    assert "secret" not in repr(coach)
    assert (coach.slots, coach.kv_tokens, coach.input_tokens_max) == (8, 20000, 4096 - 512)
    assert dict(coach.sampling) == {"temperature": 0.7}
    assert coach.serving.arguments == ("--quantization", "fp8")
    assert (coach.serving.reasoning_parser, coach.serving.tool_parser) == ("qwen3", "hermes")
    assert models.gpus["a"].devices == (0,)
    assert coach.allows("forma")
    assert not coach.allows("free")
    assert models.fallback_of(coach) is models["small"]
    assert models["small"].allows("free")
    assert [model.id for model in models.of("chat")] == ["coach", "small"]


def test_the_shipped_file_is_valid():
    models = load(Path(__file__).parents[2] / "models.toml")
    assert models.of("chat")[0].prices.output == 1000


@pytest.mark.parametrize(
    ("old", "new", "at", "says"),
    [
        ('purpose = "chat"\nname = "big"', 'purpose = "chatting"\nname = "big"', "chatting", "must be one of"),
        ("slots = 8", "slots = 0", "slots = 0", "from 1 to"),
        ("slots = 8", "slots = true", "slots = true", "not True"),
        ("slots = 8", 'slots = "8"', 'slots = "8"', "whole number"),
        ("slots = 8", "slot = 8", "slot = 8", "not known"),
        ('name = "big"', 'name = ""', 'name = ""', "not empty"),
        ("answer_tokens_max = 512", "answer_tokens_max = 4096", "answer_tokens_max", "below context_length"),
        ("kv_tokens = 20000", "kv_tokens = 20", "kv_tokens = 20", "from 4096"),
        ("cached = 50", "cached = 500", "cached = 500", "not be above input"),
        ("temperature = 0.7", 'temperature = "hot"', "temperature", "must be a number"),
        ("temperature = 0.7", "heat = 0.7", "heat", "not known"),
        ('base_url = "http://two:8000"', 'base_url = "two:8000"', "two:8000", "http://"),
        ('base_url = "http://two:8000"', 'base_url = "http://two:99999"', "two:99999", "http://"),
        ('base_url = "http://two:8000"', 'base_url = "http://two:eight"', "two:eight", "http://"),
        ('base_url = "http://two:8000"', 'base_url = "http://[::1"', "[::1", "http://"),
        ('base_url = "http://two:8000"', 'base_url = "http://два:8000"', "два", "http://"),
        ('base_url = "http://two:8000"', 'base_url = "http://two 3:8000"', "two 3", "http://"),
        ('api_key = "secret"', 'api_key = "se\\ncret"', 'api_key = "se', "no key"),
        ('api_key = "secret"', 'api_key = "ключ"', 'api_key = "ключ"', "no key"),
        ("temperature = 0.7", "temperature = nan", "temperature", "must be a number"),
        ("temperature = 0.7", f"top_k = 1{'0' * 30}", "top_k", "must be a number"),
        ('name = "big"', f'name = "big"\nchat_template.x = 1{"0" * 30}', "chat_template.x", "cannot be sent"),
        ('base_url = "http://two:8000"', 'base_url = "http://one:8000"', '"http://one:8000"', "two replicas"),
        ('base_url = "http://two:8000"', "url = 1", "url = 1", "not known"),
        ('fallback = "small"', 'fallback = "tiny"', "fallback", "no such entry"),
        ('fallback = "small"', 'fallback = "coach"', "fallback", "leads back"),
        ("input = 250", "input = 249", "fallback", "costs more"),
        ('  "max",', "  7,", "plans = [", "list of plan names"),
        ('gpu_group = "a"', 'gpu_group = "b"', 'gpu_group = "b"', "there is no [gpus.b]"),
        ('gpu_group = "a"', 'gpu_group = "a"\nweight = 0', "weight = 0", "from 1 to 100"),
        ("devices = [0]", "devices = []", "devices", "numbers"),
        ("devices = [0]", "devices = [0, 0]", "devices", "twice"),
        ("gpu_memory = 0.5", "gpu_memory = 95", "gpu_memory = 95", "share of the GPU"),
        ("gpu_memory = 0.5", "gpu_memory = 0.96", "gpu_memory = 0.96", "share of the GPU"),
        ('{ base_url = "http://three:8000" }', '{ base_url = "http://3:8000", gpu_group = "a" }', "0.9", "0.95 is the"),
        ('{ base_url = "http://three:8000" }', '{ base_url = "http://one:8000", gpu_group = "a" }', "0.9", "differs"),
        ('reasoning_parser = "qwen3"', 'reasoning_parser = "q 3"', "reasoning_parser", "vLLM knows"),
        ('["--quantization", "fp8"]', '"--quantization"', "vllm_args", "list of texts"),
        ('api_key = "secret"', 'api_key_env = "FORMA_TEST_KEY_THAT_IS_NOT_SET"', "api_key_env", "not set"),
    ],
)
def test_a_mistake_is_named_with_its_file_and_line(tmp_path, old, new, at, says):
    text = GOOD.replace(old, new)
    path = written(tmp_path, text)
    with pytest.raises(Misconfigured) as caught:
        load(path)
    told = str(caught.value)
    assert told.startswith(f"{path}:{line_of(text, at)}: "), told
    assert says in told


def test_a_key_that_came_from_a_file_may_end_in_a_newline(tmp_path, monkeypatch):
    monkeypatch.setenv("FORMA_TEST_KEY", "secret\n")
    models = load(written(tmp_path, GOOD.replace('api_key = "secret"', 'api_key_env = "FORMA_TEST_KEY"')))
    assert "secret" in {replica.api_key for model in models for replica in model.replicas}


def test_brackets_without_end_are_a_mistake_in_words(tmp_path):
    with pytest.raises(Misconfigured, match=r"models\.toml: brackets"):
        load(written(tmp_path, f"a = {'[' * 5_000}{']' * 5_000}\n"))


def test_a_mistake_in_the_second_replica_is_named_there(tmp_path):
    text = GOOD.replace('api_key = "secret"', "api_key = 5")
    with pytest.raises(Misconfigured, match=rf":{line_of(text, 'api_key = 5')}: .*replicas\[2\]\.api_key"):
        load(written(tmp_path, text))


def test_a_missing_key_is_named_with_the_line_of_its_table(tmp_path):
    text = GOOD.replace('name = "small"\n', "")
    with pytest.raises(Misconfigured, match=rf":{line_of(text, '[models.small]')}: models.small.name is missing"):
        load(written(tmp_path, text))


def test_broken_toml_is_named_with_its_line(tmp_path):
    with pytest.raises(Misconfigured, match=re.escape("models.toml:2: ")):
        load(written(tmp_path, "[models.coach]\npurpose = chat\n"))


@pytest.mark.parametrize("text", ["", "[other]\nx = 1\n", "models = 3\n", '[models.e]\npurpose = "embedding"\n'])
def test_a_file_without_a_chat_model_is_refused(tmp_path, text):
    with pytest.raises(Misconfigured):
        load(written(tmp_path, text))


def test_a_missing_file_is_told_by_its_name(tmp_path):
    with pytest.raises(Misconfigured, match="no such file"):
        load(tmp_path / "absent.toml")


def test_one_model_by_url_needs_no_file():
    (model,) = single_model("http://127.0.0.1:9/v1/", "tiny", "key").of("chat")
    assert (model.replicas[0].base_url, model.name) == ("http://127.0.0.1:9", "tiny")


def test_lines_are_found_behind_values_that_span_lines(tmp_path):
    text = """a = '''
[not.a.table]
b = 1
'''
b = [
  [1, 2], # ]
  ["]"],
]
"quoted key" . inner = 3
[t.'x.y']
c = { d = 1 }
[[t.list]]
e = 1
[t.list.sub]
f = 1
[[t.list]]
e = 2
"""
    source = TomlSource.read(written(tmp_path, text))
    assert source.line("b") == 5
    assert source.line("quoted key", "inner") == 9
    assert source.line("t", "x.y", "c", "d") == 11
    assert source.line("t", "list", 0, "e") == 13
    assert source.line("t", "list", 0, "sub", "f") == 15
    assert source.line("t", "list", 1, "e") == 17
    assert source.line("t", "list", 1, "missing") == 16
    assert source.line("nowhere") == 1
