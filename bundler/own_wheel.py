"""BuzzCrate as a wheel, to be carried to where no index is: made from the very files that are running.

A checkout, an editable and a plain installation hold the same modules and give the same bytes. Nothing is compressed
and nothing dated, so no version of Python or zlib makes a difference. The binary distribution format's specification
says what stands in a wheel; `pyproject.toml` or the installed metadata say what is needed beside it.
"""

from __future__ import annotations

import base64
import hashlib
import tomllib
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

from bundler.errors import OwnWheelFailed
from console.version import VERSION

NAME = "buzzcrate"
PACKAGES = ("appliance", "archive", "bundler", "console", "deploys", "manifests", "mirror")
_PARENT = Path(__file__).resolve().parents[1]
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first moment that a zip can say
_WHEEL = "Wheel-Version: 1.0\nGenerator: buzzcrate\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


@dataclass(frozen=True)
class _About:
    """What the wheel's metadata says, wherever it was read. Requirements with their extras as markers."""

    summary: str
    python: str
    licence: str
    requires: tuple[str, ...]
    extras: tuple[str, ...]
    scripts: tuple[tuple[str, str], ...]


def write(folder: Path) -> Path:
    """Writes the wheel into `folder` and returns its path. Raises `OwnWheelFailed`."""
    path = folder / f"{NAME}-{VERSION}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as wheel:
        record = []
        for name, content in _members(_about()):
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
            record.append(f"{name},sha256={digest},{len(content)}\n")
            _add(wheel, name, content)
        name = f"{NAME}-{VERSION}.dist-info/RECORD"
        _add(wheel, name, "".join([*record, f"{name},,\n"]).encode())
    return path


def _add(wheel: zipfile.ZipFile, name: str, content: bytes) -> None:
    member = zipfile.ZipInfo(name, _EPOCH)
    member.create_system = 3  # Unix, whatever this machine is
    member.external_attr = 0o100644 << 16
    wheel.writestr(member, content)


def _members(about: _About) -> Iterator[tuple[str, bytes]]:
    for package in PACKAGES:
        for path in _files(_PARENT / package):
            yield path.relative_to(_PARENT).as_posix(), path.read_bytes()
    info = f"{NAME}-{VERSION}.dist-info"
    scripts = "".join(f"{name} = {target}\n" for name, target in about.scripts)
    yield f"{info}/METADATA", _metadata(about).encode()
    yield f"{info}/WHEEL", _WHEEL.encode()
    yield f"{info}/entry_points.txt", f"[console_scripts]\n{scripts}".encode()


def _files(folder: Path) -> list[Path]:
    """What belongs to a package: not what Python, an editor or a type checker left there. Raises `OwnWheelFailed`."""
    if not folder.is_dir():
        raise OwnWheelFailed(f"{folder} is not there, and belongs to this program", hint="install BuzzCrate again")
    inside = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in inside if all(map(_belongs, path.relative_to(folder).parts)))


def _belongs(name: str) -> bool:
    return name != "__pycache__" and not name.startswith(".") and not name.endswith((".pyc", "~", ".orig", ".rej"))


def _metadata(about: _About) -> str:
    lines = ["Metadata-Version: 2.4", f"Name: {NAME}", f"Version: {VERSION}", f"Summary: {about.summary}"]
    lines += [f"License-Expression: {about.licence}", f"Requires-Python: {about.python}"]
    lines += [f"Provides-Extra: {extra}" for extra in about.extras]
    lines += [f"Requires-Dist: {requirement}" for requirement in about.requires]
    return "\n".join([*lines, ""])


def _about() -> _About:
    """From the `pyproject.toml` of the checkout that this runs from, else from what is installed."""
    project = _PARENT / "pyproject.toml"
    if project.is_file():
        found = tomllib.loads(project.read_text()).get("project", {})
        if found.get("name") == NAME:
            return _from_project(found)
    try:
        return _from_distribution(distribution(NAME))
    except PackageNotFoundError as error:
        raise OwnWheelFailed(
            "this program runs neither from a checkout nor from an installation, and cannot pack itself",
            hint="install BuzzCrate with pip, or run it from its source tree",
        ) from error


def _from_project(project: dict[str, object]) -> _About:
    extras = _table(project, "optional-dependencies")
    requires = [(text, "") for text in _words(project["dependencies"])]
    requires += [(text, extra) for extra, texts in extras.items() for text in _words(texts)]
    return _About(
        summary=str(project["description"]),
        python=str(project["requires-python"]),
        licence=str(project["license"]),
        requires=_sorted(
            f'{text}{" and " if ";" in text else "; "}extra == "{extra}"' if extra else text for text, extra in requires
        ),
        extras=tuple(sorted(extras)),
        scripts=tuple(sorted((name, str(target)) for name, target in _table(project, "scripts").items())),
    )


def _from_distribution(installed: Distribution) -> _About:
    said = installed.metadata
    return _About(
        summary=said["Summary"],
        python=said["Requires-Python"],
        licence=said["License-Expression"],
        requires=_sorted(said.get_all("Requires-Dist") or ()),
        extras=tuple(sorted(said.get_all("Provides-Extra") or ())),
        scripts=tuple(
            sorted((one.name, one.value) for one in installed.entry_points if one.group == "console_scripts")
        ),
    )


def _sorted(requirements: Iterable[str]) -> tuple[str, ...]:
    """In one spelling, and one order."""
    return tuple(sorted(str(Requirement(text)) for text in requirements))


def _table(project: dict[str, object], key: str) -> dict[str, object]:
    found = project.get(key, {})
    return found if isinstance(found, dict) else {}


def _words(value: object) -> list[str]:
    return [str(word) for word in value] if isinstance(value, list) else []
