"""The host keys that somebody confirmed: a known_hosts file that ssh itself can read, one key an address."""

from __future__ import annotations

from collections.abc import Sequence

from paramiko import HostKeys, PKey

from appliance.site.folder import SiteFolder
from appliance.site.model import Node

_DEFAULT_PORT = 22


def spelled(node: Node) -> str:
    """How known_hosts names it (sshd(8)): its address, with a port that is not ssh's own in brackets."""
    return node.address if node.port == _DEFAULT_PORT else f"[{node.address}]:{node.port}"


def line(node: Node, key: PKey) -> str:
    return f"{spelled(node)} {key.get_name()} {key.get_base64()}"


class KnownHosts:
    """The file of the site in `folder`."""

    def __init__(self, folder: SiteFolder) -> None:
        self._folder = folder

    def pinned(self, node: Node) -> PKey | None:
        """The host key that `node` had when it was confirmed; None before its first contact."""
        keys = HostKeys()
        if self._folder.known_hosts.exists():
            keys.load(str(self._folder.known_hosts))
        found = keys.lookup(spelled(node))
        return next(iter(found.values()), None) if found else None

    def pin(self, node: Node, key: PKey) -> None:
        """From now on `node` is who has this key, in place of any before."""
        self._write([*self._others(node), line(node, key)])

    def forget(self, node: Node) -> None:
        """The next contact with `node` is its first again."""
        self._write(self._others(node))

    def _others(self, node: Node) -> list[str]:
        try:
            lines = self._folder.known_hosts.read_text().splitlines()
        except FileNotFoundError:
            return []
        return [one for one in lines if one.split(" ", 1)[0] != spelled(node)]

    def _write(self, lines: Sequence[str]) -> None:
        self._folder.write(self._folder.known_hosts, "".join(f"{one}\n" for one in lines).encode())
