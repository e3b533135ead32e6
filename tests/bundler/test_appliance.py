"""`[appliance]` in a recipe: which wheels it brings, for whom, and how lock, archive and `inspect` tell of them."""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from archive.reader import read_envelope
from archive.release import Release
from archive.volumes import Volumes
from bundler.own_wheel import NAME
from bundler.recipe import Recipe
from tests.bundler.workshop import Workshop
from tests.bundler.worlds import World, world
from tests.mirror.pypi.index import Made, index, wheel
from tests.support.sticks import REPOSITORY

MACHINES = ("x86_64", "aarch64")
PYTHONS = ("311", "312", "313")


def dependencies() -> list[Made]:
    """Every base dependency as a wheel that is next to empty: one native, one for a stable ABI, the others pure."""
    made = [wheel("pip", "26.0")]
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    for requirement in map(Requirement, project["dependencies"]):
        version = next(iter(requirement.specifier)).version
        tags = ["py3-none-any"]
        if requirement.name == "zstandard":
            tags = [f"cp{one}-cp{one}-manylinux_2_17_{machine}" for one in PYTHONS for machine in MACHINES]
        elif requirement.name == "cryptography":
            tags = [f"cp311-abi3-manylinux_2_28_{machine}" for machine in MACHINES]
        elif requirement.name == "bcrypt":
            tags = [f"cp312-abi3-manylinux_2_28_{machine}" for machine in MACHINES]
            tags += [f"cp311-cp311-manylinux_2_28_{machine}" for machine in MACHINES]
        made += [wheel(requirement.name, version, tags=one) for one in tags]
    return made


@pytest.fixture
def there() -> Iterator[tuple[World, str]]:
    """Every ecosystem's upstream, and the URL of an index that has what the appliance needs."""
    with ExitStack() as stack:
        wheels = stack.enter_context(index(*dependencies()))
        yield stack.enter_context(world()), wheels.url


ONE_BOARD = ('platforms = ["linux/amd64"]', 'python = ["3.11"]')


def recipe(url: str, *lines: str, crate: str = "") -> str:
    more = "\n".join(lines)
    return f'[crate]\nname = "lab"\nserial = 7\n{crate}\n[appliance]\nindexes = ["{url}"]\n{more}\n'


def boot(workshop: Workshop, *options: str) -> dict[str, tuple[str, str]]:
    """Builds, and gives crate.json's boot files: name to platform and Python."""
    with Volumes.open([workshop.crate(workshop.build(*options))]) as volumes:
        release = Release.parse(read_envelope(volumes).signed)
    return {file.file: (file.platform, file.python) for file in release.boot}


def test_every_platform_and_python_gets_its_wheels_and_each_says_whom_it_is_for(
    there: tuple[World, str], tmp_path: Path
) -> None:
    found = boot(Workshop.make(tmp_path / "work", recipe(there[1])))
    assert found["buzzcrate-0.1.0-py3-none-any.whl"] == ("", "")
    assert found["pip-26.0-py3-none-any.whl"] == ("", "")
    assert found["zstandard-0.23-cp312-cp312-manylinux_2_17_aarch64.whl"] == ("linux/arm64", "3.12")
    assert found["cryptography-43-cp311-abi3-manylinux_2_28_x86_64.whl"] == ("linux/amd64", "")
    assert found["bcrypt-4.0-cp312-abi3-manylinux_2_28_x86_64.whl"] == ("linux/amd64", "3.12,3.13")
    assert found["bcrypt-4.0-cp311-cp311-manylinux_2_28_x86_64.whl"] == ("linux/amd64", "3.11")
    assert len([name for name in found if name.startswith("zstandard-")]) == len(PYTHONS) * len(MACHINES)


def test_the_recipe_says_for_which_boards(there: tuple[World, str], tmp_path: Path) -> None:
    lines = ('platforms = ["linux/arm64"]', 'python = ["3.13"]')
    found = boot(Workshop.make(tmp_path / "work", recipe(there[1], *lines)))
    assert [name for name in found if name.startswith("zstandard-")] == [
        "zstandard-0.23-cp313-cp313-manylinux_2_17_aarch64.whl"
    ]
    assert found["zstandard-0.23-cp313-cp313-manylinux_2_17_aarch64.whl"] == ("linux/arm64", "3.13")


def test_a_platform_on_which_no_appliance_runs_is_passed_over(there: tuple[World, str], tmp_path: Path) -> None:
    """Boards of 32 bits may be nodes, and a crate for them is set up on another one."""
    crate = 'platforms = ["linux/arm/v7", "linux/arm64"]'
    found = boot(Workshop.make(tmp_path / "work", recipe(there[1], crate=crate)))
    assert {platform for platform, _ in found.values()} == {"", "linux/arm64"}


