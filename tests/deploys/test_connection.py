"""What a node may do to the machine that works on it."""

from __future__ import annotations

import pytest

from deploys import connection


def test_a_node_that_never_stops_talking_fills_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_MOST", 1 << 20)
    pieces = iter([b"x" * 65536] * 17)
    with pytest.raises(ConnectionAbortedError, match="more than 1 MiB"):
        connection._drain(lambda _: next(pieces))
    assert not [*pieces], "the last piece was the one too many"


def test_what_a_command_says_arrives_whole() -> None:
    pieces = iter([b"a" * 65536, b"b", b""])
    assert connection._drain(lambda _: next(pieces)) == b"a" * 65536 + b"b"
