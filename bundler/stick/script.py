"""install.sh, put together: the shell's part around Python's, so that each can be read, checked and tested as it is."""

from __future__ import annotations

from importlib import resources

MODULES = ("ground", "head", "judging", "machine", "setting_up", "__main__")
"""Of `bundler.stick.board`, in the order in which they use one another."""
_MARK = "@@board@@\n"
_LEFT_OUT = ("from __future__ ", "from bundler.stick.board.")


def install_script() -> bytes:
    """One file in ASCII: POSIX sh, with the text of `bundler.stick.board` inside."""
    shell = resources.files(__package__).joinpath("install.sh").read_text("ascii")
    return shell.replace(_MARK, board_program()).encode("ascii")


def board_program() -> str:
    """The modules of `bundler.stick.board` as one, without what they import of each other."""
    folder = resources.files(__package__).joinpath("board")
    texts = [folder.joinpath(f"{name}.py").read_text("ascii") for name in MODULES]
    lines = (line for text in texts for line in text.splitlines(keepends=True) if not line.startswith(_LEFT_OUT))
    return "from __future__ import annotations\n\n" + "".join(lines)
