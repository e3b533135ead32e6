"""The order of versions, held against dpkg's own."""

from __future__ import annotations

import itertools
import random
import subprocess

import pytest

from archive.errors import InvalidValue
from mirror.apt.versions import check_version, satisfies, version_key
from tests.support.tools import tool

ORDERED = [
    ["0~", "0", "00", "0-0", "0:0"],
    ["1~~", "1~~a", "1~", "1", "1-0~", "1-0", "1-0a", "1-1~", "1-1", "1-1+b1"],
    ["1.0~rc1-1", "1.0~rc1-1~bpo1", "1.0-1", "1.0-rc-1", "1.0+b1-1", "1.0.", "1.0.0"],
    ["1a", "1a0", "1aa", "1b", "1.a", "1+", "1."],
    ["2", "10", "02", "1.2.3-4", "1:0", "1:1.0", "0:1", "00:1"],
    ["12.2.0-14+deb12u1+", "12.2.0-14+deb12u1", "12.2.0-14"],
    ["20230311", "20230311+deb12u1", "9999999999999999999999", "99999999999999999999999"],
]


def _dpkg(a: str, b: str) -> int:
    for order, name in ((-1, "lt"), (0, "eq"), (1, "gt")):
        if (
            subprocess.run(
                [tool("dpkg"), "--compare-versions", a, name, b], capture_output=True, check=False
            ).returncode
            == 0
        ):
            return order
    raise AssertionError(f"dpkg has no opinion on {a} and {b}")


@pytest.mark.parametrize("versions", ORDERED, ids=lambda versions: f"around {versions[0]}")
def test_it_is_dpkgs_order(versions: list[str]) -> None:
    for a, b in itertools.product(versions, versions):
        ours = (version_key(a) > version_key(b)) - (version_key(a) < version_key(b))
        assert ours == _dpkg(a, b), (a, b)


def test_it_is_dpkgs_order_of_versions_that_nobody_thought_of() -> None:
    rnd = random.Random(3)
    for _ in range(150):
        a, b = ("".join(["1", *rnd.choices("019az.+~-", k=rnd.randrange(5))]).rstrip("-") for _ in range(2))
        assert (version_key(a) > version_key(b)) - (version_key(a) < version_key(b)) == _dpkg(a, b), (a, b)


@pytest.mark.parametrize(
    ("version", "operator", "wanted", "holds"),
    [("1.0", "=", "1.0-0", True), ("1", "<<", "1", False), ("1", "<=", "1", True), ("2", ">>", "1", True),
     ("1~", ">=", "1", False), ("1:1", ">=", "2", True)],
)  # fmt: skip
def test_relations_between_versions(version: str, operator: str, wanted: str, holds: bool) -> None:
    assert satisfies(version, operator, wanted) is holds


@pytest.mark.parametrize("text", ["", "a b", "1/2", "1\n2", "1:2:", ":1", "-1", "é", "1" * 300, "../1", "1_2"])
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue):
        check_version(text)
