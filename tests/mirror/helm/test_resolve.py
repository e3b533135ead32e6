"""Charts from made-up repositories, registries and folders: what is taken, and what is refused."""

from __future__ import annotations

import asyncio
import gzip
import io
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from archive.errors import Problem
from mirror.ecosystem import Resolution
from mirror.errors import BadIndex, BadSection, Unsigned, Unsolvable, WrongDigest, WronglySigned
from mirror.helm import archives
from mirror.helm.resolve import resolve
from mirror.helm.section import PACKED, ChartSection
from mirror.openpgp import RepositoryKey
from tests.mirror.helm.charts import TEMPLATE, Made, chart, chart_yaml, folder, packed, pushed, registry, repository
from tests.mirror.serve import Blobs
from tests.mirror.transport import context


def resolved(base: Path, **section: Any) -> Resolution:
    async def run() -> Resolution:
        async with context(base / "blobs", base) as given:
            return await resolve(ChartSection(**section), given)

    return asyncio.run(run())


def from_repository(base: Path, *made: Made, index: bytes | None = None, **section: Any) -> Resolution:
    with repository(*made, index=index) as url:
        return resolved(base, **{"name": "app", "repository": url, **section})


def taken(resolution: Resolution) -> set[str]:
    return {f"{item.name}@{item.version}" for item in resolution.items}


VERSIONS = ["1.0.0", "1.10.0", "1.9.0", "2.0.0-rc.1", "0.9.0", "not-a-version"]
CHOICES = [
    ("the newest release when nothing is said", "", "1.10.0"),
    ("the newest that fits", "<1.10", "1.9.0"),
    ("a pre-release when one is named", ">=1.10.0-0", "2.0.0-rc.1"),
    ("a version that is written out, whatever it is", "2.0.0-rc.1", "2.0.0-rc.1"),
]


@pytest.mark.parametrize(("_sentence", "constraint", "version"), CHOICES, ids=[sentence for sentence, _, _ in CHOICES])
def test_the_choice_is(_sentence: str, constraint: str, version: str, tmp_path: Path) -> None:
    made = [chart("app", each) for each in VERSIONS]
    assert taken(from_repository(tmp_path, *made, version=constraint)) == {f"app@{version}"}


def test_a_chart_brings_its_digest_date_and_cost(tmp_path: Path) -> None:
    made = chart("app", "1.0.0", appVersion=2, description="does things")
    resolution = from_repository(tmp_path, made)
    (item,) = resolution.items
    assert (item.files[0].sha256, item.files[0].path) == (made.sha256, "app-1.0.0.tgz")
    assert item.evidence == {"digest": "index.yaml"}
    assert item.publish["created"] == "2026-01-02T00:00:00Z"
    assert item.publish["metadata"]["appVersion"] == "2"
    assert resolution.asked[0].size == len(made.content)


def test_an_index_without_a_digest_is_recorded_as_such(tmp_path: Path) -> None:
    index = b"entries: {app: [{version: 1.0.0, urls: [charts/app-1.0.0.tgz]}]}"
    (item,) = from_repository(tmp_path, chart("app", "1.0.0"), index=index).items
    assert item.evidence == {}


@dataclass(frozen=True)
class Refusal:
    sentence: str
    error: type[Problem]
    words: list[str]
    made: tuple[Made, ...] = ()
    index: bytes | None = None
    version: str = ""


