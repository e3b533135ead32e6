"""What can go wrong with the site, below `archive.errors.Problem`.

Problem
├── SiteInvalid         the site file breaks its rules: file, line, key                       exit 2
├── NoSite              nothing was installed with a site file yet, and none was named        exit 2
├── SiteExists          init overwrites nothing                                               exit 2
├── NotHere             the appliance's address is not one of this machine's                  exit 2
├── UnknownNode         a name that the site file does not have                               exit 2
├── Unreachable         nothing answers at a node's address, or no ssh                        exit 1
├── KeyRefused          a node takes neither the site's key nor the password                  exit 1
├── KeyUnusable         the key file that the site file names is not there, or no key         exit 2
├── SudoRefused         the user of a node may not become root                                exit 1
└── Untrusted                                                                                 exit 3
    ├── HostKeyUnknown  a node's host key that nobody has confirmed
    └── HostKeyChanged  another host key than the one that was pinned
"""

from __future__ import annotations

from archive.errors import Problem


class SiteInvalid(Problem):
    """The site file as written cannot be meant; `what` begins with file and line."""

    exit_code = 2


class NoSite(Problem):
    """There is no site file in force."""

    exit_code = 2


class SiteExists(Problem):
    """`init` overwrites nothing."""

    exit_code = 2


class NotHere(Problem):
    """The site file belongs to another machine, or this one has lost its address."""

    exit_code = 2


class UnknownNode(Problem):
    """A node that the site file does not name."""

    exit_code = 2


class Unreachable(Problem):
    """Nothing answers, or what answers does not speak ssh."""


class KeyRefused(Problem):
    """The node lets nobody in who comes with what we have."""


class KeyUnusable(Problem):
    """[ssh] key names what cannot be used; no node was asked."""

    exit_code = 2


class SudoRefused(Problem):
    """Logged in, but not as root, and with no way to become root."""


class Untrusted(Problem):
    """Somebody answers at a node's address who may be somebody else. Nothing was sent there."""

    exit_code = 3


class HostKeyUnknown(Untrusted):
    """First contact, and nobody to confirm the fingerprint."""


class HostKeyChanged(Untrusted):
    """The node was set up again, or somebody stands between."""
