"""Machines that the tests of waves share: booted once, left as they were found."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.lab import Lab, Spec, lab
from tests.support.lab.roots import APPLIANCE


@pytest.fixture(scope="session")
def site() -> Iterator[Lab]:
    """n1 a bare Debian 12, n2 a bare Debian 13, n3 a Debian 12 that has nft."""
    with lab([Spec("n1"), Spec("n2", suite="trixie"), Spec("n3", packages=APPLIANCE)]) as made:
        for node in made.nodes:  # the end of a boot still writes below /etc
            node.run("timeout 60 systemctl is-system-running --wait || :")
        yield made


@pytest.fixture
def fresh(site: Lab) -> Iterator[Lab]:
    """The same, and nothing of a run is left on it afterwards."""
    yield site
    for node in site.nodes:
        node.run("[ ! -e /var/lib/buzzcrate ]")