WHOLE = chart("app", "1.0.0").content
LAUGHS = b"a: &a [x]\nb: &b [*a, *a]\nc: [*b, *b]\nentries: {app: []}\n"
REFUSALS = [
    Refusal(
        "a chart that is not there is named with what is", Unsolvable, ["no chart app"], (chart("app-two", "1.0.0"),)
    ),
    Refusal(
        "a version that is not there is named with what is",
        Unsolvable,
        ["app ^3", "2.0.0, 1.0.0"],
        (chart("app", "1.0.0"), chart("app", "2.0.0")),
        version="^3",
    ),
    Refusal("another digest than promised", Problem, ["app-1.0.0.tgz"], (chart("app", "1.0.0", digest="0" * 64),)),
    Refusal("a digest that is none", BadIndex, ["no sha256"], (chart("app", "1.0.0", digest="md5:1234"),)),
    Refusal(
        "a chart that lacks what it depends on", Unsolvable, ["app 1.0.0", "db"], (chart("app", "1.0.0", lacks="db"),)
    ),
    Refusal(
        "a chart that says it is another",
        BadIndex,
        ["is the chart other, not app"],
        (replace(chart("other", "1.0.0"), name="app"),),
    ),
    Refusal(
        "a chart of another version than its index says",
        BadIndex,
        ["is version 2.0.0, not 1.0.0"],
        (replace(chart("app", "2.0.0"), version="1.0.0"),),
    ),
    Refusal("no archive at all", BadIndex, ["not a packed chart"], (Made("app", "1.0.0", b"<html>"),)),
    Refusal(
        "half an archive", BadIndex, ["not a packed chart"], (Made("app", "1.0.0", chart("app", "1").content[:60]),)
    ),
    Refusal(
        "an archive without Chart.yaml", BadIndex, ["no Chart.yaml"], (Made("app", "1.0.0", packed("app", {"x": ""})),)
    ),
    Refusal("a list where helm wants text", BadIndex, ["home"], (chart("app", "1.0.0", home=["x"]),)),
    Refusal("text where helm wants a list", BadIndex, ["keywords"], (chart("app", "1.0.0", keywords="x"),)),
    Refusal("an index that is no YAML", BadIndex, ["not plain YAML"], index=b"entries: ]["),
    Refusal("an index of nothing", BadIndex, ["no entries"], index=b"hello"),
    Refusal("an index that laughs", BadIndex, ["refers to itself"], index=LAUGHS),
    Refusal("an index that is too deep", BadIndex, ["nested deeper"], index=b"[" * 100_000),
    Refusal("an index with objects", BadIndex, ["holds objects"], index=b"!!python/object/apply:os.system [ls]"),
    Refusal("a key given twice", BadIndex, ["stands there twice"], index=b"entries: {}\nentries: {}\n"),
    Refusal(
        "an index that sends us to a file",
        BadIndex,
        ["file:///etc/passwd"],
        index=b"entries: {app: [{version: 1.0.0, urls: ['file:///etc/passwd']}]}",
    ),
]


@pytest.mark.parametrize("case", REFUSALS, ids=lambda case: case.sentence)
def test_what_is_refused(case: Refusal, tmp_path: Path) -> None:
    with pytest.raises(case.error) as caught:
        from_repository(tmp_path, *case.made, index=case.index, version=case.version)
    for word in case.words:
        assert word in caught.value.what


def member(name: str, **fields: Any) -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(found, field, value)
    return found


