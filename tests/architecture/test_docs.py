"""The documents keep up with the code: settings, commands, targets, metrics, alerts, links; nothing is left over."""

import ast
import os
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import get_args

import pytest

from billing import invariants, payments
from bot import menu
from cli.main import main
from inference import models_file
from kit.settings import Settings
from kit.words import words

ROOT = Path(__file__).resolve().parents[2]
PREFIX = "FORMA_"
SETTINGS = sorted(PREFIX + name.upper() for name in Settings.model_fields)
# Read by tests or handed from process to process; an operator sets none of them.
INTERNAL = {"FORMA_READY_FD"}
INTERNAL_PREFIX = "FORMA_TEST_"

_ASSIGNMENT = re.compile(r"([A-Z][A-Z0-9_]*)=(.*)")
_LINK = re.compile(r"\]\(([^()\s]+)\)")
_HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)
_PAGE_NAMED_IN_SOURCE = re.compile(r"\bdocs/[\w./-]+\.md\b")
_CODE_NAMED = re.compile(r"`([a-z]\w*/[\w./-]+\.(?:py|sql|lua|ftl|toml|js))`")
FOLDERS = {path.name for path in ROOT.iterdir() if path.is_dir()}
# Files that a page tells how to write.
EXAMPLES = {"migrations/versions/NNNN_name.py"}
PAGE_LINES_MAX = 80
# Absolute paths of somebody's machine: homes, and working folders at the root.
_PATH_OF_A_MACHINE = re.compile(r"(?<![\w.:$}~-])/(?:root|work|home/\w+|Users/\w+)/\w")
_TEXT = {".cfg", ".css", ".ftl", ".html", ".js", ".lua", ".mako", ".md", ".py", ".service", ".sql", ".svg", ".toml"} | {
    ".txt",
    ".yaml",
    ".yml",
}


@cache
def files() -> tuple[Path, ...]:
    """Every file of the repository that is or could be committed."""
    if (ROOT / ".git").exists():
        listed = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
            timeout=30,
        ).stdout
        found = [ROOT / name for name in listed.split("\0") if name]
    else:
        hidden = {".venv", "__pycache__", ".forma", ".hypothesis", ".mypy_cache", ".ruff_cache", ".import_linter_cache"}
        found = [path for path in ROOT.rglob("*") if not hidden & set(path.relative_to(ROOT).parts)]
    return tuple(sorted(path for path in found if path.is_file()))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def texts() -> list[str]:
    return [name_of(p) for p in files() if p.suffix in _TEXT or not p.suffix or p.name.startswith(".")]


def pages() -> list[str]:
    return [name_of(path) for path in files() if path.suffix == ".md"]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@cache
def example() -> dict[str, tuple[str, bool]]:
    """The settings of .env.example: value, and whether the group of lines that it stands in begins with a comment."""
    found: dict[str, tuple[str, bool]] = {}
    explained = False
    for line in read(".env.example").splitlines():
        setting = _ASSIGNMENT.fullmatch(line)
        if setting:
            found[setting[1]] = (setting[2], explained)
        else:
            explained = line.startswith("# ") and not line.startswith("# ---")
    return found


def test_every_setting_stands_explained_in_the_example() -> None:
    assert sorted(name for name, (_, explained) in example().items() if explained) == SETTINGS


def test_a_copied_example_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    copied = Settings(_env_file=ROOT / ".env.example")  # type: ignore[call-arg]
    assert copied == Settings(_env_file=None)  # type: ignore[call-arg]


def test_every_setting_is_in_the_operators_table() -> None:
    rows = re.findall(r"^\| `(FORMA_\w+)` \|", read("docs/operator.md"), re.MULTILINE)
    assert sorted(rows) == SETTINGS


def test_only_settings_that_exist_are_named() -> None:
    unknown = {}
    for name in texts():
        named = set(re.findall(r"(?<![\w{])FORMA_[A-Z0-9_]*[A-Z0-9](?![\w*])", read(name)))
        constants = set(re.findall(r"^(FORMA_\w+)(?:: \w+)? = ", read(name), re.MULTILINE))
        strange = {one for one in named - INTERNAL - constants if not one.startswith(INTERNAL_PREFIX)} - set(SETTINGS)
        if strange:
            unknown[name] = strange
    assert not unknown


def test_every_make_target_is_documented() -> None:
    targets = re.findall(r"^([a-z][a-z-]*):.*##", read("Makefile"), re.MULTILINE)
    assert "up" in targets
    documented = read("README.md") + read("docs/development.md")
    assert [one for one in targets if not re.search(rf"\bmake {one}(?![\w-])", documented)] == []


