"""What others wrote goes to a terminal as something to read."""

from __future__ import annotations

import pytest

from console.visible import visible

CASES = {
    "a sequence that clears the screen": ("n1\x1b[2J", "n1\\x1b[2J"),
    "one that sets the title, ended by a bell": ("\x1b]0;mine\x07", "\\x1b]0;mine\\x07"),
    "a C1 control": ("\x9b31m", "\\x9b31m"),
    "a return that writes over the line": ("failed\rfine  ", "failed\\x0dfine  "),
    "text that reads backwards": ("gnp\u202eexe", "gnp\\x202eexe"),
    "lines, tabs and letters of any language": ("a\tb\nGrüße 北京", "a\tb\nGrüße 北京"),
}


@pytest.mark.parametrize(("text", "shown"), CASES.values(), ids=CASES.keys())
def test_visible(text: str, shown: str) -> None:
    assert visible(text) == shown
