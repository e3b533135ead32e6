"""The systemd units that run k3s, and how one tells what it was started with.

Before k3s starts, the unit writes down the digests of everything that it starts from; once k3s has said that it is
up, it keeps that list as proven. So a restart is due when the list differs from what should be there, whoever started
the service last and whenever a run was interrupted.
"""

from __future__ import annotations

import hashlib

from deploys.k3s import layout
from deploys.order import Role

# systemd.service(5), systemd.resource-control(5). KillMode: containers outlive a restart of k3s. Delegate: the kubelet
# makes cgroups below its own. No limit on the start: a card may take many minutes to import images.
_UNIT = """\
[Unit]
Description=Kubernetes (k3s {role}), set up by BuzzCrate
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStartPre=/bin/sh -c 'umask 077; sha256sum {inputs} >{started}'
ExecStart={binary} {role}
ExecStartPost=/bin/sh -c 'umask 077; mkdir -p {state}; cp {started} {proven}'
Delegate=yes
KillMode=process
LimitNOFILE=1048576
LimitNPROC=infinity
LimitCORE=infinity
TasksMax=infinity
TimeoutStartSec=infinity
Restart=always
RestartSec=5

[Install]
WantedBy=multi-user.target
"""


def text(role: Role) -> str:
    """The unit for a server or an agent."""
    return _UNIT.format(
        role=role,
        binary=layout.BINARY,
        inputs=" ".join(_inputs(role)),
        started=layout.STARTED,
        proven=layout.PROVEN,
        state=layout.STATE,
    )


def started_with(role: Role, binary: str, config: str, token: str, registries: str) -> str:
    """What the unit writes down when it starts from the binary of this sha256 and from these texts."""
    digests = (binary, *(hashlib.sha256(each.encode()).hexdigest() for each in (text(role), config, token, registries)))
    return "".join(f"{digest}  {path}\n" for digest, path in zip(digests, _inputs(role), strict=True))


def binary_of(started: str) -> str:
    """The sha256 of the binary in such a list, or nothing."""
    for line in started.splitlines():
        digest, _, path = line.partition("  ")
        if path == layout.BINARY:
            return digest
    return ""


def _inputs(role: Role) -> tuple[str, ...]:
    return layout.BINARY, layout.unit_path(role), layout.CONFIG, layout.TOKEN, layout.REGISTRIES
