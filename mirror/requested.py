"""What would meet a request: the lines of a recipe that bring what was asked for. Pure, and the same on both sides."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from archive.errors import InvalidValue
from archive.references import Reference
from archive.requests import Unmet

Value = str | tuple[str, ...]
_K3S = re.compile(r"k3s/(?P<version>v[^/]+)/.+")


@dataclass(frozen=True, slots=True)
class Remedy:
    """A section of a recipe: its key, and what stands in it; `…` where only a person knows.

    `certain` says that it can be added as it stands, or, when a section of that kind is there, to that one.
    """

    section: str
    table: Mapping[str, Value]
    certain: bool = True

    def line(self) -> str:
        """As a person adds it, on one line."""
        fields = ", ".join(f"{key} = {_toml(value)}" for key, value in self.table.items())
        return f"[{self.section}] {fields}" if self.section == "k3s" else f"[[{self.section}]] {fields}"


def remedy(request: Unmet) -> Remedy | None:
    """What to add for a request; None where no recipe can help."""
    find = _REMEDIES.get(request.kind)
    return find(request.name) if find else None


def _chart(name: str) -> Remedy:
    chart, _, version = name.partition(" ")
    wanted: dict[str, Value] = {"name": chart, **({"version": version} if version else {})}
    return Remedy("charts", {**wanted, "repository": "…"}, certain=False)


def _apt(name: str) -> Remedy:
    repository, _, package = name.partition("/")
    return Remedy("apt", {"name": repository, "packages": (package,)}, certain=bool(package))


def _file(name: str) -> Remedy:
    if found := _K3S.fullmatch(name):
        return Remedy("k3s", {"version": found["version"]}, certain=False)
    return Remedy("files", {"name": name, "url": "…", "sha256": "…"}, certain=False)


def _image(name: str) -> Remedy | None:
    try:
        Reference.parse(name)
    except InvalidValue:
        return None
    return Remedy("images", {"ref": name})


def _suite(name: str) -> Remedy:
    """A suite, or an architecture of one."""
    repository, _, rest = name.partition("/")
    suite, colon, architecture = rest.partition(":")
    table: dict[str, Value] = {"name": repository, "suites": (suite,), "packages": ("…",)}
    if colon:
        table["architectures"] = (architecture,)
    return Remedy("apt", table, certain=False)


_REMEDIES: Mapping[str, Callable[[str], Remedy | None]] = {
    "image": _image,
    "chart": _chart,
    "apt": _apt,
    "suite": _suite,
    "pypi": lambda name: Remedy("pypi", {"requirements": (name,)}),
    "npm": lambda name: Remedy("npm", {"packages": (name,)}),
    "file": _file,
}


def _toml(value: Value) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return f"[{', '.join(map(_toml, value))}]"
