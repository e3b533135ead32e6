"""What a run reports of nodes and cluster, put where the site keeps it."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from appliance.site.folder import SiteFolder
from appliance.site.model import Site
from deploys.events import Event, Learned


class Learning:
    """Facts of a node add to those known of it; of the cluster's, `token` and `kubeconfig` have files of their own."""

    def __init__(self, folder: SiteFolder) -> None:
        self._folder = folder

    def take(self, event: Event) -> None:
        if not isinstance(event, Learned):
            return
        if event.node:
            known: dict[str, Any] = self._folder.known_facts().get(event.node, {})
            if {**known, **event.facts} != known:
                self._folder.learn_facts(event.node, {**known, **event.facts})
            return
        for name, path in (("token", self._folder.server_token), ("kubeconfig", self._folder.kubeconfig)):
            value = event.facts.get(name)
            if isinstance(value, str) and value:
                text = value.rstrip("\n").encode() + b"\n"
                if not path.exists() or path.read_bytes() != text:
                    self._folder.write(path, text)


def forget(folder: SiteFolder, site: Site, nodes: Collection[str]) -> None:
    """What was known of `nodes`, which were reset; without a server left, of the cluster too.

    Its secret as well: every node has had it, and whoever took one away must not join the next cluster with it.
    """
    known = {name: facts for name, facts in folder.known_facts().items() if name not in nodes}
    if known != folder.known_facts():
        folder.write(folder.facts, json.dumps(known, indent=1, sort_keys=True).encode())
    if all(node.name in nodes for node in site.nodes if node.role == "server"):
        for path in (folder.token, folder.server_token, folder.kubeconfig):
            path.unlink(missing_ok=True)
