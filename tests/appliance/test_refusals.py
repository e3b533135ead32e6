"""What must be refused, each for its own reason, and a store that is byte for byte what it was."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.errors import BadTrust, CrateConflict, MissingBase
from appliance.installing import install
from appliance.keyring import Keyring
from appliance.store import Store
from archive import errors, sshsig
from archive.layout import Head
from archive.limits import LIMITS
from archive.reader import read_envelope
from archive.release import Release
from archive.trust import Policy
from archive.volumes import Volumes
from tests.support.crates import CrateMaker, Key, make_key
from tests.support.stores import dump, served, trusting
from tests.support.tools import tool

PART = 256 * 1024


@dataclass
class Scene:
    """A store that serves site 5, and what a case makes of the next crate."""

    folder: Path
    store: Store
    key: Key
    base: CrateMaker

    def maker(self, serial: int = 6, name: str = "site") -> CrateMaker:
        made = CrateMaker(
            self.folder / "blobs", name=name, serial=serial, items=self.base.items[1:], blobs=self.base.blobs
        )
        made.file(f"new-{name}", random.Random(serial).randbytes(500_000))
        return made

    def crate(self, serial: int = 6, *, keys: tuple[Key, ...] | None = None) -> Path:
        return self.maker(serial).write(self.folder / "stick/site.crate", self.keys(keys))[0]

    def parts(self) -> list[Path]:
        return list(self.maker().write(self.folder / "stick/site.crate", [self.key], part_size=PART))

    def keys(self, keys: tuple[Key, ...] | None) -> tuple[Key, ...]:
        return (self.key,) if keys is None else keys


def _head(crate: Path) -> Head:
    with Volumes.open([crate]) as volumes:
        signed = read_envelope(volumes).signed
    return Head.of(len(signed), Release.parse(signed))


def _overwrite(path: Path, offset: int, data: bytes) -> Path:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)
    return path


def _sign_for(scene: Scene, crate: Path, namespace: str, hash_name: str = "sha512") -> Path:
    """Replaces the signatures by one of ssh-keygen's for another purpose."""
    head = _head(crate)
    signed = scene.folder / "crate.json"
    signed.write_bytes(crate.read_bytes()[head.signed.offset : head.signed.offset + head.signed.size])
    subprocess.run(
        [
            tool("ssh-keygen"),
            "-Y",
            "sign",
            "-f",
            scene.key.private,
            "-n",
            namespace,
            "-O",
            f"hashalg={hash_name}",
            signed,
        ],
        check=True,
        capture_output=True,
    )
    armored = signed.with_name("crate.json.sig").read_bytes()
    return _overwrite(crate, head.slot.offset, sshsig.fill_slot((armored,)))


def _replayed(scene: Scene) -> Path:
    """The signature of site 5 under the crate.json of site 6."""
    old, new = scene.folder / "site-5.crate", scene.crate()
    slot = _head(old).slot
    data = old.read_bytes()[slot.offset : slot.offset + LIMITS.slot]
    return _overwrite(new, _head(new).slot.offset, data)


def _truncated(path: Path, size: int = 1000) -> Path:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - size)
    return path


def _extended(path: Path) -> Path:
    with path.open("ab") as file:
        file.write(b"more")
    return path


def _foreign_part(scene: Scene) -> list[Path]:
    parts = scene.parts()
    _truncated(parts[1])
    return parts


def _extra_part(scene: Scene) -> list[Path]:
    parts = scene.parts()
    extra = parts[0].with_name(f"site.crate.{len(parts):03}")
    last_size = parts[-1].stat().st_size
    shutil.copy(parts[0], extra)
    with parts[-1].open("ab") as file:
        file.write(bytes(PART - last_size))
    return [*parts, extra]


def _missing_base(scene: Scene) -> Path:
    maker = scene.maker()
    maker.file("never-seen", b"never" * 100, absent=True)
    return maker.write(scene.folder / "stick/site.crate", [scene.key])[0]


def _too_few(scene: Scene) -> Path:
    Keyring(scene.store).add(make_key(scene.folder / "keys", "audit").public.read_text(), "audit")
    Keyring(scene.store).set_policy("site", Policy(("release", "audit"), 2))
    return scene.crate()


def _one_key_twice(scene: Scene) -> Path:
    Keyring(scene.store).add(scene.key.public.read_text(), "release-again")
    Keyring(scene.store).set_policy("site", Policy(None, 2))
    return scene.crate(keys=(scene.key, scene.key))


def _other_principal(scene: Scene) -> Path:
    Keyring(scene.store).add(make_key(scene.folder / "keys", "audit").public.read_text(), "audit")
    Keyring(scene.store).set_policy("site", Policy(("audit",)))
    return scene.crate()


def _threshold_zero(scene: Scene) -> Path:
    (scene.store.root / "trust" / "policy.toml").write_text("[crate.site]\nthreshold = 0\n")
    return scene.crate()


