"""The shape of the code: small modules named after things, short functions, contracts in words.

Which layer may import which is checked by import-linter in `make check`.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("app", "bench", "billing", "bot", "cli", "coach", "inference", "kit", "sandbox", "web")
SUFFIXES = {".py", ".lua", ".js", ".css"}
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
    """Every module of the product, the sandbox and the benchmarks, by its path from the root."""
    found = (path for package in PACKAGES for path in (ROOT / package).rglob("*") if path.suffix in SUFFIXES)
    return sorted(path.relative_to(ROOT).as_posix() for path in found)


def python_modules() -> list[str]:
    return [name for name in modules() if name.endswith(".py")]


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
