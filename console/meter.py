"""How far a task is, in one line."""

from __future__ import annotations

import time

from console import units

SHOW_AFTER = 2.0  # seconds before a task is worth a line that stays


class Meter:
    """Counts what is done; the rate is over the whole task, which is steadier than over the last moment."""

    def __init__(self, what: str, total: int | None, unit: str) -> None:
        self.what, self.total, self.unit = what, total, unit
        self.done = 0
        self.hint = ""
        self.began = time.monotonic()

    def line(self, *, ended: bool = False) -> str:
        elapsed = max(time.monotonic() - self.began, 1e-6)
        words = [self.what, self._amount()]
        if self.unit == "B":
            words.append(f"{units.size(self.done / elapsed)}/s")
        if ended:
            words.append(f"in {units.duration(elapsed)}")
        elif self.total and 0 < self.done < self.total:
            words.append(f"{units.duration((self.total - self.done) * elapsed / self.done)} left")
        if self.hint and not ended:
            words.append(self.hint)
        return "  ".join(words)

    def _amount(self) -> str:
        percent = f" ({100 * self.done // self.total} %)" if self.total else ""
        if self.unit == "B":
            return units.size(self.done) + (f" of {units.size(self.total)}" if self.total else "") + percent
        return f"{self.done}" + (f" of {self.total}" if self.total else "") + f" {self.unit}" + percent
