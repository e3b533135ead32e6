"""Everything that is looked at before a run: the site, the crates, the keys, and what the nodes ran last."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from appliance.certificates import Certificates
from appliance.cluster import composing, contents, profiles
from appliance.cluster.composing import Keys
from appliance.cluster.errors import NotServed
from appliance.cluster.releases import Running, choose, decide
from appliance.site.errors import SiteInvalid, UnknownNode
from appliance.site.folder import SiteFolder
from appliance.site.model import Site
from appliance.store import Store
from deploys.order import WAVES, Order, Task, Wave

_WITHOUT_CLUSTER: frozenset[Wave] = frozenset({"preflight", "base"})


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be done: `waves` on the nodes named in `limit`, or on all of them."""

    task: Task = "deploy"
    waves: Sequence[Wave] = WAVES
    limit: Sequence[str] = ()
    sudo_password: str = field(default="", repr=False)


@dataclass(frozen=True)
class Prepared:
    """An order, and what it was made from. `carried` are the releases of k3s at hand."""

    site: Site
    order: Order
    carried: Sequence[str]

    @property
    def k3s(self) -> str:
        return self.order.k3s.version if self.order.k3s else ""

    def is_there(self, facts: Mapping[str, Mapping[str, Any]]) -> bool:
        """Whether `facts` tell of every node concerned that it runs what is wanted, so that there is no way to go."""
        return not self.k3s or all(_version(facts, node.name) == self.k3s for node in self.order.touched)

    def check_way(self, facts: Mapping[str, Mapping[str, Any]]) -> None:
        """Raises `UpgradeRefused` when a node runs a release from which there is no way, as far as `facts` tell."""
        if self.k3s:
            running = [Running(node.name, node.role, _version(facts, node.name)) for node in self.site.nodes]
            decide(running, self.k3s, self.carried)


def prepare(store: Store, wish: Wish) -> Prepared:
    """Raises what stands in the way: `NoSite`, `SiteInvalid`, `NotHere`, `UnknownNode`, `NothingToDeploy`, `NotServed`,
    and what profiles raise.
    """
    folder = SiteFolder(store.root)
    site = folder.in_force(draft=wish.task not in {"deploy", "plan"})
    site.require_here()
    _check_nodes(site, wish)
    if wish.task == "deploy" and not store.served():
        raise NotServed(
            "nothing serves the store, so the nodes could fetch nothing",
            hint="crate-appliance service install serves it at every boot, crate-appliance serve for now",
        )
    carried = contents.read(store, composing.origin(site))
    authority = Certificates(store.root / "tls").ensure_authority().decode()
    token = folder.cluster_token()
    clustering = wish.task in {"deploy", "plan"} and not _WITHOUT_CLUSTER.issuperset(wish.waves)
    k3s = choose(tuple(carried.k3s), site.cluster.k3s) if clustering else ""
    order = composing.compose(
        site,
        carried,
        Keys(
            ssh=str(folder.key_for(site)),
            known_hosts=_known_hosts(folder),
            authority=authority,
            # once a server made the whole form of it, that: it names the cluster's own authority
            token=folder.server_token.read_text().strip() if folder.server_token.exists() else token,
            password=wish.sudo_password,
        ),
        k3s=k3s,
        profiles=profiles.of_site(
            site,
            carried.profiles,
            repository=f"https://{site.address}:{composing.HTTPS}/helm",
            authority=authority,
            seed=token,
        )
        if clustering
        else (),
        images=_images(store, folder) if clustering else "",
        task=wish.task,
        waves=wish.waves,
        limit=wish.limit,
    )
    return Prepared(site, order, tuple(carried.k3s))


def _check_nodes(site: Site, wish: Wish) -> None:
    names = [node.name for node in site.nodes]
    if not names:
        raise SiteInvalid(
            f"{site.path}: there are no nodes", hint="crate-appliance nodes add NAME ADDRESS adds one to the site file"
        )
    for name in wish.limit:
        if name not in names:
            near = difflib.get_close_matches(name, names, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"
            raise UnknownNode(f"no node of the site is called {name!r}", hint=hint)


def _known_hosts(folder: SiteFolder) -> str:
    """The file of pinned host keys; empty, every node is a stranger, and is reported as one."""
    if not folder.known_hosts.exists():
        folder.write(folder.known_hosts, b"")
    return str(folder.known_hosts)


def _images(store: Store, folder: SiteFolder) -> str:
    path = folder.path / "images"
    text = "".join(f"{digest}\n" for digest in contents.image_digests(store)).encode()
    if not path.exists() or path.read_bytes() != text:
        folder.write(path, text)
    return str(path)


def _version(facts: Mapping[str, Mapping[str, Any]], node: str) -> str:
    found = facts.get(node, {}).get("k3s", "")
    return found if isinstance(found, str) else ""
