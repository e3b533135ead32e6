"""uv as the resolver: asked as a program, answering with a pylock (PEP 751). It chooses and downloads nothing."""

from __future__ import annotations

import ast
import os
import re
import shutil
import sys
import sysconfig
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.pylock import Pylock, PylockValidationError
from packaging.utils import canonicalize_name

from mirror.errors import BadIndex, ToolFailed, Unsolvable
from mirror.programs import ask
from mirror.pypi.targets import Target

_YANKED = re.compile(r'^warning: `([^=`\[]+)(?:\[[^`]*\])?==([^`]+)` is yanked(?: \(reason: "(.*)"\))?', re.MULTILINE)
OWN_INDEX = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL")
_TOLD = 2000
"""Characters of uv's own explanation that are passed on: it can fill a screen."""


@dataclass(frozen=True)
class Resolved:
    """A lock for one target, and the releases in it that upstream has withdrawn (PEP 592), with the reason."""

    lock: Pylock
    yanked: dict[tuple[str, str], str]


async def compile_requirements(
    requirements: Sequence[str],
    files: Sequence[Path],
    target: Target,
    *,
    constraints: Sequence[str] = (),
    indexes: Mapping[str, str] | None = None,
    sdists: bool = False,
    folder: Path,
) -> Resolved:
    """The versions that satisfy all of it together on `target`. `folder` is where uv looks for its configuration,
    `indexes` what `index_environment` gave.

    Without `sdists` nothing is ever built. With them uv may have to run a package's build to learn what it needs.
    Raises `Unsolvable`, whose words are uv's explanation and no more, and `ToolFailed` where uv could not do its work.
    """
    with tempfile.TemporaryDirectory(prefix="buzzcrate-pypi-") as scratch:
        wanted = _written(Path(scratch, "requirements.in"), requirements)
        limits = _written(Path(scratch, "constraints.txt"), constraints)
        arguments = ["pip", "compile", wanted, *map(str, files), "--constraints", limits]
        arguments += ["--format", "pylock.toml", "--no-header", "--python", sys.executable]
        arguments += ["--python-platform", target.uv_platform, "--python-version", target.python]
        code, out, err = await _uv(arguments if sdists else [*arguments, "--only-binary", ":all:"], folder, indexes)
    if code == 1 and "No solution found" in err:
        raise Unsolvable(_explanation(err))
    if code != 0:
        raise ToolFailed(
            f"uv could not resolve for {target}: {_explanation(err)}", hint="try the same with `uv pip compile`"
        )
    yanked: dict[tuple[str, str], str] = {}
    for name, version, reason in _YANKED.findall(err):
        yanked[canonicalize_name(name), version] = reason
    return Resolved(parse_lock(out, f"uv's lock for {target}"), yanked)


async def export_lock(path: Path) -> Pylock:
    """A project's uv.lock as a pylock, with all its extras and groups: someone on site may want any of them."""
    if not (path.parent / "pyproject.toml").is_file():
        raise ToolFailed(f"{path} stands alone", hint="uv reads a uv.lock together with the pyproject.toml beside it")
    arguments = ["export", "--frozen", "--no-emit-workspace", "--all-extras", "--all-groups", "--format", "pylock.toml"]
    code, out, err = await _uv([*arguments, "--python", sys.executable, "--no-header"], path.parent)
    if code != 0:
        raise ToolFailed(f"uv could not read {path}: {_explanation(err)}", hint="does `uv lock --check` pass there?")
    return parse_lock(out, str(path))


def read_lock(path: Path) -> Pylock:
    """A pylock.toml of the user's. Raises `BadIndex`."""
    return parse_lock(path.read_bytes(), str(path))


def parse_lock(text: bytes, what: str) -> Pylock:
    """Raises `BadIndex` naming `what` and the key that is wrong."""
    try:
        return Pylock.from_dict(tomllib.loads(text.decode()))
    except (PylockValidationError, tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadIndex(f"{what} is not a pylock: {error}", hint="PEP 751 says what one looks like") from error


async def index_environment(indexes: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Variables that tell uv the indexes to use, and notes about what was left out.

    Variables, not options: an index may have a password in it, and a process list shows options to everybody.
    Indexes of the recipe; without any, those that uv's environment names; else those of pip's configuration, which
    most machines have; else whatever uv takes by itself.
    """
    if indexes:
        return _environment(indexes[0], indexes[1:]), []
    if any(os.environ.get(name) for name in OWN_INDEX):
        return {}, []
    settings = await pip_settings()
    extra = settings.get("extra-index-url", "").split()
    local = [url for url in extra if url.startswith("file:")]
    notes = [f"{url} of pip's configuration is for this machine only; name it in `indexes` to use it" for url in local]
    return _environment(settings.get("index-url", ""), [url for url in extra if url not in local]), notes


def _environment(main: str, extra: Sequence[str]) -> dict[str, str]:
    return {**({"UV_DEFAULT_INDEX": main} if main else {}), **({"UV_INDEX": " ".join(extra)} if extra else {})}


def _written(path: Path, lines: Sequence[str]) -> str:
    path.write_text("".join(f"{line}\n" for line in lines))
    return str(path)


async def pip_settings() -> dict[str, str]:
    """What `pip config list` says, where pip is; the environment wins over [install], and that over [global]."""
    pip = shutil.which("pip")
    if pip is None:
        return {}
    _, out, _ = await ask([pip, "config", "list"])
    settings: dict[str, dict[str, str]] = {}
    for line in out.decode(errors="replace").splitlines():
        scope, _, rest = line.partition(".")
        key, _, value = rest.partition("=")
        if value.startswith(("'", '"')):  # anything else is a warning that went the wrong way
            settings.setdefault(scope, {})[key] = str(ast.literal_eval(value))
    return {**settings.get("global", {}), **settings.get("install", {}), **settings.get(":env:", {})}


def program() -> str:
    """The uv beside this Python, or else the one on the PATH. Raises `ToolFailed`."""
    beside = sysconfig.get_path("scripts")
    found = shutil.which("uv", path=os.pathsep.join((beside, os.environ.get("PATH", os.defpath))))
    if found is None:
        raise ToolFailed("uv is not here, and it resolves Python packages", hint="pip install 'buzzcrate[bundler]'")
    return found


async def _uv(
    arguments: Sequence[str], folder: Path, indexes: Mapping[str, str] | None = None
) -> tuple[int, bytes, str]:
    return await ask([program(), *arguments], folder, {**(indexes or {}), "UV_NO_PROGRESS": "1"})


def _explanation(err: str) -> str:
    """The cause that uv names last, on one line."""
    told = " ".join(err.split())
    _, _, cause = told.rpartition("cause: ")
    return (cause or told)[:_TOLD]
