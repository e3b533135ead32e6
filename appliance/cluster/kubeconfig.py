"""The administrator's kubeconfig, as it works from any machine on the crate's network.

k3s writes one for the server itself, at 127.0.0.1 and with everything called `default`; here the server is named by its
address, and cluster, user and context by the site, so that it can be merged with others.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import yaml

from appliance.cluster.errors import NoCluster
from appliance.site.folder import SiteFolder
from appliance.site.model import Site
from deploys.k3s.layout import API_PORT

_PROOFS = ("client-certificate-data", "client-key-data", "token")
_DEPLOY = "crate-appliance deploy makes the cluster; when it is there already: crate-appliance deploy --only server"


def kubeconfig(folder: SiteFolder) -> str:
    """YAML, with the administrator's key in it. Raises `NoCluster`, `NoSite`."""
    site = folder.in_force(draft=True)
    server = next((node.address for node in site.nodes if node.role == "server"), "")
    if not server or not folder.kubeconfig.exists():
        raise NoCluster(f"no cluster of {site.name} is known here yet", hint=_DEPLOY)
    try:
        return rewritten(folder.kubeconfig.read_text(), site, server)
    except (yaml.YAMLError, KeyError, TypeError, IndexError, ValueError) as error:
        raise NoCluster(f"{folder.kubeconfig} is no kubeconfig: {error!r}", hint=_DEPLOY) from error


def rewritten(text: str, site: Site, server: str) -> str:
    """`text` as k3s wrote it, for the server at the address `server`.

    It comes from a node, and kubectl does what a kubeconfig says, to the point of running programs that it names: only
    what is proof of somebody is taken over.
    """
    config: dict[str, Any] = yaml.safe_load(text)
    theirs, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    port = urlsplit(theirs["server"]).port or API_PORT
    cluster = {
        "server": f"https://{server}:{port}",
        "certificate-authority-data": str(theirs["certificate-authority-data"]),
    }
    proofs = {key: str(user[key]) for key in _PROOFS if key in user}
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": site.name, "cluster": cluster}],
            "users": [{"name": f"{site.name}-admin", "user": proofs}],
            "contexts": [{"name": site.name, "context": {"cluster": site.name, "user": f"{site.name}-admin"}}],
            "current-context": site.name,
        },
        sort_keys=False,
    )
