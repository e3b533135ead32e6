"""Orders as the appliance gives them, for tests that need the parts."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import SecretStr

from deploys.order import Artifact, Crate, K3s, Node

FULL_TOKEN = f"K10{'ab' * 32}::server:of-the-site"
BINARY = Artifact(url="http://10.77.0.1:8080/blobs/sha256/" + "0" * 64, sha256="0" * 64, size=1)


def crate(hosts: tuple[str, ...] = ("docker.io", "ghcr.io")) -> Crate:
    return Crate(address="10.77.0.1", authority="PEM", created=0, platforms=("linux/amd64",), hosts=hosts)


def k3s(
    *, settings: Mapping[str, object] | None = None, disable: tuple[str, ...] = (), embedded_registry: bool = False
) -> K3s:
    return K3s(
        version="v1.31.4+k3s1",
        binaries={"linux/amd64": BINARY},
        token=SecretStr("of-the-site"),
        settings=settings or {},
        disable=disable,
        embedded_registry=embedded_registry,
    )


def server(number: int = 1, **more: object) -> Node:
    return Node.model_validate({"name": f"n{number}", "address": f"10.77.0.1{number}", "role": "server", **more})


def agent(number: int = 2, **more: object) -> Node:
    return Node.model_validate({"name": f"n{number}", "address": f"10.77.0.1{number}", "role": "agent", **more})
