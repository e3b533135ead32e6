"""What tests of runs begin with: events as a good run says them, a store with a site, an order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from appliance import locks
from appliance.installing import install
from appliance.site import networks
from appliance.site.folder import SiteFolder
from appliance.site.model import Site
from appliance.store import Store
from archive.catalogue import PROFILE, File, Item
from archive.errors import Problem
from deploys.order import Base, Crate, K3s, Node, Order, Ssh
from tests.support.crates import CrateMaker, Key
from tests.support.fakechild import Step
from tests.support.stores import trusting

VERSION = "v1.36.4+k3s1"
TOKEN = "a-token-that-nobody-may-see"
SITE = """
[site]
name = "workshop"
address = "10.77.0.1"
network = "10.77.0.0/24"
{more}
[[nodes]]
name = "n1"
address = "10.77.0.11"
role = "server"

[[nodes]]
name = "n2"
address = "10.77.0.12"
"""


def order(**changes: Any) -> Order:
    """For two nodes, with a secret in it."""
    given: dict[str, Any] = {
        "ssh": Ssh(key="/nowhere/key", known_hosts="/nowhere/known_hosts", password=SecretStr("sesame")),
        "nodes": (
            Node(name="n1", address="10.77.0.11", role="server"),
            Node(name="n2", address="10.77.0.12", role="agent"),
        ),
        "crate": Crate(address="10.77.0.1", authority="PEM", created=0, platforms=(), hosts=()),
        "base": Base(domain="crate.internal", network="10.77.0.0/24"),
        "k3s": K3s(version=VERSION, binaries={}, token=SecretStr(TOKEN)),
    }
    return Order(**{**given, **changes})


def wave(name: str, *nodes: str, changed: int = 0, failed: str = "", state: str = "failed") -> Iterator[Step]:
    """A wave as the child tells it; `failed` is the node that does not come through, with `state`."""
    yield {"event": "began", "wave": name, "nodes": list(nodes)}
    for node in nodes:
        for number in range(changed):
            said = {"event": "operation", "wave": name, "node": node, "name": f"step {number}", "state": "changed"}
            yield {**said, "seconds": 0.1, "diff": "-old\n+new\n"}
        ended = {"event": "node", "wave": name, "node": node, "state": "done", "changed": changed}
        if node == failed:
            ended |= {"state": state, "what": f"{node} has no room", "hint": "make room"}
        yield ended
    yield {"event": "ended", "wave": name, "ok": not failed, "seconds": 1.5}


def learned(node: str = "", *, secret: bool = False, **facts: object) -> Step:
    return {"event": "learned", "node": node, "facts": facts, "secret": secret}


def knowing(*nodes: str, version: str = VERSION) -> list[Step]:
    """What preflight reports of nodes that run `version`."""
    return [learned(node, k3s=version, architecture="amd64") for node in nodes]


@contextmanager
def world(
    tmp_path: Path, key: Key, *, more: str = "", profiles: Mapping[str, Mapping[str, bytes]] | None = None
) -> Iterator[Store]:
    """A store that holds a crate with k3s and `profiles` and is served, and a site of two nodes in force.

    The lock stands for the daemon, and this machine is told that it has the site's address: no test here sends
    anything to anybody.
    """
    maker = CrateMaker(tmp_path / "blobs")
    maker.file(f"k3s/{VERSION}/k3s", b"k3s for amd64")
    maker.file(f"k3s/{VERSION}/k3s-arm64", b"k3s for arm64")
    for name, files in (profiles or {}).items():
        listed = [File(maker.blob(data), len(data), f"profiles/{name}/{file}") for file, data in files.items()]
        maker.items.append(Item(PROFILE, name, files=tuple(listed)))
    with trusting(tmp_path / "root", key) as store:
        install(store, maker.write(tmp_path / "site.crate", [key]))
        folder = SiteFolder(store.root)
        folder.keep(Site.parse(tmp_path / "site.toml", SITE.format(more=more)))
        with (
            locks.hold(store.daemon_lock, "a test", Problem),
            pytest.MonkeyPatch.context() as patch,
        ):
            patch.setattr(networks, "own_addresses", lambda: [IPv4Address("10.77.0.1")])
            patch.setattr("appliance.cluster.deploying.FLUSH", 0)
            yield store
