"""The names that nobody could resolve, out of the name server's log and into the requests.

The log is another program's: it may not be there yet, grow, be cut short or be replaced while we look. What was said
before the daemon started was heard by the daemon before.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

from appliance import misses
from appliance.names.queries import log_path, unanswered
from appliance.requests import Requests

_MOST = 1 << 20  # bytes read in one go; a flood of questions is not worth more
_LINE = 1024  # bytes of a line that may still be one of ours

_log = logging.getLogger(__name__)


class NamesLog:
    """Follows the log of the store at `root`, whose lines `appliance.names.queries` knows. To be read in one thread."""

    def __init__(self, root: Path) -> None:
        self._path = log_path(root)
        self._inode = 0
        self._at = -1  # nowhere yet: the first look only finds the end
        self._complained = False

    def read_into(self, requests: Requests) -> None:
        """Notes every name that was asked for in vain since the last time."""
        try:
            lines = list(self._lines())
        except OSError as error:
            if not self._complained and not isinstance(error, FileNotFoundError):
                _log.warning("the log of names cannot be read: %s", error)
                self._complained = True
            self._inode, self._at = 0, 0  # what comes to be there is read from its beginning
            return
        for line in lines:
            if found := unanswered(line):
                requests.note(misses.of_name(found[0]), found[1])

    def _lines(self) -> Iterator[str]:
        """The whole lines since the last time; where there is too much, the latest."""
        with self._path.open("rb") as file:
            there = os.fstat(file.fileno())
            if self._at < 0:
                self._inode, self._at = there.st_ino, there.st_size
            if there.st_ino != self._inode or there.st_size < self._at:
                self._inode, self._at = there.st_ino, 0
            skipped = there.st_size - self._at > _MOST
            if skipped:
                self._at = there.st_size - _MOST
            file.seek(self._at)
            data = file.read(_MOST)
        whole, newline, rest = data.rpartition(b"\n")
        if not newline and len(rest) < _LINE:
            return
        self._at += len(whole) + len(newline) if newline else len(rest)
        lines = whole.split(b"\n")[skipped:]
        yield from (line.decode("utf-8", "replace") for line in lines if line)
