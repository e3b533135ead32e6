"""Site files for tests: a small sound one, with what a test adds to it."""

from __future__ import annotations

HEAD = """\
[site]
name = "workshop"
address = "10.77.0.1"
network = "10.77.0.0/24"
"""


def node(number: int, role: str = "agent", more: str = "") -> str:
    return f'\n[[nodes]]\nname = "n{number}"\naddress = "10.77.0.{10 + number}"\nrole = "{role}"\n{more}'


def site(nodes: int = 1, more: str = "") -> str:
    """`nodes` machines, the first one a server; `more` are tables before them."""
    return HEAD + more + "".join(node(number, "agent" if number > 1 else "server") for number in range(1, nodes + 1))
