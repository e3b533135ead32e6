"""What can go wrong on the connected side.

Problem
├── RecipeInvalid           the recipe breaks its rules: file, line, key                        exit 2
├── LockInvalid             the lock is not one that this program wrote                         exit 2
├── LockStale               the lock belongs to another recipe                                  exit 2
├── LockMissing             --locked, and there is no lock                                      exit 2
├── UnknownName             --update names nothing that the recipe asks for                     exit 2
├── SignerMissing           a build without a key                                               exit 2
├── LayoutInvalid           a local image is not what its format says                           exit 2
├── PlatformMissing         an image does not exist for a platform asked for                    exit 1
├── ImageInvalid            an image's documents contradict themselves                          exit 1
├── BlobTooLarge            a blob that no archive can hold                                     exit 1
└── SourceChanged           what the lock pins is no longer there to be packed                  exit 1
"""

from __future__ import annotations

from archive.errors import Problem


class RecipeInvalid(Problem):
    """The recipe as written cannot be meant; `what` begins with file and line."""

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


class SignerMissing(Problem):
    """A crate is signed or it is not written."""

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


class SourceChanged(Problem):
    """What was locked is no longer there: the local file or upstream's content is another one now."""
