"""What the crate serves: whole, signed, by hash, and the same bytes from the same items."""

from __future__ import annotations

import gzip
import hashlib
import lzma
import random
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import pytest

from archive import catalogue
from archive.catalogue import File, Item
from mirror.apt.publish import publish
from mirror.ecosystem import ORIGIN, Published, RepositorySigner
from mirror.errors import PublicationClash
from mirror.openpgp import RepositoryKey
from tests.mirror.apt.worlds import stanza
from tests.support.tools import tool

KEY = RepositoryKey.generate("The crate of tests")


@dataclass(frozen=True)
class Crate:
    """A fake of the crate's side of publishing; apt needs no blob to publish it."""

    newest: datetime = datetime(2026, 7, 11, 10, 16, 37, tzinfo=UTC)
    signer: RepositorySigner = field(default_factory=KEY.signer)

    def open(self, sha256: str) -> BinaryIO:
        raise AssertionError("apt publishes from the catalogue alone")


def item(
    line: str, *, architecture: str = "amd64", repository: str = "tests", suite: str = "stable", automatic: bool = True
) -> Item:
    text = stanza(line)
    name, version = line.split(";", maxsplit=1)[0].split()[:2]
    digest = hashlib.sha256(line.encode()).hexdigest()
    path = f"{repository}/pool/main/{name}/{digest[:8]}/{name}_{version.rpartition(':')[2]}_{architecture}.deb"
    about = {"repository": repository, "suite": suite, "component": "main", "architecture": architecture}
    return Item(
        kind="apt",
        name=name,
        version=version,
        platform=f"linux/{architecture}",
        files=(File(digest, 1000, path),),
        publish={**about, "source": name, "automatic": automatic, "stanza": text},
    )


ITEMS = [
    item("b 2; Depends: a\nDescription: two"),
    item("a 1"),
    item("a 1:0.5"),
    item("a 1", architecture="arm64"),
    item("c 1 [all]"),
    item("c 1 [all]", architecture="arm64"),
    item("a 1", repository="other", suite="testing", automatic=False),
]


def served(items: Iterable[Item], crate: Crate = Crate()) -> dict[str, Published]:
    found: dict[str, Published] = {}
    for each in publish(items, crate):
        assert each.path not in found, f"{each.path} is served twice"
        found[each.path] = each
    return found


def test_the_addresses_of_a_repository() -> None:
    paths = [path for path in served(ITEMS) if "by-hash" not in path]
    packages = [
        f"apt/tests/dists/stable/main/binary-{architecture}/Packages{end}"
        for architecture in ("amd64", "arm64")
        for end in ("", ".gz", ".xz")
    ]
    assert [path for path in paths if path.startswith("apt/tests/dists")] == [
        *packages,
        *(f"apt/tests/dists/stable/{name}" for name in ("Release", "Release.gpg", "InRelease")),
    ]
    assert len([path for path in paths if path.startswith("apt/tests/pool/")]) == 6
    assert {"apt/tests.asc", "apt/tests.sources", "apt/other.asc", "apt/other.sources"} < set(paths)


def test_what_release_pins_is_what_is_served_by_name_and_by_hash() -> None:
    found = served(ITEMS)
    release = found["apt/tests/dists/stable/Release"].body.decode()
    pins = [line.split() for line in release.partition("SHA256:\n")[2].splitlines()]
    assert len(pins) == 6
    for digest, size, path in pins:
        folder, _, _ = path.rpartition("/")
        for name in (path, f"{folder}/by-hash/SHA256/{digest}"):
            body = found[f"apt/tests/dists/stable/{name}"].body
            assert (hashlib.sha256(body).hexdigest(), len(body)) == (digest, int(size))


def test_release_says_what_clients_need() -> None:
    found = served(ITEMS)
    release = found["apt/tests/dists/stable/Release"].body.decode().splitlines()
    for line in (
        "Date: Sat, 11 Jul 2026 10:16:37 UTC",
        "Acquire-By-Hash: yes",
        "No-Support-for-Architecture-all: Packages",
        "Architectures: amd64 arm64",
        "Components: main",
        "Codename: stable",
    ):
        assert line in release
    assert not any(line.startswith(("MD5Sum", "SHA1", "NotAutomatic", "Valid-Until")) for line in release)
    assert "NotAutomatic: yes" in found["apt/other/dists/testing/Release"].body.decode().splitlines()


