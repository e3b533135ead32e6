"""What has to be published anew when people publish or remove something: as little as its ecosystem allows.

A part is what depends on nothing else of a generation: a project of Python's, a package of Node.js, a file, a whole
repository of apt's, all charts. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from archive.catalogue import Item
from archive.references import Reference
from mirror.helm.publish import OWN_REPOSITORIES


@dataclass(frozen=True, slots=True)
class Part:
    """Items of a `kind`: of one `name`, or of one `repository` of apt's, or all.

    They are served at `paths` (with `/*`, all below), and in `images`, repositories of the registry. Items of the part
    hold `mark` in a catalogue's line; others may.
    """

    kind: str
    name: str = ""
    repository: str = ""
    paths: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    mark: bytes = b""

    def holds(self, item: Item) -> bool:
        return (
            self.kind in {"", item.kind}
            and self.name in {"", item.name}
            and self.repository in {"", item.publish.get("repository", "")}
        )

    @property
    def served_below(self) -> str:
        """What the paths of its items begin with."""
        return f"apt/{self.repository}/" if self.repository else ""


EVERYTHING = Part("")


def parts_of(items: Iterable[Item]) -> list[Part]:
    """The parts that these items belong to, each once; of charts every name counts."""
    found = list(items)
    charts = tuple(sorted({image for item in found if item.kind == "chart" for image in _images_of(item)}))
    return list(dict.fromkeys(_part_of(item, charts) for item in found))


def _images_of(chart: Item) -> Iterator[str]:
    """The repositories of the registry in which a chart is an artifact."""
    yield f"{OWN_REPOSITORIES}/{chart.name.lower()}"
    if artifact := chart.publish.get("artifact"):
        yield Reference.parse(artifact["reference"].removeprefix("oci://")).path


def _part_of(item: Item, charts: tuple[str, ...]) -> Part:
    name, mark = item.name, f'"name":{json.dumps(item.name)}'.encode()
    if item.kind == "pypi":
        return Part("pypi", name, paths=("pypi/simple/", f"pypi/simple/{name}/", f"pypi/files/{name}/*"), mark=mark)
    if item.kind == "npm":
        return Part("npm", name, paths=(f"npm/{name}", f"npm/{name}/-/*"), mark=mark)
    if item.kind == "file":
        return Part("file", name, paths=(f"files/{name}",), mark=mark)
    if item.kind == "apt":
        repository = str(item.publish["repository"])
        paths = (f"apt/{repository}/*", f"apt/{repository}.asc", f"apt/{repository}.sources")
        return Part("apt", repository=repository, paths=paths, mark=f'"repository":{json.dumps(repository)}'.encode())
    return Part(item.kind, paths=("helm/*",), images=charts, mark=f'"kind":"{item.kind}"'.encode())
