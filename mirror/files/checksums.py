"""Checksum files as projects publish them: `sha256sum` lines, BSD's tagged lines, or a digest alone."""

from __future__ import annotations

import re
from posixpath import basename

from mirror.errors import ChecksumAbsent, ChecksumAmbiguous

_PLAIN = re.compile(r"([0-9a-fA-F]{64})(?:[ \t]+\*?(\S.*?))?\s*")
_TAGGED = re.compile(r"SHA256 \((.+)\) = ([0-9a-fA-F]{64})\s*")


def find(text: str, name: str, where: str) -> str:
    """The sha256 (lower-case hex) of the file called `name`, whatever folder the lines put before it.

    `where` names the checksum file in messages. A file that holds one digest and no name means whatever it was
    published for. Raises `ChecksumAbsent` and `ChecksumAmbiguous`.
    """
    named: dict[str, set[str]] = {}
    bare: set[str] = set()
    for line in text.splitlines():
        if tagged := _TAGGED.fullmatch(line):
            named.setdefault(basename(tagged[1]), set()).add(tagged[2].lower())
        elif plain := _PLAIN.fullmatch(line):
            (named.setdefault(basename(plain[2]), set()) if plain[2] else bare).add(plain[1].lower())
    found = named.get(name, set() if named else bare)
    if not found:
        offered = ", ".join(sorted(named)[:5]) or "nothing that looks like a sha256"
        raise ChecksumAbsent(f"{where} does not name {name}", hint=f"it names {offered}")
    if len(found) > 1:
        raise ChecksumAmbiguous(f"{where} gives {name} two different digests")
    return next(iter(found))
