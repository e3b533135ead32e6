"""Real Debian machines for tests, on a network without a way out: an air gap on one computer.

    with lab(nodes=3) as site:                  # n1..n3 at 10.77.0.11.., and this process' side of it
        site["n1"].run("apt-get --version")     # as on its keyboard
        site["n1"].ssh("id")                    # over ssh, from the hub, with site.key and site.known_hosts
        site.here(["crate-appliance", …])       # a program of this computer, plugged into that network
        assert site.escaped() == 0

Machines boot systemd and sshd in a second or two over roots that are kept (see roots.py). Without an appliance the hub
has its address, 10.77.0.1, so that a daemon started with `here` or `words` is the appliance. With `appliance=True`
it is a fourth machine, `site.appliance`, with python3 and an ssh client, and the hub is a visitor at 10.77.0.254.
Several labs run side by side. Everything goes when the context ends; what a killed run left goes with the next one.
Needs root, `debootstrap`, `systemd-container`, `iproute2` and `nftables`.
"""

from __future__ import annotations

from tests.support.lab.lab import Lab, lab
from tests.support.lab.machine import NO_BRIDGE_FILTER, Node, Spec

__all__ = ["NO_BRIDGE_FILTER", "Lab", "Node", "Spec", "lab"]
