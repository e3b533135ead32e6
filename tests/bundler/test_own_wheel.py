"""The program packs itself: the same wheel from a checkout, an editable and a plain installation; pip takes it."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from bundler import own_wheel
from bundler.errors import OwnWheelFailed
from console.version import VERSION
from tests.support.sticks import REPOSITORY

_PRINT = """
import hashlib, sys
from pathlib import Path
from bundler import own_wheel
sys.stdout.write(f"{own_wheel.__file__} {hashlib.sha256(own_wheel.write(Path(sys.argv[1])).read_bytes()).hexdigest()}")
"""


def pip_install(target: Path, *words: str) -> None:
    pip = [sys.executable, "-m", "pip", "--isolated", "install", "--no-deps", "--no-index", "--quiet"]
    subprocess.run([*pip, "--target", str(target), *words], check=True, capture_output=True)


def packed_by(place: Path, folder: Path, **variables: str) -> tuple[Path, str]:
    """Where the program was found that packed itself, and the wheel's sha256."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", _PRINT, str(folder)],
        env={**os.environ, "PYTHONPATH": str(place), **variables},
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    )
    where, sha256 = done.stdout.split()
    return Path(where), sha256


def test_a_checkout_and_an_installation_give_the_same_bytes(tmp_path: Path) -> None:
    wheel = own_wheel.write(tmp_path)
    assert wheel.name == f"buzzcrate-{VERSION}-py3-none-any.whl"
    from_checkout = hashlib.sha256(wheel.read_bytes()).hexdigest()
    pip_install(tmp_path / "site", str(wheel))
    where, installed = packed_by(tmp_path / "site", tmp_path / "out")
    assert where.is_relative_to(tmp_path / "site")
    assert installed == from_checkout


def test_neither_time_nor_zone_nor_mask_is_in_it(tmp_path: Path) -> None:
    found = {
        packed_by(REPOSITORY, tmp_path / zone.replace("/", "-"), TZ=zone, LC_ALL=language)[1]
        for zone, language in (("UTC", "C"), ("Asia/Kolkata", "C.UTF-8"))
    }
    assert len(found) == 1


def test_it_holds_what_the_programs_need_and_nothing_that_lay_about(tmp_path: Path) -> None:
    with zipfile.ZipFile(own_wheel.write(tmp_path)) as wheel:
        names = wheel.namelist()
        assert wheel.testzip() is None
        entry_points = wheel.read(f"buzzcrate-{VERSION}.dist-info/entry_points.txt").decode()
        metadata = wheel.read(f"buzzcrate-{VERSION}.dist-info/METADATA").decode()
    assert "bundler/stick/install.sh" in names
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]
    assert {name.split("/")[0] for name in names} == {*own_wheel.PACKAGES, f"buzzcrate-{VERSION}.dist-info"}
    assert "crate-appliance = appliance.cli:main" in entry_points
    assert "Requires-Dist: aiohttp>=3.10\n" in metadata
    assert 'Requires-Dist: uv>=0.13; extra == "bundler"\n' in metadata


def test_a_program_without_a_distribution_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(_name: str) -> None:
        raise PackageNotFoundError

    monkeypatch.setattr(own_wheel, "distribution", absent)
    monkeypatch.setattr(own_wheel, "_PARENT", tmp_path)
    with pytest.raises(OwnWheelFailed, match="neither from a checkout nor from an installation"):
        own_wheel.write(tmp_path)
