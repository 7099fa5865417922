"""What it is installed and run by: requirements, image, compose file, units, alert rules."""

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from cli.main import main

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ("requirements.txt", "requirements-dev.txt")
OF_VLLM = "tests/vllm/requirements.txt"
# Whatever installs from them: an address of an index would be somebody's own, and would not work for the next one.
INSTALLS = (*REQUIREMENTS, OF_VLLM, "pyproject.toml", "Makefile", "Dockerfile", "docker-compose.yml", ".ci/run")
_INDEX = re.compile(r"--(?:extra-)?index-url|--find-links|--trusted-host|\bindex[-_]url\b|pypi\.org|/simple\b")
_COMMAND = re.compile(r"-m cli ([a-z]\w*)")


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = YAML(typ="safe").load(read("docker-compose.yml"))
    return loaded


def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = compose()["services"]
    return found


@pytest.mark.parametrize("name", [*REQUIREMENTS, OF_VLLM])
def test_every_requirement_has_a_version_and_a_hash(name: str) -> None:
    entries = re.split(r"\n(?=\S)", read(name).replace("\\\n", "\n").strip())
    assert len(entries) > 20
    bare = [entry.splitlines()[0] for entry in entries if "==" not in entry or "--hash=sha256:" not in entry]
    assert bare == []


@pytest.mark.parametrize("name", INSTALLS)
def test_nothing_names_a_package_index(name: str) -> None:
    assert _INDEX.findall(read(name)) == []


def test_a_python_that_is_too_old_is_told_in_words(tmp_path: Path) -> None:
    done = subprocess.run(
        ["make", "install", "PYTHON=false", f"VENV={tmp_path / 'venv'}"],
        cwd=ROOT, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode
    assert "needs Python 3.11 or later" in done.stderr
    assert "make install PYTHON=" in done.stderr
    assert not (tmp_path / "venv").exists()


def test_what_the_project_asks_for_is_what_is_pinned() -> None:
    project = tomllib.loads(read("pyproject.toml"))
    pinned = {name: set(re.findall(r"^([\w.-]+)==", read(name), re.MULTILINE)) for name in REQUIREMENTS}

    def missing(wanted: list[str], name: str) -> list[str]:
        names = [re.split(r"[\[<>=~!; ]", one)[0].lower().replace(".", "-") for one in wanted]
        return [one for one in names if one not in pinned[name]]

    assert missing(project["project"]["dependencies"], "requirements.txt") == []
    assert missing(project["dependency-groups"]["dev"], "requirements-dev.txt") == []
    assert pinned["requirements.txt"] <= pinned["requirements-dev.txt"]


def test_commands_of_units_and_containers_exist(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    known = set(re.findall(r"^ {4}([a-z][\w-]*) {2,}\S", capsys.readouterr().out, re.MULTILINE))
    named = {one for path in (ROOT / "deploy").glob("*.service") for one in _COMMAND.findall(path.read_text())}
    named |= {service["command"][0] for service in services().values() if service.get("image") == "forma:local"}
    named |= set(re.findall(r'^CMD \["(\w+)"\]', read("Dockerfile"), re.MULTILINE))
    assert {"up", "migrate", "bot", "worker", "web"} <= named <= known


def test_images_are_pinned() -> None:
    images = [service["image"] for service in services().values() if service["image"] != "forma:local"]
    images += re.findall(r"^FROM (\S+)", read("Dockerfile"), re.MULTILINE)
    assert len(images) > 3
    assert [image for image in images if not re.search(r":v?\d+\.\d+", image)] == []


def test_only_web_is_published_and_on_loopback_alone() -> None:
    published = {name: service["ports"] for name, service in services().items() if service.get("ports")}
    assert list(published) == ["web"]
    assert all(port.startswith("127.0.0.1:") for port in published["web"])


def test_servers_have_health_checks_and_others_wait_for_them() -> None:
    checked = {name for name, service in services().items() if "healthcheck" in service}
    assert {"postgres", "redis", "vllm", "web"} <= checked
    awaited = {
        name
        for service in services().values()
        for name, needed in service.get("depends_on", {}).items()
        if needed["condition"] == "service_healthy"
    }
    assert awaited <= checked


def test_no_secret_stands_in_the_compose_file() -> None:
    secret = re.compile(r"TOKEN|PASSWORD|SECRET|KEY")
    given = {
        f"{name}.{key}": value
        for name, service in services().items()
        for key, value in (service.get("environment") or {}).items()
        if secret.search(key)
    }
    assert given
    assert [name for name, value in given.items() if not str(value).startswith("${")] == []
    assert all(
        service["env_file"] == ".env" for service in services().values() if service.get("image") == "forma:local"
    )


def test_no_container_runs_as_root() -> None:
    users = {name: service.get("user") for name, service in services().items() if service["image"] != "forma:local"}
    assert [name for name, user in users.items() if user is None or str(user).partition(":")[0] in {"0", "root"}] == []
    assert re.search(r"^USER [1-9]\d*:", read("Dockerfile"), re.MULTILINE)


def test_what_stays_out_of_the_image_holds_the_secrets() -> None:
    ignored = read(".dockerignore").splitlines()
    assert {".env", ".env.*", ".git", ".forma", ".venv"} <= set(ignored)


def test_alert_rules_are_about_metrics_that_exist() -> None:
    sources = [path for package in ("app", "bot", "inference", "kit", "web") for path in (ROOT / package).rglob("*.py")]
    known = set(re.findall(r'"(forma_[a-z_]+)"', "".join(path.read_text(encoding="utf-8") for path in sources)))
    rules = YAML(typ="safe").load(read("deploy/prometheus-rules.yml"))["groups"][0]["rules"]
    named = {re.sub(r"_(?:bucket|count|sum)$", "", one) for r in rules for one in re.findall(r"forma_\w+", r["expr"])}
    assert named
    assert named <= known
    assert all({"alert", "expr", "annotations"} <= set(rule) for rule in rules)