def _unreadable_policy(scene: Scene) -> Path:
    (scene.store.root / "trust" / "policy.toml").write_text("[crate.site]\nthreshhold = 2\n")
    return scene.crate()


def _not_yet_valid(scene: Scene) -> Path:
    path = scene.store.root / "trust" / "allowed_signers"
    path.write_text(path.read_text().replace("release ", 'release valid-after="20900101Z" ', 1))
    return scene.crate()


def _without_first(scene: Scene) -> list[Path]:
    first, *rest = scene.parts()
    first.unlink()
    return rest


REFUSALS: dict[str, tuple[Callable[[Scene], Path | list[Path]], type[errors.Problem]]] = {
    "nobody signed it": (lambda scene: scene.crate(keys=()), errors.Unsigned),
    "a key nobody here knows signed it": (
        lambda scene: scene.crate(keys=(make_key(scene.folder / "keys", "stranger"),)),
        errors.UnknownSigner,
    ),
    "signed for another purpose": (lambda scene: _sign_for(scene, scene.crate(), "file"), errors.WrongNamespace),
    "signed over another hash": (
        lambda scene: _sign_for(scene, scene.crate(), sshsig.NAMESPACE, "sha256"),
        errors.WrongHash,
    ),
    "signed by the right key, but not these bytes": (_replayed, errors.WrongSignature),
    "one signature where two people must sign": (_too_few, errors.BelowThreshold),
    "one key that signed twice": (_one_key_twice, errors.BelowThreshold),
    "a trusted key that is not for this crate": (_other_principal, errors.SignerNotAllowed),
    "a key before its time": (_not_yet_valid, errors.SignerNotValid),
    "a policy that asks for nothing": (_threshold_zero, errors.UselessPolicy),
    "a policy with a misspelt word": (_unreadable_policy, BadTrust),
    "a slot with something else in it": (
        lambda scene: _overwrite(crate := scene.crate(), _head(crate).slot.offset + 8000, b"x"),
        errors.MalformedSlot,
    ),
    "a lower serial": (lambda scene: scene.crate(4), errors.LowerSerial),
    "the active serial with other bytes": (lambda scene: scene.crate(5), errors.SerialReused),
    "an index that is not the signed one": (
        lambda scene: _overwrite(crate := scene.crate(), _head(crate).index.offset + 10, b"0"),
        errors.DigestMismatch,
    ),
    "a file that is no crate": (
        lambda scene: _overwrite(scene.crate(), 0, b"PK\x03\x04"),
        errors.NotACrate,
    ),
    "a file cut short": (lambda scene: _truncated(scene.crate()), errors.Truncated),
    "a file that goes on": (lambda scene: _extended(scene.crate()), errors.TrailingData),
    "a part that is too small": (_foreign_part, errors.ForeignPart),
    "a part too many": (_extra_part, errors.ExtraPart),
    "parts without the first": (_without_first, errors.MissingPart),
    "a crate that builds on blobs nobody has": (_missing_base, MissingBase),
}


@pytest.fixture
def scene(tmp_path: Path, key: Key, maker: CrateMaker) -> Iterator[Scene]:
    maker.serial = 5
    (crate,) = maker.write(tmp_path / "site-5.crate", [key])
    with trusting(tmp_path / "root", key) as store:
        install(store, [crate])
        yield Scene(tmp_path, store, key, maker)


@pytest.mark.parametrize(("prepare", "refusal"), REFUSALS.values(), ids=REFUSALS)
def test_refused_and_nothing_changed(
    scene: Scene, prepare: Callable[[Scene], Path | list[Path]], refusal: type[errors.Problem]
) -> None:
    prepared = prepare(scene)
    before = dump(scene.store.root)
    with pytest.raises(refusal) as caught:
        install(scene.store, prepared if isinstance(prepared, list) else [prepared])
    assert type(caught.value) is refusal
    assert dump(scene.store.root) == before
    assert served(scene.store, "files/f00")


def test_crates_that_disagree_about_a_path_are_refused_naming_both(scene: Scene) -> None:
    other = scene.maker(1, "tools")
    other.items = other.items[-1:]
    other.file("f00", b"another content")
    (crate,) = other.write(scene.folder / "stick/tools-1.crate", [scene.key])
    with pytest.raises(CrateConflict) as caught:
        install(scene.store, [crate])
    assert "site 5" in caught.value.what
    assert "tools 1" in caught.value.what
    assert "/files/f00" in caught.value.what
    assert scene.store.generation() == 1
    assert served(scene.store, "files/f00") != b"another content"


def test_a_lower_serial_passes_after_the_operator_lowers_the_floor(scene: Scene) -> None:
    crate = scene.crate(4)
    with pytest.raises(errors.LowerSerial):
        install(scene.store, [crate])
    Keyring(scene.store).set_floor("site", 4)
    assert install(scene.store, [crate]).activation.crates == ("site 4",)
    with pytest.raises(errors.LowerSerial):
        install(scene.store, [scene.crate(3)])
