"""The registry of a crate: one packument a package, in full and abbreviated, and the tarballs where upstream has them.

    npm/NAME                        the packument; clients write a scope's slash as %2f
    npm/NAME/-/FILE-VERSION.tgz     the tarball

A packument must hold absolute addresses of tarballs, which depend on how the client calls the crate: it is bound to the
origin at serving time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from semver import Version

from archive import documents
from archive.catalogue import Item
from mirror.ecosystem import ORIGIN, PublishContext, Published
from mirror.errors import PublicationClash
from mirror.npm.names import check_name, check_version, tarball_path

FULL = "application/json"
ABBREVIATED = "application/vnd.npm.install-v1+json"

# What the abbreviated form keeps of a version (npm's registry documentation, "Abbreviated version object").
_KEPT = frozenset(
    {"name", "version", "deprecated", "bin", "directories", "dist", "engines", "os", "cpu", "libc", "funding"}
    | {"dependencies", "optionalDependencies", "devDependencies", "bundleDependencies", "bundledDependencies"}
    | {"peerDependencies", "peerDependenciesMeta", "_hasShrinkwrap", "hasInstallScript"}
)


def publish(items: Iterable[Item], context: PublishContext) -> Iterator[Published]:
    """Raises `PublicationClash` for two tarballs of one version, `BadIndex` for names that make no address."""
    modified = context.newest.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    for name, versions in _packages(items).items():
        manifests = {str(version): _manifest(item) for version, item in versions.items()}
        document = {"name": name, "dist-tags": _tags(versions), "versions": manifests}
        times = dict.fromkeys(["created", "modified", *manifests], modified)
        yield _packument(name, FULL, {**document, "_id": name, "time": times})
        short = {version: {key: each[key] for key in each if key in _KEPT} for version, each in manifests.items()}
        yield _packument(name, ABBREVIATED, {**document, "modified": modified, "versions": short})
        for item in versions.values():
            (file,) = item.files
            path = f"npm/{tarball_path(name, item.version)}"
            yield Published(path, "application/octet-stream", sha256=file.sha256, size=file.size)


def _packages(items: Iterable[Item]) -> dict[str, dict[Version, Item]]:
    """Names and versions in order: the same items are the same bytes, however they come."""
    found: dict[str, dict[Version, Item]] = defaultdict(dict)
    for item in items:
        version = Version.parse(check_version(item.version, check_name(item.name)))
        known = found[item.name].setdefault(version, item)
        if known.files[0].sha256 != item.files[0].sha256:
            raise PublicationClash(
                f"two active crates hold different tarballs of the npm package {item.name} {item.version}",
                hint="deactivate one of them, or give the local build a version of its own",
                between=(known.files[0].sha256, item.files[0].sha256),
            )
    return {name: dict(sorted(versions.items())) for name, versions in sorted(found.items())}


def _packument(name: str, media_type: str, document: Mapping[str, Any]) -> Published:
    accepts = (media_type,) if media_type != FULL else ()
    return Published(f"npm/{name}", media_type, documents.canonical(document), accepts=accepts, origin_bound=True)


def _manifest(item: Item) -> dict[str, Any]:
    """Upstream's manifest, its `dist` naming the crate's own tarball and what we computed of it."""
    upstream: Mapping[str, Any] = item.publish["packument"]
    dist = {
        **upstream.get("dist", {}),
        "tarball": f"{ORIGIN.decode()}/npm/{tarball_path(item.name, item.version)}",
        "integrity": item.publish["integrity"],
        "shasum": item.publish["shasum"],
    }
    return {**upstream, "name": item.name, "version": item.version, "dist": dist}


def _tags(versions: Mapping[Version, Item]) -> dict[str, str]:
    """Upstream's tags as far as their versions are here; `latest`, which clients fall back to, always.

    Without upstream's `latest` it is the newest release, or among pre-releases only the newest of those.
    """
    tags: dict[str, str] = {}
    for version, item in versions.items():
        tags.update(dict.fromkeys(item.publish["tags"], str(version)))
    newest = max(versions, key=lambda version: (not version.prerelease, version))
    return dict(sorted({"latest": str(newest), **tags}.items()))
