"""YAML from upstream, read as what JSON could have said: no tags, no aliases, bounded in depth.

An alias is how a page of YAML becomes a gigabyte ("billion laughs"), and a hundred thousand brackets overflow the stack
of libyaml's own composer. So we take the parser's events, which need no stack, and build the values ourselves.
"""

from __future__ import annotations

import re
from math import inf, isinf
from typing import Any

import yaml

from mirror.errors import BadIndex

DEPTH = 100
"""Levels of nesting; upstream's documents have about ten."""

_PLAIN = {None, "!", *(f"tag:yaml.org,2002:{kind}" for kind in ("str", "map", "seq"))}
# The core schema of YAML 1.2 (section 10.3.2), without infinities, which JSON has not either.
_NULL = {"", "~", "null", "Null", "NULL"}
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?[0-9]{1,18}")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]{1,18}|[0-9]{1,18}(?:\.[0-9]{0,18})?)(?:[eE][-+]?[0-9]{1,3})?")


def parse(text: bytes, what: str) -> Any:
    """The one document called `what`. Raises `BadIndex` for anything but plain data, and for a key given twice."""
    tree = _Tree(what)
    try:
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            tree.take(event)
    except (yaml.YAMLError, ValueError) as error:
        told = " ".join(str(error).split())[:300]
        raise BadIndex(f"{what} is not plain YAML: {told}") from error
    if len(tree.documents) != 1:
        raise BadIndex(f"{what} holds {len(tree.documents)} YAML documents, and one was looked for")
    return tree.documents[0]


class _Tree:
    """Values as they grow: every open collection, and beside each the key that its next value belongs to."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.documents: list[Any] = []
        self._open: list[Any] = [self.documents]
        self._keys: list[str | None] = [None]

    def take(self, event: yaml.Event) -> None:
        match event:
            case yaml.ScalarEvent():
                self._add(_scalar(event), event.value)
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                if len(self._open) > DEPTH or event.tag not in _PLAIN:
                    raise BadIndex(f"{self.what} is nested deeper than {DEPTH} levels, or holds objects")
                collection: Any = {} if isinstance(event, yaml.MappingStartEvent) else []
                self._add(collection, None)
                self._open.append(collection)
                self._keys.append(None)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self._open.pop()
                self._keys.pop()
            case yaml.AliasEvent():
                raise BadIndex(f"{self.what} refers to itself (the alias *{event.anchor}), which is not read")

    def _add(self, value: Any, written: str | None) -> None:
        """`written` is the value as a key, which only a scalar can be."""
        into, key = self._open[-1], self._keys[-1]
        if isinstance(into, list):
            into.append(value)
        elif key is not None:
            into[key] = value
            self._keys[-1] = None
        elif written is None or written in into:
            raise BadIndex(f"{self.what}: {str(value)[:100]!r} is no key, or stands there twice")
        else:
            self._keys[-1] = written


def _scalar(event: yaml.ScalarEvent) -> Any:
    text = event.value
    if event.tag not in _PLAIN:
        raise ValueError(f"the tag {str(event.tag)[:100]!r} is not read")
    if event.style or event.tag:
        return text
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _INT.fullmatch(text):
        return int(text)
    number = float(text) if _FLOAT.fullmatch(text) else inf
    return text if isinf(number) else number
