"""Sticks for tests, as `crate-bundle build --stick` lays them out, with the appliance that is being tested inside.

The wheels come from the index that this machine is configured with, once: they are kept beside the test roots.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from bundler.own_wheel import PACKAGES
from tests.support.crates import Key, make_key
from tests.support.lab.roots import KEPT

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Stick:
    """`folder` is what the board sees; `card` is what came another way."""

    folder: Path
    card: Path
    key: Key

    @property
    def volume(self) -> Path:
        """The crate, or its first part."""
        return next(path for path in sorted(self.folder.iterdir()) if ".crate" in path.name)


def stick(folder: Path, *, serial: int, section: str, source: Path = REPOSITORY, key: Key | None = None) -> Stick:
    """Builds one below `folder`, with `section` as the recipe's [appliance], by the program in `source`."""
    made = Stick(folder / "stick", folder / "card", key or make_key(folder))
    recipe = folder / "bundle.toml"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "notes.txt").write_text(f"release {serial}\n")
    recipe.write_text(f"""[crate]
name = "site"
serial = {serial}
[[files]]
name = "notes.txt"
path = "notes.txt"
[appliance]
{section}
""")
    words = ["build", recipe, "--stick", made.folder, "--card", made.card, "--key", made.key.private]
    environment = {**os.environ, "PYTHONPATH": str(source), "XDG_CACHE_HOME": str(KEPT / "cache")}
    done = subprocess.run(
        [sys.executable, "-m", "bundler.cli", *map(str, words)],
        env=environment,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return made


def another_version(folder: Path, version: str) -> Path:
    """Our own source as a later version of it, for upgrades."""
    folder.mkdir(parents=True, exist_ok=True)
    for package in PACKAGES:
        shutil.copytree(REPOSITORY / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / "pyproject.toml", folder)
    (folder / "console/version.py").write_text(f'"""A later one, made by a test."""\n\nVERSION = "{version}"\n')
    return folder
