"""One daemon for all tests of the protocol; each test uses repositories of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from appliance.access import Role
from tests.appliance.daemon import serving
from tests.support.images import MadeImage, make_layout

HELD = "docker.io/library/held"
FILES = {"tools/arm64/tool": b"a tool of thirty-two bytes, so so"}


@pytest.fixture(scope="session")
def held(tmp_path_factory: pytest.TempPathFactory) -> MadeImage:
    """The image that the crate brings, under `HELD`:1, with one referrer."""
    folder = tmp_path_factory.mktemp("held")
    return make_layout(folder, f"{HELD}:1", layer_size=700_000, referrers=["application/spdx+json"])


@pytest.fixture(scope="session")
def plain_crate(tmp_path_factory: pytest.TempPathFactory, held: MadeImage) -> Iterator[serving.Crate]:
    """Over plain HTTP, with an active generation that holds `held` and `FILES`."""
    root = tmp_path_factory.mktemp("plain-crate") / "store"
    serving.hold(root, HELD, held.layout, {"1": held.digest}, FILES)
    with serving.crate(root) as running:
        yield running


@pytest.fixture(scope="session")
def tls_crate(tmp_path_factory: pytest.TempPathFactory, held: MadeImage) -> Iterator[serving.Crate]:
    """The same over TLS, as it is by default."""
    root = tmp_path_factory.mktemp("tls-crate") / "store"
    serving.hold(root, HELD, held.layout, {"1": held.digest}, FILES)
    with serving.crate(root, tls=True) as running:
        yield running


@pytest.fixture(scope="session")
def reader(plain_crate: serving.Crate) -> str:
    """A reader's token for `plain_crate`."""
    return serving.make_token(plain_crate.root, Role.READER)
