"""What goes wrong for users: each ends with its exit code, one line that says what to do, and an untouched store."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.images import make_layout
from tests.support.tools import tool
from tests.whole.programs import APPLIANCE, BUNDLE, Crate, Desk, Ended, command, from_layout, skopeo_pull

LOCAL = "registry.example.org/team/local:1"


@dataclass(frozen=True)
class World:
    """A desk, a split crate in `stick`, and a crate that trusts the desk's key."""

    desk: Desk
    crate: Crate
    stick: Path

    def part(self, number: int) -> Path:
        return sorted(self.stick.iterdir())[number]


@pytest.fixture
def world(tmp_path: Path) -> World:
    desk = Desk.set_up(tmp_path / "desk")
    image = make_layout(tmp_path / "image", LOCAL, layer_size=64 * 1024)
    desk.write_recipe(from_layout(image), serial=5)
    desk.build(tmp_path / "stick", "--split", "64K")
    crate = Crate(tmp_path / "crate")
    crate.trust(desk)
    return World(desk, crate, tmp_path / "stick")


def flip(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))


def flipped_blob(world: World) -> None:
    flip(world.part(1), 1000)


def flipped_signed_bytes(world: World) -> None:
    flip(world.part(0), 600)


def flipped_tar_header(world: World) -> None:
    flip(world.part(0), 0)


def missing_part(world: World) -> None:
    world.part(1).unlink()


def cut_part(world: World) -> None:
    with world.part(-1).open("r+b") as file:
        file.truncate(100)


def swapped_parts(world: World) -> None:
    one, two, aside = world.part(1), world.part(2), world.stick / "aside"
    one.rename(aside)
    two.rename(one)
    aside.rename(two)


def longer_part(world: World) -> None:
    with world.part(-1).open("ab") as file:
        file.write(b"more")


def unsigned(world: World) -> None:
    """The signature slot is the third member: header, crate.json padded, header, slot."""
    part = world.part(0)
    data = bytearray(part.read_bytes())
    slot = data.index(b"-----BEGIN SSH SIGNATURE-----")
    data[slot : slot + 16 * 1024] = b"\n" * (16 * 1024)
    part.write_bytes(data)


def somebody_elses_key(world: World) -> None:
    world.desk.key.unlink()
    command([tool("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", world.desk.key])
    shutil.rmtree(world.stick)
    world.desk.build(world.stick, "--split", "64K")


@dataclass(frozen=True)
class Case:
    """What happens to the stick, how `install` ends, and a word that its message must hold."""

    harm: Callable[[World], None]
    code: int
    says: str


STICKS = {
    "a flipped byte in a blob": Case(flipped_blob, 1, ".001"),
    "a flipped byte in what is signed": Case(flipped_signed_bytes, 3, "signature"),
    "a flipped byte in a tar header": Case(flipped_tar_header, 2, "is not a crate"),
    "a part that is missing": Case(missing_part, 1, ".001"),
    "a last part that was cut": Case(cut_part, 1, ""),
    "two parts under each other's names": Case(swapped_parts, 1, ""),
    "a last part with more behind it": Case(longer_part, 2, "copy it again"),
    "no signature at all": Case(unsigned, 3, "sign"),
    "a signature by a key that nobody trusts": Case(somebody_elses_key, 3, "trust"),
}


def assert_explained(ended: Ended, says: str) -> None:
    assert says in ended.err
    assert "hint:" in ended.err


@pytest.mark.parametrize("case", STICKS.values(), ids=STICKS)
def test_a_bad_stick_is_refused_and_a_good_one_taken_afterwards(tmp_path: Path, world: World, case: Case) -> None:
    good = tmp_path / "good"
    shutil.copytree(world.stick, good)
    case.harm(world)
    assert_explained(world.crate.run("install", world.stick, expect=case.code), case.says)
    assert LOCAL.removesuffix(":1") not in world.crate.run("status", "--json").out
    world.crate.run("install", good)
    with world.crate.serving() as served:
        skopeo_pull(served, LOCAL, "arm64", tmp_path / "pulled")


def test_an_older_serial_is_refused_until_the_floor_is_lowered(tmp_path: Path, world: World) -> None:
    image = make_layout(tmp_path / "older", LOCAL, seed="older")
    world.desk.write_recipe(from_layout(image), serial=4)
    older = world.desk.build(tmp_path / "older-out")
    world.crate.run("install", world.stick)
    assert_explained(world.crate.run("install", *older, expect=3), "4")
    world.crate.run("trust", "floor", "site", "4")
    world.crate.run("install", *older)


def test_the_same_serial_with_other_content_is_refused(tmp_path: Path, world: World) -> None:
    image = make_layout(tmp_path / "other", LOCAL, seed="other")
    world.desk.write_recipe(from_layout(image), serial=5)
    other = world.desk.build(tmp_path / "other-out")
    world.crate.run("install", world.stick)
    assert_explained(world.crate.run("install", *other, expect=3), "5")


RECIPES = {
    "a key that nobody knows": ('[[images]]\nreff = "busybox"', "ref"),
    "an image from nowhere": ("[[images]]\n", "ref"),
    "a reference that is none": ('[[images]]\nref = "Not A Reference"', "reference"),
    "a file that climbs out": ('[[files]]\nname = "../passwd"\npath = "notes"', "name"),
    "a URL without a digest": ('[[files]]\nname = "x"\nurl = "https://mirror.example.org/x"', "sha256"),
    "TOML that is none": ("[[images", "bundle.toml"),
}


@pytest.mark.parametrize(("entry", "says"), RECIPES.values(), ids=RECIPES)
def test_a_wrong_recipe_is_a_wrong_input(tmp_path: Path, entry: str, says: str) -> None:
    desk = Desk.set_up(tmp_path / "desk")
    desk.write_recipe(entry)
    ended = command(desk.build_words(tmp_path / "out"), desk.environment, expect=2)
    assert says in ended.err
    assert not list(tmp_path.glob("out/*"))


COMMANDS: dict[str, tuple[list[str], int]] = {
    "build without a recipe": ([BUNDLE, "build", "nowhere.toml", "--out", "out", "--key", "key"], 2),
    "build with a verb misspelt": ([BUNDLE, "biuld"], 2),
    "verify of nothing": ([BUNDLE, "verify", "nowhere.crate"], 2),
    "inspect of nothing": ([BUNDLE, "inspect", "nowhere.crate"], 2),
    "install of nothing": ([APPLIANCE, "--root", "root", "install", "nowhere.crate"], 2),
    "trust of a file that is no key": ([APPLIANCE, "--root", "root", "trust", "add", __file__, "--as", "x"], 2),
    "a token for an unknown role": ([APPLIANCE, "--root", "root", "tokens", "create", "--role", "emperor"], 2),
    "status of no store": ([APPLIANCE, "--root", "root", "status"], 2),
}


@pytest.mark.parametrize(("words", "code"), COMMANDS.values(), ids=COMMANDS)
def test_a_wrong_command_ends_with_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], code: int
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = command(words, expect=code)
    assert ended.err.strip()
    assert not ended.out
