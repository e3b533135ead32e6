"""What people call things that a recipe asks for, and whether two such names mean the same."""

from __future__ import annotations

import re
from contextlib import suppress

from archive.errors import InvalidValue
from archive.references import Reference

_NAME = re.compile(r"(?:@[^/@\s]+/)?[A-Za-z0-9][A-Za-z0-9._+-]*")


def bare(wish: str) -> str:
    """A wish without its version, spelled as names compare: `Zope_Interface[test]>=5` is zope-interface."""
    found = _NAME.match(wish)
    return re.sub(r"[-_.]+", "-", found[0]).lower() if found else wish


def same(name: str, other: str) -> bool:
    """Whether both mean one package, chart or file: they are spelled alike, or one says more than the name."""
    return name == other or ("/" not in name.lstrip("@") and bare(name) == bare(other))


def same_image(name: str, reference: str) -> bool:
    """Whether `name`, with or without a tag, means the image of `reference`."""
    with suppress(InvalidValue):
        asked, meant = Reference.parse(reference), Reference.parse(name)
        return meant == asked or (meant.name == asked.name and ":" not in name.rpartition("/")[2])
    return False
