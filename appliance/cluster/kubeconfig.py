"""The administrator's kubeconfig, as it works from any machine on the crate's network.

k3s writes one for the server itself, at 127.0.0.1 and with everything called `default`; here the server is named by its
address, and cluster, user and context by the site, so that it can be merged with others.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit, urlunsplit

import yaml

from appliance.cluster.errors import NoCluster
from appliance.site.folder import SiteFolder
from appliance.site.model import Site

_DEPLOY = "crate-appliance deploy makes the cluster; when it is there already: crate-appliance deploy --only server"


def kubeconfig(folder: SiteFolder) -> str:
    """YAML, with the administrator's key in it. Raises `NoCluster`, `NoSite`."""
    site = folder.in_force()
    server = next((node.address for node in site.nodes if node.role == "server"), "")
    if not server or not folder.kubeconfig.exists():
        raise NoCluster(f"no cluster of {site.name} is known here yet", hint=_DEPLOY)
    try:
        return rewritten(folder.kubeconfig.read_text(), site, server)
    except (yaml.YAMLError, KeyError, TypeError, IndexError) as error:
        raise NoCluster(f"{folder.kubeconfig} is no kubeconfig: {error!r}", hint=_DEPLOY) from error


def rewritten(text: str, site: Site, server: str) -> str:
    """`text` as k3s wrote it, for the server at the address `server`."""
    config: dict[str, Any] = yaml.safe_load(text)
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    port = urlsplit(cluster["server"]).port
    cluster["server"] = urlunsplit(("https", f"{server}:{port}", "", "", ""))
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": site.name, "cluster": cluster}],
            "users": [{"name": f"{site.name}-admin", "user": user}],
            "contexts": [{"name": site.name, "context": {"cluster": site.name, "user": f"{site.name}-admin"}}],
            "current-context": site.name,
        },
        sort_keys=False,
    )
