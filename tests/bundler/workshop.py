"""A folder with a recipe and a cache of its own, in which `crate-bundle` runs as a user runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Workshop:
    """`folder` holds the recipe, its lock, the key `release.key` and, in `out`, what is built."""

    folder: Path

    @classmethod
    def make(cls, folder: Path, recipe: str) -> Workshop:
        folder.mkdir(parents=True, exist_ok=True)
        workshop = cls(folder)
        workshop.write(recipe)
        return workshop

    @property
    def recipe(self) -> Path:
        return self.folder / "bundle.toml"

    @property
    def lock(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "bundle.lock").read_bytes())
        return found

    @property
    def cache(self) -> Path:
        return self.folder / ".cache" / "buzzcrate"

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "PYTHONPATH": str(REPOSITORY),
            "PYTHONDONTWRITEBYTECODE": "1",
            "LANG": "C.UTF-8",
        }

    def write(self, recipe: str) -> None:
        self.recipe.write_text(recipe)

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "bundler.cli", *words]

    def run(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Runs `crate-bundle WORDS` to its end, without a terminal."""
        return subprocess.run(
            self.command(*words),
            cwd=self.folder,
            env=self.environment | variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def succeed(self, *words: str, **variables: str) -> str:
        """Runs it and returns what it printed; it must end with 0."""
        done = self.run(*words, **variables)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def keygen(self) -> None:
        if not (self.folder / "release.key").exists():
            self.succeed("keygen", "release.key")

    def build(self, *options: str, **variables: str) -> dict[str, Any]:
        """Builds into `out` and returns what `--json` says."""
        self.keygen()
        words = ["build", "--out", "out", "--key", "release.key", "--json", *options]
        found: dict[str, Any] = json.loads(self.succeed(*words, **variables))
        return found

    def crate(self, built: dict[str, Any]) -> Path:
        return self.folder / str(built["paths"][0])