def test_one_section_without_a_base_makes_the_whole_suite_not_automatic() -> None:
    found = served([item("a 1"), item("b 1", automatic=False)])
    assert b"NotAutomatic: yes\n" in found["apt/tests/dists/stable/Release"].body


def test_stanzas_are_upstreams_word_for_word_but_for_the_file_name() -> None:
    found = served(ITEMS)
    plain = found["apt/tests/dists/stable/main/binary-amd64/Packages"].body
    stanzas = plain.decode().removesuffix("\n").split("\n\n")
    assert [text.splitlines()[:2] for text in stanzas] == [
        [f"Package: {name}", f"Version: {version}"]
        for name, version in (("a", "1"), ("a", "1:0.5"), ("b", "2"), ("c", "1"))
    ]
    for text in stanzas:
        lines = text.splitlines()
        names = [line.removeprefix("Filename: ") for line in lines if line.startswith("Filename: ")]
        assert f"apt/tests/{names[0]}" in found
        original = next(
            i.publish["stanza"] for i in ITEMS if text.splitlines()[:2] == i.publish["stanza"].splitlines()[:2]
        )
        assert [line for line in lines if not line.startswith("Filename")] == [
            line for line in original.splitlines() if not line.startswith("Filename")
        ]
    for end, unpack in ((".gz", gzip.decompress), (".xz", lzma.decompress)):
        assert unpack(found[f"apt/tests/dists/stable/main/binary-amd64/Packages{end}"].body) == plain


def test_the_same_items_in_any_order_make_the_same_bytes() -> None:
    shuffled = [*ITEMS, ITEMS[0], *catalogue.read(catalogue.write(ITEMS).splitlines())]
    random.Random(7).shuffle(shuffled)
    assert served(shuffled) == served(ITEMS)


def test_signatures_verify_and_a_flipped_byte_does_not(tmp_path: Path) -> None:
    found = served(ITEMS)
    for name in ("Release", "Release.gpg", "InRelease"):
        (tmp_path / name).write_bytes(found[f"apt/tests/dists/stable/{name}"].body)
    (tmp_path / "key.asc").write_bytes(found["apt/tests.asc"].body)
    subprocess.run([tool("gpg"), "--batch", "-o", tmp_path / "key.gpg", "--dearmor", tmp_path / "key.asc"], check=True)
    checks = {
        "InRelease": [tool("gpgv"), "--keyring", "./key.gpg", "InRelease"],
        "Release": [tool("gpgv"), "--keyring", "./key.gpg", "Release.gpg", "Release"],
    }
    for name, command in checks.items():
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
        body = bytearray((tmp_path / name).read_bytes())
        body[120] ^= 1
        (tmp_path / name).write_bytes(body)
        told = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True)
        assert told.returncode, name


def test_the_snippet_holds_the_key_and_the_crates_own_address() -> None:
    snippet = served(ITEMS)["apt/tests.sources"]
    assert snippet.origin_bound
    lines = snippet.body.decode().splitlines()
    assert lines[:5] == [
        "Types: deb",
        f"URIs: {ORIGIN.decode()}/apt/tests",
        "Suites: stable",
        "Components: main",
        "Check-Date: no",
    ]
    embedded = "\n".join("" if line == " ." else line.removeprefix(" ") for line in lines[6:])
    assert embedded.strip() == KEY.public_key().decode().strip()


def test_two_files_for_one_version_are_a_clash_that_names_both() -> None:
    other = replace(item("a 1; Priority: extra"))
    with pytest.raises(PublicationClash) as found:
        list(publish([item("a 1"), other], Crate()))
    for digest in (item("a 1").files[0].sha256, other.files[0].sha256):
        assert digest[:12] in found.value.what


def test_two_files_at_one_path_are_a_clash() -> None:
    first, second = item("a 1"), item("b 1")
    moved = replace(second, files=(replace(second.files[0], path=first.files[0].path),))
    with pytest.raises(PublicationClash, match="two different files want to be"):
        list(publish([first, moved], Crate()))


def test_nothing_is_published_for_nothing() -> None:
    assert served([]) == {}
