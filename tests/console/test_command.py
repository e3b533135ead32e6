"""The frame around a command line: whatever happens, one line, a hint, and the exit code that was promised."""

from __future__ import annotations

import errno

import click
import pytest

from archive.errors import InvalidValue, Problem, Refused
from console.command import run


def ended(error: BaseException | None, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The exit code and standard error of a program whose only verb meets `error`."""

    @click.group()
    def group() -> None: ...

    @group.command()
    def verb() -> None:
        if error:
            raise error

    return called(group, "verb"), capsys.readouterr().err


def called(group: click.Group, verb: str) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["crate-x", verb])
        with pytest.raises(SystemExit) as exit_:
            run(group, "crate-x")
    assert isinstance(exit_.value.code, int)
    return exit_.value.code


CASES = {
    "nothing happened": (None, 0, ""),
    "something failed": (Problem("the disk is full"), 1, "crate-x: the disk is full\n"),
    "something failed, and there is a remedy": (
        Problem("the disk is full", hint="crate-x gc"),
        1,
        "crate-x: the disk is full\n  hint: crate-x gc\n",
    ),
    "the input is wrong": (InvalidValue("no digest"), 2, "crate-x: no digest\n"),
    "it is not to be trusted": (Refused("unsigned"), 3, "crate-x: unsigned\n"),
    "a file is not there": (
        FileNotFoundError(errno.ENOENT, "No such file or directory", "x.crate"),
        1,
        "crate-x: x.crate: No such file or directory\n",
    ),
    "an error of the system has no name": (OSError("odd"), 1, "crate-x: odd\n"),
    "somebody pressed Ctrl-C": (
        KeyboardInterrupt(),
        130,
        "crate-x: interrupted; the same command goes on from here\n",
    ),
}


@pytest.mark.parametrize(("error", "code", "text"), CASES.values(), ids=CASES.keys())
def test_every_end_is_a_line_and_a_code(
    error: BaseException | None, code: int, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found, printed = ended(error, capsys)
    assert (found, printed.lstrip("\n")) == (code, text)


def test_an_unknown_verb_is_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert called(click.Group(), "vreb") == 2
    assert "No such command 'vreb'" in capsys.readouterr().err


def test_a_defect_of_ours_is_not_dressed_up() -> None:
    group = click.Group(commands={"verb": click.Command("verb", callback=lambda: 1 // 0)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["crate-x", "verb"])
        with pytest.raises(ZeroDivisionError):
            run(group, "crate-x")
