"""Names of files that a crate may carry: safe in a URL, on FAT32, on Windows and on a case-blind disk."""

from __future__ import annotations

import re
from collections.abc import Iterable

from archive.errors import ClashingNames, UnsafeName

NAME_LENGTH = 1024
_ALLOWED = re.compile(r"[A-Za-z0-9._+~@/-]+")
_RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}


def check_file_name(name: str) -> str:
    """Returns `name` when it is a relative path without surprises, else raises `UnsafeName` saying which rule."""
    words = name.split("/")
    if not name or len(name) > NAME_LENGTH or not _ALLOWED.fullmatch(name):
        rule = "may hold letters, digits and . _ + ~ @ - / only"
    elif name.startswith("/"):
        rule = "must be relative"
    elif any(word in {"", ".", ".."} for word in words):
        rule = "may not hold empty parts, '.' or '..'"
    elif any(word.split(".")[0].lower() in _RESERVED or word.endswith(".") for word in words):
        rule = "is reserved on Windows, where somebody will unpack it"
    else:
        return name
    raise UnsafeName(f"the file name {name[:200]!r} {rule}")


def check_distinct(names: Iterable[str]) -> None:
    """Two names that a case-blind disk would take for one are refused. Raises `ClashingNames` naming both."""
    seen: dict[str, str] = {}
    for name in names:
        folded = name.casefold()
        if folded in seen:
            raise ClashingNames(f"the file names {seen[folded]!r} and {name!r} are one on a case-blind disk")
        seen[folded] = name
