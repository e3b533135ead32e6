"""The log of the name server, followed whatever happens to the file: what nobody could resolve is a request."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance.names.queries import log_path
from appliance.names_log import NamesLog
from appliance.requests import Requests
from appliance.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "root") as opened:
        log_path(opened.root).parent.mkdir()
        yield opened


def lines(*names: str) -> str:
    """What dnsmasq writes for these, none of which it knows."""
    start = "Nov 23 12:35:03 dnsmasq[11254]: 7 10.77.0.11/50190"
    return "".join(f"{start} query[A] {name} from 10.77.0.11\n{start} config {name} is NXDOMAIN\n" for name in names)


def asked(store: Store, log: NamesLog) -> dict[str, int]:
    noted = Requests(store.database)
    log.read_into(noted)
    noted.flush()
    return {request.name: request.count for request in noted.all() if request.kind == "dns"}


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def test_what_was_said_before_the_daemon_started_is_left_alone(store: Store) -> None:
    path = log_path(store.root)
    path.write_text(lines("before.example.org"))
    log = NamesLog(store.root)
    assert asked(store, log) == {}
    append(path, lines("after.example.org", "printer.local"))
    assert asked(store, log) == {"after.example.org": 1}
    assert asked(store, log) == {"after.example.org": 1}


def _replaced(path: Path) -> None:
    path.unlink()
    path.write_text(lines("b.example.org"))


def _emptied(path: Path) -> None:
    path.write_text("")
    append(path, lines("b.example.org"))


def _gone_for_a_while(path: Path) -> None:
    path.unlink()


CHANGES: dict[str, tuple[Callable[[Path], None], set[str]]] = {
    "replaced by another": (_replaced, {"b.example.org"}),
    "emptied in its place": (_emptied, {"b.example.org"}),
    "gone": (_gone_for_a_while, set()),
}


@pytest.mark.parametrize(("change", "more"), CHANGES.values(), ids=CHANGES)
def test_a_log_may_be(store: Store, change: Callable[[Path], None], more: set[str]) -> None:
    path = log_path(store.root)
    log = NamesLog(store.root)
    assert asked(store, log) == {}, "there is none yet"
    path.write_text(lines("a.example.org", "aa.example.org"))
    assert asked(store, log).keys() == {"a.example.org", "aa.example.org"}
    change(path)
    assert asked(store, log).keys() == {"a.example.org", "aa.example.org"} | more
    append(path, lines("c.example.org"))
    assert asked(store, log).keys() == {"a.example.org", "aa.example.org", "c.example.org"} | more


def test_half_a_line_is_read_when_it_is_whole(store: Store) -> None:
    log = NamesLog(store.root)
    assert asked(store, log) == {}
    whole = lines("half.example.org")
    append(log_path(store.root), whole[:-20])
    assert asked(store, log) == {}
    append(log_path(store.root), whole[-20:])
    assert asked(store, log) == {"half.example.org": 1}


def test_a_flood_is_not_read_to_its_end(store: Store) -> None:
    log = NamesLog(store.root)
    assert asked(store, log) == {}
    append(log_path(store.root), lines(*(f"n{number}.example.org" for number in range(30_000))))
    append(log_path(store.root), lines("last.example.org"))
    found = asked(store, log)
    assert len(found) < 1_000
    append(log_path(store.root), lines("after.example.org"))
    assert "after.example.org" in asked(store, log)
