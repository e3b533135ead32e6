"""Publishing: the catalogues of all active crates, read as one, and handed to the ecosystem of each kind.

An ecosystem is a package of `mirror`, served below the path of that name, and loaded when a crate brings something for
it. The next one is a line in `FOLDERS`.
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
from appliance.parts import EVERYTHING, Part
from appliance.publication import Publication
from archive import catalogue
from archive.catalogue import BOOT, PROFILE, Item
from archive.digests import Digest
from archive.release import Release
from mirror.ecosystem import PublishContext, Published
from mirror.errors import PublicationClash

Publisher = Callable[[Iterable[Item], Publication], None]

FOLDERS = {"file": "files", "apt": "apt", "pypi": "pypi", "npm": "npm", "chart": "helm"}
_ARTIFACTS = "oci/"
"""Below this, an ecosystem publishes for the registry: REPOSITORY:TAG is a manifest, REPOSITORY@DIGEST a blob."""


@dataclass(frozen=True, slots=True)
class Mirror:
    """The publisher of one package of `mirror`; `others` are names that it publishes nothing of, and lists."""

    package: str
    others: tuple[str, ...] = ()

    def __call__(self, items: Iterable[Item], into: Publication) -> None:
        publish: Callable[..., Iterator[Published]] = import_module(f"mirror.{self.package}.publish").publish
        options = {"others": self.others} if self.others else {}
        context: PublishContext = into
        try:
            for published in publish(items, context, **options):
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
    **{kind: Mirror(package) for kind, package in FOLDERS.items()},
}


Carried = tuple[str, Item]
"""An item with whoever brings it: the name and serial of a crate, or the name of a person."""


def publish(
    releases: Iterable[Release],
    blobs: Blobs,
    into: Publication,
    publishers: Mapping[str, Publisher] = PUBLISHERS,
    *,
    contributed: Iterable[Carried] = (),
    kinds: Container[str] | None = None,
) -> None:
    """Publishes the union of what these crates carry and of what people `contributed`, in the order of items' keys.

    Where both have one version of a name (of a file, any) the crate's counts alone. `kinds` leaves out all others.
    Raises what `Publication` and the publishers do.
    """
    with ExitStack() as stack:
        catalogues = [_items(release, stack.enter_context(_open(release, blobs)), publishers) for release in releases]
        peoples = ((name, item, True) for name, item in contributed)
        merged = heapq.merge(*catalogues, peoples, key=_order)
        for kind, group in groupby(merged, key=lambda each: each[1].kind):
            if kinds is None or kind in kinds:
                items = _Held(group, into)
                publishers[kind](items, into)
                into.count(kind, items.different)
    into.finish()


def publish_part(
    part: Part,
    releases: Iterable[Release],
    blobs: Blobs,
    into: Publication,
    publisher: Publisher,
    *,
    contributed: Iterable[Carried],
) -> None:
    """Publishes the items of a part alone, as `publish` does those of everything."""
    with ExitStack() as stack:
        catalogues = [
            _items(release, stack.enter_context(_open(release, blobs)), PUBLISHERS, part) for release in releases
        ]
        peoples = ((name, item, True) for name, item in contributed)
        publisher(_Held(heapq.merge(*catalogues, peoples, key=_order), into), into)
    into.finish()


def _open(release: Release, blobs: Blobs) -> OpenExtent:
    return blobs.open(Digest.sha256(release.catalogue.sha256))


def _items(
    release: Release, extent: OpenExtent, kinds: Container[str], part: Part = EVERYTHING
) -> Iterator[tuple[str, Item, bool]]:
    """Each item of the part with the crate that it came with; none of them is a person's."""
    crate = f"{release.name} {release.serial}"
    for item in catalogue.read(extent.reader(), part.mark):
        if not part.holds(item):
            continue
        if item.kind not in kinds:
            raise BadPublication(
                f"{crate} carries items of the kind {item.kind!r}, which this crate-appliance cannot serve",
                hint="update BuzzCrate on the crate first",
            )
        yield crate, item, False


def _order(carried: tuple[str, Item, bool]) -> tuple[str, bool, str, bool, str, str]:
    """Of each name first what crates bring, so that it is known when a person's comes; of files all of it.

    A file's place is its path, and a crate's item of any name may have that.
    """
    _, item, contributed = carried
    last = contributed and item.kind == "file"
    return item.kind, last, item.name, contributed, item.version, item.platform


class _Held:
    """The items, once everything that they name is known to be in the store; `different` counts them as they pass."""

    def __init__(self, carried: Iterable[tuple[str, Item, bool]], into: Publication) -> None:
        self._carried = carried
        self._into = into
        self._files: set[str] = set()
        self.different = 0

    def __iter__(self) -> Iterator[Item]:
        for _, named in groupby(self._carried, key=lambda each: each[1].name):
            brought: set[str] = set()
            last = None
            for bringer, item, contributed in named:
                if contributed and (item.version in brought or item.name in self._files):
                    continue
                for file in item.files:
                    self._into.require(bringer, file.sha256, file.size)
                if item.key != last:
                    self.different += 1
                    self._into.list_item(item, bringer, contributed=contributed)
                last = item.key
                if not contributed:
                    brought.add(item.version)
                    if item.kind == "file":
                        self._files |= {item.name, *(file.path for file in item.files)}
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
