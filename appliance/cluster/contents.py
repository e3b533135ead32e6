"""What the active crates carry for a cluster: releases of k3s, charts' registries, package sources, profiles."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from appliance.published import PublishedPaths, Served, apt_sources
from appliance.registry.contents import Contents as Registry
from appliance.store import Store
from archive import catalogue
from archive.catalogue import PROFILE
from archive.digests import Digest
from archive.platforms import Platform
from archive.release import Release

_BINARY = {"k3s": "amd64", "k3s-arm64": "arm64", "k3s-armhf": "arm"}
_AIRGAP = re.compile(r"k3s-airgap-images-([a-z0-9]+)\.tar(?:\.(?:zst|gz))?")
_PROFILE_FILE = 1 << 20  # bytes
_ACTIVE = (
    "FROM generations JOIN generation_packs ON generation = generations.id JOIN packs ON packs.id = pack"
    " WHERE generations.active = 1 AND generation_packs.active = 1"
)


@dataclass(frozen=True, slots=True)
class Blob:
    """A file of a crate."""

    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class K3sRelease:
    """The binaries of one version by platform (`linux/arm64`), and the air-gap tarballs where a crate has them."""

    binaries: Mapping[str, Blob] = field(default_factory=dict)
    airgap: Mapping[str, Blob] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CrateContents:
    """As the active generation has it.

    `created` is the newest crate's time in seconds since 1970, `sources` the apt sources by repository for clients
    that reach the plain port at the origin asked for, `profiles` the crates' own, by name and file.
    """

    created: int
    hosts: tuple[str, ...] = ()
    k3s: Mapping[str, K3sRelease] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    profiles: Mapping[str, Mapping[str, bytes]] = field(default_factory=dict)


def read(store: Store, origin: str) -> CrateContents:
    """What there is now; `origin` is the plain port's base URL as nodes write it."""
    paths = PublishedPaths(store.database)
    return CrateContents(
        created=_created(store),
        hosts=tuple(Registry(store.database).hosts()),
        k3s=k3s_releases(paths.below("files/k3s")),
        sources=apt_sources(store.database, origin),
        profiles=_profiles(store),
    )


def k3s_releases(served: Sequence[Served]) -> dict[str, K3sRelease]:
    """By version, from what is published below `files/k3s/<version>/`."""
    binaries: dict[str, dict[str, Blob]] = defaultdict(dict)
    airgap: dict[str, dict[str, Blob]] = defaultdict(dict)
    for file in served:
        version, _, asset = file.path.removeprefix("files/k3s/").partition("/")
        blob, tarball = Blob(file.sha256, file.size), _AIRGAP.fullmatch(asset)
        if asset in _BINARY:
            binaries[version][_platform(_BINARY[asset])] = blob
        elif tarball:
            airgap[version][_platform(tarball[1])] = blob
    return {version: K3sRelease(found, airgap.get(version, {})) for version, found in binaries.items()}


def image_digests(store: Store) -> list[str]:
    """Of every manifest that the registry serves, pushed ones included."""
    rows = store.database.reader.execute("SELECT DISTINCT digest FROM held_manifests ORDER BY digest")
    return [row[0] for row in rows]


def _platform(architecture: str) -> str:
    return str(Platform.parse(architecture))


def _created(store: Store) -> int:
    return int(store.database.reader.execute(f"SELECT max(created) {_ACTIVE}").fetchone()[0] or 0)


def _profiles(store: Store) -> dict[str, dict[str, bytes]]:
    """Those that crates carry; of one that several do, the newest crate's."""
    carried = store.database.reader.execute(
        "SELECT 1 FROM published_items JOIN generations ON id = generation WHERE active = 1 AND kind = ?", (PROFILE,)
    )
    if carried.fetchone() is None:
        return {}
    found = {}
    for (signed,) in store.database.reader.execute(f"SELECT signed {_ACTIVE} ORDER BY created").fetchall():
        with store.blobs.open(Digest.sha256(Release.parse(signed).catalogue.sha256)) as extent:
            for item in catalogue.read(extent.reader()):
                if item.kind == PROFILE:
                    found[item.name] = {
                        file.path.rpartition("/")[2]: store.blobs.read(Digest.sha256(file.sha256), _PROFILE_FILE)
                        for file in item.files
                    }
    return found
