"""The booted nodes that the tests of the k3s waves share, cleared for each of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.deploys.k3s.site import Site
from tests.support.lab import lab


@pytest.fixture(scope="session")
def _booted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with lab(3) as made:
        site = Site(made, tmp_path_factory.mktemp("site"))
        with site.serving():
            yield site


@pytest.fixture
def site(_booted: Site) -> Site:
    _booted.clear()
    return _booted
