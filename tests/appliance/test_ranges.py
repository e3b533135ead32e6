"""Ranges against the set of numbers that they stand for."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from appliance.ranges import Ranges

_END = 40
_steps = st.lists(st.tuples(st.booleans(), st.integers(0, _END), st.integers(0, 12)), max_size=30)


def _play(steps: list[tuple[bool, int, int]]) -> tuple[Ranges, set[int]]:
    ranges, numbers = Ranges(), set[int]()
    for adding, start, length in steps:
        if adding:
            ranges.add(start, start + length)
            numbers |= set(range(start, start + length))
        else:
            ranges.remove(start, start + length)
            numbers -= set(range(start, start + length))
    return ranges, numbers


@given(_steps)
def test_ranges_stay_merged_and_sorted(steps: list[tuple[bool, int, int]]) -> None:
    ranges, numbers = _play(steps)
    pairs = list(ranges)
    assert {number for start, end in pairs for number in range(start, end)} == numbers
    assert all(first[1] < second[0] for first, second in pairwise(pairs))
    assert ranges.total() == len(numbers)


@given(_steps, st.integers(0, _END), st.integers(0, _END))
def test_questions_about_a_range_agree_with_the_set(
    steps: list[tuple[bool, int, int]], start: int, length: int
) -> None:
    ranges, numbers = _play(steps)
    asked = set(range(start, start + length))
    assert ranges.covers(start, start + length) == (asked <= numbers)
    gaps = {number for low, high in ranges.gaps(start, start + length) for number in range(low, high)}
    assert gaps == asked - numbers
    if asked:
        assert ranges.misses(start, start + length) == asked.isdisjoint(numbers)