HOSTILE = {
    "a path out of the folder": member("app/../../etc/passwd"),
    "an absolute path": member("/etc/passwd"),
    "a backslash": member("app\\..\\x"),
    "a link": member("app/x", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
    "a hard link": member("app/x", type=tarfile.LNKTYPE, linkname="app/Chart.yaml"),
    "a device": member("app/x", type=tarfile.CHRTYPE),
}


@pytest.mark.parametrize("entry", HOSTILE.values(), ids=HOSTILE.keys())
def test_an_archive_that_holds_more_than_files_is_refused(entry: tarfile.TarInfo, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        text = chart_yaml("app", "1.0.0").encode()
        archive.addfile(member("app/Chart.yaml", size=len(text)), io.BytesIO(text))
        archive.addfile(entry)
    with pytest.raises(BadIndex, match="holds"):
        from_repository(tmp_path, Made("app", "1.0.0", gzip.compress(buffer.getvalue())))


def test_a_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "UNPACKED_LIMIT", 1 << 20)
    bomb = packed("app", {"Chart.yaml": chart_yaml("app", "1.0.0"), "zeros": bytes(8 << 20)})
    with pytest.raises(BadIndex, match="unpacks to more"):
        from_repository(tmp_path, Made("app", "1.0.0", bomb))


@pytest.mark.parametrize("name", ["../x", "a/b", "", "a" * 300, "a\0b", "a..b", "-"])
def test_hostile_names_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(Problem):
        from_repository(
            tmp_path, replace(chart("app", "1.0.0"), content=packed("x", {"Chart.yaml": chart_yaml(name, "1")}))
        )
    with pytest.raises(ValueError, match="chart"):
        ChartSection(name=name, repository="https://charts.example.org")


def test_a_folder_is_packed_whole_with_what_it_depends_on(tmp_path: Path) -> None:
    folder(tmp_path, "common", "0.1.0")
    with repository(chart("db", "1.0.0"), chart("db", "1.2.0"), chart("db", "2.0.0")) as url:
        needs = [
            {"name": "db", "version": "^1", "repository": url},
            {"name": "common", "version": "*", "repository": "file://../common"},
        ]
        folder(tmp_path, "app", "1.0.0", needs)
        resolution = resolved(tmp_path, path="app")
    items = {item.name: item for item in resolution.items}
    found = archives.read(tmp_path / "blobs" / items["app"].files[0].sha256, "app")
    assert taken(resolution) == {"app@1.0.0", "db@1.2.0", "common@0.1.0"}
    assert found.inside == {"db", "common"}
    assert found.missing == []
    assert (items["app"].origin, items["app"].files[0].origin) == ("file:app", PACKED)
    assert resolution.why["db"] == ("app", "app", "db")
    assert resolution.asked[0].pulled_in == ("common", "db")


def test_the_same_folder_is_the_same_bytes_whatever_its_dates(tmp_path: Path) -> None:
    place = folder(tmp_path, "app", "1.0.0")
    first = resolved(tmp_path, path="app").items[0].files[0]
    (place / "Chart.yaml").touch()
    (place / ".git").mkdir()
    (place / ".git" / "HEAD").write_text("x")
    (place / "notes.txt~").write_text("x")
    (place / ".helmignore").write_text("# comment\n.git/\n*~\n.helmignore\n")
    assert resolved(tmp_path, path="app").items[0].files[0] == first


IGNORED = [
    ("*.bak", "a/b.bak", True),
    ("/b.txt", "a/b.txt", False),
    ("/b.txt", "b.txt", True),
    ("a/", "a/b/c.txt", True),
    ("a/", "a", False),
    ("a/*.txt", "a/b.txt", True),
    ("*.txt\n!keep.txt", "keep.txt", False),
    ("", "templates/.hidden", True),
]


@pytest.mark.parametrize(("rules", "file", "ignored"), IGNORED)
def test_helmignore_leaves_out(rules: str, file: str, ignored: bool, tmp_path: Path) -> None:
    place = folder(tmp_path, "app", "1.0.0")
    (place / file).parent.mkdir(parents=True, exist_ok=True)
    (place / file).write_text("x")
    (place / ".helmignore").write_text(rules)
    blob = tmp_path / "blobs" / resolved(tmp_path, path="app").items[0].files[0].sha256
    with tarfile.open(blob) as archive:
        assert (f"app/{file}" not in archive.getnames()) is ignored


LOCAL: list[tuple[str, Callable[[Path], Any], type[Problem], str]] = [
    ("a folder that is no chart", lambda base: (base / "app").mkdir(), BadSection, "no Chart.yaml"),
    ("a path that does not exist", lambda base: None, BadSection, "does not exist"),
    (
        "a dependency that is in no repository and not in charts/",
        lambda base: folder(base, "app", "1.0.0", [{"name": "db", "version": "*"}]),
        Unsolvable,
        "depends on db, which is not in",
    ),
    (
        "a repository that only this machine's helm knows",
        lambda base: folder(base, "app", "1.0.0", [{"name": "db", "version": "*", "repository": "@stable"}]),
        BadSection,
        "@stable",
    ),
    (
        "a circle",
        lambda base: folder(base, "app", "1.0.0", [{"name": "app", "version": "*", "repository": "file://../app"}]),
        Unsolvable,
        "in a circle",
    ),
    (
        "a local dependency of the wrong version",
        lambda base: (
            folder(base, "db", "2.0.0"),
            folder(base, "app", "1.0.0", [{"name": "db", "version": "^1", "repository": "file://../db"}]),
        ),
        Unsolvable,
        r"has no db \^1",
    ),
    (
        "a link out of the folder",
        lambda base: (folder(base, "app", "1.0.0") / "values.yaml").symlink_to("/etc/hostname"),
        BadSection,
        "leads out of the chart's folder",
    ),
]


@pytest.mark.parametrize(("_sentence", "make", "error", "word"), LOCAL, ids=[sentence for sentence, *_ in LOCAL])
def test_local_charts_are_refused(
    _sentence: str, make: Callable[[Path], Any], error: type[Problem], word: str, tmp_path: Path
) -> None:
    make(tmp_path)
    with pytest.raises(error, match=word):
        resolved(tmp_path, path="app")


KEY, OTHER = RepositoryKey.generate("charts"), RepositoryKey.generate("someone")


def signed(made: Made, key: RepositoryKey, digest: str = "") -> Made:
    text = f"{chart_yaml(made.name, made.version)}\n\n...\nfiles:\n  {made.file}: sha256:{digest or made.sha256}\n"
    return replace(made, provenance=key.signer().clearsign(text.encode()))


OTHERS = signed(chart("other", "1.0.0"), KEY)
SIGNATURES = [
    ("none at all", lambda made: made, Unsigned, "no provenance file"),
    ("one by an unknown key", lambda made: signed(made, OTHER), WronglySigned, "provenance of app-1.0.0.tgz"),
    ("one over another digest", lambda made: signed(made, KEY, "0" * 64), WrongDigest, "0000"),
    (
        "one of another file",
        lambda made: replace(made, provenance=signed(chart("x", "1"), KEY).provenance),
        BadIndex,
        "not speak",
    ),
]


@pytest.mark.parametrize(
    ("_sentence", "sign", "error", "word"), SIGNATURES, ids=[sentence for sentence, *_ in SIGNATURES]
)
def test_with_a_keyring_is_refused(
    _sentence: str, sign: Callable[[Made], Made], error: type[Problem], word: str, tmp_path: Path
) -> None:
    (tmp_path / "keys.asc").write_bytes(KEY.public_key())
    with pytest.raises(error, match=word):
        from_repository(tmp_path, sign(chart("app", "1.0.0")), keyring="keys.asc")


def test_a_good_signature_is_kept_and_told(tmp_path: Path) -> None:
    (tmp_path / "keys.asc").write_bytes(KEY.public_key())
    made = signed(chart("app", "1.0.0"), KEY)
    (item,) = from_repository(tmp_path, made, keyring="keys.asc").items
    assert item.evidence["signed_by"] == [KEY.fingerprint.hex()]
    assert (tmp_path / "blobs" / item.publish["provenance"]).read_bytes() == made.provenance
    assert item.files[1].path == "app-1.0.0.tgz.prov"


def test_a_chart_of_a_registry_keeps_its_manifest(tmp_path: Path) -> None:
    made = chart("app", "1.0.0+build.5")
    (tmp_path / "blobs").mkdir()
    there = [
        *pushed("team/charts", made, tmp_path / "blobs"),
        *pushed("team/charts", chart("app", "0.9.0"), tmp_path / "blobs"),
    ]
    with registry(there, Blobs(tmp_path / "blobs")) as host:
        (item,) = resolved(tmp_path, name="app", repository=f"oci://{host}/team/charts").items
    assert item.version == "1.0.0+build.5"
    assert item.origin == f"oci://{host}/team/charts/app:1.0.0_build.5"
    kept = (tmp_path / "blobs" / item.publish["artifact"]["manifest"]).read_bytes()
    assert kept == there[0].body


def test_an_image_is_no_chart(tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    there = pushed("team", chart("app", "1.0.0"), tmp_path / "blobs")
    image = replace(there[0], body=there[0].body.replace(b"cncf.helm.config", b"oci.image.config"))
    with (
        registry([image, *there[1:]], Blobs(tmp_path / "blobs")) as host,
        pytest.raises(BadIndex, match="not a Helm chart"),
    ):
        resolved(tmp_path, name="app", repository=f"oci://{host}/team")


BAD = [
    {},
    {"name": "app"},
    {"repository": "https://charts.example.org"},
    {"path": "app", "name": "app", "repository": "https://charts.example.org"},
    {"path": "app", "version": "1"},
    {"name": "app", "repository": "https://user:secret@charts.example.org"},
    {"name": "app", "repository": "oci://user@ghcr.io/x"},
    {"name": "app", "repository": "ftp://charts.example.org"},
    {"name": "app", "repository": "oci://ghcr.io/UPPER"},
    {"name": "app", "repository": "https://charts.example.org", "version": "latest"},
    {"name": "app", "repository": "https://charts.example.org", "versoin": "1"},
]


@pytest.mark.parametrize("section", BAD, ids=str)
def test_a_section_that_makes_no_sense_is_refused(section: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        ChartSection.model_validate(section)


def test_the_template_is_one_that_helm_renders() -> None:
    assert "{{ .Release.Name }}" in TEMPLATE
