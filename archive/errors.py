"""What can go wrong, as one tree; every package hangs its own branch below `Problem`.

    Problem                     a line for the user: what, where, and in `hint` what to do
    ├── InvalidValue            a digest, reference, platform, name or document that breaks its grammar       exit 2
    │   ├── DuplicateKey        JSON that says one key twice
    │   ├── UnsafeName          a file name that is not a plain relative path everywhere
    │   └── ClashingNames       two file names that a case-blind disk takes for one
    ├── Malformed               bytes that were never a crate of this format                                  exit 2
    │   ├── NotACrate           the first header is another file's
    │   ├── UnknownVersion      a newer format
    │   ├── UnknownField        a key that version 1 does not have
    │   ├── MalformedRelease    crate.json misses a field, or a field is not what it should be
    │   ├── MalformedIndex      a line of index.jsonl that is not spelled as the format spells it
    │   ├── MalformedCatalogue  a catalogue that cannot be read as items
    │   ├── MalformedSlot       crate.json.sig is not armored signatures and newlines
    │   ├── MalformedRequests   a file of requests that cannot be read
    │   ├── DuplicateDigest     one blob twice in the index
    │   ├── OverLimit           larger than the format allows
    │   ├── WrongChunkCount     as many chunk digests as the size does not ask for
    │   ├── MisplacedBlob       catalogue, lock, recipe or boot file is not where crate.json says
    │   ├── UnexpectedHeader    a tar header differs from the computed one
    │   ├── UnexpectedPadding   something other than zeros behind a member
    │   ├── UnexpectedTrailer   something other than zeros at the end
    │   ├── TrailingData        the archive goes on after its end
    │   ├── ForeignPart         a part of another crate, or of the wrong size
    │   ├── ExtraPart           a part beyond the last
    │   └── AmbiguousCrate      the paths given hold several crates
    ├── Damaged                 a sound crate that did not arrive whole                                       exit 1
    │   ├── Truncated           the archive ends early
    │   ├── MissingPart         a part that is not there
    │   ├── ReadFailed          the medium could not read it
    │   ├── DigestMismatch      bytes that are not the ones that were signed for
    │   └── FalseBlob           every chunk fits, the whole does not: whoever signed it, signed it so
    ├── Refused                 not trusted                                                                   exit 3
    │   ├── Unsigned            no signature in the slot
    │   ├── UnknownSigner       signatures by keys that are not trusted only
    │   ├── WrongNamespace      a trusted key signed something else
    │   ├── WrongHash           a trusted key signed with a hash other than sha512
    │   ├── WrongSignature      a trusted key's signature does not fit these bytes
    │   ├── SignerNotValid      a trusted key, before or after its time
    │   ├── SignerNotAllowed    a trusted key, not for this crate
    │   ├── BelowThreshold      too few different signers
    │   ├── UselessPolicy       a policy that would accept anything, or nothing
    │   ├── LowerSerial         older than what was active before
    │   └── SerialReused        the serial of another crate of that name
    ├── KeyProblem              a key, passphrase or signers file that cannot be used                         exit 2
    │   ├── MalformedKey        not an OpenSSH key
    │   ├── UnsupportedKey      a key of a type that crates are not signed with
    │   ├── WrongPassphrase
    │   ├── KeyExists           keygen does not overwrite
    │   ├── MalformedSigners    a line that ssh-keygen would not take either
    │   └── SigningFailed       the agent or the security key did not sign                                    exit 1
    └── WritingProblem          a crate that cannot be written                                                exit 1
        ├── NotEnoughSpace      said before anything is written
        ├── BlobChanged         a source is no longer what the lock says
        ├── BlobTooLarge        8 GiB or more                                                                 exit 2
        ├── PartTooSmall        the first part must hold what comes before the images                         exit 2
        └── SlotFull            no room for another signature

Exit codes are the contract of both command lines: 1 failed, 2 wrong use or wrong input, 3 refused for trust.
"""

from __future__ import annotations

from typing import Self