def test_every_command_is_in_the_readme(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    commands = re.findall(r"^ {4}([a-z][\w-]*) {2,}\S", capsys.readouterr().out, re.MULTILINE)
    assert "up" in commands
    assert [one for one in commands if f"`forma {one}" not in read("README.md")] == []


def test_every_command_of_the_admin_group_is_in_the_operators_guide() -> None:
    commands = [command.command for command in menu.admin_commands(words("en"))]
    assert [one for one in commands if f"`/{one}" not in read("docs/operator.md")] == []


def test_every_metric_is_in_the_operators_guide() -> None:
    source = "".join(read(name) for name in texts() if name.endswith(".py") and not name.startswith("tests/"))
    metrics = set(re.findall(r'(?:Counter|Gauge|Histogram)\(\s*"(forma_\w+)"', source))
    assert metrics
    assert sorted(one for one in metrics if f"`{one}`" not in read("docs/operator.md")) == []


def alerts_section() -> str:
    return read("docs/operator.md").partition("\n## Alerts\n")[2].partition("\n## ")[0]


def said_of(alert: str) -> str:
    """The longest run of words in the first sentence of an alert's English text, between its amounts and names."""
    (text,) = re.findall(rf"^{alert} = (.+)$", read("locales/en/admin.ftl"), re.MULTILINE)
    parts = [re.sub(r"^\W+|\W+$", "", sentence) for sentence in re.split(r"\{[^}]*\}|, ", text.partition(". ")[0])]
    return max(parts, key=len)


def test_every_alert_is_in_the_operators_guide() -> None:
    source = "".join(read(name) for name in texts() if name.endswith(".py") and not name.startswith("tests/"))
    alerts = sorted(set(re.findall(r'"(admin-alert-[a-z-]+)"', source)))
    assert len(alerts) > 8
    explained = alerts_section()
    assert {one: said_of(one) for one in alerts if said_of(one) not in explained} == {}


def test_every_reason_of_quarantine_and_every_rule_of_the_books_is_explained() -> None:
    guide = read("docs/operator.md")
    assert [reason for reason in get_args(payments.Reason) if f"`{reason}`" not in guide] == []
    rules = re.findall(r"^\| (\d+) \| ", guide, re.MULTILINE)
    assert sorted(map(int, rules)) == sorted({check.number for check in invariants.CHECKS})


def slug(heading: str) -> str:
    """The anchor that Markdown viewers make of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower().replace("`", "")).replace(" ", "-")


def leads_somewhere(page: str, target: str) -> bool:
    path, _, anchor = target.partition("#")
    file = (ROOT / page).parent / path if path else ROOT / page
    if not file.exists():
        return False
    return not anchor or anchor in {slug(one) for one in _HEADING.findall(file.read_text(encoding="utf-8"))}


def test_links_lead_somewhere() -> None:
    broken = []
    for page in pages():
        for target in _LINK.findall(re.sub(r"```.*?```", "", read(page), flags=re.DOTALL)):
            elsewhere = target.startswith(("http://", "https://", "mailto:"))
            if not elsewhere and not leads_somewhere(page, target):
                broken.append(f"{page}: {target}")
    assert not broken


def test_pages_named_in_the_source_exist() -> None:
    missing = [
        f"{name}: {page}"
        for name in texts()
        for page in set(_PAGE_NAMED_IN_SOURCE.findall(read(name)))
        if not (ROOT / page).exists()
    ]
    assert not missing


def test_code_that_documents_point_to_exists() -> None:
    named = {
        f"{page}: {path}"
        for page in pages()
        for path in _CODE_NAMED.findall(read(page))
        if path.partition("/")[0] in FOLDERS and not (ROOT / path).exists()
    }
    assert named - {f"docs/development.md: {one}" for one in EXAMPLES} == set()


def test_words_of_the_code_that_the_operators_guide_uses_are_in_the_code() -> None:
    """Events of the log, statuses, columns, keys of the files: whoever looks for one at night finds it."""
    words_used = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)=?`", read("docs/operator.md")))
    sources = (".py", ".sql", ".toml", ".ftl", ".yml")
    source = "".join(read(name) for name in texts() if name.endswith(sources) and not name.startswith("tests/"))
    assert len(words_used) > 20
    assert [word for word in sorted(words_used) if not re.search(rf"\b{word}\b", source)] == []


def test_the_architecture_is_one_page_and_so_is_a_decision() -> None:
    short = ["docs/ARCHITECTURE.md", *(name for name in pages() if name.startswith("docs/decisions/"))]
    assert {name: lines for name in short if (lines := read(name).count("\n")) > PAGE_LINES_MAX} == {}


def test_nothing_is_left_unfinished() -> None:
    marks = re.compile(r"\b(?:" + "|".join(("TO" + "DO", "FIX" + "ME", "X" * 3, "HA" + "CK")) + r")\b")
    found = {name: marks.findall(read(name)) for name in texts() if marks.search(read(name))}
    assert found == {}


def test_no_test_is_skipped_without_a_reason() -> None:
    tests = [name for name in texts() if name.startswith("tests/") and name.endswith(".py")]
    assert len(tests) > 30
    bare = []
    for name in tests:
        calls = [node for node in ast.walk(ast.parse(read(name))) if isinstance(node, ast.Call)]
        for call in calls:
            called = ast.unparse(call.func)
            given = {keyword.arg for keyword in call.keywords}
            if called.endswith(("mark.skipif", "mark.xfail", "mark.skip")) and "reason" not in given:
                bare.append(f"{name}:{call.lineno} {called}")
            if called in {"pytest.skip", "pytest.xfail"} and not call.args and "reason" not in given:
                bare.append(f"{name}:{call.lineno} {called}")
        if re.search(r"@pytest\.mark\.(?:skip|xfail)$", read(name), re.MULTILINE):
            bare.append(name)
    assert bare == []


def test_every_decision_is_in_the_index() -> None:
    index = read("docs/decisions/README.md")
    decisions = [path.name for path in sorted((ROOT / "docs" / "decisions").glob("*.md")) if path.name != "README.md"]
    assert [one for one in decisions if f"({one})" not in index] == []


def test_no_file_names_a_path_of_somebodys_machine() -> None:
    found = {name: paths for name in texts() if (paths := _PATH_OF_A_MACHINE.findall(read(name)))}
    assert not found


def test_the_models_of_the_compose_file_can_be_read() -> None:
    known = models_file.load(ROOT / "deploy" / "models.docker.toml")
    (replica,) = known.of("chat")[0].replicas
    assert replica.base_url == "http://vllm:8000"
