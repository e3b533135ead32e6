"""From an upstream on a loopback port to catalogue items, with everything that an upstream can do wrong on the way."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from archive.errors import InvalidValue, Problem
from mirror.apt.section import AptSection
from mirror.errors import (
    BadIndex,
    BadSection,
    Expired,
    TruncatedIndex,
    Unsigned,
    Unsolvable,
    UpstreamChanged,
    WronglySigned,
)
from mirror.openpgp import RepositoryKey
from tests.mirror.apt.archives import KEY, PACK, Upstream, build_deb, resolved, suite, upstream

WORLD = "a 1; Depends: b\nb 1\nc 1; Essential: yes; Depends: d\nd 1\n"
Files = dict[str, bytes]


def _resolve(folder: Path, there: Upstream, *packages: str, **section: object):  # type: ignore[no-untyped-def]
    whole = {"url": there.url, "suites": ["stable"], "packages": packages or ["a"], **section}
    return asyncio.run(resolved(folder, whole))


def test_every_item_is_pinned_to_what_the_signed_index_says(tmp_path: Path) -> None:
    with upstream(suite(WORLD)) as there:
        found = _resolve(tmp_path, there)
        release = there.files["dists/stable/InRelease"]
    assert [(item.name, item.version, item.platform) for item in found.items] == [
        ("a", "1", "linux/amd64"),
        ("b", "1", "linux/amd64"),
    ]
    item = found.items[0]
    assert item.origin == f"{there.url}/pool/a_1.deb"
    assert item.files[0].size == 1000
    assert item.files[0].path == f"tests/pool/main/a/{item.files[0].sha256[:8]}/a_1_amd64.deb"
    assert item.evidence["signed-by"] == KEY.fingerprint.hex()
    assert item.evidence["release"] == f"{there.url}/dists/stable/InRelease"
    assert hashlib.sha256(release).hexdigest() != item.evidence["sha256"]
    assert item.publish["suite"] == "stable"
    assert item.publish["stanza"].startswith("Package: a\nVersion: 1\n")
    assert [(one.what, one.pulled_in, one.size) for one in found.asked] == [("a", ("b",), 2000)]
    assert found.why["b"] == ("a", "b")


def test_indexes_are_asked_for_by_hash_where_upstream_offers_it(tmp_path: Path) -> None:
    with upstream(suite(WORLD)) as there:
        _resolve(tmp_path, there)
    assert len(there.asked) == 2
    assert "/by-hash/SHA256/" in there.asked[1]


@pytest.mark.parametrize("packing", PACK, ids=lambda end: f"Packages{end}")
def test_every_packing_is_read(tmp_path: Path, packing: str) -> None:
    with upstream(suite(WORLD, packings=(packing,), by_hash=False)) as there:
        assert len(_resolve(tmp_path, there).items) == 2
    assert there.asked[1].endswith(f"Packages{packing}")


def test_a_release_with_its_signature_beside_it(tmp_path: Path) -> None:
    files = suite(WORLD)
    text = KEY_TEXT(files.pop("dists/stable/InRelease"))
    files |= {"dists/stable/Release": text, "dists/stable/Release.gpg": KEY.signer().detach(text)}
    with upstream(files) as there:
        assert len(_resolve(tmp_path, there).items) == 2
        there.files["dists/stable/Release"] += b"\n"
        with pytest.raises(WronglySigned):
            _resolve(tmp_path, there)


def KEY_TEXT(signed: bytes) -> bytes:  # noqa: N802 - the text of KEY's clear signatures
    return signed.partition(b"\n\n")[2].partition(b"\n-----BEGIN PGP SIGNATURE")[0] + b"\n"


def test_a_flat_repository(tmp_path: Path) -> None:
    files = suite(WORLD)
    body = files.popitem()  # InRelease is the last one made
    index = next(value for name, value in files.items() if b"Package: a" in value)
    digest = hashlib.sha256(index).hexdigest()
    release = f"Origin: Tests\nSHA256:\n {digest} {len(index)} Packages\n".encode()
    assert body[0].endswith("InRelease")
    with upstream({"flat/InRelease": KEY.signer().clearsign(release), "flat/Packages": index}) as there:
        found = _resolve(tmp_path, there, suites=["flat/"])
    assert [item.origin for item in found.items] == [f"{there.url}/pool/a_1.deb", f"{there.url}/pool/b_1.deb"]
    assert found.items[0].publish["suite"] == "flat"


def test_several_architectures_are_each_closed_for_themselves(tmp_path: Path) -> None:
    files = suite("a 1; Depends: b\nb 1\nall 1 [all]", architectures=("amd64", "arm64"))
    with upstream(files) as there:
        found = _resolve(tmp_path, there, "a", "all", "b:arm64", architectures=["amd64", "arm64"])
    assert [(item.name, item.platform) for item in found.items] == [
        (name, f"linux/{architecture}") for name in ("a", "all", "b") for architecture in ("amd64", "arm64")
    ]


def test_a_mirror_that_changes_while_it_is_read_is_read_again(tmp_path: Path) -> None:
    old, new = suite(WORLD, by_hash=False), suite(WORLD.replace("b 1", "b 2"), by_hash=False)
    with upstream(old) as there:

        def change(path: str) -> None:
            if "Packages" in path:
                there.files = dict(new)

        there.before = change
        found = _resolve(tmp_path, there)
    assert {item.name: item.version for item in found.items} == {"a": "1", "b": "2"}


def test_a_mirror_that_never_stops_changing_is_given_up(tmp_path: Path) -> None:
    with upstream(suite(WORLD, by_hash=False)) as there:
        count = iter(range(100))

        def change(path: str) -> None:
            if "Packages" in path:
                there.files = suite(WORLD.replace("b 1", f"b 1.{next(count)}"), by_hash=False)

        there.before = change
        with pytest.raises(UpstreamChanged, match="changed 3 times"):
            _resolve(tmp_path, there)


def _with(path: str, change: Callable[[bytes], bytes]) -> Callable[[Files], None]:
    def apply(files: Files) -> None:
        name = next(name for name in files if path in name)
        files[name] = change(files[name])

    return apply


STRANGER = RepositoryKey.generate("A stranger")
PACKED = suite(WORLD, packings=(".xz",))
REFUSED: list[tuple[str, type[Problem], str, Files, Callable[[Files], None]]] = [
    ("an unsigned index", Unsigned, "is not signed", suite(WORLD), _with("InRelease", KEY_TEXT)),
    ("an index signed by a stranger", WronglySigned, "not signed by any of the 1 keys", suite(WORLD, key=STRANGER),
     lambda files: None),
    ("an index that was changed", WronglySigned, "not signed by any", suite(WORLD),
     _with("InRelease", lambda body: body.replace(b"Components: main", b"Components: evil"))),
    ("an index that ends too early", TruncatedIndex, "ends before", suite(WORLD),
     _with("InRelease", lambda body: body[:-99])),
    ("an index that has run out", Expired, "was valid until 2020-02-02",
     suite(WORLD, fields="Valid-Until: Sun, 02 Feb 2020 02:02:02 UTC"), lambda files: None),
    ("a date that is none", BadIndex, "is not a date", suite(WORLD, fields="Valid-Until: soon"), lambda files: None),
    ("packages that are not the pinned ones", Problem, "not what was promised", dict(PACKED),
     _with("by-hash", lambda body: body[:-1] + b"x")),
    ("packages that end too early", Problem, "not what was promised", dict(PACKED),
     _with("by-hash", lambda body: body[:-9])),
    ("packages that are gone", Problem, "answered 404",
     {name: body for name, body in PACKED.items() if "by-hash" not in name}, lambda files: None),
    ("an index without a digest that counts", BadIndex, "pins nothing by SHA256", {
        "dists/stable/InRelease": KEY.signer().clearsign(b"Suite: stable\nMD5Sum:\n 0 0 main/binary-amd64/Packages\n")},
     lambda files: None),
    ("an index that pins nonsense", BadIndex, "pins no file", {
        "dists/stable/InRelease": KEY.signer().clearsign(b"Suite: stable\nSHA256:\n x y z\n")}, lambda files: None),
    ("an index that says things twice", BadIndex, "Suite stands there twice", suite(WORLD, fields="Suite: other"),
     lambda files: None),
    ("an architecture that is not there", BadIndex, "architectures arm64", suite(WORLD, architectures=("arm64",)),
     lambda files: None),
]  # fmt: skip


@pytest.mark.parametrize(("problem", "words", "files", "change"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED])
def test_refused(
    tmp_path: Path, problem: type[Problem], words: str, files: Files, change: Callable[[Files], None]
) -> None:
    changed = dict(files)
    change(changed)
    with upstream(changed) as there, pytest.raises(problem) as found:
        _resolve(tmp_path, there)
    assert words in f"{found.value.what} {found.value.hint}"


def test_an_index_that_has_run_out_is_read_from_a_snapshot(tmp_path: Path) -> None:
    with upstream(suite(WORLD, fields="Valid-Until: Sun, 02 Feb 2020 02:02:02 UTC")) as there:
        assert len(_resolve(tmp_path, there, **{"check-valid-until": False}).items) == 2


@pytest.mark.parametrize("end", [".gz", ".xz", ".zst"])
def test_a_packed_index_that_is_broken_inside_is_refused(tmp_path: Path, end: str) -> None:
    files = suite(WORLD, packings=(end,))
    broken = PACK[end](b"x" * 9999)[:-7]
    digest = hashlib.sha256(broken).hexdigest()
    pins = f" {digest} {len(broken)} main/binary-amd64/Packages{end}\n {'0' * 64} 9999 main/binary-amd64/Packages\n"
    release = f"Suite: stable\nSHA256:\n{pins}".encode()
    files["dists/stable/InRelease"] = KEY.signer().clearsign(release)
    files[f"dists/stable/main/binary-amd64/Packages{end}"] = broken
    with upstream(files) as there, pytest.raises(TruncatedIndex, match="unpack"):
        _resolve(tmp_path, there)


def test_an_index_that_unpacks_to_more_than_it_may_is_refused(tmp_path: Path) -> None:
    bomb = PACK[".xz"](b"\n" * (64 << 20))
    digest = hashlib.sha256(bomb).hexdigest()
    folder = "main/binary-amd64"
    pins = f" {digest} {len(bomb)} {folder}/Packages.xz\n {'0' * 64} 4096 {folder}/Packages\n"
    release = f"Suite: stable\nSHA256:\n{pins}".encode()
    files = {"dists/stable/InRelease": KEY.signer().clearsign(release), f"dists/stable/{folder}/Packages.xz": bomb}
    with upstream(files) as there, pytest.raises(BadIndex, match="more than the 4,096 bytes"):
        _resolve(tmp_path, there)


HOSTILE = [
    ("a file name that climbs out", "a 1; Filename: ../../etc/passwd", "has the file name"),
    ("a file name in the middle of which is ..", "a 1; Filename: pool/../../a.deb", "has the file name"),
    ("an absolute file name", "a 1; Filename: /etc/passwd", "has the file name"),
    ("a file name with an encoded slash", "a 1; Filename: pool/..%2f..%2fa.deb", "has the file name"),
    ("a file name that is a URL", "a 1; Filename: http://mirror.example.org/a.deb", "has the file name"),
    ("a file name with a query", "a 1; Filename: pool/a.deb?x", "has the file name"),
    ("a file name of four thousand letters", "a 1; Filename: " + "a" * 4096, "has the file name"),
    ("a digest that is none", "a 1; SHA256: 1234", "has no SHA256"),
    ("a size that is none", "a 1; Size: -1", "has no usable Size"),
    ("a version with a slash", "a 1/../2", "is not a Debian version"),
    ("a dependency that is none", "a 1; Depends: b (>> )", "is not a Debian version"),
    ("a field that stands there twice", "a 1; Depends: b; Depends: c", "stands there twice"),
    ("a provision that is none", "a 1; Provides: b c d", "is not a relation"),
    ("an architecture that climbs out", "a 1 [all]; Architecture: ../all", "no package named a"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "words"), [row[1:] for row in HOSTILE], ids=[row[0] for row in HOSTILE])
def test_hostile_packages(tmp_path: Path, line: str, words: str) -> None:
    with upstream(suite(f"{line}\nb 1\nc 1")) as there, pytest.raises((BadIndex, Unsolvable, InvalidValue)) as found:
        _resolve(tmp_path, there)
    assert words in found.value.what
    assert len(found.value.what) < 600


@pytest.mark.parametrize(
    "packages",
    [b"Package: a\nVersion: 1\nArchitecture: amd64\nDescription: \xff\n", b"Package: a\n\0\n",
     b"Package: a\r\nVersion: 1\r\n", b"Package: a\njust text\nVersion: 1\n",
     b"Package: " + b"a" * 4096 + b"\nVersion: 1\nProvides: a\n"],
    ids=["not UTF-8", "a NUL", "carriage returns", "a line that is no field", "a name of four thousand letters"],
)  # fmt: skip
def test_indexes_that_are_no_control_data(tmp_path: Path, packages: bytes) -> None:
    with upstream(suite("", packages=packages)) as there, pytest.raises((BadIndex, Unsolvable)):
        _resolve(tmp_path, there)


def test_a_pin_that_leaves_the_suite_is_not_followed(tmp_path: Path) -> None:
    release = f"Suite: stable\nSHA256:\n {'0' * 64} 10 ../main/binary-amd64/Packages\n {'1' * 64} 1 x\n".encode()
    files = {"dists/stable/InRelease": KEY.signer().clearsign(release)}
    with upstream(files) as there, pytest.raises(BadIndex, match="lists no main/binary-amd64/Packages"):
        _resolve(tmp_path, there)
    assert not any(".." in path for path in there.asked)


def test_two_packages_with_one_file_name_are_published_apart(tmp_path: Path) -> None:
    with upstream(suite("a 1.0\nb 1; Depends: c\nc 1:1.0\n")) as there:
        there.files |= suite("c 1.0; Provides: old\n", name="old")
        found = _resolve(tmp_path, there, "c=1:1.0", suites=["stable", "old"])
        other = _resolve(tmp_path, there, "c=1.0", suites=["stable", "old"])
    paths = [item.files[0].path for item in (*found.items, *other.items)]
    assert [path.rpartition("/")[2] for path in paths] == ["c_1.0_amd64.deb"] * 2
    assert len(set(paths)) == 2


@pytest.mark.parametrize("packing", ["xz", "gzip", "zstd", "none"])
def test_local_debs_are_wanted_in_exactly_their_version(tmp_path: Path, packing: str) -> None:
    (tmp_path / "debs").mkdir()
    path = build_deb(tmp_path / "debs", "mine 0.5; Depends: b", packing=packing)
    with upstream(suite(WORLD + "mine 2")) as there:
        found = _resolve(tmp_path, there, debs=["debs/*.deb"])
    mine = next(item for item in found.items if item.name == "mine")
    assert (mine.version, mine.origin) == ("0.5", "file:debs/mine_0.5_amd64.deb")
    assert mine.files[0].sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert found.why["b"] in {("a", "b"), ("mine=0.5", "mine", "b")}


@pytest.mark.parametrize("body", [b"", b"!<arch>\n", b"!<arch>\n" + b"x" * 60, b"PK\x03\x04"], ids=repr)
def test_a_local_file_that_is_no_deb_is_named(tmp_path: Path, body: bytes) -> None:
    (tmp_path / "bad.deb").write_bytes(body)
    with upstream(suite(WORLD)) as there, pytest.raises(BadIndex, match=r"bad\.deb"):
        _resolve(tmp_path, there, debs=["bad.deb"])


STATUS = (
    "Package: b\nStatus: install ok installed\nVersion: 0\nArchitecture: amd64\n\n"
    "Package: c\nStatus: deinstall ok config-files\nVersion: 0\nArchitecture: amd64\n"
)


def test_what_a_status_file_says_is_there_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "status-amd64").write_text(STATUS)
    with upstream(suite(WORLD)) as there:
        found = _resolve(tmp_path, there, "a", "c", base="status-{architecture}")
    assert [item.name for item in found.items] == ["a", "c", "d"]
    assert found.items[0].publish["automatic"] is True


def test_a_status_file_of_other_nodes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "status").write_text(STATUS.replace("amd64", "arm64"))
    with upstream(suite(WORLD)) as there, pytest.raises(BadSection, match="arm64 nodes, not of amd64"):
        _resolve(tmp_path, there, base="status")


def test_the_essential_system_is_left_out_with_all_it_needs(tmp_path: Path) -> None:
    with upstream(suite(WORLD + "e 1; Depends: c, d, b")) as there:
        found = _resolve(tmp_path, there, "e", base="essential")
    assert [item.name for item in found.items] == ["b", "e"]
    assert found.items[0].publish["automatic"] is False


def test_a_list_of_names_is_left_out_but_for_siblings_and_wishes(tmp_path: Path) -> None:
    world = "lib 2; Source: s\ntool 2; Source: s\nother 2\na 1; Depends: other, lib (>= 2), tool\nnew 1; Source: s"
    with upstream(suite(world)) as there:
        found = _resolve(tmp_path, there, "a", base=["tool", "other"])
    assert [item.name for item in found.items] == ["a", "lib", "tool"]
    assert found.items[0].publish["automatic"] is True


def test_a_library_that_would_leave_behind_what_was_built_with_it_fails_the_build(tmp_path: Path) -> None:
    nodes = "Package: tool\nStatus: install ok installed\nVersion: 1\nArchitecture: amd64\nDepends: lib (= 1)\n\n"
    nodes += "Package: lib\nStatus: install ok installed\nVersion: 1\nArchitecture: amd64\n"
    (tmp_path / "status").write_text(nodes)
    with upstream(suite("lib 2\na 1; Depends: lib (>= 2)")) as there, pytest.raises(Unsolvable, match=r"lib \(= 1\)"):
        _resolve(tmp_path, there, base="status")


def test_the_note_says_what_recommends_would_cost(tmp_path: Path) -> None:
    with upstream(suite("a 1; Recommends: b\nb 1; Depends: c\nc 1; Size: 7000000")) as there:
        assert any("2 packages, 7.0 MB (b, c)" in note for note in _resolve(tmp_path, there).notes)
        assert len(_resolve(tmp_path, there, recommends=True).items) == 3


@pytest.mark.parametrize(
    ("section", "words"),
    [({"keyrings": ["none.gpg"]}, "none.gpg"),
     ({"debs": ["*.deb"]}, "no file matches"), ({"base": "nowhere"}, "cannot read `base`"),
     ({"architectures": ["vax"]}, "vax"),
     ({"packages": ["a:arm64"]}, "an architecture that is not asked for"),
     ({"url": None, "suites": ["no-such-suite"], "keyrings": []}, "no-such-suite")],
    ids=str,
)  # fmt: skip
def test_sections_that_cannot_be(tmp_path: Path, section: dict[str, object], words: str) -> None:
    with upstream(suite(WORLD)) as there, pytest.raises(BadSection, match=words):
        _resolve(tmp_path, there, **section)


@pytest.mark.parametrize(
    ("section", "words"),
    [({}, "name"), ({"name": "A"}, "name"), ({"name": "../x"}, "name"), ({"name": "a", "recomends": True}, "recomends"),
     ({"name": "a", "packages": ["b"], "url": "ftp://x"}, "url"), ({"name": "a"}, "asks for nothing"),
     ({"name": "a", "packages": ["b"], "url": "http://mirror.example.org"}, "needs `suites`"),
     ({"name": "a", "packages": ["b", "c d"]}, "'c d'")],
)  # fmt: skip
def test_sections_that_are_misspelt(section: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        AptSection.model_validate(section)
