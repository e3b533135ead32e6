"""What can go wrong between a site file and a cluster, below `archive.errors.Problem`.

Problem
├── NothingToDeploy     no active crate brings a k3s, or not the one that the site file names       exit 2
├── UpgradeRefused      from the release on the nodes there is no way to the one in the crate       exit 2
├── NotServed           nothing serves the store, so nodes could fetch nothing                      exit 1
├── NoCluster           nothing is known of a cluster yet                                           exit 2
├── ClusterBusy         another run is at the nodes                                                 exit 1
└── RunFailed           the process that works on the nodes died, or said what cannot be understood exit 1
"""

from __future__ import annotations

from archive.errors import Problem


class NothingToDeploy(Problem):
    """The crates that are active do not carry what the site asks for."""

    exit_code = 2


class UpgradeRefused(Problem):
    """k3s goes up one minor release at a time, and never down."""

    exit_code = 2


class NotServed(Problem):
    """Nodes fetch everything from the daemon, and there is none."""


class NoCluster(Problem):
    """Asked for something that only a deployed cluster has."""

    exit_code = 2


class ClusterBusy(Problem):
    """Runs take turns; somebody else has the turn."""


class RunFailed(Problem):
    """The run did not come to its end. What was done on the nodes stays; running again goes on."""
