"""Signatures cross-checked with ssh-keygen, in both directions."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from archive import errors, sshsig
from archive.errors import Problem
from archive.keys import PublicKey
from archive.limits import LIMITS
from archive.reader import read_envelope
from archive.signers import line_for
from archive.signing import Agent, append_signature, generate, load_signer
from archive.volumes import Volumes
from tests.archive.crates import SIGNER, assemble, key, split
from tests.archive.openssh import SoftwareSecurityKey, accepts, agent, sign, ssh_keygen
from tests.support.tools import tool

MESSAGE = b'{"name":"site"}'


def made_by_ssh_keygen(folder: Path, kind: str = "ed25519", passphrase: str = "") -> Path:
    path = folder / f"id_{kind}"
    ssh_keygen("-q", "-t", kind, "-N", passphrase, "-C", "somebody", "-f", path)
    return path


@pytest.mark.parametrize("passphrase", ["", "crème brûlée"], ids=["a plain key", "an encrypted key"])
def test_our_key_files_and_signatures_are_openssh_s(passphrase: str, tmp_path: Path) -> None:
    path = tmp_path / "key"
    public = generate(path, passphrase, "release key")
    assert path.stat().st_mode & 0o777 == 0o600
    shown = ssh_keygen("-y", "-P", passphrase, "-f", path).stdout.decode().split()
    assert shown[:2] == public.line.split()
    assert (tmp_path / "key.pub").read_text() == f"{public.line} release key\n"
    assert ssh_keygen("-l", "-f", f"{path}.pub").stdout.decode().split()[1] == public.fingerprint
    signature = load_signer(path, lambda: passphrase).sign(MESSAGE)
    assert accepts(tmp_path, line_for("release", public), "release", signature, MESSAGE)
    assert not accepts(tmp_path, line_for("release", public), "release", signature, MESSAGE + b" ")
    assert not accepts(tmp_path, line_for("release", public), "release", signature, MESSAGE, namespace="git")


@pytest.mark.parametrize("passphrase", ["", "secret"], ids=["a plain key", "an encrypted key"])
def test_a_key_of_ssh_keygen_signs_here_as_it_does_there(passphrase: str, tmp_path: Path) -> None:
    path = made_by_ssh_keygen(tmp_path, passphrase=passphrase)
    signer = load_signer(path, lambda: passphrase)
    ours = signer.sign(MESSAGE)
    assert accepts(tmp_path, line_for("release", signer.public), "release", ours, MESSAGE)
    if not passphrase:
        # Ed25519 is deterministic, so that both must be the same to the byte
        assert sign(path, MESSAGE) == ours


def test_ssh_keygen_s_signatures_verify_here(tmp_path: Path) -> None:
    path = made_by_ssh_keygen(tmp_path)
    signature = sshsig.parse_armored(sign(path, MESSAGE))
    assert sshsig.verify(signature, MESSAGE)
    assert not sshsig.verify(signature, MESSAGE + b" ")
    assert not sshsig.verify(signature, MESSAGE, "git")
    assert not sshsig.verify(sshsig.parse_armored(sign(path, MESSAGE, "git")), MESSAGE)
    assert not sshsig.verify(sshsig.parse_armored(sign(path, MESSAGE, hashed="sha256")), MESSAGE)


@pytest.mark.parametrize("kind", ["rsa", "ecdsa"])
def test_signatures_of_other_key_types_are_read_and_count_for_nothing(kind: str, tmp_path: Path) -> None:
    path = made_by_ssh_keygen(tmp_path, kind)
    armored = sign(path, MESSAGE)
    signature = sshsig.parse_armored(armored)
    assert signature.armored() == armored
    assert not sshsig.verify(signature, MESSAGE)


def test_ssh_keygen_finds_our_signer(tmp_path: Path) -> None:
    signature, signers = tmp_path / "signature", tmp_path / "signers"
    signature.write_bytes(SIGNER.sign(MESSAGE))
    signers.write_text(f"{line_for('someone', key(5).public)}\n{line_for('release', SIGNER.public)}\n")
    found = ssh_keygen("-Y", "find-principals", "-f", signers, "-s", signature)
    assert found.stdout.split() == [b"release"]
    words = ("-Y", "check-novalidate", "-n", sshsig.NAMESPACE, "-s", signature)
    assert ssh_keygen(*words, message=MESSAGE).returncode == 0
    assert ssh_keygen(*words, message=b"other", check=False).returncode != 0


def test_a_security_key_s_signature_verifies_here_and_there(tmp_path: Path) -> None:
    signer = SoftwareSecurityKey()
    armored = signer.sign(MESSAGE)
    assert sshsig.verify(sshsig.parse_armored(armored), MESSAGE)
    assert accepts(tmp_path, line_for("release", signer.public), "release", armored, MESSAGE)
    assert not sshsig.verify(sshsig.parse_armored(armored), b"other")
    (tmp_path / "key.pub").write_text(f"{signer.public.line} touch\n")
    parsed = PublicKey.from_line((tmp_path / "key.pub").read_text())
    assert (parsed, parsed.application) == (signer.public, "ssh:")
    assert ssh_keygen("-l", "-f", tmp_path / "key.pub").stdout.decode().split()[1] == parsed.fingerprint


def test_a_security_key_that_nobody_touched_does_not_count() -> None:
    untouched = SoftwareSecurityKey(flags=0).sign(MESSAGE)
    assert not sshsig.verify(sshsig.parse_armored(untouched), MESSAGE)


def test_a_security_key_is_not_the_plain_key_inside_it() -> None:
    signer = SoftwareSecurityKey(1)
    assert signer.public != SIGNER.public
    assert signer.public.point == SIGNER.public.point


def test_a_key_in_the_agent_signs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = made_by_ssh_keygen(tmp_path)
    with agent(tmp_path) as environment:
        monkeypatch.setenv("SSH_AUTH_SOCK", environment["SSH_AUTH_SOCK"])
        subprocess.run([tool("ssh-add"), "-q", path], check=True, env=dict(os.environ), stderr=subprocess.DEVNULL)
        path.unlink()
        signer = load_signer(path.with_suffix(".pub"))
        assert isinstance(signer, Agent)
        assert sshsig.verify(sshsig.parse_armored(signer.sign(MESSAGE)), MESSAGE)


def test_an_agent_without_the_key_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = made_by_ssh_keygen(tmp_path)
    path.unlink()
    with agent(tmp_path) as environment:
        monkeypatch.setenv("SSH_AUTH_SOCK", environment["SSH_AUTH_SOCK"])
        with pytest.raises(errors.SigningFailed, match=r"id_ed25519\.pub"):
            load_signer(path.with_suffix(".pub")).sign(MESSAGE)


def _encrypted(folder: Path) -> Path:
    return made_by_ssh_keygen(folder, passphrase="right")


def _text(text: str) -> Callable[[Path], Path]:
    def written(folder: Path) -> Path:
        path = folder / "key"
        path.write_text(text)
        return path

    return written


def _pkcs8(folder: Path) -> Path:
    path = made_by_ssh_keygen(folder, "rsa")
    ssh_keygen("-p", "-q", "-m", "PKCS8", "-N", "", "-f", path)
    return path


UNUSABLE: dict[str, tuple[type[Problem], Callable[[Path], Path]]] = {
    "a wrong passphrase": (errors.WrongPassphrase, _encrypted),
    "an RSA key": (errors.UnsupportedKey, lambda folder: made_by_ssh_keygen(folder, "rsa")),
    "an RSA public key": (
        errors.UnsupportedKey,
        lambda folder: made_by_ssh_keygen(folder, "rsa").with_suffix(".pub"),
    ),
    "a key in another format": (errors.MalformedKey, _pkcs8),
    "an empty file": (errors.MalformedKey, _text("")),
    "a key file that is cut short": (
        errors.MalformedKey,
        _text("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEA\n-----END OPENSSH PRIVATE KEY-----\n"),
    ),
    "a public key that is another inside": (
        errors.MalformedKey,
        _text(f"sk-ssh-ed25519@openssh.com {SIGNER.public.line.split()[1]}"),
    ),
    "a public key that is no base64": (errors.MalformedKey, _text("ssh-ed25519 !!!!")),
}


@pytest.mark.parametrize(("problem", "make"), UNUSABLE.values(), ids=UNUSABLE)
def test_a_key_that_cannot_sign_is_refused(
    problem: type[Problem], make: Callable[[Path], Path], tmp_path: Path
) -> None:
    with pytest.raises(problem) as raised:
        load_signer(make(tmp_path), lambda: "wrong")
    assert type(raised.value) is problem


def test_an_encrypted_key_without_anybody_to_ask_is_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.WrongPassphrase, match="encrypted"):
        load_signer(_encrypted(tmp_path))


def test_keygen_overwrites_nothing(tmp_path: Path) -> None:
    generate(tmp_path / "key", "", "")
    before = (tmp_path / "key").read_bytes()
    with pytest.raises(errors.KeyExists):
        generate(tmp_path / "key", "", "")
    assert (tmp_path / "key").read_bytes() == before


def test_a_finished_crate_takes_more_signatures_in_place(tmp_path: Path) -> None:
    parts = split(tmp_path, assemble())
    before = [part.read_bytes() for part in parts]
    security_key = SoftwareSecurityKey()
    assert append_signature(parts, key(2)).added
    assert append_signature(parts, security_key).added
    assert not append_signature(parts, SIGNER).added
    with Volumes.open(parts) as volumes:
        envelope = read_envelope(volumes)
    assert [one.key for one in sshsig.parse_slot(envelope.slot)] == [
        SIGNER.public,
        key(2).public,
        security_key.public,
    ]
    assert all(sshsig.verify(one, envelope.signed) for one in sshsig.parse_slot(envelope.slot))
    after = [part.read_bytes() for part in parts]
    changed = [at for at, pair in enumerate(zip(before[0], after[0], strict=True)) if pair[0] != pair[1]]
    assert changed[-1] - changed[0] < LIMITS.slot
    assert after[1:] == before[1:]


def test_a_slot_takes_signatures_until_it_is_full(tmp_path: Path) -> None:
    path = tmp_path / "site-3.crate"
    path.write_bytes(assemble())
    room = LIMITS.slot // len(SIGNER.sign(b""))
    for number in range(2, room + 1):
        append_signature([path], key(number))
    full = path.read_bytes()
    with pytest.raises(errors.SlotFull):
        append_signature([path], key(1000))
    assert path.read_bytes() == full


def test_a_crate_is_checked_by_hand_as_the_documentation_says(tmp_path: Path) -> None:
    (tmp_path / "x.crate").write_bytes(assemble(signers=[SIGNER, key(2)]))
    (tmp_path / "allowed_signers").write_text(
        f"{line_for('release', SIGNER.public)}\n{line_for('second', key(2).public)}\n"
    )
    document = (Path(__file__).parents[2] / "docs" / "format.md").read_text()
    blocks = [block.partition("```")[0] for block in document.split("```sh\n")[1:]]
    script = "set -e\n" + "".join(block for block in blocks if "x.crate.0" not in block and "skopeo" not in block)
    done = subprocess.run(["sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('Good "buzzcrate-crate@v1" signature') == 2
    assert "FAILED" not in done.stdout
    assert done.stdout.count(": OK") >= 2
