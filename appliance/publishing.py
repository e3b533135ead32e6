"""Publishing: the catalogues of all active crates, read as one, and handed to the ecosystem of each kind.

An ecosystem is a package of `mirror`, served below the path of that name, and loaded when a crate brings something for
it. The next one is a line in `_PACKAGES`.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import import_module
from itertools import groupby

from appliance import images
from appliance.blobs import Blobs, OpenExtent
from appliance.errors import BadPublication
from appliance.manifest import LIMIT, Manifest
from appliance.publication import Publication
from archive import catalogue
from archive.catalogue import BOOT, PROFILE, Item
from archive.digests import Digest
from archive.release import Release
from mirror.ecosystem import PublishContext, Published
from mirror.errors import PublicationClash

Publisher = Callable[[Iterable[Item], Publication], None]

_PACKAGES = {"file": "files", "apt": "apt", "pypi": "pypi", "npm": "npm", "chart": "helm"}
_ARTIFACTS = "oci/"
"""Below this, an ecosystem publishes for the registry: REPOSITORY:TAG is a manifest, REPOSITORY@DIGEST a blob."""


@dataclass(frozen=True, slots=True)
class Mirror:
    """The publisher of one package of `mirror`."""

    package: str

    def __call__(self, items: Iterable[Item], into: Publication) -> None:
        publish: Callable[[Iterable[Item], PublishContext], Iterator[Published]]
        publish = import_module(f"mirror.{self.package}.publish").publish
        try:
            for published in publish(items, into):
                if published.path.startswith(_ARTIFACTS):
                    _adopt(published, into)
                elif published.path.startswith(f"{self.package}/"):
                    into.serve(published)
                else:
                    raise BadPublication(f"/{published.path[:200]} is no place for what is served below {self.package}")
        except PublicationClash as clash:
            conflict = all(clash.between) and into.disagree(clash.what, *clash.between, clash.hint)
            raise conflict or clash from clash
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise BadPublication(
                f"a catalogue holds something for {self.package} that cannot be published: {error!r}",
                hint="build the crate again, with the version of BuzzCrate that is here or an older one",
            ) from error


def _keep(items: Iterable[Item], _into: Publication) -> None:
    """For what is carried and not served: that all of it is there is found out by walking it."""
    for _ in items:
        pass


PUBLISHERS: Mapping[str, Publisher] = {
    "image": images.publish,
    BOOT: _keep,
    PROFILE: _keep,
    **{kind: Mirror(package) for kind, package in _PACKAGES.items()},
}


def publish(
    releases: Iterable[Release], blobs: Blobs, into: Publication, publishers: Mapping[str, Publisher] = PUBLISHERS
) -> None:
    """Publishes the union of what these crates carry. Raises what `Publication` and the publishers do."""
    with ExitStack() as stack:
        catalogues = [_items(release, stack.enter_context(_open(release, blobs)), publishers) for release in releases]
        merged = heapq.merge(*catalogues, key=lambda carried: carried[1].key)
        for kind, group in groupby(merged, key=lambda carried: carried[1].kind):
            items = _Held(group, into)
            publishers[kind](items, into)
            into.count(kind, items.different)
    into.finish()


def _open(release: Release, blobs: Blobs) -> OpenExtent:
    return blobs.open(Digest.sha256(release.catalogue.sha256))


def _items(release: Release, extent: OpenExtent, kinds: Container[str]) -> Iterator[tuple[str, Item]]:
    """Each item with the crate that it came with."""
    crate = f"{release.name} {release.serial}"
    for item in catalogue.read(extent.reader()):
        if item.kind not in kinds:
            raise BadPublication(
                f"{crate} carries items of the kind {item.kind!r}, which this crate-appliance cannot serve",
                hint="update BuzzCrate on the crate first",
            )
        yield crate, item


class _Held:
    """The items, once everything that they name is known to be in the store; `different` counts them as they pass."""

    def __init__(self, carried: Iterable[tuple[str, Item]], into: Publication) -> None:
        self._carried = carried
        self._into = into
        self.different = 0

    def __iter__(self) -> Iterator[Item]:
        last = None
        for crate, item in self._carried:
            for file in item.files:
                self._into.require(crate, file.sha256, file.size)
            self.different += item.key != last
            last = item.key
            yield item


def _adopt(published: Published, into: Publication) -> None:
    """Gives the registry a manifest and its tag, or a blob."""
    sha256, size = published.sha256, published.size
    if not sha256:
        sha256, size = into.make_blob(published.body), len(published.body)
    repository, at, _ = published.path.removeprefix(_ARTIFACTS).partition("@")
    if at:
        into.add_blob(repository, sha256)
        return
    repository, _, tag = repository.rpartition(":")
    digest = Digest.sha256(sha256)
    into.add_blob(repository, sha256)
    into.add_manifest(repository, digest, size, Manifest.parse(into.read(sha256, LIMIT), published.media_type))
    into.add_tag(repository, tag, digest)
