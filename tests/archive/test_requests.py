"""The file that goes back: every byte of it is signed for, spelled in one way, and readable with other tools."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from archive import requests
from archive.errors import MalformedRequests, Problem, Unsigned, WrongNamespace, WrongSignature
from archive.platforms import Platform
from archive.requests import KINDS, NAMESPACE, PREFIX, Export, Holding, Unmet, join, prefix
from archive.signing import KeyFile
from tests.support.tools import tool

KEY = KeyFile(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
DIGESTS = [hashlib.sha256(str(number).encode()).digest() for number in range(50)]
EXPORT = Export(
    box="Werkstatt 2 (Süd)",
    made=1_795_000_000,
    platforms=(Platform("linux", "amd64"), Platform("linux", "arm64")),
    holdings=(
        Holding("site", 3, "a" * 64, active=True, blobs=join(DIGESTS[:40])),
        Holding("site", 2, "b" * 64, active=False, blobs=b""),
        Holding("", 0, "", active=False, blobs=join(DIGESTS[40:])),
    ),
    requests=(
        Unmet("image", "docker.io/library/nginx:1.27", 3, 1_794_000_000, 1_795_000_000, ("10.0.0.7", "fe80::1")),
        Unmet("dns", "mirror.example.org", 1, 0, 0),
    ),
)
WHOLE = requests.sign(EXPORT, KEY)


def test_what_was_written_is_read() -> None:
    read = requests.read(WHOLE, "x")
    assert (read.export, read.key) == (EXPORT, KEY.public)
    holders = read.export.holders()
    assert holders[prefix(DIGESTS[0].hex())].serial == 3
    assert holders[prefix(DIGESTS[45].hex())].name == ""
    assert hashlib.sha256(b"never").digest()[:PREFIX] not in holders


def test_an_empty_crate_has_a_file_too() -> None:
    export = Export("box", 0, (), (), ())
    assert requests.read(requests.sign(export, KEY), "x").export == export


def test_the_inventory_takes_22_bytes_a_blob() -> None:
    blobs = join(hashlib.sha256(str(number).encode()).digest() for number in range(30_000))
    export = Export("box", 0, (), (Holding("site", 1, "a" * 64, active=True, blobs=blobs),), ())
    assert len(requests.sign(export, KEY)) < 22 * 30_000


def test_ssh_keygen_verifies_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(WHOLE)
    (tmp_path / "crates").write_text(f"workshop {KEY.public.line}\n")
    verify = f"{tool('ssh-keygen')} -Y verify -f crates -I workshop -n {NAMESPACE} -s signature"
    cut = "sed '/^-----BEGIN SSH/,$d' file > signed; sed -n '/^-----BEGIN SSH/,$p' file > signature"
    done = subprocess.run(
        ["sh", "-c", f"{cut}; {verify} < signed"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Good" in done.stdout


def test_every_changed_byte_is_refused() -> None:
    for at in range(len(WHOLE)):
        changed = bytearray(WHOLE)
        changed[at] ^= 1
        with pytest.raises(Problem):
            requests.read(bytes(changed), "x")


def test_every_early_end_is_refused() -> None:
    for end in range(len(WHOLE)):
        with pytest.raises((MalformedRequests, Unsigned)):
            requests.read(WHOLE[:end], "x")


def signed(change: Callable[[bytes], bytes]) -> bytes:
    """The file as a key holder might make it: changed, and signed all the same."""
    content = change(EXPORT.to_bytes())
    return content + KEY.sign(content, NAMESPACE)


def header(**fields: object) -> bytes:
    def change(content: bytes) -> bytes:
        first, _, rest = content.partition(b"\n")
        found = {**json.loads(first), **fields}
        return json.dumps(found, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() + b"\n" + rest

    return signed(change)


def request(**fields: object) -> bytes:
    def change(content: bytes) -> bytes:
        first, second, rest = content.split(b"\n", 2)
        found = {**json.loads(second), **fields}
        line = json.dumps(found, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        return b"\n".join([first, line, rest])

    return signed(change)


HOLDING = {"name": "site", "serial": 1, "digest": "a" * 64, "active": True, "blobs": 50}
MALFORMED: dict[str, bytes] = {
    "another version": header(requests=2),
    "more requests than lines": header(unmet=500),
    "fewer requests than lines": header(unmet=1),
    "less than no requests": header(unmet=-1),
    "a number that is none": header(unmet=True),
    "a holding of more blobs than there are": header(holdings=[{**HOLDING, "blobs": 51}]),
    "a holding of fewer blobs than there are": header(holdings=[{**HOLDING, "blobs": 49}]),
    "a holding of less than nothing": header(holdings=[{**HOLDING, "blobs": -1}]),
    "a crate without a digest": header(holdings=[{**HOLDING, "digest": ""}]),
    "a crate whose name is a path": header(holdings=[{**HOLDING, "name": "../x"}]),
    "a field that nobody knows": header(more=1),
    "a platform that is none": header(platforms=["a b"]),
    "a name that moves the cursor": header(box="\x1b[2J"),
    "no name": header(box=""),
    "a time that is none": header(made="yesterday"),
    "a kind that nobody knows": request(kind="wish"),
    "a name over several lines": request(name="a\nb"),
    "a name without end": request(name="x" * 600),
    "a count below nothing": request(count=-1),
    "an address with a bell": request(asked_by=["\x07"]),
    "another order of keys": signed(lambda content: content.replace(b'{"asked_by"', b'{ "asked_by"')),
    "an inventory that is no base64": signed(lambda content: content[:-3] + b"!!\n"),
    "a last line without an end": signed(lambda content: content[:-1]),
    "an empty line": signed(lambda content: content + b"\n"),
    "something else": b"a shopping list\n",
    "nothing": b"",
    "more than anybody needs": b"{" + bytes(requests.LARGEST),
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED)
def test_what_the_format_does_not_know_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedRequests, match="x"):
        requests.read(data, "x")


def test_a_file_without_a_signature_is_refused() -> None:
    with pytest.raises(Unsigned):
        requests.read(EXPORT.to_bytes(), "x")


def test_a_signature_for_something_else_is_refused() -> None:
    with pytest.raises(WrongNamespace):
        requests.read(EXPORT.to_bytes() + KEY.sign(EXPORT.to_bytes()), "x")


def test_a_signature_of_something_else_is_refused() -> None:
    with pytest.raises(WrongSignature):
        requests.read(EXPORT.to_bytes() + KEY.sign(b"another", NAMESPACE), "x")


def test_each_kind_is_a_word() -> None:
    assert len(set(KINDS)) == len(KINDS)
    assert all(kind.isalpha() and kind.islower() for kind in KINDS)
