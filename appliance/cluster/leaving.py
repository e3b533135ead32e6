"""A node leaves: the cluster first, then what deploy did to it is undone, then it leaves the site file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from appliance.cluster import child
from appliance.cluster.deploying import See, deploy
from appliance.cluster.learning import forget
from appliance.cluster.preparing import Wish
from appliance.cluster.receipts import Receipt
from appliance.site import editing
from appliance.site.errors import UnknownNode
from appliance.site.folder import SiteFolder
from appliance.site.known_hosts import KnownHosts
from appliance.site.model import Site
from appliance.store import Store


@dataclass(frozen=True)
class Left:
    """What came of it. Without a `receipt` there was no cluster to leave; `unlisted` when the site file lost it."""

    node: str
    receipt: Receipt | None
    unlisted: bool

    def to_json(self) -> dict[str, Any]:
        return {
            "node": self.node,
            "unlisted": self.unlisted,
            "receipt": self.receipt.to_json() if self.receipt else None,
        }

    def text(self) -> str:
        lines = [self.receipt.summary(), ""] if self.receipt else []
        if self.unlisted:
            lines.append(f"{self.node} is no longer in the site file in force; take it out of your own copy, too")
        else:
            lines.append(
                f"{self.node} is still in the site file: crate-appliance nodes remove {self.node} goes on, and with "
                "--lost it is taken out as it is"
            )
        return "\n".join(lines)


def leave(
    store: Store,
    name: str,
    see: See,
    *,
    sudo_password: str = "",
    lost: bool = False,
    command: Sequence[str] = child.COMMAND,
) -> Left:
    """Takes the node called `name` out, as far as it goes. Raises `UnknownNode` and what `deploy` does."""
    folder = SiteFolder(store.root)
    site = folder.in_force(draft=True)
    node = next((node for node in site.nodes if node.name == name), None)
    if node is None:
        raise UnknownNode(f"the site has no node {name}", hint="crate-appliance nodes list shows them")
    receipt, gone = None, True
    if folder.server_token.exists() or folder.kubeconfig.exists():
        wish = Wish("remove", limit=(name,), sudo_password=sudo_password)
        receipt = deploy(store, wish, see, command=command)
        left_cluster = any(wave.name == "remove" and wave.ok for wave in receipt.record.waves)
        gone = receipt.outcome == "done" or (lost and left_cluster)
    if gone:
        text = editing.without_node(site.text, name)
        folder.keep(Site.parse(folder.site, text, draft=True))
        forget(folder, site, {name})
        KnownHosts(folder).forget(node)  # whoever has its address next is met anew
    return Left(name, receipt, gone)
