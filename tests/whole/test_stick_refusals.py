"""What install.sh refuses, and what it says: nothing of a stick runs, and nothing stays on the board.

The crates here are made by a test and carry wheels that are none: whoever got as far as running them would fail.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from bundler.stick.script import install_script
from tests.support.boards import Board
from tests.support.crates import CrateMaker, Key, make_key

NAME = "site-1.crate"
HEADER = 512
WHEELS = {
    "buzzcrate-0.1.0-py3-none-any.whl": ("", ""),
    "native-1-cp311-cp311-manylinux_2_17_x86_64.whl": ("linux/amd64", "3.11"),
    "native-1-cp313-cp313-manylinux_2_17_x86_64.whl": ("linux/amd64", "3.13"),
    "pip-26.0-py3-none-any.whl": ("", ""),
}


@dataclass(frozen=True)
class Forged:
    """A stick that may be tampered with. `release` signed its crate; nobody trusts `other`."""

    folder: Path
    release: Key
    other: Key

    @property
    def crate(self) -> Path:
        return self.folder / NAME

    def patch(self, offset: int, data: bytes) -> None:
        with self.crate.open("r+b") as file:
            file.seek(offset)
            file.write(data)

    def place(self, content: bytes) -> int:
        return self.crate.read_bytes().index(content)

    def again(self, *keys: Key, wheels: dict[str, tuple[str, str]] = WHEELS, out: str = NAME) -> None:
        """Writes the crate anew, signed by these keys."""
        maker = CrateMaker(self.folder.parent / "blobs")
        for name, (platform, python) in wheels.items():
            maker.wheel(name, wheel(name), platform=platform, python=python)
        self.crate.unlink(missing_ok=True)
        maker.write(self.folder / out, keys)


def wheel(name: str) -> bytes:
    """Of one size, so that two can be swapped; and over several of a disk's blocks."""
    return (f"not a wheel: {name}\n".encode() * 1000)[:20000]


@pytest.fixture
def forged(tmp_path: Path) -> Forged:
    folder = tmp_path / "stick"
    folder.mkdir()
    (folder / "install.sh").write_bytes(install_script())
    made = Forged(folder, make_key(tmp_path / "keys"), make_key(tmp_path / "keys", "other"))
    made.again(made.release)
    return made


def flip(forged: Forged) -> None:
    forged.patch(forged.place(wheel("pip-26.0-py3-none-any.whl")) + 7777, b"!")


def swap(forged: Forged) -> None:
    names = ("pip-26.0-py3-none-any.whl", "buzzcrate-0.1.0-py3-none-any.whl")
    places = [forged.place(wheel(name)) for name in names]
    for name, place in zip(names, reversed(places), strict=True):
        forged.patch(place, wheel(name))


def change_what_is_signed(forged: Forged) -> None:
    forged.patch(forged.place(b'"channel":"stable"'), b'"channel":"lively"')


def take_another_signature(forged: Forged) -> None:
    """A true signature by the right key, of another crate."""
    other = CrateMaker(forged.folder.parent / "blobs", serial=2).write(forged.folder.parent / "x", [forged.release])[0]
    begin = b"-----BEGIN SSH"
    content = other.read_bytes()
    forged.patch(forged.place(begin), content[content.index(begin) :][:16384])


def truncate_in_the_head(forged: Forged) -> None:
    with forged.crate.open("r+b") as file:
        file.truncate(HEADER + 100)


def truncate_in_a_wheel(forged: Forged) -> None:
    with forged.crate.open("r+b") as file:
        file.truncate(forged.place(wheel("pip-26.0-py3-none-any.whl")) + 100)


def lose_the_first_part(forged: Forged) -> None:
    forged.crate.rename(forged.folder / f"{NAME}.001")


def add_another_crate(forged: Forged) -> None:
    shutil.copy(forged.crate, forged.folder / "apps-3.crate.000")


def write_something_else(forged: Forged) -> None:
    forged.crate.write_text("a shopping list\n" * 1000)


def leave_out_the_appliance(forged: Forged) -> None:
    forged.again(forged.release, wheels={})


def build_for_arm64(forged: Forged) -> None:
    forged.again(forged.release, wheels=dict.fromkeys(WHEELS, ("linux/arm64", "")))


def build_for_a_later_python(forged: Forged) -> None:
    forged.again(forged.release, wheels=dict.fromkeys(WHEELS, ("", "3.12,3.13")))


def nothing(_forged: Forged) -> None:
    pass


