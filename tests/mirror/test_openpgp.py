"""The crate's OpenPGP key, held against the two verifiers that Debian's nodes have."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pysequoia
import pytest
from pysequoia import ArmorKind
from pysequoia.packet import PacketPile

from mirror.errors import BadSection, MirrorProblem, TruncatedIndex, Unsigned, WronglySigned
from mirror.openpgp import BEGINNING, Keyring, RepositoryKey
from tests.support.tools import tool

FUTURE = datetime(2099, 1, 1, tzinfo=UTC)
LATER = datetime(2026, 7, 11, 10, 16, 37, tzinfo=UTC)
TEXTS = {
    "a Release": b"Origin: BuzzCrate\nSuite: bookworm\nSHA256:\n 00 1 main/Packages\n",
    "lines that begin with dashes": b"- one\n--two\n-----BEGIN PGP SIGNATURE-----\n",
    "blanks at ends of lines": b"one \ntwo\t\n\n three\n",
    "no newline at the end": b"one",
    "one empty line": b"\n",
}


@pytest.fixture(scope="module")
def key() -> RepositoryKey:
    return RepositoryKey.generate("BuzzCrate tests")


def _verify(folder: Path, key: RepositoryKey, data: bytes, signature: bytes) -> list[subprocess.CompletedProcess[str]]:
    (folder / "data").write_bytes(data)
    (folder / "data.sig").write_bytes(signature)
    (folder / "key.asc").write_bytes(key.public_key())
    subprocess.run(
        [tool("gpg"), "--batch", "--yes", "-o", folder / "key.gpg", "--dearmor", folder / "key.asc"], check=True
    )
    commands = (
        [tool("gpgv"), "--keyring", "./key.gpg", "data.sig", "data"],
        [tool("sqv"), "--keyring", "key.asc", "data.sig", "data"],
    )
    return [subprocess.run(c, cwd=folder, capture_output=True, text=True, check=False) for c in commands]


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
@pytest.mark.parametrize("when", [BEGINNING, LATER], ids=["dated at the beginning", "dated later"])
def test_gpgv_and_sqv_accept_a_detached_signature(
    tmp_path: Path, key: RepositoryKey, text: bytes, when: datetime
) -> None:
    for told in _verify(tmp_path, key, text, key.signer(when).detach(text)):
        assert told.returncode == 0, told.stderr


def test_gpgv_and_sqv_refuse_other_bytes(tmp_path: Path, key: RepositoryKey) -> None:
    for told in _verify(tmp_path, key, b"two", key.signer().detach(b"one")):
        assert told.returncode != 0


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_gpgv_accepts_what_is_signed_in_clear(tmp_path: Path, key: RepositoryKey, text: bytes) -> None:
    _verify(tmp_path, key, b"", b"")
    (tmp_path / "InRelease").write_bytes(key.signer().clearsign(text))
    told = subprocess.run(
        [tool("gpgv"), "--output", "out", "--keyring", "./key.gpg", "InRelease"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    stripped = b"\n".join(line.rstrip() for line in text.rstrip(b"\n").split(b"\n"))
    assert (tmp_path / "out").read_bytes().rstrip(b"\n").split(b"\n") == stripped.split(b"\n")


def test_the_key_has_its_date_and_no_expiry(key: RepositoryKey) -> None:
    found = pysequoia.Cert.from_bytes(key.public_key())
    assert found.expiration is None
    assert found.fingerprint == key.fingerprint.hex()
    assert [str(user) for user in found.user_ids] == ["BuzzCrate tests"]


def test_the_same_key_signs_the_same_bytes_after_it_was_kept(key: RepositoryKey) -> None:
    again = RepositoryKey.from_bytes(key.to_bytes())
    assert again.public_key() == key.public_key()
    assert again.signer(LATER).clearsign(b"x\n") == key.signer(LATER).clearsign(b"x\n")


def test_no_signature_is_older_than_its_key() -> None:
    young = RepositoryKey.generate("young", LATER)
    signature = pysequoia.Sig.from_bytes(young.signer(BEGINNING).detach(b"x"))
    assert signature.created == LATER


def _keyring(folder: Path, *keys: RepositoryKey) -> Keyring:
    path = folder / "keyring.asc"
    path.write_bytes(b"".join(key.public_key() for key in keys))
    return Keyring.load([path])


def test_only_the_signed_text_is_believed(tmp_path: Path, key: RepositoryKey) -> None:
    signed = key.signer().clearsign(b"Suite: good\n")
    assert _keyring(tmp_path, key).verify_clearsigned(signed + b"Suite: evil\n", "x").data.strip() == b"Suite: good"


def test_one_trusted_signature_of_several_is_enough(tmp_path: Path, key: RepositoryKey) -> None:
    other = RepositoryKey.generate("other")
    packets = (PacketPile.from_bytes(each.signer().detach(b"x")) for each in (other, key))
    both = pysequoia.armor(b"".join(bytes(packet) for pile in packets for packet in pile), ArmorKind.Signature)
    found = _keyring(tmp_path, key).verify_detached(b"x", both.encode(), "x")
    assert found.signers == (key.fingerprint.hex(),)


REFUSED = [
    ("text without a signature", lambda s, k: (Unsigned, b"Suite: x\n")),
    ("text before the signature", lambda s, k: (Unsigned, b"Suite: evil\n" + s)),
    ("a signature cut off", lambda s, k: (TruncatedIndex, s[:-40])),
    ("a letter changed", lambda s, k: (WronglySigned, s.replace(b"good", b"evil"))),
    ("another key", lambda s, k: (WronglySigned, RepositoryKey.generate("x").signer().clearsign(b"Suite: good\n"))),
    ("a signature in the future", lambda s, k: (WronglySigned, k.signer(FUTURE).clearsign(b"x"))),
    ("an OpenPGP message that is not in clear", lambda s, k: (Unsigned, b"-----BEGIN PGP MESSAGE-----\n" + s)),
]  # fmt: skip


@pytest.mark.parametrize("make", [make for _, make in REFUSED], ids=[name for name, _ in REFUSED])
def test_refused(tmp_path: Path, key: RepositoryKey, make) -> None:  # type: ignore[no-untyped-def]
    problem, data = make(key.signer().clearsign(b"Suite: good\n"), key)
    with pytest.raises(problem) as found:
        _keyring(tmp_path, key).verify_clearsigned(data, "http://mirror.example.org/InRelease")
    assert "mirror.example.org" in found.value.what
    assert isinstance(found.value, MirrorProblem)
    assert found.value.exit_code == 3


def test_fingerprints_narrow_a_keyring(tmp_path: Path, key: RepositoryKey) -> None:
    other = RepositoryKey.generate("other")
    path = tmp_path / "keys.asc"
    path.write_bytes(key.public_key() + other.public_key())
    narrow = Keyring.load([path], only=[other.fingerprint.hex().upper()])
    assert len(narrow) == 1
    with pytest.raises(WronglySigned):
        narrow.verify_clearsigned(key.signer().clearsign(b"x\n"), "x")


def test_a_file_that_is_no_keyring_is_named(tmp_path: Path) -> None:
    (tmp_path / "not-a-key").write_text("hello")
    for path in (tmp_path / "not-a-key", tmp_path / "missing"):
        with pytest.raises(BadSection, match=path.name):
            Keyring.load([path])
