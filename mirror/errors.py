"""What upstream can do wrong while an ecosystem resolves.

Problem
├── UpstreamProblem         upstream's metadata does not say what it must              exit 1
│   ├── ChecksumAbsent      its checksum file does not name the file
│   └── ChecksumAmbiguous   its checksum file names the file twice, differently
├── DigestMissing           the recipe pins a file for some platforms and not for this one   exit 2
└── LocalFileChanged        a local file is not the one that the recipe pins           exit 1
"""

from __future__ import annotations

from archive.errors import Problem


class UpstreamProblem(Problem):
    """Upstream answered, with something that cannot be right."""


class ChecksumAbsent(UpstreamProblem):
    """A checksum file that says nothing about the file asked for."""


class ChecksumAmbiguous(UpstreamProblem):
    """A checksum file that says two things about one file."""


class LocalFileChanged(Problem):
    """The recipe pins a local file to a digest that it no longer has."""


class DigestMissing(Problem):
    """A table of digests without the one that is needed."""

    exit_code = 2
