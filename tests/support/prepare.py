"""What tests keep between runs and take long to make: roots of machines, and the Kubernetes of the double of k3s.

`make test` makes them first, so that no test pays for them with its time-out. Twenty minutes on two cores the first
time, nothing after that; all of it lies below `BUZZCRATE_TEST_ROOTS`.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from functools import partial

from tests.mirror.apt import nodes
from tests.mirror.helm.binary import helm_binary
from tests.support.kubernetes import building
from tests.support.lab import roots

SUITES = ("bookworm", "trixie")


def steps() -> list[tuple[str, Callable[[], object]]]:
    """What is made, by name, each kept once it is there."""
    made: list[tuple[str, Callable[[], object]]] = []
    for suite in SUITES:
        made.append((f"a minimal {suite}", partial(nodes.root, suite)))
        made.append((f"a {suite} that boots, for nodes", partial(roots.machine_root, suite, roots.NODE)))
        made.append((f"a {suite} that boots, for the appliance", partial(roots.machine_root, suite, roots.APPLIANCE)))
    made.append(("helm", helm_binary))
    made.append(("Kubernetes for the double of k3s", building.payload))
    return made


def main() -> None:
    if os.geteuid():
        return  # what needs them is left out for a plain user
    for what, make in steps():
        began = time.monotonic()
        make()
        if time.monotonic() - began > 2:
            sys.stdout.write(f"Made {what} in {time.monotonic() - began:.0f} s.\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
