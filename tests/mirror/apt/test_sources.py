"""What this machine's own apt is configured with, in both spellings of sources.list(5)."""

from __future__ import annotations

from pathlib import Path

import pytest

from mirror.apt.sources import Source, apt_settings, machine_sources, trusted_keyrings
from mirror.errors import BadSection
from tests.mirror.apt.archives import KEY

EMBEDDED = "\n".join(f" {line}" if line else " ." for line in KEY.public_key().decode().strip().split("\n"))


def _read(folder: Path, name: str, text: str, **settings: str) -> list[Source]:
    parts = folder / "parts"
    parts.mkdir(exist_ok=True)
    (parts / name).write_text(text)
    return machine_sources({"list": str(folder / "none"), "parts": str(parts), **settings})


ONE = Source("http://mirror.example.org/debian", "bookworm", ("main",), optional=True)
ROWS: list[tuple[str, str, str, list[Source]]] = [
    ("one line", "a.list", "deb http://mirror.example.org/debian/ bookworm main\n", [ONE]),
    ("a comment, a source line and an empty one", "a.list",
     "# deb http://x y z\n\ndeb-src http://x y z\ndeb http://mirror.example.org/debian bookworm main # z\n", [ONE]),
    ("options", "a.list",
     ("deb [arch=amd64,arm64 signed-by=/usr/share/keyrings/k.gpg] "
      "http://mirror.example.org/debian bookworm main contrib\n"),
     [Source(ONE.url, "bookworm", ("main", "contrib"), keyrings=(Path("/usr/share/keyrings/k.gpg"),),
             architectures=("amd64", "arm64"), optional=True)]),
    ("a flat repository", "a.list", "deb http://mirror.example.org/debian ./\n",
     [Source(ONE.url, "./", (), optional=True)]),
    ("fields", "a.sources",
     "Types: deb\nURIs: http://mirror.example.org/debian\nSuites: bookworm\nComponents: main\n", [ONE]),
    ("several suites, and comments", "a.sources",
     "Types: deb deb-src\n# no\nURIs: http://mirror.example.org/debian\nSuites: bookworm other\nComponents: main\n",
     [ONE, Source(ONE.url, "other", ("main",), optional=True)]),
    ("several stanzas, one switched off", "a.sources",
     ("Types: deb\nURIs: http://x\nSuites: y\nComponents: z\nEnabled: no\n\n"
      "Types: deb\nURIs: http://mirror.example.org/debian\nSuites: bookworm\nComponents: main\n"), [ONE]),
    ("a fingerprint", "a.sources",
     f"Types: deb\nURIs: {ONE.url}\nSuites: bookworm\nComponents: main\nSigned-By: {'A' * 40}\n",
     [Source(ONE.url, "bookworm", ("main",), fingerprints=("A" * 40,), optional=True)]),
    ("a key inside", "a.sources",
     f"Types: deb\nURIs: {ONE.url}\nSuites: bookworm\nComponents: main\nSigned-By:\n{EMBEDDED}\n",
     [Source(ONE.url, "bookworm", ("main",), keys=(KEY.public_key().decode(),), optional=True)]),
    ("by-hash and Valid-Until switched off", "a.sources",
     f"Types: deb\nURIs: {ONE.url}\nSuites: bookworm\nComponents: main\nBy-Hash: no\nCheck-Valid-Until: no\n",
     [Source(ONE.url, "bookworm", ("main",), by_hash=False, check_valid_until=False, optional=True)]),
    ("another kind of file", "a.sources.save", "Types: deb\nURIs: http://x\nSuites: y\nComponents: z\n", []),
    ("a medium that cannot be fetched from", "a.list", "deb cdrom:[Debian]/ bookworm main\n", []),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "found"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_sources(tmp_path: Path, name: str, text: str, found: list[Source]) -> None:
    assert _read(tmp_path, name, text) == found


def test_what_the_machine_does_not_check_is_not_checked(tmp_path: Path) -> None:
    text = "deb http://mirror.example.org/debian bookworm main\n"
    (source,) = _read(tmp_path, "a.list", text, check_valid_until="false")
    assert not source.check_valid_until


def test_this_machines_own_sources_and_keys_are_found() -> None:
    settings = apt_settings()
    assert machine_sources(settings)
    assert all(path.is_file() for path in trusted_keyrings(settings))


def test_empty_files_and_keyboxes_are_no_keyrings(tmp_path: Path) -> None:
    bodies = {"a.asc": KEY.public_key(), "b.gpg": b"", "c.gpg": b"\0\0\0 \1\1\0\2KBXf\0", "d.txt": KEY.public_key()}
    for name, body in bodies.items():
        (tmp_path / name).write_bytes(body)
    found = trusted_keyrings({"trusted": str(tmp_path / "none.gpg"), "trusted_parts": str(tmp_path)})
    assert found == (tmp_path / "a.asc",)


def test_a_machine_without_apt_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(BadSection) as found:
        apt_settings()
    assert "`url`" in found.value.hint


@pytest.mark.parametrize(
    ("url", "suite", "base"),
    [("http://x", "bookworm", "http://x/dists/bookworm/"), ("http://x", "a/updates", "http://x/dists/a/updates/"),
     ("http://x", "./", "http://x/"), ("http://x", "sub/dir/", "http://x/sub/dir/")],
)  # fmt: skip
def test_where_a_suite_lies(url: str, suite: str, base: str) -> None:
    assert Source(url, suite, ()).base == base
