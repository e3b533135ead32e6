"""A stick that stands alone, and the card beside it: what is written where, and what is refused before it is built."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from archive.volumes import SUFFIX
from bundler.errors import ApplianceMissing, StickUnfit
from bundler.lockfile import Lock
from bundler.packing import Built
from bundler.recipe import Recipe
from bundler.stick.card import Card
from bundler.stick.script import install_script

SCRIPT = "install.sh"
START = "START-HERE.txt"
_CRATE = re.compile(rf"(?P<stem>.+{re.escape(SUFFIX)})(\.\d{{3}})?")


@dataclass(frozen=True)
class Laid:
    """A stick that is ready, and where its card is."""

    folder: Path
    card: Path
    text: str


def card_folder(recipe: Recipe) -> Path:
    """Where the card goes unless somebody says otherwise: beside the recipe, which no stick carries as a file."""
    return recipe.base / f"{recipe.contents.crate.name}-card"


def check(recipe: Recipe, lock: Lock | None, stick: Path, card: Path, *, shape: str = "") -> None:
    """Before anything is fetched; `shape` as in the crate's file name. Raises `ApplianceMissing`, `StickUnfit`."""
    if recipe.contents.appliance is None:
        raise ApplianceMissing(
            f"{recipe.path} has no [appliance], so a board could not be set up from the stick",
            hint=f"add a line [appliance], then crate-bundle lock --update appliance {recipe.path}; "
            "or build with --out for boards that have crate-appliance",
        )
    if card.resolve().is_relative_to(stick.resolve()):
        raise StickUnfit(
            f"the card would be written to {card}, which is on the stick that it is to vouch for",
            hint="name a folder elsewhere with --card",
        )
    own = f"{lock.name}-{lock.serial}{shape}{SUFFIX}" if lock else ""
    others = sorted({found["stem"] for path in _names(stick) if (found := _CRATE.fullmatch(path))} - {own})
    if others:
        raise StickUnfit(
            f"{stick} holds {', '.join(others)} already, and a stick carries one crate",
            hint="remove it from there, or name another folder",
        )


def lay(built: Built, stick: Path, card: Path, signers: Iterable[str]) -> Laid:
    """Puts install.sh and START-HERE.txt beside the crate that was `built` into `stick`, and the card into `card`."""
    script = install_script()
    names = [path.name for path in built.written.paths]
    made = Card.of(built.lock, script, tuple(signers), names, built.written.size)
    _write(stick / SCRIPT, script)
    _write(stick / START, made.start_here().encode())
    card.mkdir(parents=True, exist_ok=True)
    _write(card / "card.txt", made.text().encode())
    for name, drawing in made.drawings():
        _write(card / name, drawing)
    return Laid(stick, card, made.text())


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()] if folder.is_dir() else []


def _write(path: Path, content: bytes) -> None:
    """Replaces a file, whole or not at all; a stick may be pulled out any time."""
    beside = path.with_name(f".{path.name}.part")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
