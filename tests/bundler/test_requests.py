"""Requests of a crate become part of the next one: tried, shown, kept in the lock; what it holds is left out."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from archive import requests
from archive.reader import Crate, read_envelope
from archive.requests import Export, Holding, Unmet, join
from archive.signing import KeyFile
from archive.volumes import Volumes
from tests.bundler.workshop import Workshop
from tests.bundler.worlds import World, archive, world
from tests.support.images import make_layout
from tests.support.registries import Registry

APP = "docker.io/team/app:1"
KEY, FOREIGN = (KeyFile(Ed25519PrivateKey.from_private_bytes(bytes([number] * 32))) for number in (1, 2))
NOTHING = Export("workshop", 1_795_000_000, (), (), ())


def unmet(*names: tuple[str, str]) -> tuple[Unmet, ...]:
    return tuple(Unmet(kind, name, 2, 1, 2, ("10.0.0.7",)) for kind, name in names)


@dataclass
class Desk:
    """A workshop with upstreams that answer, and files that come back from crates."""

    workshop: Workshop
    registry: Registry
    export: Export = field(default=NOTHING)

    def file(self, *names: tuple[str, str], key: KeyFile = KEY, name: str = "site.requests") -> str:
        export = replace(self.export, requests=unmet(*names))
        (self.workshop.folder / name).write_bytes(requests.sign(export, key))
        return name

    def lock(self, *options: str) -> Any:
        return json.loads(self.workshop.succeed("lock", "--json", *options))

    def refused(self, *options: str, code: int) -> str:
        done = self.workshop.run("lock", *options)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done.stderr

    def wishes(self) -> list[tuple[str, str]]:
        return [(wish["kind"], wish["name"]) for wish in self.workshop.lock.get("wishes", ())]

    def items(self) -> set[str]:
        return {f"{item['kind']} {item['name']} {item['version']}" for item in self.workshop.lock["items"]}


@pytest.fixture
def there() -> Iterator[World]:
    with world() as made:
        yield made


@pytest.fixture
def desk(there: World, tmp_path: Path, registry: Registry) -> Desk:
    """The recipe of all ecosystems; `docker.io` is a registry that holds `APP`."""
    made = make_layout(tmp_path / "image", APP)
    registry.push(made.layout, made.digest, "team/app", "1")
    recipe = there.recipe(head='platforms = ["linux/amd64", "linux/arm64"]')
    return Desk(there.workshop(tmp_path / "work", f'{recipe}\n[upstreams]\n"docker.io" = "{registry.url}"\n'), registry)


@pytest.fixture
def small(tmp_path: Path, registry: Registry) -> Desk:
    """A recipe that asks for nothing itself."""
    return Desk(Workshop.make(tmp_path / "small", '[crate]\nname = "lab"\nserial = 7\n'), registry)


ASKED = (
    ("image", APP),
    ("apt", "debian/lonely"),
    ("pypi", "beta"),
    ("npm", "leaf"),
    ("chart", "web 2.0.0"),
)


def test_what_was_asked_for_is_added_shown_and_kept_in_the_lock(desk: Desk) -> None:
    desk.lock()
    before = desk.items()
    file = desk.file(*ASKED)
    done = desk.workshop.run("lock", "--requests", file)
    assert done.returncode == 0, done.stderr
    for kind, name in ASKED:
        assert any(line.split()[:2] == ["+", kind] and name in line for line in done.stderr.splitlines())
    assert "seen for the first time" in done.stderr
    assert KEY.public.fingerprint in done.stderr
    assert sorted(desk.wishes()) == sorted(ASKED)
    assert desk.items() - before == {"image docker.io/team/app 1", "apt lonely 3.0", "chart web 2.0.0"}
    assert desk.lock()["changed"] is False, "a lock without the file keeps what was asked for"
    again = desk.lock("--requests", file)
    assert (again["changed"], again["added"], len(again["known"])) == (False, [], len(ASKED))
    assert desk.lock("--forget-requests")["wishes"] == []
    assert desk.items() == before


def test_what_the_recipe_names_by_then_is_no_wish_any_more(desk: Desk) -> None:
    desk.lock("--requests", desk.file(("image", APP), ("apt", "debian/lonely")))
    text = desk.workshop.recipe.read_text().replace('packages = ["clock"]', 'packages = ["clock", "lonely"]')
    desk.workshop.write(f'{text}\n[[images]]\nref = "{APP}"\n')
    desk.lock()
    assert desk.wishes() == []
    assert {"image docker.io/team/app 1", "apt lonely 3.0"} < desk.items()


IMPOSSIBLE: dict[tuple[str, str], str] = {
    ("image", "docker.io/team/absent:1"): "does not exist",
    ("image", "docker.io/team/app:2"): "does not exist",
    ("apt", "debian/broken"): "nowhere",
    ("apt", "debian/absent"): "absent",
    ("apt", "elsewhere/lonely"): "no [[apt]] called elsewhere",
    ("pypi", "absent"): "absent",
    ("pypi", "not a requirement!"): "is not a requirement",
    ("npm", "absent"): "absent",
    ("npm", "../../etc"): "",
    ("chart", "absent"): "absent",
    ("chart", "web 9.0.0"): "9.0.0",
    ("suite", "debian/trixie"): "only a person knows",
    ("file", "tool"): "only a person knows",
    ("path", "debian/dists"): "no stick brings that",
    ("dns", "mirror.example.org"): "no stick brings that",
}


def test_what_cannot_be_had_is_told_and_stops_nothing(desk: Desk) -> None:
    made = desk.lock("--requests", desk.file(*IMPOSSIBLE, *ASKED))
    assert {(it["kind"], it["name"]) for it in made["added"]} == set(ASKED)
    told = {(it["kind"], it["name"]): it["why"] for it in made["unsatisfied"]}
    assert told.keys() == IMPOSSIBLE.keys()
    for key, why in IMPOSSIBLE.items():
        assert why in told[key], (key, told[key])
        assert "\n" not in told[key].strip() or key[0] in {"pypi", "npm", "apt"}
    assert "host names that were asked for" in desk.workshop.run("lock", "--requests", "site.requests").stderr


def test_a_package_that_does_not_fit_with_the_others_is_carried_beside_them(there: World, desk: Desk) -> None:
    """`alpha` is pinned away by the recipe: asked for in another version it is resolved apart."""
    text = desk.workshop.recipe.read_text()
    desk.workshop.write(text.replace('requirements = ["alpha>=1"]', 'requirements = ["alpha>=1", "beta<1.0.1"]'))
    made = desk.lock("--requests", desk.file(("pypi", "beta==1.0"), ("pypi", "beta>=2")))
    assert [it["name"] for it in made["added"]] == ["beta==1.0"]
    (wish,) = desk.workshop.lock["wishes"]
    assert wish["apart"] is True
    assert desk.lock()["changed"] is False


def test_an_image_is_brought_for_every_platform_of_the_crate_or_not_at_all(desk: Desk, tmp_path: Path) -> None:
    made = make_layout(tmp_path / "one", "docker.io/team/one:1", ("linux/amd64",))
    desk.registry.push(made.layout, made.digest, "team/one", "1")
    told = desk.lock("--requests", desk.file(("image", "docker.io/team/one:1")))["unsatisfied"]
    assert "does not exist for linux/arm64" in told[0]["why"]


def test_build_adds_them_and_leaves_the_rest_as_it_was_locked(there: World, desk: Desk) -> None:
    desk.lock()
    before = desk.workshop.lock
    there.apt.files |= archive("1.1")
    desk.workshop.build("--requests", desk.file(("image", APP)))
    assert desk.items() == {f"{i['kind']} {i['name']} {i['version']}" for i in before["items"]} | {
        "image docker.io/team/app 1"
    }


# Whose file it is


def test_a_crate_keeps_its_key(small: Desk) -> None:
    small.lock("--requests", small.file())
    known = small.workshop.folder / ".config/buzzcrate/crates"
    assert known.read_text() == f"{KEY.public.line} workshop\n"
    assert "seen before" in small.workshop.run("lock", "--requests", small.file()).stderr
    told = small.refused("--requests", small.file(key=FOREIGN), code=3)
    assert KEY.public.fingerprint in told
    assert f"--crate-key {FOREIGN.public.fingerprint}" in told
    small.lock("--requests", small.file(key=FOREIGN), "--crate-key", FOREIGN.public.fingerprint)
    assert known.read_text() == f"{FOREIGN.public.line} workshop\n"
    small.refused("--requests", small.file(), code=3)


def test_a_key_that_is_told_is_the_only_one(small: Desk) -> None:
    (small.workshop.folder / "crate.pub").write_text(f"{KEY.public.line} crate@box\n")
    small.refused("--requests", small.file(key=FOREIGN), "--crate-key", "crate.pub", code=3)
    assert not (small.workshop.folder / ".config/buzzcrate/crates").exists()
    small.lock("--requests", small.file(), "--crate-key", "crate.pub")


def damaged(data: bytes) -> dict[str, tuple[bytes, int, str]]:
    return {
        "a word that was changed": (data.replace(b"team/app", b"evil/app"), 3, "changed or damaged"),
        "the end is missing": (data[:-100], 2, "cannot be read"),
        "the signature is missing": (data.partition(b"-----BEGIN")[0], 3, "not signed"),
        "another file": (b"PK\x03\x04", 2, "no file of requests"),
    }


@pytest.mark.parametrize("option", ["--requests", "--have"])
def test_a_file_that_is_not_as_it_was_signed_is_refused(small: Desk, option: str) -> None:
    small.workshop.keygen()
    small.file(("image", APP))
    path = small.workshop.folder / "site.requests"
    for data, code, words in damaged(path.read_bytes()).values():
        path.write_bytes(data)
        done = small.workshop.run("build", "--out", "out", "--key", "release.key", option, "site.requests")
        assert (done.returncode, words in done.stderr) == (code, True), done.stderr
    assert not (small.workshop.folder / "bundle.lock").exists()


WRONG_USE: dict[str, tuple[list[str], str]] = {
    "--locked with --requests": (["--locked", "--requests", "x"], "--locked resolves nothing"),
    "a key for no file": (["--crate-key", "SHA256:x"], "goes with --requests or --have"),
    "a file that is not there": (["--have", "absent"], "absent is not there"),
}


@pytest.mark.parametrize(("options", "words"), WRONG_USE.values(), ids=WRONG_USE)
def test_wrong_use_is_told(tmp_path: Path, options: list[str], words: str) -> None:
    workshop = Workshop.make(tmp_path, '[crate]\nname = "x"\n')
    workshop.keygen()
    done = workshop.run("build", "--out", "out", "--key", "release.key", *options)
    assert (done.returncode, words in done.stderr) == (2, True), done.stderr


# What it holds


def holding(workshop: Workshop, *, serial: int = 7) -> Holding:
    """All that the lock names."""
    digests = {file["sha256"] for item in workshop.lock["items"] for file in item["files"]}
    return Holding("lab", serial, "a" * 64, active=True, blobs=join(map(bytes.fromhex, digests)))


def absent(path: Path) -> tuple[set[str], set[str]]:
    """The digests that a crate leaves out, and those that it carries."""
    with Volumes.open([path]) as volumes:
        entries = [placed.entry for placed in Crate.open(volumes, read_envelope(volumes).signed).entries()]
    return {it.digest for it in entries if it.absent}, {it.digest for it in entries if not it.absent}


def test_what_a_crate_holds_is_neither_fetched_nor_carried(desk: Desk) -> None:
    desk.lock()
    desk.export = replace(NOTHING, holdings=(holding(desk.workshop, serial=6),))
    subprocess.run(["rm", "-rf", desk.workshop.cache], check=True)
    file = desk.file(("image", APP))
    built = desk.workshop.build("--requests", file, "--have", file)
    path = desk.workshop.crate(built)
    assert path.name == "lab-7-difference.crate"
    left, carried = absent(path)
    assert len(left) == built["left_out"]["blobs"] > 5
    assert built["left_out"]["base"] == [{"name": "lab", "serial": 6, "digest": "a" * 64, "blobs": len(left)}]
    image = next(item for item in desk.workshop.lock["items"] if item["kind"] == "image")
    assert {file["sha256"] for file in image["files"]} <= carried
    assert len(carried) == len(image["files"]) + 3, "the image, catalogue, lock and recipe"
    text = desk.workshop.succeed("inspect", str(path))
    assert "lab 7" in text
    assert "base" not in desk.workshop.lock


def test_an_index_for_fewer_platforms_is_made_though_its_original_is_there(desk: Desk, tmp_path: Path) -> None:
    made = make_layout(tmp_path / "three", "docker.io/team/three:1", ("linux/amd64", "linux/arm64", "linux/s390x"))
    desk.registry.push(made.layout, made.digest, "team/three", "1")
    desk.workshop.write(desk.workshop.recipe.read_text() + '\n[[images]]\nref = "docker.io/team/three:1"\n')
    desk.lock()
    original = next(
        file["sha256"]
        for item in desk.workshop.lock["items"]
        for file in item["files"]
        if item["kind"] == "image" and f"sha256:{file['sha256']}" == made.digest
    )
    desk.export = replace(
        NOTHING, holdings=(Holding("lab", 6, "a" * 64, active=True, blobs=join([bytes.fromhex(original)])),)
    )
    subprocess.run(["rm", "-rf", desk.workshop.cache], check=True)
    left, _ = absent(desk.workshop.crate(desk.workshop.build("--have", desk.file())))
    assert left == {original}


def test_a_release_that_the_crate_would_refuse_is_not_built(desk: Desk) -> None:
    desk.lock()
    desk.export = replace(NOTHING, holdings=(holding(desk.workshop),))
    desk.workshop.keygen()
    done = desk.workshop.run("build", "--out", "out", "--key", "release.key", "--have", desk.file())
    assert done.returncode == 2
    assert "workshop has lab 7, and takes no lab 7 after it" in done.stderr
    assert not list((desk.workshop.folder / "out").iterdir())


def test_a_forged_inventory_makes_a_crate_incomplete_and_nothing_worse(desk: Desk) -> None:
    """It names what is not there; the archive says so, signed, and import refuses it (see the appliance's tests)."""
    desk.lock()
    desk.export = replace(NOTHING, holdings=(holding(desk.workshop, serial=1),))
    path = desk.workshop.crate(desk.workshop.build("--have", desk.file()))
    left, carried = absent(path)
    assert left
    assert not left & carried
    assert all(len(hashlib.sha256(it.encode()).digest()) == 32 for it in left)