CARD = "--fingerprint {fingerprint}"
# what is done to the stick, the arguments, the exit code, and what has to be said
REFUSED: dict[str, tuple[Callable[[Forged], None], str, int, tuple[str, ...]]] = {
    "another fingerprint": (nothing, "--fingerprint {other}", 3, ("is signed by {fingerprint}, and not by {other}",)),
    "half a fingerprint": (nothing, "--fingerprint SHA256:abc", 2, ("SHA256:abc is no fingerprint", "43 characters")),
    "another key": (nothing, "--key /media/other.pub", 3, ("is signed by {fingerprint}, and not by {other}",)),
    "a private key": (nothing, "--key /media/release", 2, ("/media/release is not a public key", ".pub")),
    "a key that is not there": (nothing, "--key gone.pub", 2, ("gone.pub cannot be read", ".pub")),
    "no key, and nobody to ask": (nothing, "", 3, ("nothing says that this is right", "--fingerprint")),
    "an option without its value": (nothing, "--fingerprint", 2, ("--fingerprint needs a value", "--help")),
    "a crate that is not there": (nothing, "--crate gone.crate", 2, ("gone.crate is not there",)),
    "no signature": (lambda forged: forged.again(), CARD, 3, ("the crate is not signed", "crate-bundle sign")),
    "a signature by somebody else": (
        lambda forged: forged.again(forged.other),
        CARD,
        3,
        ("is signed by {other}, and not by {fingerprint}", "do not use this stick"),
    ),
    "a signature of another crate": (take_another_signature, CARD, 3, ("no signature fits the crate",)),
    "a signed document that was changed": (change_what_is_signed, CARD, 3, ("no signature fits the crate",)),
    "a flipped byte in a wheel": (flip, CARD, 1, ("pip-26.0-py3-none-any.whl in site-1.crate", "not what was signed")),
    "two wheels swapped": (swap, CARD, 1, ("buzzcrate-0.1.0-py3-none-any.whl in site-1.crate", "not what was signed")),
    "a part that ends in its head": (truncate_in_the_head, CARD, 1, ("site-1.crate is cut short", "copy that file")),
    "a part that ends in a wheel": (truncate_in_a_wheel, CARD, 1, ("ends in the middle of pip-26.0", "copy that file")),
    "no first part": (lose_the_first_part, CARD, 1, ("site-1.crate.000 is missing in /media", "stick that has it")),
    "no crate": (lambda forged: forged.crate.unlink(), CARD, 1, ("there is no crate in /media", "--crate FILE")),
    "two crates": (add_another_crate, CARD, 2, ("several crates: apps-3.crate.000, site-1.crate", "--crate FILE")),
    "something else by that name": (write_something_else, CARD, 1, ("site-1.crate is not a crate",)),
    "a crate without the appliance": (
        leave_out_the_appliance,
        CARD,
        1,
        ("does not carry the appliance", "[appliance]"),
    ),
    "another architecture": (
        build_for_arm64,
        CARD,
        1,
        ("this board is linux/amd64, and the crate is for linux/arm64",),
    ),
    "another Python": (build_for_a_later_python, CARD, 1, ("is for Python 3.12, 3.13, and here is 3.11", '"3.11"')),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str, forged: Forged, tmp_path: Path) -> None:
    tamper, arguments, code, words = REFUSED[case]
    tamper(forged)
    shutil.copy(forged.other.public, forged.folder / "other.pub")
    shutil.copy(forged.release.private, forged.folder / "release")
    names = {"fingerprint": forged.release.fingerprint, "other": forged.other.fingerprint}
    board = Board.of(tmp_path / "board", "bookworm", forged.folder)
    told = board.run(f"sh /media/install.sh {arguments.format(**names)}")
    assert told.code == code, told.said
    for word in words:
        assert word.format(**names) in told.said
    assert "hint: " in told.said
    assert nothing_stays(board)


def nothing_stays(board: Board) -> bool:
    return not any(board.path(path).exists() for path in ("opt/buzzcrate", "usr/local/bin", "var/lib/crate"))


# a double of Debian 11's: it answers what install.sh asks a Python for its version
OLD_PYTHON = r"""rm $ROOT/usr/bin/python3*
printf '#!/bin/sh\ncase $3 in *print*) echo 3.9;; *) exit 1;; esac\n' >$ROOT/usr/bin/python3
chmod 755 $ROOT/usr/bin/python3"""

# what is done to the board each time, the exit code, and what has to be said
UNFIT: dict[str, tuple[str, int, tuple[str, ...]]] = {
    "no python3": ("rm $ROOT/usr/bin/python3*", 1, ("there is no python3 here", "Debian 12")),
    "a Python that is too old": (
        OLD_PYTHON,
        1,
        ("Python is too old here: 3.9, and 3.11 is needed", "Debian 12"),
    ),
    "half a Python": (
        "rm -r $ROOT/usr/lib/python3*/venv",
        1,
        ("lost parts of its standard library", "python3-minimal"),
    ),
    "no ssh-keygen": ("rm $ROOT/usr/bin/ssh-keygen", 1, ("there is no ssh-keygen here", "openssh-client")),
    "no space": (
        "mkdir -p $ROOT/opt; mount -t tmpfs -o size=200k tmpfs $ROOT/opt",
        1,
        ("/opt/buzzcrate has room for 0 MiB", "free some space"),
    ),
    "a disk on which nothing may run": (
        "mkdir -p $ROOT/opt; mount -t tmpfs -o noexec tmpfs $ROOT/opt",
        1,
        ("no program may run in /opt/buzzcrate", "remount,exec"),
    ),
    "another crate-appliance": (
        "mkdir -p $ROOT/usr/local/bin; : >$ROOT/usr/local/bin/crate-appliance",
        1,
        ("/usr/local/bin/crate-appliance is there and did not come from a stick", "move it away"),
    ),
    "a disk that nobody may write to": (
        "mkdir -p $ROOT/opt; mount -t tmpfs -o ro tmpfs $ROOT/opt",
        1,
        ("/opt/buzzcrate: Read-only file system",),
    ),
}


