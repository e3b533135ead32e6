"""`build --stick`: what lies on the stick, what is on the card, and what is refused before anything is built."""

from __future__ import annotations

import ast
import hashlib
import json
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest

from appliance.cli import group as appliance
from archive.catalogue import File, Item
from archive.platforms import Platform
from bundler.lockfile import Lock
from bundler.stick import script
from bundler.stick.card import Card
from tests.bundler.test_appliance import ONE_BOARD, dependencies, recipe
from tests.bundler.workshop import Workshop
from tests.mirror.pypi.index import index
from tests.support.tools import tool

FINGERPRINT = "SHA256:" + "k" * 43
SCREEN = (80, 24)


@pytest.fixture
def workshop(tmp_path: Path) -> Iterator[Workshop]:
    with index(*dependencies()) as wheels:
        made = Workshop.make(tmp_path / "work", recipe(wheels.url, *ONE_BOARD))
        made.keygen()
        yield made


def build(*options: str) -> list[str]:
    return ["build", "--stick", "stick", "--key", "release.key", *options]


def test_a_stick_stands_alone_and_its_card_lies_elsewhere(workshop: Workshop) -> None:
    told = workshop.succeed(*build())
    stick, card = workshop.folder / "stick", workshop.folder / "lab-card"
    assert {path.name for path in stick.iterdir()} == {"lab-7.crate", "install.sh", "START-HERE.txt"}
    assert {path.name for path in card.iterdir()} == {"card.txt", "card.svg", "card.png", "card-terminal.txt"}
    assert "START-HERE.txt" in told
    assert "lab-card" in told

    text = (card / "card.txt").read_text()
    lines = [line.split() for line in text.splitlines()]
    digest = hashlib.sha256((stick / "install.sh").read_bytes()).hexdigest()
    fingerprint = subprocess.run(
        [tool("ssh-keygen"), "-lf", workshop.folder / "release.key.pub"], capture_output=True, text=True, check=True
    ).stdout.split()[1]
    assert [digest] in lines
    assert ["1", "sha256sum", "/mnt/install.sh"] in lines
    assert ["2", "sh", "/mnt/install.sh", "--fingerprint", fingerprint] in lines
    assert ["3", "crate-appliance", "status"] in lines
    assert "lab-7.crate" in text
    assert "the appliance itself" in text


def test_a_phone_reads_from_the_card_what_must_not_be_mistyped(workshop: Workshop) -> None:
    workshop.succeed(*build("--card", "card"))
    stick, card = workshop.folder / "stick", workshop.folder / "card"
    read = subprocess.run(
        [tool("zbarimg"), "--quiet", "--raw", card / "card.png"], capture_output=True, text=True, check=True
    ).stdout
    assert read.splitlines()[0] == "lab 7"
    assert hashlib.sha256((stick / "install.sh").read_bytes()).hexdigest() in read
    assert re.search(r"SHA256:[A-Za-z0-9+/]{43}", read)
    assert (card / "card.svg").read_text().startswith("<?xml")
    width, height = _extent((card / "card-terminal.txt").read_text())
    assert width <= SCREEN[0]
    assert height <= 40


def test_the_same_lock_lays_the_same_stick(workshop: Workshop) -> None:
    workshop.succeed(*build())
    before = {path.name: path.read_bytes() for path in (workshop.folder / "stick").iterdir()}
    told = json.loads(workshop.succeed(*build("--json")))
    assert {path.name: path.read_bytes() for path in (workshop.folder / "stick").iterdir()} == before
    assert told["card"] == "lab-card"


def test_parts_fit_fat32_or_what_is_asked_for(workshop: Workshop) -> None:
    """The first part has all that install.sh reads."""
    (workshop.folder / "big").write_bytes(bytes(9_000_000))
    workshop.write(workshop.recipe.read_text() + '[[files]]\nname = "big"\npath = "big"\n')
    workshop.succeed(*build("--split", "4M"))
    parts = sorted(path.name for path in (workshop.folder / "stick").iterdir() if ".crate" in path.name)
    assert parts == [f"lab-7.crate.{number:03}" for number in range(len(parts))]
    assert len(parts) > 1
    assert f"in {len(parts)} parts" in (workshop.folder / "stick/START-HERE.txt").read_text()
    assert ", ".join(parts) in (workshop.folder / "lab-card/card.txt").read_text()


