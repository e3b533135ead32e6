"""The systemd units of names, time and clock. All they run is told here or in a file of ours, so what the
distribution's own services of the same programs do, or do not, is no concern of theirs. Pure.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from appliance.names.queries import RUNTIME_LOG
from appliance.site.model import Site

NAMES = "buzzcrate-names.service"
TIME = "buzzcrate-time.service"
CLOCK = "buzzcrate-clock.service"
SAVE = "buzzcrate-clock-save.service"
TIMER = "buzzcrate-clock-save.timer"

STRATUM = 10  # RFC 5905: far from any reference clock, which is the truth
_LARGEST_LOG = "4M"

_NAMES = """\
[Unit]
Description=BuzzCrate: the names of the site
After=network.target

[Service]
Type=exec
RuntimeDirectory={folder}
RuntimeDirectoryPreserve=yes
# dnsmasq would make it readable for its own user alone; the crate's daemon reads it too
ExecStartPre=/bin/sh -c 'touch {log} && chmod 644 {log}'
ExecStart={program} --keep-in-foreground --conf-file={configuration} --pid-file=
Restart=always
RestartSec=2
ProtectSystem=full
ProtectHome=yes
ProtectClock=yes
PrivateTmp=yes
NoNewPrivileges=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK

[Install]
WantedBy=multi-user.target
"""
_TIME = """\
[Unit]
Description=BuzzCrate: the time of the site
After=network.target {clock}

[Service]
Type=exec
{user}RuntimeDirectory=chrony
RuntimeDirectoryMode=0700
RuntimeDirectoryPreserve=yes
# -x: it serves this machine's clock and never touches it. No file is read, which AppArmor might not allow.
ExecStart={bang}{program} -d -x {directives}
Restart=always
RestartSec=2
ProtectSystem=full
ProtectHome=yes
ProtectClock=yes
PrivateTmp=yes
NoNewPrivileges=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX

[Install]
WantedBy=multi-user.target
"""
_CLOCK = """\
[Unit]
Description=BuzzCrate: a clock that never goes back, for boards without a battery
DefaultDependencies=no
RequiresMountsFor={root}
After=local-fs.target
Before=time-set.target sysinit.target shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={program} clock restore
ExecStop={program} clock save

[Install]
WantedBy=sysinit.target
"""
_SAVE = """\
[Unit]
Description=BuzzCrate: note the time

[Service]
Type=oneshot
ExecStart={program} clock save
ExecStart=/usr/bin/find {log} -size +{largest} -exec truncate --size=0 {{}} ;
"""
_TIMER = """\
[Unit]
Description=BuzzCrate: note the time, now and then

[Timer]
OnActiveSec=15min
OnUnitActiveSec=15min

[Install]
WantedBy=timers.target
"""


def names_service(program: str, configuration: Path) -> str:
    """Runs dnsmasq with our configuration."""
    return _NAMES.format(program=program, configuration=configuration, log=RUNTIME_LOG, folder=RUNTIME_LOG.parent.name)


def time_service(program: str, site: Site, user: str) -> str:
    """Runs chronyd as a server that has no other source than this machine; `user` is chrony's own account, if any."""
    directives = time_directives(site)
    return _TIME.format(
        program=program,
        clock=CLOCK,
        directives=" ".join(shlex.quote(one) for one in directives),
        user=f"User={user}\n" if user else "",
        bang="!" if user else "",  # started as root, as the distribution's unit does, to take port 123
    )


def time_directives(site: Site, *, port: int = 123, pid: str = "/run/chrony/buzzcrate.pid") -> list[str]:
    """What chronyd is told (chrony.conf(5)), each on its command line."""
    return [
        f"local stratum {STRATUM}",
        f"allow {site.network}",
        f"bindaddress {site.address}",
        f"port {port}",
        "cmdport 0",
        "bindcmdaddress /",
        f"pidfile {pid}",
    ]


def clock_service(program: str, root: Path) -> str:
    """Restores the clock when the machine starts, and notes it when the machine stops."""
    return _CLOCK.format(program=_clock_program(program, root), root=root)


def save_service(program: str, root: Path) -> str:
    """Notes the time, and keeps the log of names short."""
    return _SAVE.format(program=_clock_program(program, root), log=RUNTIME_LOG, largest=_LARGEST_LOG)


def timer() -> str:
    return _TIMER


def _clock_program(program: str, root: Path) -> str:
    return f"{shlex.quote(program)} --root {shlex.quote(str(root))}".replace("%", "%%")
