"""JSON as BuzzCrate signs and reads it: one canonical spelling out, no ambiguity in."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, NoReturn

from archive.errors import DuplicateKey, InvalidValue


def canonical(value: object) -> bytes:
    """Sorted keys, no spaces, UTF-8, no trailing newline: the same value is always the same bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def parse(data: bytes | str, what: str) -> Any:
    """JSON that means one thing: duplicate keys, NaN and Infinity are refused, and so is nesting beyond reason.

    `what` names the document in the message. Raises `InvalidValue`.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            (twice, _), *_ = Counter(key for key, _ in pairs).most_common(1)
            raise DuplicateKey(f"{what}: the key {twice!r} stands there twice")
        return found

    def constant(name: str) -> NoReturn:
        raise InvalidValue(f"{what}: {name} is not JSON")

    try:
        return json.loads(data, object_pairs_hook=unique, parse_constant=constant)
    except (ValueError, RecursionError) as error:
        raise InvalidValue(f"{what} is not JSON: {error}") from error
