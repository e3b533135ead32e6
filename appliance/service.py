"""The daemon as a systemd service: a unit that may read and write the store and nothing else."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from appliance import disk
from appliance.errors import ServiceFailed

UNIT = "crate-appliance.service"
UNIT_PATH = Path("/etc/systemd/system") / UNIT

# systemd.exec(5), "SANDBOXING"; `systemd-analyze security` grades the result.
_UNIT = """\
[Unit]
Description=BuzzCrate registry and package mirrors
Documentation=man:systemd.exec(5)
After=network.target
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart={command}
ExecReload=/bin/kill -HUP $MAINPID
Restart=on-failure
RestartSec=2
TimeoutStopSec=30
WatchdogSec=60
{owner}LimitNOFILE=65536
UMask=0077

ReadWritePaths={root}
ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=yes
PrivateDevices=yes
ProtectProc=invisible
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
LockPersonality=yes
MemoryDenyWriteExecute=yes
NoNewPrivileges=yes
RemoveIPC=yes
KeyringMode=private
CapabilityBoundingSet={capabilities}
AmbientCapabilities={capabilities}
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
"""


def unit(root: Path, options: Sequence[str], *, user: str = "", low_ports: bool = False) -> str:
    """The unit's text; `options` are those of `serve`, `user` an existing account that owns the store."""
    program = shutil.which("crate-appliance") or str(Path(sys.argv[0]).absolute())
    return _UNIT.format(
        command=_words(program, *_serves(root), *options),
        owner=f"User={user}\n" if user else "",
        root=shlex.quote(str(root.absolute())).replace("%", "%%"),
        capabilities="CAP_NET_BIND_SERVICE" if low_ports else "",
    )


def install(text: str) -> None:
    """Writes the unit and starts it, now and at every boot. Raises `ServiceFailed`."""
    hint = "run it as root, or with --print to see the unit"
    try:
        disk.write_whole(UNIT_PATH, text.encode(), mode=0o644)
    except OSError as error:
        raise ServiceFailed(f"cannot write {UNIT_PATH}: {error.strerror}", hint=hint) from error
    for words in (["daemon-reload"], ["enable", UNIT], ["restart", UNIT]):
        _systemctl(*words)


def remove() -> bool:
    """Stops the service for good and takes its unit away; whether there was one. Raises `ServiceFailed`."""
    if not UNIT_PATH.exists():
        return False
    _systemctl("disable", "--now", UNIT)
    try:
        UNIT_PATH.unlink()
    except OSError as error:
        raise ServiceFailed(f"cannot remove {UNIT_PATH}: {error.strerror}", hint="run it as root") from error
    _systemctl("daemon-reload")
    return True


def may_install() -> bool:
    """Whether a unit would be started for us: as root, and by a systemd that is on the network that we see."""
    if os.geteuid() != 0 or not Path("/run/systemd/system").is_dir():
        return False
    return Path("/proc/1/ns/net").readlink() == Path("/proc/self/ns/net").readlink()


def start(root: Path) -> bool:
    """Starts the service if it is installed for the store at `root`; whether it is. Raises `ServiceFailed`."""
    try:
        installed = f" {_words(*_serves(root))} " in UNIT_PATH.read_text().replace("\n", " \n")
    except OSError:
        return False
    if installed:
        _systemctl("start", UNIT)
    return installed


def _serves(root: Path) -> tuple[str, ...]:
    return ("--root", str(root.absolute()), "serve")


def _words(*words: str) -> str:
    """As an ExecStart= line spells them (systemd.service(5), "COMMAND LINES")."""
    return " ".join(shlex.quote(word).replace("%", "%%").replace("$", "$$") for word in words)


def _systemctl(*words: str) -> None:
    try:
        done = subprocess.run(["systemctl", *words], check=False, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise ServiceFailed("there is no systemctl here", hint="run crate-appliance serve instead") from error
    if done.returncode:
        raise ServiceFailed(f"systemctl {' '.join(words)}: {done.stderr.strip()}", hint="journalctl -u " + UNIT)
