"""Text of others, as it may be put on a terminal: what a node, a crate or a client calls itself is not to be obeyed."""

from __future__ import annotations

import re

# What terminals act upon (C0 and C1 controls; a line's end and a tab are wanted), and what turns the reading direction
# so that a text reads otherwise than it is (Unicode, "Bidirectional Algorithm", 2).
_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    r"""`text` with such characters written out: `\x1b`."""
    return _OBEYED.sub(lambda found: f"\\x{ord(found[0]):02x}", text)
