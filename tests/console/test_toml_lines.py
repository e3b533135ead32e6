"""Keys of a TOML document are found on their lines."""

from __future__ import annotations

import tomllib

import pytest

from console import toml_lines

TEXT = '''
title = "x"
dotted.key = 1

[table]
"quoted key" = 1
text = """
[not.a.table]
nor = "a key"
"""
list = [
  { inner = 1 },
]

[[many]]
name = 1
[many.sub]
deep = 1

[[many]]
name = 2
[[many.more]]
x = 1
[[many.more]]
x = 2
'''
PLACES: dict[str, tuple[toml_lines.Path, int]] = {
    "a key at the top": (("title",), 2),
    "a dotted key": (("dotted", "key"), 3),
    "a table": (("table",), 5),
    "a quoted key": (("table", "quoted key"), 6),
    "a key after a multi-line string": (("table", "list"), 11),
    "an element of an inline list stands where the list begins": (("table", "list", 0, "inner"), 11),
    "the first of many": (("many", 0, "name"), 16),
    "a table inside the first of many": (("many", 0, "sub", "deep"), 18),
    "the second of many": (("many", 1, "name"), 21),
    "many inside the second of many": (("many", 1, "more", 1, "x"), 25),
    "a key that is missing stands where its table begins": (("many", 1, "absent"), 20),
    "what is nowhere stands at the top": (("absent",), 1),
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES.keys())
def test_place(place: tuple[toml_lines.Path, int]) -> None:
    path, line = place
    tomllib.loads(TEXT)
    assert toml_lines.line_of(toml_lines.lines(TEXT), path) == line
