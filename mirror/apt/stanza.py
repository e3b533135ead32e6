"""Stanzas of control data: the paragraphs of Packages, Release and a .deb's control file (deb822(5))."""

from __future__ import annotations

import re

from mirror.errors import BadIndex

_FIELD = re.compile(r"^([!-,.-9;-~][!-9;-~]*):[ \t]*((?:[^\n]|\n(?=[ \t]))*)", re.MULTILINE)


def parse(text: str, where: str) -> dict[str, str]:
    """The fields of one stanza by lower-case name, continuation lines kept as they stand.

    Raises `BadIndex` for a line that belongs to no field, a field that stands there twice, and control characters;
    `where` names the document.
    """
    fields: dict[str, str] = {}
    end = 0
    for match in _FIELD.finditer(text):
        if match.start() != end:
            break
        name = match[1].lower()
        if name in fields:
            raise BadIndex(f"{where}: the field {match[1]} stands there twice")
        fields[name] = match[2].rstrip()
        end = match.end() + 1
    if end < len(text.rstrip("\n")) or "\0" in text or "\r" in text:
        raise BadIndex(f"{where}: {text[end : end + 60]!r} is not control data")
    return fields


def decode(data: bytes, where: str) -> str:
    """Control data is UTF-8 (Debian Policy, section 5.1). Raises `BadIndex`."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise BadIndex(f"{where} is not UTF-8 at byte {error.start}") from error
