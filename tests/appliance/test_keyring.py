"""Trust as an operator sets it: keys, fingerprints, policies, floors."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from appliance.errors import BadTrust
from appliance.installing import install
from appliance.keyring import Keyring
from appliance.store import Store
from archive import errors
from archive.sshsig import NAMESPACE
from archive.trust import Policy
from tests.support.crates import CrateMaker, Key, make_key
from tests.support.tools import tool


@pytest.fixture
def keyring(tmp_path: Path) -> Keyring:
    return Keyring(Store.open(tmp_path / "root"))


def crate(folder: Path, serial: int, *keys: Key) -> Path:
    maker = CrateMaker(folder / "blobs", serial=serial)
    maker.file("f", b"content")
    return maker.write(folder / f"site-{serial}.crate", keys)[0]


def test_the_trust_file_is_one_that_ssh_keygen_reads(tmp_path: Path, key: Key) -> None:
    with Store.open(tmp_path / "root") as store:
        Keyring(store).add(key.public.read_text(), "release")
    message = tmp_path / "message"
    message.write_bytes(b"x")
    sign: list[str | Path] = [tool("ssh-keygen"), "-Y", "sign", "-f", key.private, "-n", NAMESPACE, message]
    subprocess.run(sign, check=True, capture_output=True)
    trusted = tmp_path / "root/trust/allowed_signers"
    purpose = ["-I", "release", "-n", NAMESPACE]
    verify: list[str | Path] = [tool("ssh-keygen"), "-Y", "verify", "-f", trusted, *purpose, "-s", f"{message}.sig"]
    assert b"Good" in subprocess.run(verify, input=b"x", check=True, capture_output=True).stdout


def test_a_fingerprint_becomes_a_key_when_a_crate_presents_it(tmp_path: Path, key: Key) -> None:
    stranger = make_key(tmp_path / "keys", "stranger")
    with Store.open(tmp_path / "root") as store:
        keyring = Keyring(store)
        keyring.add(key.fingerprint, "release")
        with pytest.raises(errors.UnknownSigner):
            install(store, [crate(tmp_path, 1, stranger)])
        assert [one.known for one in keyring.trusted()] == [False]
        install(store, [crate(tmp_path, 2, key)])
        (trusted,) = keyring.trusted()
        assert (trusted.principal, trusted.fingerprint, trusted.known) == ("release", key.fingerprint, True)
        assert (tmp_path / "root/trust/fingerprints").read_text() == ""
        install(store, [crate(tmp_path, 3, key)])


def test_a_fingerprint_is_not_kept_when_the_crate_is_refused_for_another_reason(tmp_path: Path, key: Key) -> None:
    with Store.open(tmp_path / "root") as store:
        keyring = Keyring(store)
        keyring.add(key.fingerprint, "release")
        keyring.set_policy("site", Policy(None, 2))
        with pytest.raises(errors.BelowThreshold):
            install(store, [crate(tmp_path, 1, key)])
        assert [one.known for one in keyring.trusted()] == [False]


def test_two_people_must_sign_when_the_policy_says_so(tmp_path: Path, key: Key) -> None:
    second = make_key(tmp_path / "keys", "audit")
    with Store.open(tmp_path / "root") as store:
        keyring = Keyring(store)
        keyring.add(key.public.read_text(), "release")
        keyring.add(second.public.read_text(), "audit")
        keyring.set_policy("site", Policy(("release", "audit"), 2))
        with pytest.raises(errors.BelowThreshold):
            install(store, [crate(tmp_path, 1, key)])
        installed = install(store, [crate(tmp_path, 2, key, second)])
        assert [one.principal for one in installed.imports[0].verdict.signatures] == ["audit", "release"]
        keyring.set_policy("site", None)
        assert dict(keyring.policies()) == {}
        install(store, [crate(tmp_path, 3, key)])


def test_a_removed_signer_is_refused_and_hand_written_lines_stay(tmp_path: Path, key: Key, keyring: Keyring) -> None:
    path = tmp_path / "root/trust/allowed_signers"
    path.write_text("# by hand\n" + f'ops namespaces="other" {key.public.read_text()}')
    keyring.add(key.public.read_text(), "release")
    assert keyring.remove("release") == 1
    assert path.read_text().startswith("# by hand\nops namespaces")
    assert [one.principal for one in keyring.trusted()] == ["ops"]
    assert keyring.remove(key.fingerprint) == 1
    assert keyring.trusted() == []
    assert path.read_text() == "# by hand\n"


def test_adding_a_key_twice_changes_nothing(key: Key, keyring: Keyring) -> None:
    keyring.add(key.public.read_text(), "release")
    keyring.add(key.public.read_text(), "release")
    assert len(keyring.trusted()) == 1


RSA = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQC7"

BAD_KEYS = {
    "an RSA key": (RSA, "release", errors.UnsupportedKey),
    "a private key": ("-----BEGIN OPENSSH PRIVATE KEY-----", "release", errors.MalformedKey),
    "nothing": ("", "release", errors.MalformedKey),
    "a name with a wildcard": ("SHA256:" + "A" * 43, "*", errors.MalformedSigners),
    "a short fingerprint": ("SHA256:abc", "release", errors.MalformedKey),
}


@pytest.mark.parametrize(("text", "name", "problem"), BAD_KEYS.values(), ids=BAD_KEYS)
def test_what_is_no_key_is_refused(keyring: Keyring, text: str, name: str, problem: type[errors.Problem]) -> None:
    with pytest.raises(problem):
        keyring.add(text, name)
    assert keyring.trusted() == []


BAD_POLICIES = {
    "a crate name that is none": ("../x", Policy()),
    "more signatures than signers": ("site", Policy(("release",), 2)),
    "no signature at all": ("site", Policy(None, 0)),
}


@pytest.mark.parametrize(("name", "policy"), BAD_POLICIES.values(), ids=BAD_POLICIES)
def test_a_policy_that_cannot_work_is_refused(keyring: Keyring, name: str, policy: Policy) -> None:
    with pytest.raises(BadTrust):
        keyring.set_policy(name, policy)
    assert dict(keyring.policies()) == {}


def test_removing_somebody_who_is_not_trusted_says_so(keyring: Keyring) -> None:
    with pytest.raises(BadTrust, match="is not trusted anyway"):
        keyring.remove("nobody")


def test_policies_of_several_crates_are_kept_apart(tmp_path: Path, keyring: Keyring) -> None:
    keyring.set_policy("site", Policy(("a", "b"), 2))
    keyring.set_policy("tools.eu", Policy(None, 1))
    assert dict(keyring.policies()) == {"site": Policy(("a", "b"), 2), "tools.eu": Policy(None, 1)}
    assert "site" in (tmp_path / "root/trust/policy.toml").read_text()


def test_a_floor_set_by_hand_takes_any_crate_of_its_serial_and_none_below(tmp_path: Path, key: Key) -> None:
    paths = {serial: crate(tmp_path, serial, key) for serial in (4, 5, 6)}
    with Store.open(tmp_path / "root") as store:
        keyring = Keyring(store)
        keyring.add(key.public.read_text(), "release")
        install(store, [paths[6]])
        keyring.set_floor("site", 5)
        with pytest.raises(errors.LowerSerial):
            install(store, [paths[4]])
        install(store, [paths[5]])
        keyring.set_floor("site", 0)
        install(store, [paths[4]])
        assert keyring.floors() == {"site": 4}
