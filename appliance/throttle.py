"""Slows down whoever guesses: failed sign-ons are counted by address, and by address and name. Pure but for the clock.

A few mistakes are free. After that each one doubles the wait before the next try is looked at, right or wrong, up to
a limit; a wait that was sat out is forgotten step by step. What is remembered is bounded, whoever sends what.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

_REMEMBERED = 10_000  # keys


@dataclass(frozen=True, slots=True)
class Patience:
    """`free` failures cost nothing; the next costs `first` seconds and each after that twice as many, to `longest`."""

    free: int
    first: float = 1.0
    longest: float = 300.0

    def wait(self, failures: int) -> float:
        beyond = failures - self.free
        return 0.0 if beyond <= 0 else min(self.first * 2.0 ** min(beyond - 1, 32), self.longest)


NAMED = Patience(free=4)
ADDRESS = Patience(free=30)  # many people may share one address


class Throttle:
    """`clock` counts seconds and never goes back. To be used from one thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[tuple[str, str | None], tuple[int, float]] = OrderedDict()

    def wait(self, address: str, name: str) -> int:
        """Whole seconds until a sign-on by `name` from `address` is looked at again; 0 when it is now."""
        now = self._clock()
        left = 0.0
        for key, patience in _keys(address, name):
            failures, last = self._failures.get(key, (0, 0.0))
            left = max(left, last + patience.wait(failures) - now)
        return max(0, math.ceil(left))

    def failed(self, address: str, name: str) -> None:
        now = self._clock()
        for key, patience in _keys(address, name):
            failures, last = self._failures.pop(key, (0, now))
            # one step back for every longest wait without a failure
            failures = max(0, failures - int((now - last) // patience.longest))
            self._failures[key] = (failures + 1, now)
        while len(self._failures) > _REMEMBERED:
            self._failures.popitem(last=False)

    def succeeded(self, address: str, name: str) -> None:
        """Forgets the failures of this name; what others at the address guessed stays."""
        self._failures.pop((address, name), None)


def _keys(address: str, name: str) -> list[tuple[tuple[str, str | None], Patience]]:
    """An empty address is this machine, where a proxy may speak for everybody: there only names count."""
    named: list[tuple[tuple[str, str | None], Patience]] = [((address, name), NAMED)]
    return [*named, ((address, None), ADDRESS)] if address else named
