"""Helm's version constraints, held against what helm's own library (Masterminds/semver) documents and tests."""

from __future__ import annotations

import pytest

from archive.errors import InvalidValue
from mirror.helm.constraints import Constraint, parse_version

ADMITS = [
    ("", "1.2.3", True),
    ("", "1.2.3-beta", False),
    ("*", "0.0.1", True),
    ("1.2.3", "1.2.3", True),
    ("1.2.3", "1.2.3+build", True),
    ("1.2.3", "1.2.4", False),
    ("=1.2.3", "v1.2.3", True),
    ("1.2", "1.2.9", True),
    ("1.2", "1.3.0", False),
    ("1.x", "1.99.0", True),
    ("1.2.X", "1.2.7", True),
    ("2.*", "3.0.0", False),
    ("!=1.2.3", "1.2.3", False),
    ("!=1.2.3", "1.2.4", True),
    ("!=4.x", "4.9.9", False),
    ("!=4.x", "5.0.0", True),
    (">1.2.3", "1.2.3", False),
    (">1.2.3", "1.2.4", True),
    (">11", "11.1.0", False),
    (">11", "12.0.0", True),
    (">11.1", "11.1.1", False),
    (">11.1", "11.2.0", True),
    (">=11", "11.0.0", True),
    ("=>1.2", "1.2.0", True),
    ("<11", "10.9.9", True),
    ("<11", "11.0.0", False),
    ("<=11", "11.2.3", True),
    ("<=11", "12.0.0", False),
    ("=<2.3", "2.3.9", True),
    ("~1.2.3", "1.2.9", True),
    ("~1.2.3", "1.3.0", False),
    ("~1", "1.9.0", True),
    ("~>2.3", "2.3.7", True),
    ("~>2.3", "2.4.0", False),
    ("~*", "9.0.0", True),
    ("^1.2.3", "1.9.0", True),
    ("^1.2.3", "2.0.0", False),
    ("^0.2.3", "0.2.9", True),
    ("^0.2.3", "0.3.0", False),
    ("^0.0.3", "0.0.3", True),
    ("^0.0.3", "0.0.4", False),
    ("^0.0", "0.0.9", True),
    ("^0.0", "0.1.0", False),
    ("^0", "0.9.0", True),
    ("^0", "1.0.0", False),
    ("^v1.2", "1.3.0", True),
    (">=1.2 <1.5", "1.4.9", True),
    (">= 1.2, < 1.5", "1.5.0", False),
    ("<1.0 || >=2.0", "1.5.0", False),
    ("<1.0 || >=2.0", "2.1.0", True),
    ("1.2 - 1.4.5", "1.4.5", True),
    ("1.2 - 1.4.5", "1.4.6", False),
    ("1.2 - 1.4", "1.4.9", True),
    (">=1.2.3-0", "1.3.0-rc.1", True),
    (">=1.2.3", "1.3.0-rc.1", False),
    ("^1.2.3-beta.2", "1.2.3-beta.4", True),
    ("^1.2.3-beta.2", "1.2.3-beta.1", False),
    ("^1.2.3-0", "2.0.0-alpha", False),
    ("1.2.3-beta", "1.2.3-beta", True),
    ("1.2.3-beta", "1.2.3-beta.1", False),
]


@pytest.mark.parametrize(("constraint", "version", "admitted"), ADMITS)
def test_a_constraint_admits(constraint: str, version: str, admitted: bool) -> None:
    assert Constraint.parse(constraint).admits(parse_version(version)) is admitted


@pytest.mark.parametrize("text", ["latest", ">>1", "1.2.3.4", "^", "1.2 &&", "a" * 600, "1.2.3 -", "\0", "1/2"])
def test_what_is_no_constraint_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue):
        Constraint.parse(text)


@pytest.mark.parametrize("text", ["", "x", "1.2.3.4", "1.2.3-", "../1", "1.0.0-01", "1" * 300])
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue):
        parse_version(text)
