"""npm as the resolver, and the one who knows the registries. Asked as a program; no package's script ever runs."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from mirror.errors import ToolFailed, Unsolvable
from mirror.programs import ask

# npm's own words for "it cannot be": no such package or version, or peers that shut each other out.
_IMPOSSIBLE = re.compile(r"npm error code (E404|ETARGET|ENOVERSIONS|ERESOLVE|EBADPLATFORM|EINVALIDPACKAGENAME)")
_NOISE = re.compile(r"^npm (?:error|warn|notice) ?(?:A complete log .*|code .*)?", re.MULTILINE)
_TOLD = 1500
"""Characters of npm's own explanation that are passed on."""


@dataclass(frozen=True, slots=True)
class Registries:
    """`main`, and those that npm has for single scopes (`@team` to URL); all with a slash at the end."""

    main: str
    scopes: Mapping[str, str]

    def of(self, name: str) -> str:
        return self.scopes.get(name.partition("/")[0], self.main)


@asynccontextmanager
async def workplace(base: Path) -> AsyncIterator[Path]:
    """An empty project that sees the .npmrc of the recipe's folder, where people keep a project's registries."""
    with TemporaryDirectory(prefix="buzzcrate-npm-") as scratch:
        folder = Path(scratch)
        await asyncio.to_thread(_lay_out, folder, base)
        yield folder


async def registries(folder: Path, main: str) -> Registries:
    """What npm is configured with, `main` before its default. Where npm is not here, `main` must be given."""
    if main and shutil.which("npm") is None:
        return Registries(_slashed(main), {})
    code, out, err = await _npm(["config", "list", "--json"], folder)
    if code != 0:
        raise ToolFailed(f"npm could not tell its settings: {_explanation(out, err)}", hint="try `npm config list`")
    settings = json.loads(out)
    scopes = {
        key.removesuffix(":registry"): _slashed(value)
        for key, value in settings.items()
        if key.startswith("@") and key.endswith(":registry") and isinstance(value, str)
    }
    return Registries(_slashed(main or settings["registry"]), scopes)


async def lock(specs: Sequence[str], folder: Path, main: str) -> bytes:
    """The package-lock.json that satisfies `specs` (of distinct names) together, for every platform at once.

    Raises `Unsolvable` with npm's explanation, `ToolFailed` where npm could not do its work.
    """
    options = ["--package-lock-only", "--ignore-scripts", "--no-audit", "--no-fund", "--include=optional"]
    chosen = ["--registry", main] if main else []
    code, out, err = await _npm(["install", *options, *chosen, "--", *specs], folder)
    if code != 0:
        told = _explanation(out, err)
        if _IMPOSSIBLE.search(err):
            raise Unsolvable(f"no set of npm packages fits {', '.join(specs)}: {told}", hint="loosen a range")
        raise ToolFailed(f"npm could not resolve {', '.join(specs)}: {told}", hint="try the same with `npm install`")
    return await asyncio.to_thread((folder / "package-lock.json").read_bytes)


async def _npm(arguments: Sequence[str], folder: Path) -> tuple[int, str, str]:
    program = shutil.which("npm")
    if program is None:
        raise ToolFailed(
            "npm is not here, and it knows the registry and resolves names",
            hint="install npm, or give [[npm]] a `registry` and `locks` only",
        )
    quiet = {"NO_UPDATE_NOTIFIER": "1", "npm_config_loglevel": "error"}
    code, out, err = await ask([program, *arguments], folder, quiet)
    return code, out.decode(errors="replace"), err


def _lay_out(folder: Path, base: Path) -> None:
    (folder / "package.json").write_text('{"name": "crate", "version": "0.0.0", "private": true}')
    if (base / ".npmrc").is_file():
        (folder / ".npmrc").symlink_to((base / ".npmrc").resolve())


def _explanation(out: str, err: str) -> str:
    return " ".join(_NOISE.sub(" ", err or out).split())[:_TOLD]


def _slashed(url: str) -> str:
    return url.rstrip("/") + "/"