def test_inspect_shows_it_and_says_what_each_platform_takes(there: tuple[World, str], tmp_path: Path) -> None:
    workshop = Workshop.make(tmp_path / "work", recipe(there[1]))
    told: dict[str, Any] = json.loads(workshop.succeed("inspect", "--json", str(workshop.crate(workshop.build()))))
    assert set(told["kinds"]) == {"boot"}
    assert {row["platform"] for row in told["platforms"]} == {"all", "linux/amd64", "linux/arm64"}
    assert any(item["name"] == NAME for item in told["items"])


def test_a_lock_is_one_archive_also_where_the_wheel_has_to_be_made_again(
    there: tuple[World, str], tmp_path: Path
) -> None:
    workshop = Workshop.make(tmp_path / "work", recipe(there[1], *ONE_BOARD))
    first = workshop.crate(workshop.build()).read_bytes()
    shutil.rmtree(workshop.cache)
    again = workshop.crate(workshop.build("--locked")).read_bytes()
    assert first == again
    (item,) = (item for item in workshop.lock["items"] if item["name"] == NAME)
    assert item["origin"] == "made:wheel"


def test_a_lock_of_another_version_says_what_to_do_once_the_cache_is_gone(
    there: tuple[World, str], tmp_path: Path
) -> None:
    workshop = Workshop.make(tmp_path / "work", recipe(there[1], *ONE_BOARD))
    workshop.build()
    path = workshop.folder / "bundle.lock"
    (item,) = (item for item in workshop.lock["items"] if item["name"] == NAME)
    path.write_text(path.read_text().replace(item["files"][0]["sha256"], "ab" * 32))
    done = workshop.run("build", "--out", "out", "--key", "release.key")
    assert done.returncode == 1
    assert "the lock was made by another buzzcrate 0.1.0" in done.stderr
    assert "crate-bundle lock --update appliance bundle.toml" in done.stderr
    workshop.succeed("lock", "--update", "appliance")
    workshop.build()


def test_what_answers_names_and_time_comes_from_the_recipes_own_repository(
    there: tuple[World, str], tmp_path: Path
) -> None:
    everything, url = there
    section = f'[appliance]\nindexes = ["{url}"]\npackages = ["lonely"]\npython = ["3.11"]\n'
    workshop = everything.workshop(tmp_path / "work", everything.recipe(head=section))
    told = workshop.succeed("lock")
    assert "lonely" in told
    assert {item["name"] for item in workshop.lock["items"] if item["kind"] == "apt"} == {"clock", "libtime", "lonely"}
    assert {item["publish"]["repository"] for item in workshop.lock["items"] if item["kind"] == "apt"} == {"debian"}


def test_without_a_repository_the_lock_says_what_is_not_carried(there: tuple[World, str], tmp_path: Path) -> None:
    workshop = Workshop.make(tmp_path / "work", recipe(there[1], *ONE_BOARD))
    assert "there is no [[apt]] to take dnsmasq-base and chrony from" in workshop.succeed("lock")
    workshop.write(recipe(there[1], *ONE_BOARD, "packages = []"))
    assert "dnsmasq" not in workshop.succeed("lock")


WRONG = {
    "a Python that is too old": ('python = ["3.9"]', "", ("does not run on Python 3.9", "3.11 or later")),
    "no Python at all": ("python = []", "", ("appliance.python",)),
    "a repository that is not there": ('apt = ["debain"]', "", ("there is no [[apt]] called 'debain'",)),
    "a crate for boards of 32 bits": ("", 'platforms = ["linux/arm/v7"]', ("none of the crate's platforms",)),
    "a key that does not exist": ('pythons = ["3.11"]', "", ("pythons", "python")),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_mistake_is_named(case: str, tmp_path: Path) -> None:
    line, crate, words = WRONG[case]
    workshop = Workshop.make(tmp_path / "work", recipe("https://mirror.example.org/simple", line, crate=crate))
    done = workshop.run("lock")
    assert done.returncode == 2
    assert "bundle.toml" in done.stderr
    assert [word for word in words if word not in done.stderr] == []


def test_the_recipe_that_init_writes_has_one(tmp_path: Path) -> None:
    workshop = Workshop.make(tmp_path / "work", "")
    workshop.recipe.unlink()
    workshop.succeed("init")
    assert Recipe.load(workshop.recipe).contents.appliance is not None
