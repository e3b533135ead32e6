"""The house rules that a machine can hold: who may import whom, and that no room grows into a hall."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("archive", "console", "mirror", "bundler", "appliance", "deploys", "manifests")
# Which of our packages each may import, itself aside: downwards only.
MAY_IMPORT = {
    "archive": set(),
    "console": {"archive"},
    "mirror": {"archive"},
    "bundler": {"archive", "console", "mirror", "manifests"},
    "appliance": {"archive", "console", "mirror", "manifests", "deploys"},
    "deploys": {"archive", "manifests"},
    "manifests": {"archive", "console"},
}
# Third-party libraries of the lower floors; the sides above use what pyproject.toml lists.
LIBRARIES = {
    "archive": {"cryptography"},
    "console": {"click", "pydantic", "pydantic_core", "rich"},
    "mirror": {"cryptography", "packaging", "pydantic", "pydantic_core", "pysequoia", "semver", "yaml", "zstandard"},
}
LONG_MODULE = 500  # lines; 300 is the point to ask why, this the point to have an answer


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def name_of(path: Path) -> str:
    words = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(words[:-1] if words[-1] == "__init__" else words)


def statements(node: ast.AST, *, types: bool) -> Iterator[ast.AST]:
    """Everything below `node`; without `types` what stands under `if TYPE_CHECKING` is left out."""
    for child in ast.iter_child_nodes(node):
        if types or not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield child
            yield from statements(child, types=types)


@cache
def imports(path: Path, *, types: bool = True) -> frozenset[str]:
    """The dotted names that a module imports anywhere, `from a import b` as both `a` and `a.b`."""

    def names() -> Iterator[str]:
        for node in statements(ast.parse(path.read_text(), str(path)), types=types):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}: relative imports hide the direction"
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
                yield str(node.module)

    return frozenset(names())


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_run_downwards_only(package: str) -> None:
    wrong = {
        f"{name_of(path)} imports {name}"
        for path in modules(package)
        for name in imports(path)
        if (top := name.split(".")[0]) in PACKAGES and top != package and top not in MAY_IMPORT[package]
    }
    assert not wrong


@pytest.mark.parametrize("package", LIBRARIES)
def test_the_lower_floors_need_few_libraries(package: str) -> None:
    wrong = {
        f"{name_of(path)} imports {name}"
        for path in modules(package)
        for name in imports(path)
        if name.split(".")[0] not in {*sys.stdlib_module_names, *PACKAGES, *LIBRARIES[package]}
    }
    assert not wrong


def test_nothing_that_ships_imports_tests_demo_or_bench() -> None:
    wrong = {
        f"{name_of(path)} imports {name}"
        for package in PACKAGES
        for path in modules(package)
        for name in imports(path)
        if name.split(".")[0] in {"tests", "demo", "bench"}
    }
    assert not wrong


def test_no_module_imports_itself_through_others() -> None:
    """What a module needs to run; a name that only annotates may come from one that imports it."""
    known = {name_of(path): path for package in PACKAGES for path in modules(package)}
    edges = {
        name: {other for other in imports(path, types=False) if other in known} - {name} for name, path in known.items()
    }
    settled: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, f"an import cycle: {' -> '.join([*trail[trail.index(name) :], name])}"
        if name not in settled:
            for other in sorted(edges[name]):
                visit(other, (*trail, name))
            settled.add(name)

    for name in sorted(edges):
        visit(name, ())


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        name_of(path)
        for package in (*PACKAGES, "tests", "demo", "bench")
        for path in modules(package)
        if path.read_text().strip() and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert not silent


def test_no_module_is_a_hall() -> None:
    lengths = {name_of(path): len(path.read_text().splitlines()) for package in PACKAGES for path in modules(package)}
    assert {name: lines for name, lines in lengths.items() if lines > LONG_MODULE} == {}
