"""The log of the site's names: which question found no answer, and who asked it.

dnsmasq writes a line for each question and one for each answer (`log-queries=extra`), here those of one question:

    Nov 23 12:35:03 dnsmasq[11254]: 7 10.77.0.11/50190 query[A] Example.org from 10.77.0.11
    Nov 23 12:35:03 dnsmasq[11254]: 7 10.77.0.11/50190 config Example.org is NXDOMAIN
"""

from __future__ import annotations

import re
from pathlib import Path

RUNTIME_LOG = Path("/run/buzzcrate-names/queries.log")
"""In memory: there is a line for every question of every node, which would wear out an SD card."""

_UNANSWERED = re.compile(r"dnsmasq\[\d+\]: \d+ (\S+)/\d+ \S+ (\S+) is NXDOMAIN$")


def log_path(root: Path) -> Path:
    """Where a reader of the store at `root` finds the log; a link to the one in memory where names are served."""
    return root / "site" / "names.log"


def unanswered(line: str) -> tuple[str, str] | None:
    """The name (in lower case, without the final dot) that had no answer, and the address that asked for it.

    None for every other line. A name that exists without the kind of record asked for is no miss.
    """
    found = _UNANSWERED.search(line.rstrip())
    if found is None:
        return None
    return found[2].lower().rstrip(".") or ".", found[1]