@pytest.mark.parametrize("case", UNFIT)
def test_an_unfit_board_is_told_what_it_lacks(case: str, forged: Forged, tmp_path: Path) -> None:
    before, code, words = UNFIT[case]
    board = Board.of(tmp_path / "board", "bookworm", forged.folder, before)
    told = board.run(f"sh /media/install.sh --fingerprint {forged.release.fingerprint}")
    assert told.code == code, told.said
    assert [word for word in words if word not in told.said] == [], told.said
    assert not board.path("var/lib/crate").exists()
    assert not board.path("opt/buzzcrate").exists()


def test_a_plain_user_is_told_to_be_root(forged: Forged, tmp_path: Path) -> None:
    board = Board.of(tmp_path / "board", "bookworm", forged.folder)
    told = board.run("setpriv --reuid 65534 --clear-groups sh /media/install.sh")
    assert told.code == 2
    assert "sudo sh /media/install.sh" in told.said


def test_whoever_says_no_at_the_terminal_gets_nothing(forged: Forged, tmp_path: Path) -> None:
    board = Board.of(tmp_path / "board", "bookworm", forged.folder)
    told = board.run("sh /media/install.sh", typed="no\n")
    assert told.code == 3
    assert forged.release.fingerprint in told.said
    assert "not by whom it should be" in told.said
    assert nothing_stays(board)


POLICY = '[crate."site"]\nprincipals = ["release", "audit"]\nthreshold = 2\n'
# who signs, the lines of allowed_signers, the arguments, and whether that is enough for a board with POLICY
POLICIES: dict[str, tuple[tuple[str, ...], tuple[str, ...], str, bool]] = {
    "both of them": (("release", "other"), ("release release", "audit other"), "", True),
    "one of them": (("release",), ("release release", "audit other"), "", False),
    "one of them under both names": (("release",), ("release release", "audit release"), "", False),
    "two keys of one of them": (("release", "other"), ("release release", "release other"), "", False),
    "somebody else as well": (("release", "other"), ("release release", "cousin other"), "", False),
    "one of them, and one from the card": (
        ("release", "other"),
        ("release release",),
        "--as audit --fingerprint {other}",
        True,
    ),
    "one from the card alone": (("other",), (), "--fingerprint {other}", False),
    "nobody who is known": (("other",), (), "", False),
}


@pytest.mark.parametrize("case", POLICIES)
def test_a_boards_own_policy_counts_before_anything_runs(case: str, forged: Forged, tmp_path: Path) -> None:
    who, lines, arguments, enough = POLICIES[case]
    keys = {"release": forged.release, "other": forged.other}
    forged.again(*(keys[name] for name in who))
    board = Board.of(tmp_path / "board", "bookworm", forged.folder)
    trust = board.path("var/lib/crate/trust")
    trust.mkdir(parents=True)
    (trust / "policy.toml").write_text(POLICY)
    signers = [f"{words.split()[0]} {keys[words.split()[1]].public.read_text()}" for words in lines]
    (trust / "allowed_signers").write_text("".join(signers))
    told = board.run(f"sh /media/install.sh {arguments.format(other=forged.other.fingerprint)}")
    assert ("installing them" in told.said) == enough, told.said
    assert ("must be signed by 2 of audit, release" in told.said) != enough
    assert told.code == (1 if enough else 3)


def test_limits_in_allowed_signers_count(forged: Forged, tmp_path: Path) -> None:
    board = Board.of(tmp_path / "board", "bookworm", forged.folder)
    trust = board.path("var/lib/crate/trust")
    trust.mkdir(parents=True)
    for options, code in (('valid-before="20200101"', 3), ('namespaces="git"', 3), ("", 1)):
        (trust / "allowed_signers").write_text(f"release {options} {forged.release.public.read_text()}")
        assert board.run("sh /media/install.sh").code == code, options


def test_one_at_a_time(forged: Forged, tmp_path: Path) -> None:
    board = Board.of(tmp_path / "board", "bookworm", forged.folder)
    held = "mkdir -p /opt/buzzcrate && flock /opt/buzzcrate/.lock sh /media/install.sh"
    told = board.run(held)
    assert told.code == 1
    assert "another install.sh is at work here" in told.said


def test_the_second_signature_counts_as_well(forged: Forged, tmp_path: Path) -> None:
    """Refused for the wheels that are none, and no sooner."""
    forged.again(forged.other, forged.release)
    board = Board.of(tmp_path / "board", "bookworm", forged.folder)
    told = board.run(f"sh /media/install.sh --fingerprint {forged.release.fingerprint}")
    assert "installing them" in told.said, told.said
    assert "installing the appliance failed" in told.said
    assert told.code == 1
    assert nothing_stays(board)
