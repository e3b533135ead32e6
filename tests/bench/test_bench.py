"""The bench runs and writes what it promises; its figures are nobody's business here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.__main__ import GROUPS, line, main
from bench.measure import Row, less_is_better, more_is_better

SCHEMA = {"name": str, "ours": float, "peer": float, "peer_name": str, "unit": str, "ratio": float, "goal": float}


@pytest.mark.parametrize("group", GROUPS)
def test_a_quick_bench_writes_its_results(tmp_path: Path, group: str) -> None:
    results = tmp_path / "results.json"
    assert main(["--quick", "--out", str(results), group]) == 0
    rows = json.loads(results.read_text())
    assert rows
    for row in rows:
        assert set(row) == set(SCHEMA)
        for field, kind in SCHEMA.items():
            assert isinstance(row[field], (int, float) if kind is float else kind), row
        assert row["ours"] > 0
        assert row["ratio"] > 0


def test_an_unknown_group_is_a_wrong_use() -> None:
    with pytest.raises(SystemExit) as ended:
        main(["nonsense"])
    assert ended.value.code == 2


@pytest.mark.parametrize(
    ("row", "ratio"),
    [
        pytest.param(less_is_better("x", 2, 4, peer_name="p", unit="s"), 2, id="half the seconds are twice as good"),
        pytest.param(more_is_better("x", 2, 4, peer_name="p", unit="1/s"), 0.5, id="half the rate is half as good"),
    ],
)
def test_more_than_one_is_in_our_favour(row: Row, ratio: float) -> None:
    assert row.ratio == ratio
    assert ("MISSED" in line(row)) == (ratio < 1)
