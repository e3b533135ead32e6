"""First contact with nodes: the host key is confirmed and pinned, the site's key installed where it is not yet."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from paramiko import PKey

from appliance.site.contact import changed, contact, host_key, unknown
from appliance.site.errors import KeyRefused
from appliance.site.folder import SiteFolder
from appliance.site.known_hosts import KnownHosts
from appliance.site.model import Node, Site

# Reads the key from standard input: what runs on the node may be seen there by anybody.
_INSTALL = """\
umask 077 && mkdir -p ~/.ssh && touch ~/.ssh/authorized_keys && IFS= read -r key &&
{ grep -qxF "$key" ~/.ssh/authorized_keys || {
  [ -z "$(tail -c 1 ~/.ssh/authorized_keys)" ] || echo >>~/.ssh/authorized_keys
  printf '%s\\n' "$key" >>~/.ssh/authorized_keys; }; }"""


_EXPIRED = re.compile(r"password (change required|has expired)|change your password", re.IGNORECASE)


class Asks(Protocol):
    """Somebody who may be asked: a person at a terminal, or the options of a command."""

    def confirm(self, node: Node, fingerprint: str, before: str) -> bool:
        """Whether `fingerprint` is the node's; `before` is the one that it replaces, if any."""
        ...

    def password(self, node: Node, user: str) -> str:
        """The password of `user` on `node`, for this once; empty when there is none to be had."""
        ...


@dataclass(frozen=True)
class Met:
    """What a first contact did."""

    node: Node
    fingerprint: str
    pinned: bool  # just now
    installed: bool  # the site's key, just now


def meet(site: Site, folder: SiteFolder, nodes: Iterable[Node], asks: Asks) -> list[Met]:
    """Makes every node of `nodes` one that the waves can log in to; what is so already is left as it is.

    Raises `HostKeyUnknown` or `HostKeyChanged` when nobody confirms, `KeyRefused`, `Unreachable`.
    """
    return [_meet(site, folder, node, asks) for node in nodes]


def pin(folder: SiteFolder, node: Node, asks: Asks) -> tuple[PKey, bool]:
    """The node's host key, confirmed; whether it was pinned just now."""
    known = KnownHosts(folder)
    before, key = known.pinned(node), host_key(node)
    if before == key:
        return key, False
    if before is not None and before.get_name() != key.get_name():
        return before, False  # it may have both: the session will tell
    if not (node.local and _is_own(key)) and not asks.confirm(
        node, key.fingerprint, before.fingerprint if before else ""
    ):
        raise changed(node, before, key) if before else unknown(node, key)
    known.pin(node, key)
    return key, True


def _meet(site: Site, folder: SiteFolder, node: Node, asks: Asks) -> Met:
    key, pinned = pin(folder, node, asks)
    private = folder.key_for(site)
    try:
        with contact(node, key, site.ssh, key=private):
            return Met(node, key.fingerprint, pinned, installed=False)
    except KeyRefused:
        if node.local and site.ssh.user == "root" and os.geteuid() == 0:
            _install_here(_public(private))
        else:
            password = asks.password(node, site.ssh.user)
            if not password:
                raise
            _install(node, key, site, _public(private), password)
    with contact(node, key, site.ssh, key=private):
        return Met(node, key.fingerprint, pinned, installed=True)


def _install(node: Node, key: PKey, site: Site, public: str, password: str) -> None:
    with contact(node, key, site.ssh, password=password) as session:
        done = session.run(_INSTALL, given=f"{public}\n")
    if done.code:
        said = " ".join(done.errors.split())
        hint = "has the account a home folder that it may write to?"
        if _EXPIRED.search(said):  # as Armbian delivers root
            hint = f"the account wants another password first: ssh {site.ssh.user}@{node.address} asks for it"
        raise KeyRefused(
            f"the site's key could not be installed for {site.ssh.user} on {node.name} ({node.address}): {said}",
            hint=hint,
        )


def _install_here(public: str) -> None:
    """On the appliance itself, where root needs no password to be let in by root."""
    path = Path("~root/.ssh/authorized_keys").expanduser()
    path.parent.mkdir(mode=0o700, exist_ok=True)
    text = path.read_text() if path.exists() else ""
    gap = "\n" if text and not text.endswith("\n") else ""
    with path.open("a") as file:
        file.write(f"{gap}{public}\n")
    path.chmod(0o600)


def _public(private: Path) -> str:
    key = PKey.from_path(private)
    return f"{key.get_name()} {key.get_base64()} buzzcrate-site"


def _is_own(key: PKey) -> bool:
    """Whether it is this machine that answered: its own host keys need nobody to read them out."""
    spelled = f"{key.get_name()} {key.get_base64()}"
    return any(path.read_text().startswith(spelled) for path in Path("/etc/ssh").glob("ssh_host_*_key.pub"))
