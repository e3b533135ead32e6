"""The files that come back from crates, and whose they are.

The key of a crate is kept at first sight in `$XDG_CONFIG_HOME/buzzcrate/crates`, a line each like that of a `.pub`
file, with the crate's name as the comment. From then on that name is that key's. A key that is told (`--crate-key`)
goes before what is kept, and replaces it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from archive import requests
from archive.errors import MalformedKey, MalformedRequests, UnknownSigner
from archive.keys import PublicKey
from archive.requests import Export
from bundler.errors import CrateKeyChanged

FILE_NAME = "buzzcrate/crates"
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")


class Known(Enum):
    """Why a file's key is believed."""

    TOLD = "told"
    SEEN = "seen before"
    NEW = "seen for the first time"


@dataclass(frozen=True, slots=True)
class CrateFile:
    """A file of requests whose signature fits a key that is believed."""

    path: Path
    export: Export
    key: PublicKey
    known: Known


def load(path: Path, config_home: Path, told: str = "") -> CrateFile:
    """Reads a file of requests; `told` is the fingerprint or the `.pub` file of its crate's key, or empty.

    Raises `MalformedRequests`, `MalformedKey`; `Unsigned`, `WrongSignature`, `UnknownSigner`, `CrateKeyChanged`.
    """
    signed = requests.read(_bytes(path), str(path))
    keys = Keys(config_home / FILE_NAME)
    name, key = signed.export.box, signed.key
    if told:
        wanted = _fingerprint(told)
        if key.fingerprint != wanted:
            raise UnknownSigner(
                f"{path} is signed by {key.fingerprint}, and not by {wanted}",
                hint="it is of another crate, or not of a crate at all",
            )
        keys.keep(name, key)
        return CrateFile(path, signed.export, key, Known.TOLD)
    held = keys.of(name)
    if held is None:
        keys.keep(name, key)
        return CrateFile(path, signed.export, key, Known.NEW)
    if held != key:
        raise CrateKeyChanged(
            f"{path} says that it is of {name}, whose key is {held.fingerprint}, and is signed by {key.fingerprint}",
            hint=f"if {name} was set up anew, or two crates have that name, say so: --crate-key {key.fingerprint}",
        )
    return CrateFile(path, signed.export, key, Known.SEEN)


class Keys:
    """The keys of crates that are kept in the file at `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def of(self, name: str) -> PublicKey | None:
        """The last line for a name counts. Raises `MalformedKey`, naming file and line."""
        return dict(self._lines()).get(name)

    def keep(self, name: str, key: PublicKey) -> None:
        """From now on `name` is this key's. The file is replaced whole."""
        lines = {**dict(self._lines()), name: key}
        text = "".join(f"{known.line} {called}\n" for called, known in lines.items())
        self.path.parent.mkdir(parents=True, exist_ok=True)
        beside = self.path.with_name(f"{self.path.name}.part")
        with beside.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self.path)

    def _lines(self) -> Iterator[tuple[str, PublicKey]]:
        if not self.path.exists():
            return
        for number, line in enumerate(self.path.read_text("utf-8").splitlines(), start=1):
            if line.strip() and not line.startswith("#"):
                try:
                    key = PublicKey.from_line(line)
                except MalformedKey as error:
                    raise error.at(f"{self.path}:{number}") from error
                yield " ".join(line.split(maxsplit=2)[2:]), key


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(requests.LARGEST + 1)
    except FileNotFoundError as error:
        raise MalformedRequests(
            f"{path} is not there", hint="crate-appliance requests export FILE writes it"
        ) from error


def _fingerprint(told: str) -> str:
    """Of a fingerprint itself, or of a `.pub` file."""
    if _FINGERPRINT.fullmatch(told):
        return told
    try:
        return PublicKey.from_line(Path(told).read_text("utf-8").strip()).fingerprint
    except (FileNotFoundError, UnicodeDecodeError) as error:
        raise MalformedKey(
            f"{told[:200]!r} is neither a fingerprint nor a .pub file", hint="write SHA256: and 43 characters"
        ) from error
