"""What is read out of distributions that mean no good."""

from __future__ import annotations

import io
import zipfile

import pytest

from mirror.errors import BadIndex
from mirror.pypi.wheels import METADATA_LIMIT, read_sdist, read_wheel
from tests.mirror.pypi.index import wheel

NAME = "app-1-py3-none-any.whl"


def zipped(*members: tuple[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in members:
            archive.writestr(zipfile.ZipInfo(path), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


GOOD = b"Metadata-Version: 2.1\nName: app\nVersion: 1\n"

BAD = {
    "no zip at all": b"<html>log in first</html>",
    "nothing": b"",
    "half of a wheel": wheel("app", "1").content[:200],
    "no METADATA": zipped(("app.py", b"")),
    "two METADATA": zipped(("app-1.dist-info/METADATA", GOOD), ("other-1.dist-info/METADATA", GOOD)),
    "METADATA in a deeper folder": zipped(("x/app-1.dist-info/METADATA", GOOD)),
    "a bomb": zipped(("app-1.dist-info/METADATA", GOOD + b"x" * (METADATA_LIMIT + 1))),
    "a requirement that is none": zipped(("app-1.dist-info/METADATA", GOOD + b"Requires-Dist: ???\n")),
    "another name": zipped(("app-1.dist-info/METADATA", b"Metadata-Version: 2.1\nName: evil\nVersion: 1\n")),
}


@pytest.mark.parametrize("content", BAD.values(), ids=BAD.keys())
def test_a_bad_wheel_is_refused(content: bytes) -> None:
    with pytest.raises(BadIndex):
        read_wheel(io.BytesIO(content), NAME)


@pytest.mark.parametrize("content", [b"", b"\x1f\x8b\x08junk", b"no tar"], ids=["nothing", "half a gzip", "no gzip"])
def test_a_bad_source_distribution_is_refused(content: bytes) -> None:
    with pytest.raises(BadIndex):
        read_sdist(io.BytesIO(content), "app-1.tar.gz")


def test_a_source_distribution_without_pyproject_needs_setuptools() -> None:
    content = zipped(("app-1/PKG-INFO", GOOD))
    assert read_sdist(io.BytesIO(content), "app-1.zip")[1] == ("setuptools>=40.8.0", "wheel")
