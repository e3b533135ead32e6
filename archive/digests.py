"""Content digests, as the OCI image specification writes them (descriptor.md, section "Digests")."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from archive.errors import InvalidValue

HEX_LENGTH = {"sha256": 64, "sha512": 128}
_FORM = re.compile(r"(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})")


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """`algorithm:hex`, of one of the two algorithms the specification registers: sha256 and sha512."""

    algorithm: str
    hex: str

    @classmethod
    def parse(cls, text: str) -> Digest:
        """Raises `InvalidValue` for an unknown algorithm, upper-case or short hex."""
        if not _FORM.fullmatch(text):
            raise InvalidValue(f"{text[:160]!r} is not a digest", hint="write sha256: and 64 lower-case hex digits")
        return cls(*text.split(":"))

    @classmethod
    def of(cls, data: bytes, algorithm: str = "sha256") -> Digest:
        return cls(algorithm, hashlib.new(algorithm, data).hexdigest())

    @classmethod
    def sha256(cls, hex_digits: str) -> Digest:
        return cls("sha256", hex_digits)

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"
