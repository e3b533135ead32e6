"""Which repositories a name in a request may mean.

The crate keeps the upstream host in its repositories (`docker.io/library/nginx`). Clients name them in three ways:
written out; by `?ns=docker.io`, as containerd does when the crate stands in for a host; and by Docker Hub's short
name alone, as docker does with a registry mirror.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from archive.references import canonical_host

_NAMESPACE = re.compile(r"[A-Za-z0-9._\-\[\]:]{1,255}")


def candidates(name: str, namespace: str, own_hosts: Collection[str]) -> tuple[str, ...]:
    """The repositories to look in, in order; `namespace` is the value of `?ns=` or empty.

    `own_hosts` are the crate's own names, without ports. Nothing is ever dialled: a namespace that makes no repository
    name yields no candidate.
    """
    if not namespace:
        first, slash, _ = name.partition("/")
        return (name,) if slash and ("." in first or first == "localhost") else (name, _docker_hub(name))
    if not _NAMESPACE.fullmatch(namespace):
        return ()
    host = canonical_host(namespace.lower())
    if re.sub(r":\d+$", "", host).strip("[]") in own_hosts:
        return (name,)
    return (_docker_hub(name),) if host == "docker.io" else (f"{host.replace(':', '_')}/{name}",)


def _docker_hub(name: str) -> str:
    return f"docker.io/{name}" if "/" in name else f"docker.io/library/{name}"
