"""Everything that must be refused, each by its own error, and nothing touched by it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from archive import errors, index, layout, sshsig
from archive.catalogue import File, Item
from archive.catalogue import write as write_catalogue
from archive.errors import Problem
from archive.keys import string
from archive.limits import GIB, LIMITS
from archive.signers import AllowedSigners, line_for
from archive.signing import KeyFile, Signer
from archive.trust import Floor, Policy
from tests.archive.crates import (
    CHUNK,
    CONTENTS,
    SIGNER,
    TRUSTED,
    assemble,
    catalogue,
    check,
    content,
    entry,
    key,
    sha256,
    split,
)

GOOD = assemble()
SIGNED_SIZE = layout.size_in(GOOD) or 0
SLOT_AT = layout.Member(layout.SIGNED, 0, SIGNED_SIZE).next(layout.SLOT, LIMITS.slot).offset
BLOB_AT = GOOD.index(layout.BLOBS.encode() + sha256(CONTENTS[3]).encode())
TWO = AllowedSigners.parse("\n".join([line_for("release", SIGNER.public), line_for("second", key(2).public)]))


class OtherSigner:
    """Signs as `SIGNER` would for another namespace or with another hash."""

    def __init__(self, namespace: str = sshsig.NAMESPACE, hashed: str = sshsig.HASH) -> None:
        self.public = SIGNER.public
        self._namespace, self._hash = namespace, hashed

    def sign(self, message: bytes) -> bytes:
        found = sshsig.parse_armored(SIGNER.sign(message))
        changed = dataclasses.replace(found, namespace=self._namespace, hash=self._hash)
        if self._hash == sshsig.HASH:
            raw = SIGNER._private.sign(sshsig.signed_data(message, self._namespace))
            changed = dataclasses.replace(changed, signature=string(b"ssh-ed25519") + string(raw))
        return changed.armored()


def sets(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda document: document.update({name.replace("_", "-"): value for name, value in values.items()})


def flipped(offset: int, data: bytes = GOOD) -> bytes:
    return data[:offset] + bytes([data[offset] ^ 1]) + data[offset + 1 :]


def boot(name: str) -> dict[str, Any]:
    return {"file": name, "size": 1, "sha256": sha256(CONTENTS[1]), "platform": "", "python": ""}


def huge_blob(lines: list[bytes]) -> list[bytes]:
    return [*lines, index.Entry("a" * 64, 8 * GIB, tuple(["b" * 64] * (8 * GIB // CHUNK))).line()]


def huge_line(lines: list[bytes]) -> list[bytes]:
    return [*lines, b"{" + b" " * (LIMITS.index_line + 1) + b"}"]


WRONG_CHUNKS = entry(CONTENTS[-1])
CRATES: dict[str, tuple[type[Problem], Callable[[], bytes]]] = {
    "an empty file": (errors.NotACrate, lambda: b""),
    "a tar of something else": (errors.NotACrate, lambda: layout.header("etc/passwd", 5) + bytes(2048)),
    "a size field that is no octal number": (errors.NotACrate, lambda: GOOD[:124] + b"9" * 11 + GOOD[135:]),
    "a newer version": (errors.UnknownVersion, lambda: assemble(change=sets(v=2))),
    "a version that is true": (errors.MalformedRelease, lambda: assemble(change=sets(v=True))),
    "an unknown field in crate.json": (errors.UnknownField, lambda: assemble(change=sets(note="x"))),
    "an unknown field in a pin": (
        errors.UnknownField,
        lambda: assemble(change=lambda document: document["lock"].update(note=1)),
    ),
    "an unknown field in the index": (
        errors.UnknownField,
        lambda: assemble(lines=lambda lines: [*lines, b'{"d":"' + b"a" * 64 + b'","n":1,"z":1}']),
    ),
    "a field missing from crate.json": (
        errors.MalformedRelease,
        lambda: assemble(change=lambda document: document.pop("serial")),
    ),
    "a serial of zero": (errors.MalformedRelease, lambda: assemble(change=sets(serial=0))),
    "a serial that is a float": (errors.MalformedRelease, lambda: assemble(change=sets(serial=3.0))),
    "a name that climbs": (errors.MalformedRelease, lambda: assemble(change=sets(name="../site"))),
    "a time that is none": (errors.MalformedRelease, lambda: assemble(change=sets(created="yesterday"))),
    "a chunk that is not a power of two": (errors.MalformedRelease, lambda: assemble(change=sets(chunk=100_000))),
    "crate.json with spaces in it": (errors.MalformedRelease, lambda: assemble(spell=lambda text: text + b" ")),
    "crate.json that is a list": (errors.MalformedRelease, lambda: assemble(spell=lambda _: b"[]")),
    "crate.json that is no JSON": (errors.InvalidValue, lambda: assemble(spell=lambda _: b"{")),
    "a duplicate key in crate.json": (
        errors.DuplicateKey,
        lambda: assemble(spell=lambda text: text[:-1] + b',"v":1}'),
    ),
    "a duplicate key in the index": (
        errors.DuplicateKey,
        lambda: assemble(lines=lambda lines: [*lines, b'{"d":"a","d":"b","n":1}']),
    ),
    "a duplicate digest": (errors.DuplicateDigest, lambda: assemble(lines=lambda lines: [*lines, lines[4]])),
    "an index line with spaces": (
        errors.MalformedIndex,
        lambda: assemble(lines=lambda lines: [*lines[:-1], lines[-1].replace(b":", b": ")]),
    ),
    "an index line that is empty": (errors.InvalidValue, lambda: assemble(lines=lambda lines: [*lines, b""])),
    "an index line with a negative size": (
        errors.MalformedIndex,
        lambda: assemble(lines=lambda lines: [*lines, b'{"d":"' + b"a" * 64 + b'","n":-1}']),
    ),
    "crate.json over its limit": (
        errors.OverLimit,
        lambda: assemble(spell=lambda text: text + b" " * LIMITS.signed, slot=b"\n" * LIMITS.slot),
    ),
    "an index over its limit": (
        errors.OverLimit,
        lambda: assemble(change=lambda document: document["index"].update(size=LIMITS.index + 1)),
    ),
    "a recipe over its limit": (
        errors.OverLimit,
        lambda: assemble(change=lambda document: document["recipe"].update(size=LIMITS.recipe + 1)),
    ),
    "a blob of 8 GiB": (errors.OverLimit, lambda: assemble(lines=huge_blob)),
    "an index line without end": (errors.OverLimit, lambda: assemble(lines=huge_line)),
    "more boot files than anybody needs": (
        errors.OverLimit,
        lambda: assemble(change=sets(boot=[boot(f"file-{n}") for n in range(LIMITS.boot_files + 1)])),
    ),
    "a catalogue line without end": (
        errors.OverLimit,
        lambda: assemble(items=catalogue() + b" " * (LIMITS.catalogue_line + CHUNK)),
    ),
    "a chunk digest too many": (
        errors.WrongChunkCount,
        lambda: assemble(
            lines=lambda lines: [
                *lines[:-1],
                dataclasses.replace(WRONG_CHUNKS, chunks=(*WRONG_CHUNKS.chunks, "a" * 64)).line(),
            ]
        ),
    ),
    "a large blob without chunk digests": (
        errors.WrongChunkCount,
        lambda: assemble(lines=lambda lines: [*lines[:-1], dataclasses.replace(WRONG_CHUNKS, chunks=()).line()]),
    ),
    "chunk digests for a small blob": (
        errors.WrongChunkCount,
        lambda: assemble(
            lines=lambda lines: [dataclasses.replace(entry(CONTENTS[1]), chunks=("a" * 64,)).line(), *lines]
        ),
    ),
    "an index that does not begin with the catalogue": (
        errors.MisplacedBlob,
        lambda: assemble(lines=lambda lines: [lines[1], lines[0], *lines[2:]]),
    ),
    "an index that ends before the recipe": (errors.MisplacedBlob, lambda: assemble(lines=lambda lines: lines[:2])),
    "a boot file that is not where it should be": (
        errors.MisplacedBlob,
        lambda: assemble(change=sets(boot=[boot("python")])),
    ),
    "an index that is not the signed one": (
        errors.DigestMismatch,
        lambda: assemble(change=lambda document: document["index"].update(sha256="a" * 64)),
    ),
    "a header with another mode": (
        errors.UnexpectedHeader,
        lambda: GOOD[: BLOB_AT + 104] + b"755" + GOOD[BLOB_AT + 107 :],
    ),
    "a symbolic link": (errors.UnexpectedHeader, lambda: GOOD[: BLOB_AT + 156] + b"2" + GOOD[BLOB_AT + 157 :]),
    "a pax header": (errors.UnexpectedHeader, lambda: GOOD[: BLOB_AT + 156] + b"x" + GOOD[BLOB_AT + 157 :]),
    "a name that leaves the folder": (
        errors.UnexpectedHeader,
        lambda: GOOD[:BLOB_AT] + layout.header("../../etc/passwd", 700) + GOOD[BLOB_AT + 512 :],
    ),
    "a member too many": (
        errors.UnexpectedHeader,
        # something else where the next blob should be; the rest moves on, and the end is cut to fit
        lambda: (GOOD[:BLOB_AT] + layout.header("extra", 0) + GOOD[BLOB_AT:])[: len(GOOD)],
    ),
    "a header of crate.json that differs": (errors.UnexpectedHeader, lambda: flipped(300)),
    "a header of the index that differs": (errors.UnexpectedHeader, lambda: flipped(SLOT_AT + LIMITS.slot + 300)),
    "a folder with another mode": (
        errors.UnexpectedHeader,
        lambda: GOOD.replace(
            layout.folder_header(layout.BLOBS), layout.folder_header(layout.BLOBS).replace(b"0755", b"0777")
        ),
    ),
    "a folder too few": (
        errors.UnexpectedHeader,
        lambda: GOOD.replace(layout.folder_header("blobs/"), b"") + bytes(layout.BLOCK),
    ),
    "something in the padding": (errors.UnexpectedPadding, lambda: flipped(BLOB_AT + 512 + 700 + 9)),
    "something behind crate.json": (errors.UnexpectedPadding, lambda: flipped(512 + SIGNED_SIZE + 2)),
    "something in the closing zeros": (errors.UnexpectedTrailer, lambda: flipped(len(GOOD) - 5)),
    "a byte too many at the end": (errors.TrailingData, lambda: GOOD + b"\0"),
    "a crate behind the crate": (errors.TrailingData, lambda: GOOD + GOOD),
    "a missing end": (errors.Truncated, lambda: GOOD[:-1]),
    "nothing but the beginning": (errors.Truncated, lambda: GOOD[: SLOT_AT + 100]),
    "a flipped bit in a small blob": (errors.DigestMismatch, lambda: flipped(BLOB_AT + 512 + 3)),
    "a flipped bit in a chunk": (errors.DigestMismatch, lambda: flipped(len(GOOD) - layout.TRAILER - CHUNK)),
    "sound chunks of another blob": (
        errors.FalseBlob,
        lambda: assemble(
            contents=[content(2 * CHUNK)],
            lines=lambda lines: [*lines[:-1], dataclasses.replace(entry(content(2 * CHUNK)), digest="a" * 64).line()],
        ).replace(
            layout.header(layout.BLOBS + sha256(content(2 * CHUNK)), 2 * CHUNK),
            layout.header(layout.BLOBS + "a" * 64, 2 * CHUNK),
        ),
    ),
    "a file name with a space": (errors.UnsafeName, lambda: assemble(items=catalogue("a b"))),
    "a file name with dots": (errors.UnsafeName, lambda: assemble(items=catalogue("a/../b"))),
    "an absolute file name": (errors.UnsafeName, lambda: assemble(items=catalogue("/etc/passwd"))),
    "a file name that Windows reserves": (errors.UnsafeName, lambda: assemble(items=catalogue("tools/aux.txt"))),
    "file names equal after case folding": (errors.ClashingNames, lambda: assemble(items=catalogue("Tool", "tool"))),
    "one file name for two contents": (
        errors.ClashingNames,
        lambda: assemble(
            items=write_catalogue(
                [Item("file", name, files=(File(sha256(name.encode()), 1, path="x"),)) for name in ("a", "b")]
            )
        ),
    ),
    "a boot file name with dots": (errors.UnsafeName, lambda: assemble(change=sets(boot=[boot("../python")]))),
    "boot file names equal after case folding": (
        errors.ClashingNames,
        lambda: assemble(change=sets(boot=[boot("a"), boot("A")])),
    ),
    "a catalogue of another version": (errors.MalformedCatalogue, lambda: assemble(items=b'{"catalogue":2}\n')),
    "an item whose path is a number": (
        errors.MalformedCatalogue,
        lambda: assemble(
            items=catalogue()
            + b'{"files":[{"path":1,"sha256":"'
            + b"a" * 64
            + b'","size":1}],"kind":"file","name":"x"}\n'
        ),
    ),
    "an item whose file has no digest": (
        errors.MalformedCatalogue,
        lambda: assemble(items=catalogue() + b'{"files":[{"sha256":"a","size":1}],"kind":"file","name":"x"}\n'),
    ),
    "an item that is a list": (errors.MalformedCatalogue, lambda: assemble(items=catalogue() + b"[]\n")),
    "an item without a name": (errors.MalformedCatalogue, lambda: assemble(items=catalogue() + b'{"kind":"file"}\n')),
    "an empty slot": (errors.Unsigned, lambda: assemble(signers=())),
    "a slot of zeros": (errors.MalformedSlot, lambda: assemble(slot=bytes(LIMITS.slot))),
    "a slot that holds something else": (
        errors.MalformedSlot,
        lambda: assemble(slot=b"hello".ljust(LIMITS.slot, b"\n")),
    ),
    "a signature, then something else": (errors.MalformedSlot, lambda: flipped(SLOT_AT + LIMITS.slot - 1)),
    "a signature that is no base64": (errors.MalformedSlot, lambda: GOOD[: SLOT_AT + 50] + b"!" + GOOD[SLOT_AT + 51 :]),
    "a signature without its last line": (
        errors.MalformedSlot,
        lambda: GOOD.replace(b"-----END SSH SIGNATURE-----\n", b"\n" * 28),
    ),
    "signatures by unknown keys only": (errors.UnknownSigner, lambda: assemble(signers=[key(7), key(8)])),
    "a signature for another purpose": (errors.WrongNamespace, lambda: assemble(signers=[OtherSigner("git")])),
    "a signature with another hash": (errors.WrongHash, lambda: assemble(signers=[OtherSigner(hashed="sha256")])),
    "a signature of another crate": (
        errors.WrongSignature,
        lambda: assemble(slot=sshsig.fill_slot((SIGNER.sign(b"another crate.json"),))),
    ),
}


@pytest.mark.parametrize(("problem", "make"), CRATES.values(), ids=CRATES)
def test_a_forged_or_damaged_crate_is_refused(
    problem: type[Problem], make: Callable[[], bytes], tmp_path: Path
) -> None:
    path = tmp_path / "site-3.crate"
    data = make()
    path.write_bytes(data)
    with pytest.raises(problem) as raised:
        check([path])
    assert type(raised.value) is problem
    assert raised.value.what
    assert path.read_bytes() == data


def test_the_crate_that_the_forgeries_start_from_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "site-3.crate"
    path.write_bytes(GOOD)
    assert check([path]) == 3 + len(CONTENTS)


def swap(parts: list[Path]) -> list[Path]:
    first, second = parts[1].read_bytes(), parts[2].read_bytes()
    parts[1].write_bytes(second)
    parts[2].write_bytes(first)
    return parts


def lose(number: int) -> Callable[[list[Path]], list[Path]]:
    def lost(parts: list[Path]) -> list[Path]:
        parts.pop(number).unlink()
        return parts

    return lost


def extra(parts: list[Path]) -> list[Path]:
    end = parts[-1]
    end.write_bytes(end.read_bytes().ljust(parts[0].stat().st_size, b"\0"))
    parts.append(end.with_name(f"site-3.crate.{len(parts):03}"))
    parts[-1].write_bytes(b"more")
    return parts


def foreign(parts: list[Path]) -> list[Path]:
    return [*parts[:-1], parts[-1].rename(parts[-1].with_name("other-1.crate.002"))]


def resized(number: int, size: int) -> Callable[[list[Path]], list[Path]]:
    def cut(parts: list[Path]) -> list[Path]:
        parts[number].write_bytes(parts[number].read_bytes().ljust(size, b"\0")[:size])
        return parts

    return cut


def two_crates(parts: list[Path]) -> list[Path]:
    parts[0].with_name("other-1.crate").write_bytes(GOOD)
    return [parts[0].parent]


def no_crate(parts: list[Path]) -> list[Path]:
    for part in parts:
        part.unlink()
    return [parts[0].parent]


def too_many(parts: list[Path]) -> list[Path]:
    far = parts[0].with_name(f"site-3.crate.{LIMITS.parts}")
    far.write_bytes(b"far")
    return [*parts, far]


PARTS: dict[str, tuple[type[Problem], Callable[[list[Path]], list[Path]], str]] = {
    "two parts swapped": (errors.DigestMismatch, swap, "site-3.crate.001"),
    "the first part missing": (errors.MissingPart, lose(0), "site-3.crate.000"),
    "a part in the middle missing": (errors.MissingPart, lose(1), "site-3.crate.001"),
    "the last part missing": (errors.MissingPart, lose(-1), "site-3.crate.00"),
    "a part too many": (errors.ExtraPart, extra, "one part too many"),
    "a part of another crate": (errors.ForeignPart, foreign, "other-1.crate"),
    "a part cut short": (errors.ForeignPart, resized(1, 50_000), "site-3.crate.001"),
    "a part that is too long": (errors.ForeignPart, resized(1, 150_000), "site-3.crate.001"),
    "the last part cut short": (errors.Truncated, resized(-1, 5), "ends after 5 bytes"),
    "the last part too long": (errors.TrailingData, resized(-1, 50 * 1024), "goes on"),
    "two crates in one folder": (errors.AmbiguousCrate, two_crates, "other-1.crate, site-3.crate"),
    "no crate in the folder": (errors.AmbiguousCrate, no_crate, "no crate"),
    "a part number beyond all sense": (errors.OverLimit, too_many, "at most"),
}


@pytest.mark.parametrize(("problem", "spoil", "named"), PARTS.values(), ids=PARTS)
def test_parts_that_do_not_make_the_crate_are_refused_and_named(
    problem: type[Problem], spoil: Callable[[list[Path]], list[Path]], named: str, tmp_path: Path
) -> None:
    parts = spoil(split(tmp_path, GOOD))
    with pytest.raises(problem) as raised:
        check(parts)
    assert type(raised.value) is problem
    assert named in raised.value.what


Trust = dict[str, Any]
TRUST: dict[str, tuple[type[Problem], Sequence[Signer], Trust]] = {
    "one signature where two are asked for": (
        errors.BelowThreshold,
        [SIGNER],
        {"trusted": TWO, "policy": Policy(threshold=2)},
    ),
    "one key twice where two are asked for": (
        errors.BelowThreshold,
        [SIGNER, SIGNER],
        {"trusted": TWO, "policy": Policy(threshold=2)},
    ),
    "two keys of one principal where two are asked for": (
        errors.BelowThreshold,
        [SIGNER, key(2)],
        {
            "trusted": AllowedSigners.parse(
                f"{line_for('release', SIGNER.public)}\n{line_for('release', key(2).public)}"
            ),
            "policy": Policy(threshold=2),
        },
    ),
    "one key of two principals where two are asked for": (
        errors.BelowThreshold,
        [SIGNER],
        {"trusted": AllowedSigners.parse(f"a,b {SIGNER.public.line}"), "policy": Policy(threshold=2)},
    ),
    "a second signer who is unknown": (
        errors.BelowThreshold,
        [SIGNER, key(9)],
        {"trusted": TWO, "policy": Policy(threshold=2)},
    ),
    "a threshold of zero": (errors.UselessPolicy, [SIGNER], {"policy": Policy(threshold=0)}),
    "a policy that names nobody": (errors.UselessPolicy, [SIGNER], {"policy": Policy(principals=())}),
    "a signer whom the policy does not name": (
        errors.SignerNotAllowed,
        [SIGNER],
        {"policy": Policy(principals=("security",))},
    ),
    "a key that may sign for other purposes only": (
        errors.SignerNotAllowed,
        [SIGNER],
        {"trusted": AllowedSigners.parse(f'release namespaces="git,file" {SIGNER.public.line}')},
    ),
    "a key before its time": (
        errors.SignerNotValid,
        [SIGNER],
        {"trusted": AllowedSigners.parse(f'release valid-after="20270101Z" {SIGNER.public.line}')},
    ),
    "a key after its time": (
        errors.SignerNotValid,
        [SIGNER],
        {"trusted": AllowedSigners.parse(f'release valid-before="20260101Z" {SIGNER.public.line}')},
    ),
    "a key that only signs certificates": (
        errors.UnknownSigner,
        [SIGNER],
        {"trusted": AllowedSigners.parse(f"release cert-authority {SIGNER.public.line}")},
    ),
    "no trusted key at all": (errors.UnknownSigner, [SIGNER], {"trusted": AllowedSigners.parse("")}),
    "a lower serial": (errors.LowerSerial, [SIGNER], {"floor": Floor(4, "a" * 64)}),
    "the same serial with other bytes": (errors.SerialReused, [SIGNER], {"floor": Floor(3, "a" * 64)}),
}


@pytest.mark.parametrize(("problem", "signers", "trust"), TRUST.values(), ids=TRUST)
def test_a_sound_crate_is_refused_for_trust(
    problem: type[Problem], signers: Sequence[Signer], trust: Trust, tmp_path: Path
) -> None:
    path = tmp_path / "site-3.crate"
    path.write_bytes(assemble(signers=signers))
    with pytest.raises(problem) as raised:
        check([path], **trust)
    assert type(raised.value) is problem
    assert raised.value.exit_code == 3


ACCEPTED: dict[str, tuple[Sequence[Signer], Trust]] = {
    "by one of the trusted": ([SIGNER], {}),
    "next to a signature by somebody unknown": ([key(9), SIGNER], {}),
    "by two where two are asked for": ([SIGNER, key(2)], {"trusted": TWO, "policy": Policy(threshold=2)}),
    "by whom the policy names": ([key(2)], {"trusted": TWO, "policy": Policy(principals=("second",))}),
    "by two keys that share principals": (
        [SIGNER, key(2)],
        {
            "trusted": AllowedSigners.parse(f"a,b {SIGNER.public.line}\na {key(2).public.line}"),
            "policy": Policy(threshold=2),
        },
    ),
    "with the serial that is active": ([SIGNER], {"floor": Floor(3, sha256(GOOD[512 : 512 + SIGNED_SIZE]))}),
    "with a higher serial": ([SIGNER], {"floor": Floor(2, "a" * 64)}),
}


@pytest.mark.parametrize(("signers", "trust"), ACCEPTED.values(), ids=ACCEPTED)
def test_a_sound_crate_is_accepted(signers: Sequence[Signer], trust: Trust, tmp_path: Path) -> None:
    path = tmp_path / "site-3.crate"
    path.write_bytes(assemble(signers=signers))
    assert check([path], **trust) == 3 + len(CONTENTS)


def test_a_signature_of_an_unknown_type_is_ignored(tmp_path: Path) -> None:
    stranger = dataclasses.replace(
        sshsig.parse_armored(SIGNER.sign(b"x")),
        key=dataclasses.replace(SIGNER.public, type="ssh-new", blob=string(b"ssh-new") + b"?", point=b""),
    )
    path = tmp_path / "site-3.crate"
    good = assemble()
    there = sshsig.parse_slot(good[SLOT_AT : SLOT_AT + LIMITS.slot])
    slot = sshsig.fill_slot((stranger.armored(), there[0].armored()))
    path.write_bytes(good[:SLOT_AT] + slot + good[SLOT_AT + LIMITS.slot :])
    assert check([path], trusted=TRUSTED) == 3 + len(CONTENTS)


def test_every_refusal_has_a_row() -> None:
    rows = {problem for table in (CRATES, PARTS, TRUST) for problem, *_ in table.values()}
    leaves = {
        kind
        for branch in (errors.Malformed, errors.Damaged, errors.Refused)
        for kind in branch.__subclasses__()
        # a medium that fails is made in test_stream; what is no archive has tables of its own
        if kind not in {errors.ReadFailed, errors.MalformedRequests} and kind.__module__ == errors.__name__
    }
    assert leaves <= rows


def test_a_key_file_is_a_signer() -> None:
    signer: Signer = KeyFile(SIGNER._private)
    assert sshsig.verify(sshsig.parse_armored(signer.sign(b"x")), b"x")
