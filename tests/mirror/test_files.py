"""Files by name: pinned through whatever upstream offers, published where the recipe says."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from archive.catalogue import File, Item
from archive.errors import Problem
from archive.platforms import Platform
from archive.progress import SILENT
from mirror.ecosystem import Published, ResolveContext
from mirror.errors import ChecksumAbsent, ChecksumAmbiguous, DigestMissing, LocalFileChanged
from mirror.files import checksums, publish
from mirror.files.resolve import resolve
from mirror.files.section import FileSection
from mirror.transport import Document, Fetched
from tests.mirror.serve import Blobs

PLATFORMS = (Platform("linux", "amd64"), Platform("linux", "arm64"))
A, B = "a" * 64, "b" * 64


@dataclass
class Upstream:
    """A transport without a network: `content` by URL. It stands for the bundler's, which fetches through HTTP.

    `silent` URLs do not say their size, so that it takes a fetch to know.
    """

    content: dict[str, bytes] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    fetched: list[str] = field(default_factory=list)

    async def read(self, url: str, *, limit: int, headers: Mapping[str, str] | None = None) -> Document:
        assert len(self.content[url]) <= limit
        return Document(url, self.content[url])

    async def size(self, url: str) -> int | None:
        return None if url in self.silent else len(self.content[url])

    async def fetch(self, url: str, *, sha256: str = "", sha512: str = "", size: int | None = None) -> Fetched:
        self.fetched.append(url)
        data = self.content[url]
        assert sha256 in {"", hashlib.sha256(data).hexdigest()}
        return Fetched(hashlib.sha256(data).hexdigest(), len(data), Path("/nowhere"))

    async def adopt(self, path: Path) -> Fetched:
        data = await asyncio.to_thread(path.read_bytes)
        return Fetched(hashlib.sha256(data).hexdigest(), len(data), path)


def items(section: FileSection, upstream: Upstream, base: Path = Path()) -> list[Item]:
    return list(asyncio.run(resolve(section, ResolveContext(upstream, PLATFORMS, base, SILENT))).items)


def test_a_url_with_its_digest_is_asked_for_its_size_alone() -> None:
    upstream = Upstream({"https://example.org/tool?token=1": b"12345"})
    section = FileSection(name="tool", version="2", url="https://example.org/tool?token=1", sha256=A)
    assert items(section, upstream) == [
        Item(
            "file",
            "tool",
            "2",
            origin="https://example.org/tool",
            files=(File(A, 5, path="tool"),),
            evidence={"recipe": "sha256"},
        )
    ]
    assert not upstream.fetched


def test_a_server_that_does_not_say_the_size_is_read() -> None:
    url = "https://example.org/tool"
    upstream = Upstream({url: b"12345"}, silent={url})
    section = FileSection(name="tool", url=url, sha256=hashlib.sha256(b"12345").hexdigest())
    (item,) = items(section, upstream)
    assert item.files[0].size == 5
    assert upstream.fetched == [url]


def test_a_file_for_each_platform_through_a_checksum_file() -> None:
    sums = f"{A}  dist/tool_x86_64.gz\n{B} *tool_arm64.gz\n".encode()
    base = "https://example.org/v2"
    upstream = Upstream({f"{base}/SUMS": sums, f"{base}/tool_x86_64.gz": b"1", f"{base}/tool_arm64.gz": b"22"})
    section = FileSection(
        name="tool/{version}/tool-{arch}.gz",
        version="2",
        url="https://example.org/v{version}/tool_{arch}.gz",
        checksums="https://example.org/v{version}/SUMS",
        arch={"amd64": "x86_64"},
    )
    found = items(section, upstream)
    assert [(item.name, item.platform, item.files[0].sha256, item.files[0].size) for item in found] == [
        ("tool/2/tool-x86_64.gz", "linux/amd64", A, 1),
        ("tool/2/tool-arm64.gz", "linux/arm64", B, 2),
    ]
    assert found[0].evidence == {"sha256sums": f"{base}/SUMS"}


def test_a_table_of_digests_must_have_the_platform() -> None:
    section = FileSection(name="t-{arch}", url="https://example.org/t-{arch}", sha256={"amd64": A})
    with pytest.raises(DigestMissing, match="no sha256 of t-arm64") as caught:
        items(section, Upstream({"https://example.org/t-amd64": b""}))
    assert caught.value.exit_code == 2


def test_a_local_file_is_known_by_where_it_lies_from_the_recipe(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_bytes(b"read me")
    base = tmp_path / "recipes"
    base.mkdir()
    for path in ("../notes.txt", str(tmp_path / "notes.txt")):
        (item,) = items(FileSection(name="n", path=path), Upstream(), base)
        assert item.origin == "file:../notes.txt"
        assert item.files[0].sha256 == hashlib.sha256(b"read me").hexdigest()


def test_a_local_file_that_is_not_the_pinned_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_bytes(b"read me")
    with pytest.raises(LocalFileChanged, match=r"notes\.txt has sha256 .*, the recipe says aaaa"):
        items(FileSection(name="n", path="notes.txt", sha256=A), Upstream(), tmp_path)


SUMS: dict[str, tuple[str, str | type[Problem]]] = {
    "sha256sum's lines": (f"{B}  other\n{A}  tool\n", A),
    "a binary marker and a folder": (f"{A} *./dist/tool\n", A),
    "BSD's tagged lines": (f"SHA256 (tool) = {A}\nSHA512 (tool) = {A}{A}\n", A),
    "a digest and nothing else": (f"{A}\n", A),
    "capitals": (f"{A.upper()}  tool\n", A),
    "Windows line ends": (f"{A}  tool\r\n", A),
    "the same line twice": (f"{A}  tool\n{A}  tool\n", A),
    "names of others only": (f"{A}  tool.sig\n", ChecksumAbsent),
    "a web page": ("<html>not found</html>", ChecksumAbsent),
    "nothing": ("", ChecksumAbsent),
    "two digests for one file": (f"{A}  tool\n{B}  old/tool\n", ChecksumAmbiguous),
    "two digests without a name": (f"{A}\n{B}\n", ChecksumAmbiguous),
}


@pytest.mark.parametrize("case", SUMS.values(), ids=SUMS.keys())
def test_a_checksum_file(case: tuple[str, str | type[Problem]]) -> None:
    text, expected = case
    if isinstance(expected, str):
        assert checksums.find(text, "tool", "SUMS") == expected
    else:
        with pytest.raises(expected, match="SUMS"):
            checksums.find(text, "tool", "SUMS")


def test_files_are_published_below_files(tmp_path: Path) -> None:
    item = Item("file", "t", files=(File(A, 5, path="tool/2/t.gz"), File(B, 6, path="notes", media_type="text/plain")))
    assert list(publish.publish([item], Blobs(tmp_path))) == [
        Published("files/tool/2/t.gz", "application/octet-stream", sha256=A, size=5),
        Published("files/notes", "text/plain", sha256=B, size=6),
    ]
