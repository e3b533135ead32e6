"""The key that this crate signs its repositories with: `trust/repository.pgp`, secret, made when it is first needed."""

from __future__ import annotations

from pathlib import Path

from appliance import disk
from appliance.certificates import WELL_KNOWN
from mirror.openpgp import RepositoryKey

_USER = f"BuzzCrate packages <packages@{WELL_KNOWN}>"


class KeptKey:
    """The key of one store. A new one is on disk only after `keep`, so that what fails leaves nothing behind."""

    def __init__(self, trust: Path) -> None:
        self._path = trust / "repository.pgp"
        self._made: RepositoryKey | None = None

    def key(self) -> RepositoryKey:
        """Raises `InvalidValue` when the file is damaged."""
        if self._made is not None:
            return self._made
        if self._path.exists():
            return RepositoryKey.from_bytes(self._path.read_bytes())
        self._made = RepositoryKey.generate(_USER)
        return self._made

    def keep(self) -> None:
        """To be called before anything that the key signed is committed."""
        if self._made is not None and not self._path.exists():
            disk.write_private(self._path, self._made.to_bytes())
