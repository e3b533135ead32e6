"""The card: what a person on site compares and types. It travels another way than the stick that it vouches for."""

from __future__ import annotations

import hashlib
import io
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import segno

from archive.catalogue import Item
from bundler import lockfile
from bundler.lockfile import Lock
from console import units

MOUNT = "/mnt"
"""Where the texts suppose the stick to be."""
_NAMES = {
    "apt": ("Debian package", "Debian packages"),
    "boot": ("the appliance itself", "the appliance itself"),
    "chart": ("Helm chart", "Helm charts"),
    "file": ("file", "files"),
    "image": ("image", "images"),
    "npm": ("npm package", "npm packages"),
    "pypi": ("Python package", "Python packages"),
}
_K3S = "k3s/"
_QR_BORDER = 2  # modules; a file of text has a margin of its own


@dataclass(frozen=True)
class Card:
    """What goes onto the card: `script` is install.sh's sha256 (hex), `signers` the fingerprints of the keys."""

    lock: Lock
    script: str
    signers: tuple[str, ...]
    files: tuple[str, ...]
    size: int

    @classmethod
    def of(cls, lock: Lock, script: bytes, signers: Sequence[str], files: Sequence[str], size: int) -> Card:
        return cls(lock, hashlib.sha256(script).hexdigest(), tuple(signers), tuple(files), size)

    @property
    def title(self) -> str:
        return f"{self.lock.name} {self.lock.serial}"

    @property
    def commands(self) -> tuple[str, str, str]:
        """The three to type: compare, set up and install, go on from there."""
        return (
            f"sha256sum {MOUNT}/install.sh",
            f"sh {MOUNT}/install.sh --fingerprint {self.signers[0]}",
            "crate-appliance site init" if self._cluster else "crate-appliance status",
        )

    @property
    def after(self) -> str:
        """What follows the third command."""
        if self._cluster:
            return f"asks for the boards; crate-appliance install {MOUNT} --site site.toml then makes your cluster"
        return "shows what the board serves now; crate-appliance client-setup --help is for the others"

    @property
    def _cluster(self) -> bool:
        return any(item.kind == "file" and item.name.startswith(_K3S) for item in self.lock.items)

    @property
    def _cluster_line(self) -> str:
        return f"       crate-appliance install {MOUNT} --site site.toml\n" if self._cluster else ""

    def text(self) -> str:
        """card.txt."""
        first, second, third = self.commands
        lines = [
            f"The card of {self.title}, channel {self.lock.channel}, made {self.lock.created:%Y-%m-%d %H:%M} UTC",
            "Bring it another way than the stick: on paper, by phone, in a message. It is no secret.",
            "",
            "On the board, as root, with the stick at "
            + MOUNT
            + " (lsblk finds it: mount /dev/sda1 "
            + MOUNT
            + "), type",
            "",
            f"  1  {first}",
            "     and compare what it prints with this, every character; if it differs, go no further:",
            f"     {self.script}",
            "",
            f"  2  {second}",
            "",
            f"  3  {third}",
            f"     {self.after}",
            "",
            *(f"signed by  {fingerprint}" for fingerprint in self.signers),
            f"on it      {', '.join(self.files)} ({units.size(self.size)})",
            f"for        {', '.join(map(str, self.lock.platforms))}",
            *_labelled("in it      ", contents(self.lock.items)),
        ]
        return "\n".join([*lines, ""])

    def start_here(self) -> str:
        """START-HERE.txt, which fits a terminal of 80 by 24. It holds nothing that the card has to vouch for."""
        parts = f" in {len(self.files)} parts; have all of them at hand" if len(self.files) > 1 else ""
        return f"""\
BuzzCrate: {self.lock.name}
release {self.lock.serial}, {units.size(self.size)}{parts}

This stick turns a board into a crate: a source of images and packages where
no internet is. The board needs a 64-bit Debian 12 or 13, Raspberry Pi OS or
Ubuntu 24.04, and you need the card, which came to you another way.

As root on the board:

  0  mount the stick; lsblk shows what it is called
       mount /dev/sda1 {MOUNT}
  1  compare this with the card, every character; if it differs, stop here:
     somebody has changed the stick
       sha256sum {MOUNT}/install.sh
  2  set up the crate; the fingerprint is on the card
       sh {MOUNT}/install.sh --fingerprint SHA256:...
  3  go on
       {self.commands[2]}
{self._cluster_line}
Whatever is interrupted goes on when the same command is typed again.
crate-appliance --help lists what else there is.
"""

    def code(self) -> segno.QRCode:
        """What must not be mistyped, for a phone to read: the crate, the sha256 of install.sh, who signed."""
        lines = [self.title, "sha256 of install.sh", self.script, "signed by", *self.signers]
        return segno.make("\n".join(lines), error="m", micro=False)

    def drawings(self) -> Iterator[tuple[str, bytes]]:
        """The code as files: for print, for a screen, and for a terminal with light letters on dark."""
        code = self.code()
        for kind in ("svg", "png"):
            image = io.BytesIO()
            code.save(image, kind=kind, scale=8)
            yield f"card.{kind}", image.getvalue()
        text = io.StringIO()
        code.terminal(text, border=_QR_BORDER, compact=True)
        yield "card-terminal.txt", text.getvalue().encode()


def contents(items: Iterable[Item]) -> list[str]:
    """What is in a crate, a line a kind: how many, and what they weigh."""
    kinds: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        kinds[item.kind].append(item)
    found = []
    for kind, some in sorted(kinds.items()):
        size = units.size(sum(lockfile.sizes(some).values()))
        one, several = _NAMES.get(kind, (kind, f"{kind}s"))
        count = "" if kind == "boot" else f"{len(some)} "
        found.append(f"{count}{one if len(some) == 1 else several}, {size}")
    return found


def _labelled(label: str, lines: Sequence[str]) -> Iterator[str]:
    for number, line in enumerate(lines):
        yield (" " * len(label) if number else label) + line
