"""Which line of a TOML document a key stands on; `tomllib` reads values and forgets where they were.

A scan of the lines that begin a table or a key, each key read by `tomllib` itself. Keys inside an inline table or a
multi-line array are found at the line of the key that holds them, which is where a person looks.
"""

from __future__ import annotations

import re
import tomllib

Path = tuple[str | int, ...]

_WORD = r"""(?:"[^"]*"|'[^']*'|[A-Za-z0-9_-]+)"""
_KEY = rf"{_WORD}(?:\s*\.\s*{_WORD})*"
_TABLE = re.compile(rf"\s*(\[\[?)\s*({_KEY})\s*\]\]?")
_ASSIGNMENT = re.compile(rf"\s*({_KEY})\s*=(.*)")
_QUOTES = ('"""', "'''")


def lines(text: str) -> dict[Path, int]:
    """Every table and key of `text`, which must be valid TOML, and its line, counted from 1."""
    found: dict[Path, int] = {(): 1}
    lengths: dict[Path, int] = {}
    table: Path = ()
    closing = ""  # the quotes that end the multi-line string we are in
    for number, line in enumerate(text.splitlines(), start=1):
        if closing:
            if closing in line:
                closing = ""
            continue
        if header := _TABLE.match(line):
            table = _indexed(_words(header[2]), lengths, new=header[1] == "[[")
            found.setdefault(table, number)
            if header[1] == "[[":
                found.setdefault(table[:-1], number)
        elif assignment := _ASSIGNMENT.match(line):
            found.setdefault(table + _words(assignment[1]), number)
            closing = next((quotes for quotes in _QUOTES if assignment[2].count(quotes) == 1), "")
    return found


def line_of(found: dict[Path, int], path: Path) -> int:
    """The line of `path`, or of the nearest thing around it."""
    while path not in found:
        path = path[:-1]
    return found[path]


def _words(key: str) -> Path:
    words: list[str] = []
    value: object = tomllib.loads(f"{key} = 0")
    while isinstance(value, dict):
        word, value = next(iter(value.items()))
        words.append(word)
    return tuple(words)


def _indexed(words: Path, lengths: dict[Path, int], *, new: bool) -> Path:
    """The table's path with the number of each array element in it; `new` begins an element."""
    path: Path = ()
    for word in words:
        path = (*path, word)
        if path in lengths and (not new or len(path) < len(words) or word != words[-1]):
            path = (*path, lengths[path] - 1)
    if new:
        lengths[path] = lengths.get(path, 0) + 1
        path = (*path, lengths[path] - 1)
    return path
