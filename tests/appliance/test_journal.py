"""The journal: what is lost with its last line is only that line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from appliance import journal
from appliance.journal import Journal, Pending

PENDING = Pending("ab" * 32, "site-1.crate", "site", 1, 1000, 0)

TORN: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda data: data,
    "half a line at the end": lambda data: data + b'1234abcd {"verified":[[0,',
    "zeros, as a power failure leaves them": lambda data: data + bytes(512),
    "a line whose checksum does not fit": lambda data: data + b'00000000 {"verified":[[0,1000]]}\n',
    "a line that is no JSON": lambda data: data + b"8587d865 abcde\n",
}


def _write(path: Path) -> None:
    written = Journal(path, PENDING)
    written.add(verified=[(0, 100)], proven=["cd" * 32])
    written.add(stored=[(200, 300)])
    written.close()


@pytest.mark.parametrize("tear", TORN.values(), ids=TORN)
def test_sound_lines_survive(tmp_path: Path, tear: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "x.crate.journal"
    _write(path)
    path.write_bytes(tear(path.read_bytes()))
    again = Journal(path, PENDING)
    assert list(again.verified) == [(0, 100)]
    assert list(again.stored) == [(0, 100), (200, 300)]
    assert again.proven == {"cd" * 32}
    again.add(verified=[(100, 200)])
    again.close()
    assert list(journal.stored(path)) == [(0, 300)]


def test_the_last_line_torn_anywhere_costs_that_line_only(tmp_path: Path) -> None:
    path = tmp_path / "x.crate.journal"
    _write(path)
    whole = path.read_bytes()
    for cut in range(1, len(whole.splitlines()[-1]) + 1):
        path.write_bytes(whole[:-cut])
        again = Journal(path, PENDING)
        assert list(again.stored) == [(0, 100)]
        again.close()


def test_a_journal_of_another_crate_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "x.crate.journal"
    _write(path)
    other = Journal(path, Pending("ef" * 32, "site-2.crate", "site", 2, 1000, 0))
    assert list(other.stored) == []
    other.close()
    assert [pending.stem for pending in journal.pending(tmp_path)] == ["site-2.crate"]


def test_distrusted_bytes_are_read_again(tmp_path: Path) -> None:
    path = tmp_path / "x.crate.journal"
    _write(path)
    again = Journal(path, PENDING)
    again.distrust(50, 250)
    again.close()
    reread = Journal(path, PENDING)
    assert list(reread.verified) == [(0, 50)]
    assert list(reread.stored) == [(0, 50), (250, 300)]
    reread.close()
