"""What can go wrong between an ecosystem and its upstream, hung below `archive.errors.Problem`.

Problem
└── MirrorProblem
    ├── BadSection            a section of the recipe that contradicts itself or names what is not there   exit 2
    │   └── DigestMissing     it pins a file for some platforms and not for this one
    ├── BadIndex              an upstream index that breaks its format, or holds names it may not hold      exit 2
    ├── ChecksumAbsent        a checksum file that does not name the file asked for                         exit 1
    ├── ChecksumAmbiguous     a checksum file that names it twice, differently                              exit 1
    ├── LocalFileChanged      a local file is not the one that the recipe pins                              exit 1
    ├── Unsolvable            a closure that cannot be completed: what, for which platform, wanted by whom  exit 1
    ├── UpstreamChanged       an upstream that kept changing while it was read                              exit 1
    ├── ReplayDiffers         the ecosystem's own client would choose otherwise from the same repository    exit 1
    ├── ToolFailed            a client of this machine (uv, npm …) that is missing or would not do its part  exit 1
    ├── PublicationClash      two different things that want the same published address                     exit 1
    └── UntrustedUpstream     upstream's word that cannot be believed                                       exit 3
        ├── Unsigned          no signature at all
        ├── WronglySigned     signatures, but none by a key of the keyrings over these bytes
        ├── Expired           signed, and past the date up to which the signer vouches for it
        ├── TruncatedIndex    ends before its end
        └── WrongDigest       other bytes than the ones that the signed index names
"""

from __future__ import annotations

from archive.errors import Problem


class MirrorProblem(Problem):
    """Anything that stops an ecosystem from resolving or publishing."""


class BadSection(MirrorProblem):
    exit_code = 2


class DigestMissing(BadSection):
    """A table of digests without the one that is needed."""


class BadIndex(MirrorProblem):
    exit_code = 2


class ChecksumAbsent(MirrorProblem):
    pass


class ChecksumAmbiguous(MirrorProblem):
    pass


class LocalFileChanged(MirrorProblem):
    pass


class Unsolvable(MirrorProblem):
    """Raised with every gap that was found, one a line, not only the first."""


class UpstreamChanged(MirrorProblem):
    pass


class ReplayDiffers(MirrorProblem):
    pass


class ToolFailed(MirrorProblem):
    pass


class PublicationClash(MirrorProblem):
    """`between` are the sha256 of the two contents, by which the crate finds who brought them."""

    def __init__(self, what: str, *, hint: str = "", between: tuple[str, str] = ("", "")) -> None:
        super().__init__(what, hint=hint)
        self.between = between


class UntrustedUpstream(MirrorProblem):
    exit_code = 3


class Unsigned(UntrustedUpstream):
    pass


class WronglySigned(UntrustedUpstream):
    pass


class Expired(UntrustedUpstream):
    pass


class TruncatedIndex(UntrustedUpstream):
    pass


class WrongDigest(UntrustedUpstream):
    pass
