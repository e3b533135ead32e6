"""Programs that are missing come from the crate, and where they cannot, the message says why and what to do."""

from __future__ import annotations

import pytest

from appliance.names import packages
from appliance.names.errors import NoPackage
from tests.support.tools import root

KEY = "Signed-By:\n -----BEGIN\n .\n -----END\n"


def block(suite: str) -> str:
    return f"Types: deb\nURIs: http://127.0.0.1:9/apt/debian\nSuites: {suite}\nComponents: main\n{KEY}"


def test_a_package_that_cannot_be_had_is_named_with_the_remedy() -> None:
    with pytest.raises(NoPackage, match="dnsmasq-base is missing, and the crate carries no packages for") as caught:
        packages.install("dnsmasq-base", {"debian": block("buster")})
    assert '[[apt]] packages = ["dnsmasq-base"]' in caught.value.hint


def test_a_crate_that_is_not_served_is_told_from_a_package_that_is_not_there() -> None:
    root("apt keeps its lists for root")
    with pytest.raises(NoPackage, match="dnsmasq-base cannot be installed: ") as caught:
        packages.install("dnsmasq-base", {"team": block("team").replace(KEY, "")})
    assert "127.0.0.1:9" in caught.value.what