def test_refused_before_anything_is_fetched(workshop: Workshop) -> None:
    stick = workshop.folder / "stick"
    stick.mkdir()
    (stick / "lab-6.crate.000").write_bytes(b"the release before")
    cases = {
        ("build", "--key", "release.key"): "either --out DIR",
        (*build(), "--out", "out"): "either --out DIR",
        ("build", "--out", "out", "--card", "card", "--key", "release.key"): "--card goes with --stick",
        tuple(build("--card", "stick/card")): "is on the stick that it is to vouch for",
        tuple(build("--card", ".")): "",
        tuple(build()): "holds lab-6.crate already",
    }
    for words, said in cases.items():
        done = workshop.run(*words)
        assert done.returncode == 2, words
        assert said in done.stderr
    workshop.write('[crate]\nname = "lab"\n')
    done = workshop.run(*build())
    assert done.returncode == 2
    assert "has no [appliance]" in done.stderr
    assert "crate-bundle lock" in done.stderr
    assert not (workshop.folder / "bundle.lock").exists()
    assert [path.name for path in stick.iterdir()] == ["lab-6.crate.000"]


def card(*items: Item, signers: tuple[str, ...] = (FINGERPRINT,), parts: int = 1) -> Card:
    lock = Lock(
        name="a-name-as-long-as-the-format-takes-which-is-sixty-four-letters-0",
        channel="stable",
        serial=202611230930,
        created=datetime(2026, 11, 23, 9, 30, tzinfo=UTC),
        expires=None,
        writer="tests",
        recipe="0" * 64,
        platforms=(Platform.parse("linux/amd64"), Platform.parse("linux/arm64")),
        requests=(),
        items=items,
    )
    return Card.of(lock, b"#!/bin/sh\n", signers, [f"x.crate.{number:03}" for number in range(parts)], 5 << 30)


K3S = Item("file", "k3s/v1.36.4+k3s1/k3s-arm64", "v1.36.4+k3s1", files=(File("1" * 64, 70 << 20),))


@pytest.mark.parametrize("made", [card(), card(K3S, parts=14)], ids=["one file", "a cluster in many parts"])
def test_start_here_fits_a_screen_and_knows_no_secret(made: Card) -> None:
    text = made.start_here()
    width, height = _extent(text)
    assert width <= SCREEN[0]
    assert height <= SCREEN[1]
    assert made.script not in text
    assert FINGERPRINT not in text


def test_the_third_command_makes_a_cluster_where_the_crate_brings_one() -> None:
    assert card(K3S).commands[2] == "crate-appliance site init"
    assert card().commands[2] == "crate-appliance status"


@pytest.mark.parametrize("made", [card(), card(K3S)], ids=["without k3s", "with k3s"])
def test_the_commands_of_card_and_start_here_exist(made: Card) -> None:
    named = re.findall(r"crate-appliance ([a-z][a-z-]*)", made.text() + made.start_here())
    assert named
    for verb in named:
        assert appliance.get_command(click.Context(appliance), verb) is not None, verb


def test_all_who_signed_are_on_the_card() -> None:
    other = "SHA256:" + "m" * 43
    text = card(signers=(FINGERPRINT, other)).text()
    assert f"signed by  {FINGERPRINT}\nsigned by  {other}" in text


def test_what_is_in_it_is_counted_by_kind() -> None:
    image = Item("image", "docker.io/library/busybox", "1.36", files=(File("2" * 64, 1 << 20),))
    boot = Item("boot", "pip", "26.0", files=(File("3" * 64, 2 << 20),))
    text = card(K3S, image, boot).text()
    assert "in it      the appliance itself, 2.0 MiB\n           1 file, 70.0 MiB\n           1 image, 1.0 MiB" in text


def test_install_sh_is_what_shells_and_shellcheck_take(tmp_path: Path) -> None:
    path = tmp_path / "install.sh"
    path.write_bytes(script.install_script())
    subprocess.run([tool("shellcheck"), "--shell=sh", path], check=True)
    for shell in ([tool("dash")], [tool("busybox"), "sh"]):
        subprocess.run([*shell, "-n", path], check=True)
        told = subprocess.run([*shell, path, "--help"], check=True, capture_output=True, text=True).stdout
        assert told.startswith("Usage: sh install.sh [--fingerprint SHA256:... | --key FILE]")
        assert len(told.splitlines()) <= SCREEN[1]
        assert max(map(len, told.splitlines())) <= SCREEN[0]


def test_the_modules_of_the_board_are_one_program_of_the_standard_library() -> None:
    """They travel as one text: what one of them defines, no other may."""
    program = ast.parse(script.board_program())
    defined = Counter(
        name
        for node in program.body
        for name in (
            [node.name]
            if isinstance(node, ast.FunctionDef | ast.ClassDef)
            else [one.id for one in node.targets if isinstance(one, ast.Name)]
            if isinstance(node, ast.Assign)
            else []
        )
    )
    assert [name for name, times in defined.items() if times > 1] == []
    imported = {
        (alias.name if isinstance(node, ast.Import) else str(node.module)).split(".")[0]
        for node in ast.walk(program)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert not imported & {"archive", "bundler", "appliance", "console", "click", "cryptography"}


def _extent(text: str) -> tuple[int, int]:
    lines = text.splitlines()
    return max(map(len, lines)), len(lines)
