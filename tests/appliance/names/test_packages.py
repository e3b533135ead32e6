"""A machine installs from the repositories that are for its release of the system, and says so where there are none."""

from __future__ import annotations

import pytest

from appliance.names import packages
from appliance.names.errors import NoPackage
from tests.support.tools import root

KEY = "Signed-By:\n -----BEGIN\n .\n -----END\n"


def block(suite: str) -> str:
    return f"Types: deb\nURIs: http://127.0.0.1:9/apt/debian\nSuites: {suite}\nComponents: main\n{KEY}"


# the suites of a file, the release of the system, the suites that are left
RELEASES = {
    "its own": (["bookworm", "trixie"], "bookworm", ["bookworm"]),
    "its own and what belongs to it": (["noble", "noble-updates", "sid"], "noble", ["noble", "noble-updates"]),
    "none of its own": (["trixie"], "bookworm", []),
    "one that is no release": (["stable", "trixie"], "bookworm", ["stable"]),
    "a system without a name": (["trixie", "team"], "", ["team"]),
}


@pytest.mark.parametrize(("suites", "release", "left"), RELEASES.values(), ids=RELEASES)
def test_a_release_installs_from(suites: list[str], release: str, left: list[str]) -> None:
    text = packages.for_release("\n".join(map(block, suites)), release)
    assert [line.split()[1] for line in text.splitlines() if line.startswith("Suites:")] == left
    assert text.count("-----END") == len(left)


def test_a_package_that_cannot_be_had_is_named_with_the_remedy() -> None:
    with pytest.raises(NoPackage, match="dnsmasq-base is missing, and the crate carries no packages for") as caught:
        packages.install("dnsmasq-base", {"debian": block("buster")})
    assert '[[apt]] packages = ["dnsmasq-base"]' in caught.value.hint


def test_a_crate_that_is_not_served_is_told_from_a_package_that_is_not_there() -> None:
    root("apt keeps its lists for root")
    with pytest.raises(NoPackage, match="dnsmasq-base cannot be installed: ") as caught:
        packages.install("dnsmasq-base", {"team": block("team").replace(KEY, "")})
    assert "127.0.0.1:9" in caught.value.what
