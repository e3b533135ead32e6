"""What the appliance keeps about its site: `<root>/site/`, readable by its owner alone.

site.toml            the copy of the site file that is in force
id_ed25519, .pub     the site's own ssh key, made at first need
known_hosts          the host keys that were confirmed (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT")
token, server-token  the cluster's secret as we made it, and the whole form that the server made of it
kubeconfig           the administrator's
facts.json           what preflight learned, by node
journal.jsonl        the events of the run in progress, or of the last one
receipts/            <UTC stamp>.json and .txt: what was installed, when, and how it went
clock                the last time that is known to have passed (see `appliance.names.clock`)
"""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance import disk
from appliance.site.errors import NoSite

if TYPE_CHECKING:
    from appliance.site.model import Site

_SECRET = 32  # bytes of randomness in the cluster's token


class SiteFolder:
    """The files of the site in the store at `root`. What is written replaces what was there whole, or not at all."""

    def __init__(self, root: Path) -> None:
        self.path = root / "site"
        self.site = self.path / "site.toml"
        self.key = self.path / "id_ed25519"
        self.public_key = self.path / "id_ed25519.pub"
        self.known_hosts = self.path / "known_hosts"
        self.token = self.path / "token"
        self.server_token = self.path / "server-token"
        self.kubeconfig = self.path / "kubeconfig"
        self.facts = self.path / "facts.json"
        self.journal = self.path / "journal.jsonl"
        self.receipts = self.path / "receipts"
        self.clock = self.path / "clock"

    def ensure(self) -> None:
        """Makes the folder, which nobody else may look into."""
        for folder in (self.path, self.receipts):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o700)

    def write(self, path: Path, data: bytes) -> None:
        """A file of this folder, whole or not at all, for its owner's eyes."""
        self.ensure()
        with disk.problems(f"writing {path}"):
            disk.write_private(path, data)

    def in_force(self, *, draft: bool = False) -> Site:
        """The site as it was installed last. Raises `NoSite`, `SiteInvalid`.

        A `draft` may lack nodes, as a site does that has just lost one of its three servers: it is still to be looked
        at, mended and reset, though not deployed.
        """
        if not self.site.exists():
            raise NoSite(
                "no site file is in force here",
                hint="crate-appliance site init writes one, crate-appliance install CRATE --site site.toml applies it",
            )
        from appliance.site.model import Site  # noqa: PLC0415 - the daemon looks into this folder, and checks no site

        return Site.load(self.site, draft=draft)

    def keep(self, site: Site) -> None:
        """From now on `site` is in force."""
        self.write(self.site, site.text.encode())

    def ensure_key(self) -> Path:
        """The private key that nodes are reached with, made at first need."""
        if not self.key.exists() or not self.public_key.exists():
            key = Ed25519PrivateKey.generate()
            public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
            private = key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
            )
            # the public half last: where it is, its key is
            self.write(self.key, private)
            self.write(self.public_key, public + b" buzzcrate-site\n")
        return self.key

    def key_for(self, site: Site) -> Path:
        """The private key that the nodes of `site` are reached with; the site's own is made when it is missing."""
        return Path(site.ssh.key).expanduser() if site.ssh.key else self.ensure_key()

    def cluster_token(self) -> str:
        """The secret that nodes join with, made at first need."""
        if not self.token.exists():
            self.write(self.token, secrets.token_hex(_SECRET).encode() + b"\n")
        return self.token.read_text().strip()

    def known_facts(self) -> dict[str, dict[str, Any]]:
        """By node, as preflight reported them; empty before the first run."""
        try:
            found: dict[str, dict[str, Any]] = json.loads(self.facts.read_text())
        except (FileNotFoundError, ValueError):  # facts are collected again by every run
            return {}
        return found

    def learn_facts(self, node: str, facts: dict[str, Any]) -> None:
        """Keeps what a run reported of `node`, in place of what was known."""
        known = {**self.known_facts(), node: facts}
        self.write(self.facts, json.dumps(known, indent=1, sort_keys=True).encode())
