"""Where things come from, written so that it may travel: without user, password, query or fragment."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

LOCAL = "file:"
MADE = "made:"
"""What the building machine makes of other things that are in the lock or on this machine."""


def public_url(url: str) -> str:
    words = urlsplit(url)
    return urlunsplit((words.scheme, words.netloc.rpartition("@")[2], words.path, "", ""))


def local(path: str, base: Path) -> str:
    """`file:` and the path relative to the recipe's folder `base`: a machine's own folders do not travel."""
    return LOCAL + os.path.relpath(base / path, base)


def local_path(origin: str, base: Path) -> Path:
    """The file that a `file:` origin means."""
    return base / origin.removeprefix(LOCAL)