class Problem(Exception):  # noqa: N818 - a user reads this; it is a problem, with a hint
    """Anything a user, a peer or a medium can cause. Ends a command in one line, never in a traceback."""

    exit_code = 1

    def __init__(self, what: str, *, hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint

    def at(self, where: str) -> Self:
        """The same problem, saying where: which file, where several were given."""
        self.what = f"{where}: {self.what}"
        self.args = (self.what,)
        return self


class InvalidValue(Problem):
    """Text that is not the value it claims to be; raised by the parsers of this package."""

    exit_code = 2


class DuplicateKey(InvalidValue):
    """One object, one key, two values: two readers might take two meanings."""


class UnsafeName(InvalidValue):
    """Absolute, climbing, reserved on Windows, or with characters that need quoting somewhere."""


class ClashingNames(InvalidValue):
    """Equal after case folding."""


class Malformed(Problem):
    """Bytes that no writer of this format produces."""

    exit_code = 2


class NotACrate(Malformed):
    """The file does not begin like a crate."""


class UnknownVersion(Malformed):
    """The `v` of crate.json is not 1."""


class UnknownField(Malformed):
    """A key that version 1 does not know, in crate.json or the index."""


class MalformedRelease(Malformed):
    """crate.json misses a field, or holds one of the wrong type, range or spelling."""


class MalformedIndex(Malformed):
    """A line of index.jsonl is not in the one spelling that the format has."""


class MalformedCatalogue(Malformed):
    """The catalogue is not one."""


class MalformedSlot(Malformed):
    """The signature slot holds something other than armored signatures followed by newlines."""


class MalformedRequests(Malformed):
    """Not what `requests export` writes."""


class DuplicateDigest(Malformed):
    """The index names one blob twice."""


class OverLimit(Malformed):
    """Something is larger than `archive.limits` allows."""


class WrongChunkCount(Malformed):
    """The number of chunk digests does not follow from the blob's size."""


class MisplacedBlob(Malformed):
    """Catalogue, lock, recipe and boot files must lead the index, in that order."""


class UnexpectedHeader(Malformed):
    """A tar header is not byte for byte the computed one; symlinks, pax headers and extra members end here."""


class UnexpectedPadding(Malformed):
    """The bytes that fill a member's last block are not zeros."""


class UnexpectedTrailer(Malformed):
    """The two closing blocks are not zeros."""


class TrailingData(Malformed):
    """The file goes on after the archive's end."""


class ForeignPart(Malformed):
    """A part that belongs to another crate, or whose size does not fit."""


class ExtraPart(Malformed):
    """A part numbered beyond the archive's end."""


class AmbiguousCrate(Malformed):
    """The paths given lead to several crates, or to none."""


class Damaged(Problem):
    """What was signed is not what arrived: the medium, the copy or the transport is at fault."""


class Truncated(Damaged):
    """A file is shorter than the archive says."""


class MissingPart(Damaged):
    """A part is needed and was not given."""


class ReadFailed(Damaged):
    """The operating system could not read from the medium."""


class DigestMismatch(Damaged):
    """The bytes there have another sha256 than the one signed for."""


class FalseBlob(Damaged):
    """All chunks are as signed, yet together they are not the blob that the index names."""


class Refused(Problem):
    """Sound, perhaps, but not to be trusted."""

    exit_code = 3


class Unsigned(Refused):
    """The signature slot is empty."""


class UnknownSigner(Refused):
    """No signature is by a key that is trusted here."""


class WrongNamespace(Refused):
    """Signed for another purpose."""


class WrongHash(Refused):
    """Signed over a hash other than sha512."""


class WrongSignature(Refused):
    """The signature is not one of these bytes by that key."""


class SignerNotValid(Refused):
    """The key's `valid-after` or `valid-before` says no."""


class SignerNotAllowed(Refused):
    """The key is trusted, but the policy for this crate names other principals."""


class BelowThreshold(Refused):
    """Fewer different signers than the policy asks for."""


class UselessPolicy(Refused):
    """A threshold below one, or no principal at all."""


class LowerSerial(Refused):
    """A release from before the one that was active."""


class SerialReused(Refused):
    """Two crates of one name claim one serial."""


class KeyProblem(Problem):
    """Something about keys that the caller can put right."""

    exit_code = 2


class MalformedKey(KeyProblem):
    """Not a key in OpenSSH's format."""


class UnsupportedKey(KeyProblem):
    """A key that crates are not signed with."""


class WrongPassphrase(KeyProblem):
    """The key file is encrypted, and this does not open it."""


class KeyExists(KeyProblem):
    """A key file is there already and is left alone."""


class MalformedSigners(KeyProblem):
    """A line of an allowed_signers file that cannot be understood."""


class SigningFailed(KeyProblem):
    """ssh-keygen, the agent or the security key did not give a signature."""

    exit_code = 1


class WritingProblem(Problem):
    """Why a crate could not be written; nothing of it is left behind."""


class NotEnoughSpace(WritingProblem):
    """The disk cannot hold what is to be written."""


class BlobChanged(WritingProblem):
    """A source file has another size or digest than it is listed with; `digest` (hex) is the one it is listed with."""

    def __init__(self, what: str, *, digest: str, hint: str = "") -> None:
        super().__init__(what, hint=hint)
        self.digest = digest


class BlobTooLarge(WritingProblem):
    """A ustar member ends below 8 GiB."""

    exit_code = 2


class PartTooSmall(WritingProblem):
    """The part size asked for cannot work."""

    exit_code = 2


class SlotFull(WritingProblem):
    """The 16 KiB for signatures are used up."""
