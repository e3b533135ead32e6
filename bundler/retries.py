"""What passes and is tried again, how often, and after how long."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from archive.errors import Problem

# RFC 9110 section 15.5.9 and 15.6, RFC 6585 section 4: the same request may well succeed later.
PASSING_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds, but for `attempts`. No limit on a whole transfer: a slow one that moves is no failure."""

    connect: float = 15.0
    idle: float = 60.0
    attempts: int = 6
    pause: float = 0.5  # before the second attempt; doubles from there
    longest_pause: float = 30.0
    patience: float = 600.0  # the longest Retry-After that is waited for


class Passing(Exception):  # noqa: N818 - not an error yet
    """An attempt failed in a way that may pass. `problem` is what it comes to if it does not."""

    def __init__(self, problem: Problem, *, retry_after: float | None = None) -> None:
        super().__init__(problem.what)
        self.problem = problem
        self.retry_after = retry_after


class Attempts:
    """Counts failures in a row; getting further than ever before starts the count again."""

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self._failures = 0
        self._furthest = 0

    def pause(self, trouble: Passing, position: int = 0) -> float:
        """Seconds until the next attempt. Raises the trouble's problem when there is to be none."""
        if position > self._furthest:
            self._furthest, self._failures = position, 0
        self._failures += 1
        if self._failures >= self._timing.attempts or (trouble.retry_after or 0) > self._timing.patience:
            raise trouble.problem from trouble
        if trouble.retry_after is not None:
            return trouble.retry_after
        backoff = min(self._timing.pause * float(1 << (self._failures - 1)), self._timing.longest_pause)
        return backoff * random.uniform(0.5, 1.0)  # noqa: S311 - jitter keeps clients apart, it is no secret


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks to wait, in either form of RFC 9110 section 10.2.3; None when it does not."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(parsedate_to_datetime(text).timestamp() - time.time(), 0.0)
    except ValueError:
        return None
