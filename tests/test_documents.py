"""What README and docs tell people to type exists, and every verb explains itself."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from appliance.cli import group as appliance
from bundler.cli import group as bundle

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS: dict[str, click.Group] = {"crate-bundle": bundle, "crate-appliance": appliance}
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def typed() -> Iterator[tuple[str, str]]:
    """Every command line of ours in a code block, with the document that shows it."""
    for document in DOCUMENTS:
        fences = re.split(r"^```.*$", document.read_text(), flags=re.MULTILINE)
        for line in "".join(fences[1::2]).splitlines():
            if line.removeprefix("$ ").startswith(tuple(f"{program} " for program in PROGRAMS)):
                yield document.name, line.removeprefix("$ ")


def verb_of(group: click.Group, name: str) -> click.Command | None:
    """Asked for, because a group may load its verbs when they are called."""
    return group.get_command(click.Context(group), name)


def verbs(name: str, command: click.Command | None) -> Iterator[list[str]]:
    yield name.split()
    if isinstance(command, click.Group):
        for verb in command.list_commands(click.Context(command)):
            yield from verbs(f"{name} {verb}", verb_of(command, verb))


ALL_VERBS = [words for program, group in PROGRAMS.items() for words in verbs(program, group)]


@pytest.mark.parametrize("words", ALL_VERBS, ids=[" ".join(words) for words in ALL_VERBS])
def test_every_verb_explains_itself(words: list[str]) -> None:
    program = Path(sys.executable).with_name(words[0])
    done = subprocess.run([program, *words[1:], "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    about = done.stdout.split("\n\n")[1].strip()
    assert len(about) > 20, f"{' '.join(words)} says too little: {about!r}"


@pytest.mark.parametrize(("document", "line"), [*typed()], ids=lambda text: text)
def test_what_a_document_tells_people_to_type_exists(document: str, line: str) -> None:
    program, *words = shlex.split(line, comments=True)
    command: click.Command = PROGRAMS[program]
    known = {option for parameter in command.params for option in parameter.opts}
    for word in words:
        if word.startswith("-"):
            assert word.split("=")[0] in known, f"{document}: {line}"
        elif isinstance(command, click.Group) and (verb := verb_of(command, word)):
            command = verb
            known |= {option for parameter in command.params for option in parameter.opts}
    assert not isinstance(command, click.Group), f"{document}: {line}"


def test_the_documents_show_commands_at_all() -> None:
    assert {program for _, line in typed() for program in PROGRAMS if line.startswith(program)} == set(PROGRAMS)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
        assert (document.parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_modules_that_a_document_names_exist(document: Path) -> None:
    folders = "|".join(path.parent.name for path in ROOT.glob("*/__init__.py"))
    named = re.findall(rf"`((?:{folders})/[\w/]*(?:\.py)?)`", document.read_text())
    assert [path for path in named if not (ROOT / path).exists()] == []
