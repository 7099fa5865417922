"""The shape of the code: small modules named after things, short functions, contracts in words.

Which layer may import which is checked by import-linter in `make check`.
"""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# What of the checkout is no package of ours: the tests check the others, and migrations are found by their path.
ELSEWHERE = {"tests", "migrations"}
PACKAGES = sorted(path.parent.name for path in ROOT.glob("*/__init__.py") if path.parent.name not in ELSEWHERE)
SUFFIXES = {".py", ".lua", ".js", ".css", ".sql"}
MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
# A short function's name and signature are its contract; a docstring would only repeat them.
UNEXPLAINED_LINES_MAX = 8
# A method has its class's docstring to stand on as well.
UNEXPLAINED_METHOD_LINES_MAX = 15
VAGUE = {"common", "helper", "helpers", "manager", "managers", "misc", "util", "utils"}
# A Lua library that is put in front of every queue operation: what they share is what it is.
VAGUE_ALLOWED = {"inference/queue/lua/common.lua"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def modules() -> list[str]:
    """Every module of the product, the sandbox, the benchmarks and the migrations, by its path from the root."""
    folders = (*PACKAGES, "migrations")
    found = (path for folder in folders for path in (ROOT / folder).rglob("*") if path.suffix in SUFFIXES)
    return sorted(path.relative_to(ROOT).as_posix() for path in found)


def python_modules() -> list[str]:
    """Without the migrations, which are lists of statements and never edited again."""
    return [name for name in modules() if name.endswith(".py") and not name.startswith("migrations/")]


def parsed(name: str) -> ast.Module:
    return ast.parse((ROOT / name).read_text(encoding="utf-8"))


def definitions(node: ast.AST, inside: str = "module") -> Iterator[tuple[Function | ast.ClassDef, str]]:
    """Every function and class with what it is defined in: "module", "class" or "function"."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function | ast.ClassDef):
            yield child, inside
            within = "function" if inside == "function" or isinstance(child, Function) else "class"
            yield from definitions(child, within)
        else:
            yield from definitions(child, inside)


def lines_of(node: Function | ast.ClassDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def test_modules_are_small() -> None:
    lines = {name: (ROOT / name).read_text(encoding="utf-8").count("\n") for name in modules()}
    assert len(lines) > 100
    long = {name: count for name, count in lines.items() if count > MODULE_LINES_MAX}
    assert not long, f"split by noun: {long}"


def test_the_layers_name_every_package() -> None:
    linter = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    assert sorted(linter["root_packages"]) == PACKAGES
    layers = {name for row in linter["contracts"][0]["layers"] for name in row.split(" | ")}
    # Both reach the product by URL or from outside; contracts of their own say who may not import them.
    assert layers | {"bench", "sandbox"} == set(PACKAGES)
    forbidden = {
        (source, target)
        for contract in linter["contracts"]
        if contract["type"] == "forbidden" and not contract.get("allow_indirect_imports")
        for source in contract["source_modules"]
        for target in contract["forbidden_modules"]
    }
    assert {(one, "sandbox") for one in layers - {"cli"}} <= forbidden
    assert {("sandbox", one) for one in layers} <= forbidden
    assert {(one, "bench") for one in layers | {"sandbox"}} <= forbidden


def test_modules_are_named_after_what_they_hold() -> None:
    vague = [name for name in modules() if set(Path(name).stem.lower().split("_")) & VAGUE]
    assert set(vague) <= VAGUE_ALLOWED


def test_functions_are_short() -> None:
    long = {
        f"{name}:{node.lineno} {node.name}": lines_of(node)
        for name in python_modules()
        for node, _ in definitions(parsed(name))
        if isinstance(node, Function) and lines_of(node) > FUNCTION_LINES_MAX
    }
    assert not long


def test_what_others_use_says_what_it_does() -> None:
    """Every module, and what is public in it beyond a few lines; what is private says why where that is not plain."""
    silent = []
    for name in python_modules():
        tree = parsed(name)
        if tree.body and not ast.get_docstring(tree):
            silent.append(name)
        for node, inside in definitions(tree):
            most = UNEXPLAINED_METHOD_LINES_MAX if inside == "class" else UNEXPLAINED_LINES_MAX
            public = not node.name.startswith("_") and inside != "function"
            if public and lines_of(node) > most and not ast.get_docstring(node):
                silent.append(f"{name}:{node.lineno} {node.name}")
    assert not silent, f"no docstring: {silent}"
