"""What can go wrong on the nodes, below `archive.errors.Problem`.

Problem
├── BadOrder                the order cannot be read, or names a key file that is not there        exit 2
└── NodeProblem             one node cannot go on; the others do                                    exit 1
    ├── Unreachable         it does not answer, or stopped answering while a command ran
    ├── NotTrusted          another host key than the one pinned
    ├── NotAdmitted         the key, sudo or its password is refused
    ├── OperationFailed     a command on it ended badly
    ├── UnfitRelease            from the k3s that runs, no supported step leads to the one wanted   exit 2
    ├── UnfitSetting            a setting of k3s that is not the site's to make, or comes too late  exit 2
    └── Interrupted         the run was told to end
"""

from __future__ import annotations

from archive.errors import Problem


class BadOrder(Problem):
    """What came on standard input is no order, or one that cannot be carried out at all."""

    exit_code = 2


class NodeProblem(Problem):
    """Raised while a wave works on a node: it leaves the run with `what` and `hint`, the others go on."""


class Unreachable(NodeProblem):
    """No route, no ssh, or a connection that broke."""


class NotTrusted(NodeProblem):
    """The node presents a host key that is not the one in the site's known_hosts."""


class NotAdmitted(NodeProblem):
    """ssh or sudo says no."""


class OperationFailed(NodeProblem):
    """A command ended with an error, or did not end in time."""


class UnfitRelease(NodeProblem):
    """An older k3s than the one that runs, or one more than a minor version ahead of it."""

    exit_code = 2


class UnfitSetting(NodeProblem):
    """A setting of k3s that a site may not make, or may not change any more."""

    exit_code = 2


class Interrupted(NodeProblem):
    """SIGTERM or Ctrl-C; running it again goes on from here."""
