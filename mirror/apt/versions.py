"""The order of Debian versions (Debian Policy, section 5.6.12; deb-version(7)).

Written here because the libraries are not fit: `packaging` orders Python's versions, debian-inspector refuses versions
that stand in Debian's own archive (`12.2.0-14+deb12u1+`), python-debian takes eleven times as long for the same answer.
"""

from __future__ import annotations

import re
from functools import lru_cache

from archive.errors import InvalidValue

Key = tuple[int, tuple[str | int, ...], tuple[str | int, ...]]

_FORM = re.compile(r"(?:([0-9]+):)?([A-Za-z0-9][A-Za-z0-9.+~-]*?)(?:-([A-Za-z0-9.+~]+))?")
_RUNS = re.compile(r"([^0-9]*)([0-9]*)")
# Within a run of non-digits: tilde before the end of the run, the end before letters, letters before all else.
_END = "\x02"
_RANK = {ord("~"): "\x01", **{ord(mark): chr(256 + ord(mark)) for mark in ".+-"}}
_LENGTH = 256


def check_version(text: str) -> str:
    """Returns `text` when it is a version, else raises `InvalidValue`."""
    if len(text) > _LENGTH or not _FORM.fullmatch(text):
        raise InvalidValue(f"{text[:80]!r} is not a Debian version")
    return text


@lru_cache(maxsize=1 << 16)
def version_key(text: str) -> Key:
    """What to sort versions by. Raises `InvalidValue`. An absent epoch or revision counts as 0."""
    match = _FORM.fullmatch(text)
    if not match:
        raise InvalidValue(f"{text[:80]!r} is not a Debian version")
    epoch, upstream, revision = match.groups()
    return int(epoch or 0), _runs(upstream), _runs(revision or "0")


def _runs(text: str) -> tuple[str | int, ...]:
    # findall ends with an empty pair, which is what a version that stops here compares as.
    return tuple(
        part for run, number in _RUNS.findall(text) for part in (run.translate(_RANK) + _END, int(number or 0))
    )


def satisfies(version: str, operator: str, wanted: str) -> bool:
    """Whether `version` stands in the relation `operator` (`<<`, `<=`, `=`, `>=`, `>>`) to `wanted`."""
    have, want = version_key(version), version_key(wanted)
    match operator:
        case "=":
            return have == want
        case "<<":
            return have < want
        case "<=":
            return have <= want
        case ">=":
            return have >= want
        case ">>":
            return have > want
        case _:
            raise InvalidValue(f"{operator!r} is not a relation between versions")
