"""The clock goes by the latest evidence, forward only. Nothing here sets the clock of this machine."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from appliance.names import clock
from appliance.names.clock import Decision, Known, decide
from appliance.names.errors import BadTime
from appliance.store import Store
from archive.errors import Problem
from tests.appliance.commands import run
from tests.support.crates import CREATED, CrateMaker, Key
from tests.support.stores import trusting

CASES = {
    "a clock that is right": (Known(now=1000, saved=900, crate=800), Decision(1000, "now", 0)),
    "after a power cut": (Known(now=0, saved=900, crate=800), Decision(900, "saved", 900)),
    "a new board with a new crate": (Known(now=0, saved=0, crate=800), Decision(800, "crate", 800)),
    "a crate newer than the last time": (Known(now=10, saved=500, crate=800), Decision(800, "crate", 790)),
    "somebody with a watch": (Known(now=10, saved=500, crate=800, confirmed=950), Decision(950, "confirmed", 940)),
    "somebody with a slow watch": (Known(now=10, saved=500, crate=800, confirmed=700), Decision(800, "crate", 790)),
    "nothing known at all": (Known(now=10), Decision(10, "now", 0)),
    "a moment behind": (Known(now=899.5, saved=900), Decision(899.5, "now", 0)),
}


@pytest.mark.parametrize(("known", "decision"), CASES.values(), ids=CASES)
def test_the_latest_time_is_taken(known: Known, decision: Decision) -> None:
    assert decide(known) == decision


def test_a_board_that_starts_in_1970_goes_on_where_it_was(
    tmp_path: Path, key: Key, maker: CrateMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = trusting(tmp_path / "root", key)
    assert run(tmp_path / "root", "install", *maker.write(tmp_path / "site-1.crate", [key])).returncode == 0
    told: list[float] = []
    noted = clock.save(store)
    assert clock.restore(store, setter=told.append).step == 0
    monkeypatch.setattr(time, "time", lambda: 86_400.0)
    decision = clock.restore(store, setter=told.append)
    assert (decision.because, told) == ("saved", [int(noted)])
    # a note is never taken back, whatever the clock says
    assert clock.save(store) == int(noted)
    (tmp_path / "root/site/clock").unlink()
    assert clock.restore(store, setter=told.append).because == "crate"
    assert told[-1] == CREATED.timestamp()


def test_a_note_that_was_cut_short_is_no_evidence(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        clock.save(store)
        (tmp_path / "site/clock").write_text("17\0\0x")
        assert clock.known(store).saved == 0


def test_the_command_line_notes_and_shows_the_time(tmp_path: Path) -> None:
    Store.open(tmp_path / "root").close()
    assert "noted: 20" in run(tmp_path / "root", "clock", "save").stdout
    assert "the clock is not behind" in run(tmp_path / "root", "clock", "restore").stdout
    assert "noted here last" in run(tmp_path / "root", "clock", "show").stdout
    wrong = run(tmp_path / "root", "clock", "set", "noon")
    assert wrong.returncode == 2
    assert "'noon' is not a time" in wrong.stderr


def test_a_person_may_set_the_clock_back_but_not_before_what_is_known(tmp_path: Path) -> None:
    told: list[float] = []
    with Store.open(tmp_path) as store:
        noted = clock.save(store)
        clock.confirm(store, noted + 3600, setter=told.append)
        clock.confirm(store, noted, setter=told.append)
        with pytest.raises(BadTime, match="has passed: it was"):
            clock.confirm(store, noted - 3600, setter=told.append)
    assert told == [noted + 3600, noted]


TIMES = {"2026-11-23 12:40": 1795437600, "2026-11-23T12:40:01Z": 1795437601, " 1970-01-01 00:00 ": 0}


@pytest.mark.parametrize(("text", "seconds"), TIMES.items())
def test_times_are_read(text: str, seconds: int) -> None:
    assert clock.parse(text) == seconds


@pytest.mark.parametrize("text", ["noon", "12:40", "23.11.2026 12:40", ""])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(BadTime) as caught:
        clock.parse(text)
    problem: Problem = caught.value
    assert "2026-11-23 12:40" in problem.hint
