"""What can go wrong on the connected side.

Problem
├── RecipeInvalid           the recipe breaks its rules: file, line, key                        exit 2
├── RecipeExists            init overwrites nothing                                             exit 2
├── LockInvalid             the lock is not one that this program wrote                         exit 2
├── LockStale               the lock belongs to another recipe                                  exit 2
├── LockMissing             --locked, and there is no lock                                      exit 2
├── UnknownName             --update names nothing that the recipe asks for                     exit 2
├── LayoutInvalid           a local image is not what its format says                           exit 2
├── PlatformMissing         an image does not exist for a platform asked for                    exit 1
├── ImageInvalid            an image's documents contradict themselves                          exit 1
├── BlobTooLarge            a blob that no archive can hold                                     exit 1
├── OwnWheelFailed          this program cannot be packed for the appliance                     exit 1
├── StickUnfit              a folder that cannot become a stick, or a card that would be on it  exit 2
├── ApplianceMissing        a stick is asked for, and the recipe has no [appliance]             exit 2
├── ImagesMissing           a chart that runs images which the crate would not have              exit 1
├── ChartUnrendered         a chart whose images helm cannot tell, with the values at hand      exit 2
├── HelmMissing             images that only helm can tell, and there is none                   exit 1
├── SourceChanged           what the lock pins is no longer there to be packed                  exit 1
├── UpstreamsInvalid        an [upstreams] table that cannot be meant                           exit 2
├── AuthFileInvalid         docker's or podman's auth file cannot be read                       exit 2
├── CrateKeyChanged         a file of requests in a known crate's name, by another key          exit 3
├── SerialTooLow            a release that the crate it is built for would refuse               exit 2
├── CacheFull               the disk under the cache has no room: how much is missing           exit 1
├── CacheBusy               prune, while a build uses the cache                                 exit 1
├── SeveralFailed           more than one blob could not be fetched: all of them named          exit 1
└── FetchFailed             something upstream could not be had                                 exit 1
    ├── Unreachable         no connection, or none that lasts, after all attempts
    ├── UntrustedServer     TLS: a certificate nobody vouches for, or no TLS where it has to be
    ├── PlainHttpRefused    an upstream that sends secrets or unpinned content to plain HTTP
    ├── NotFound            404: no such image, tag, blob or file
    ├── AccessDenied        401 or 403 with the credentials at hand, or without any
    ├── TooManyRequests     429 for longer than anybody wants to wait
    ├── ServerFailed        any other status that is no success
    ├── MalformedAnswer     an answer that breaks its protocol
    ├── TooLarge            a document beyond its limit
    └── WrongContent        complete, and not of the digest or size it was asked for by
"""

from __future__ import annotations

from archive.errors import Problem, Refused


class RecipeInvalid(Problem):
    """The recipe as written cannot be meant; `what` begins with file and line."""

    exit_code = 2


class RecipeExists(Problem):
    """`init` overwrites nothing."""

    exit_code = 2


class LockInvalid(Problem):
    """Not a lock, or one of a version that this program does not know."""

    exit_code = 2


class LockStale(Problem):
    """The recipe has changed since the lock was written."""

    exit_code = 2


class LockMissing(Problem):
    """`--locked` without a lock."""

    exit_code = 2


class UnknownName(Problem):
    """A name that the recipe does not ask for."""

    exit_code = 2


class LayoutInvalid(Problem):
    """A local OCI layout, oci-archive or docker-archive that does not hold what it says."""

    exit_code = 2


class PlatformMissing(Problem):
    """An image that does not exist for a platform asked for; names the image and what it offers."""


class ImageInvalid(Problem):
    """Manifests, indexes or configs that contradict themselves."""


class BlobTooLarge(Problem):
    """8 GiB or more in one blob: a ustar header cannot say its size."""


class OwnWheelFailed(Problem):
    """BuzzCrate cannot be packed for the appliance: it finds itself neither in a checkout nor installed."""


class StickUnfit(Problem):
    """A folder that holds another crate already, or a card that would travel on the stick that it vouches for."""

    exit_code = 2


class ApplianceMissing(Problem):
    """A stick is asked for, and the recipe has no `[appliance]` to set up boards with."""

    exit_code = 2


class ImagesMissing(Problem):
    """Images that a chart runs and that the crate would not carry; names all of them."""


class ChartUnrendered(Problem):
    """Helm renders the chart not at all, or to something that is no list of objects."""

    exit_code = 2


class HelmMissing(Problem):
    """What only helm can do is asked for, and it is not on the PATH."""


class SourceChanged(Problem):
    """What was locked is no longer there: the local file or upstream's content is another one now."""


class UpstreamsInvalid(Problem):
    """An entry of `[upstreams]`, in the recipe or in upstreams.toml, that cannot be meant."""

    exit_code = 2


class AuthFileInvalid(Problem):
    """An auth file that is there and cannot be read; names the file and never quotes it."""

    exit_code = 2


class CrateKeyChanged(Refused):
    """A file of requests says that it is of a crate that is known here by another key."""


class SerialTooLow(Problem):
    """The crate that this is built for has the same or a later release, and would refuse this one."""

    exit_code = 2


class CacheFull(Problem):
    """The disk under the cache has no room for what is to come."""


class CacheBusy(Problem):
    """Another process uses what was about to be removed."""


class SeveralFailed(Problem):
    """More than one blob could not be fetched."""

    def __init__(self, what: str, problems: tuple[Problem, ...], *, hint: str = "") -> None:
        super().__init__(what, hint=hint)
        self.problems = problems


class FetchFailed(Problem):
    """Something upstream could not be had. URLs in messages are without user info and query: both hold secrets."""


class Unreachable(FetchFailed):
    """No connection, or none that lasts, after all attempts."""


class UntrustedServer(FetchFailed):
    """A certificate that nobody known vouches for, or a server that does not speak TLS where it has to."""


class PlainHttpRefused(FetchFailed):
    """Plain HTTP that nobody asked for, where a digest does not protect what comes."""


class NotFound(FetchFailed):
    """404 or 410."""


class AccessDenied(FetchFailed):
    """401 or 403, after whatever credentials there are were tried."""


class TooManyRequests(FetchFailed):
    """429 to the last attempt, or with a Retry-After beyond patience."""


class ServerFailed(FetchFailed):
    """A status that is neither success nor any of the above; names it."""


class MalformedAnswer(FetchFailed):
    """The answer breaks the protocol that it belongs to."""


class TooLarge(FetchFailed):
    """More bytes than the document may have."""


class WrongContent(FetchFailed):
    """Complete, and of another digest or size than it was asked for by."""
