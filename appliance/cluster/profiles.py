"""The profiles of a site, as its crates and this program have them, rendered for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from appliance.site.model import Site
from deploys.order import Check, Profile
from manifests.errors import SettingInvalid
from manifests.profiles import Files, find
from manifests.rendering import Facts, Rendered


@dataclass(frozen=True, slots=True)
class SiteProfile:
    """One profile of the site: what the cluster is given, and what its nodes must have or must not run."""

    rendered: Profile
    packages: tuple[str, ...] = ()
    disable: tuple[str, ...] = ()


def of_site(
    site: Site, carried: Mapping[str, Files], *, repository: str, authority: str, seed: str
) -> list[SiteProfile]:
    """What `[cluster] profiles` names, in its order; the crates' own (`carried`) go before those of this program.

    `repository` is the crate's repository of charts, `seed` the secret that theirs are derived from. Raises
    `UnknownProfile`, `ProfileInvalid`, and `SettingInvalid` naming the place in the site file.
    """
    facts = Facts(
        domain=site.domain,
        apps=site.apps,
        address=site.address,
        repository=repository,
        authority=authority,
        seed=seed.encode(),
    )
    found = []
    for name in site.cluster.profiles:
        profile = find(name, carried)
        try:
            rendered = profile.render(site.settings(name), facts)
        except SettingInvalid as problem:
            raise problem.at(f"{site.path}: [profiles.{name}]") from problem
        found.append(SiteProfile(_ordered(rendered, profile.memory), profile.packages, profile.disable))
    return found


def _ordered(rendered: Rendered, memory: int) -> Profile:
    """As the run on the nodes is told it."""
    return Profile(
        name=rendered.name,
        memory=memory,
        namespaces=rendered.namespaces,
        manifests=dict(rendered.manifests),
        secret=tuple(sorted(rendered.secret)),
        checks=tuple(
            Check(name=check.name, url=check.url, host=check.host, status=check.status, text=check.text)
            for check in rendered.checks
        ),
    )
