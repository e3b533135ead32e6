"""A site file and the active crates, put together as the order for a run. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import SecretStr

from appliance.cluster.contents import Blob, CrateContents, K3sRelease
from appliance.cluster.profiles import SiteProfile
from appliance.published import BY_DIGEST
from appliance.site.model import Site
from deploys.order import WAVES, AptSource, Artifact, Base, Crate, K3s, Node, Order, Ssh, Task, Wave

HTTPS, PLAIN = 5000, 8080
"""Where nodes reach the appliance's daemon."""
_SUITES = re.compile(r"^Suites:[ \t]*(.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Keys:
    """What a run proves itself with, and whom it believes.

    `ssh` and `known_hosts` are files, `authority` the PEM that nodes are to trust, `token` the cluster's secret,
    `password` that of the ssh user for sudo, empty where sudo asks for none.
    """

    ssh: str
    known_hosts: str
    authority: str
    token: str
    password: str = ""


def origin(site: Site) -> str:
    """The plain port's base URL as nodes write it."""
    return f"http://{site.address}:{PLAIN}"


def compose(
    site: Site,
    contents: CrateContents,
    keys: Keys,
    *,
    k3s: str,
    profiles: Sequence[SiteProfile] = (),
    images: str = "",
    task: Task = "deploy",
    waves: Sequence[Wave] = WAVES,
    limit: Sequence[str] = (),
) -> Order:
    """The order to do `waves` on the nodes named in `limit`, or on all of them.

    `k3s` is the version to run, one of `contents.k3s`, or empty for an order without a cluster. `images` is the file
    of image digests that *verify* goes by.
    """
    release = contents.k3s[k3s] if k3s else None
    return Order(
        task=task,
        waves=tuple(wave for wave in WAVES if wave in waves),
        limit=tuple(limit),
        ssh=Ssh(
            user=site.ssh.user,
            key=keys.ssh,
            known_hosts=keys.known_hosts,
            sudo=site.ssh.sudo,
            password=SecretStr(keys.password),
        ),
        nodes=tuple(
            Node(
                name=node.name,
                address=node.address,
                role=node.role,
                port=node.port,
                labels=node.labels,
                taints=node.taints,
                local=node.local,
            )
            for node in site.nodes
        ),
        crate=_crate(site, contents, keys, tuple(release.binaries) if release else ()),
        base=_base(site, profiles),
        k3s=_k3s(site, release, keys, version=k3s, profiles=profiles) if release else None,
        profiles=tuple(profile.rendered for profile in profiles),
        images=images,
    )


def _crate(site: Site, contents: CrateContents, keys: Keys, platforms: tuple[str, ...]) -> Crate:
    return Crate(
        address=site.address,
        https=HTTPS,
        plain=PLAIN,
        authority=keys.authority,
        created=contents.created,
        platforms=platforms,
        hosts=contents.hosts,
        apt=tuple(
            AptSource(name=name, suites=tuple(_SUITES.findall(text)), text=text)
            for name, text in contents.sources.items()
        ),
    )


def _base(site: Site, profiles: Sequence[SiteProfile]) -> Base:
    wanted = [*site.base.packages, *(package for profile in profiles for package in profile.packages)]
    return Base(
        domain=site.domain,
        resolver=site.table.names,
        time=site.table.time,
        packages=tuple(dict.fromkeys(wanted)),
        foreign_sources=site.base.foreign_sources,
        reboot=site.base.reboot,
        firewall=site.base.firewall,
        network=str(site.network),
    )


def _k3s(site: Site, release: K3sRelease, keys: Keys, *, version: str, profiles: Sequence[SiteProfile]) -> K3s:
    def artifacts(blobs: Mapping[str, Blob]) -> dict[str, Artifact]:
        return {platform: artifact(site, blob) for platform, blob in blobs.items()}

    disable = [component for profile in profiles for component in profile.disable]
    return K3s(
        version=version,
        binaries=artifacts(release.binaries),
        airgap=artifacts(release.airgap),
        token=SecretStr(keys.token),
        embedded_registry=site.cluster.embedded_registry,
        disable=tuple(dict.fromkeys(disable)),
        settings=site.cluster.settings,
    )


def artifact(site: Site, blob: Blob) -> Artifact:
    """Where nodes of the site fetch a file of the crate."""
    return Artifact(url=f"{origin(site)}{BY_DIGEST}{blob.sha256}", sha256=blob.sha256, size=blob.size)
