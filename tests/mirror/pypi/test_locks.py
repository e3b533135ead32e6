"""Locks that people bring: taken as they stand, held against every target."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from mirror.errors import BadIndex, ToolFailed, Unsolvable, WrongDigest
from mirror.pypi.uv import program
from tests.mirror.pypi.index import Made, index, wheel
from tests.mirror.pypi.worlds import files, resolved

pytestmark = pytest.mark.usefixtures("_own_cache")

X86, ARM = "cp311-cp311-manylinux_2_17_x86_64", "cp311-cp311-manylinux_2_17_aarch64"


def pylock(folder: Path, *made: Made, header: str = "", package: str = "") -> list[str]:
    """Writes a pylock whose wheels lie beside it; returns what goes into `locks`."""
    text = f'lock-version = "1.0"\ncreated-by = "tests"\n{header}\n'
    projects = dict.fromkeys(each.project for each in made)
    for project in projects:
        mine = [each for each in made if each.project == project]
        wheels = ", ".join(
            f'{{ path = "{each.file}", hashes = {{ sha256 = "{each.promised or each.sha256}" }} }}' for each in mine
        )
        version = mine[0].file.split("-")[1]
        text += f'[[packages]]\nname = "{project}"\nversion = "{version}"\nwheels = [{wheels}]\n{package}\n'
        for each in mine:
            (folder / each.file).write_bytes(each.content)
    (folder / "pylock.toml").write_text(text)
    return ["pylock.toml"]


def test_a_lock_serves_the_platforms_that_it_has_wheels_for(tmp_path: Path) -> None:
    made = [wheel("app", "1", ["lib"]), wheel("lib", "1", tags=X86), wheel("lib", "1", tags=ARM)]
    resolution = resolved(tmp_path, [], locks=pylock(tmp_path, *made))
    assert files(resolution) == {each.file for each in made}
    assert resolution.why["lib"] == ("pylock.toml", "app", "lib")


def test_a_lock_for_other_platforms_names_what_is_missing_where_and_for_whom(tmp_path: Path) -> None:
    made = [wheel("app", "1", ["middle"]), wheel("middle", "1", ["lib"]), wheel("lib", "1", tags=X86)]
    with pytest.raises(Unsolvable) as caught:
        resolved(tmp_path, [], locks=pylock(tmp_path, *made))
    assert "for Python 3.11 on linux/arm64 (glibc-2.31): lib" in caught.value.what
    assert "pylock.toml > app > middle" in caught.value.what
    assert "amd64" not in caught.value.what


def test_a_lock_that_leaves_a_dependency_out_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unsolvable, match=r"ghost, wanted by pylock\.toml > app: not in the lock"):
        resolved(tmp_path, [], locks=pylock(tmp_path, wheel("app", "1", ["ghost"])))


def test_a_lock_whose_packages_do_not_fit_each_other_is_refused(tmp_path: Path) -> None:
    made = [wheel("app", "1", ["lib>=2"]), wheel("lib", "1")]
    with pytest.raises(Unsolvable, match="only 1 is there"):
        resolved(tmp_path, [], locks=pylock(tmp_path, *made))


def test_a_lock_for_another_python_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unsolvable, match=r"Python >=3\.12"):
        resolved(tmp_path, [], locks=pylock(tmp_path, wheel("app", "1"), header='requires-python = ">=3.12"'))


def test_a_file_that_changed_since_it_was_locked_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WrongDigest, match=r"app-1-py3-none-any\.whl has sha256"):
        resolved(tmp_path, [], locks=pylock(tmp_path, wheel("app", "1", promised="0" * 64)))


def test_a_repository_in_a_lock_cannot_be_served(tmp_path: Path) -> None:
    source = 'vcs = { type = "git", url = "https://git.example.org/app", commit-id = "0123" }'
    (tmp_path / "pylock.toml").write_text(
        f'lock-version = "1.0"\ncreated-by = "tests"\n[[packages]]\nname = "app"\n{source}\n'
    )
    with pytest.raises(Unsolvable, match="a folder or repository, not a file"):
        resolved(tmp_path, [], locks=["pylock.toml"])


BROKEN = {
    "no TOML": "lock-version = ",
    "another version": 'lock-version = "2.0"\ncreated-by = "x"\npackages = []',
    "a package without a name": 'lock-version = "1.0"\ncreated-by = "x"\n[[packages]]\nversion = "1"',
    "deep nesting": "a = " + "[" * 5000,
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_lock_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "pylock.toml").write_text(text)
    with pytest.raises(BadIndex, match=r"pylock\.toml is not a pylock"):
        resolved(tmp_path, [], locks=["pylock.toml"])


def test_a_uv_lock_brings_its_project_with_extras_and_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = [wheel("lib", "1"), wheel("fast", "1"), wheel("check", "1")]
    with index(*made) as world:
        (tmp_path / "pyproject.toml").write_text(
            '[project]\nname = "mine"\nversion = "1"\nrequires-python = ">=3.11"\ndependencies = ["lib"]\n'
            'optional-dependencies = { speed = ["fast"] }\n[dependency-groups]\ndev = ["check"]\n'
        )
        monkeypatch.setenv("UV_DEFAULT_INDEX", world.url)
        subprocess.run([program(), "lock", "--quiet"], cwd=tmp_path, check=True)
        resolution = resolved(tmp_path, [], locks=["uv.lock"], indexes=[])
    assert files(resolution) == {each.file for each in made}


def test_a_uv_lock_alone_is_refused_with_what_it_lacks(tmp_path: Path) -> None:
    (tmp_path / "uv.lock").write_text("version = 1\n")
    with pytest.raises(ToolFailed, match="stands alone"):
        resolved(tmp_path, [], locks=["uv.lock"])
