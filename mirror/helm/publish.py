"""Charts in the two ways that helm takes them: as an HTTP repository, and as artifacts of the crate's own registry.

    helm/index.yaml                     every chart, addressed relative to it
    helm/charts/NAME-VERSION.tgz        the chart; NAME-VERSION.tgz.prov its provenance
    oci/REPOSITORY:TAG                  a manifest, which the registry keeps and tags
    oci/REPOSITORY@sha256:HEX           a blob that such a manifest names

The last two are no addresses for the daemon to serve as they stand. The registry adopts them into the generation: the
body (or the blob by `sha256`) becomes content of REPOSITORY, and a manifest is tagged besides. Every chart is in
`charts/NAME`, so that `oci://crate:5000/charts/NAME` pulls it. One that came from a registry is also where it came
from, with the manifest that it had there: `oci://crate:5000/ghcr.io/team/charts/NAME`, of the same digest.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from semver import Version

from archive import documents
from archive.catalogue import File, Item
from archive.digests import Digest
from archive.references import Reference, is_repository, is_tag
from mirror.ecosystem import PublishContext, Published
from mirror.errors import BadIndex, PublicationClash
from mirror.helm import oci
from mirror.helm.constraints import parse_version
from mirror.helm.metadata import file_name

OWN_REPOSITORIES = "charts"
_INDEX = "application/yaml"


def publish(items: Iterable[Item], context: PublishContext) -> Iterator[Published]:
    """Raises `PublicationClash` for two charts of one name and version, `BadIndex` for names that make no address."""
    charts = _charts(items)
    yield Published("helm/index.yaml", _INDEX, _index(charts, context.newest.strftime("%Y-%m-%dT%H:%M:%SZ")))
    for versions in charts.values():
        for item in versions.values():
            for file in _served(item):
                yield Published(f"helm/charts/{file.path}", file.media_type, sha256=file.sha256, size=file.size)
            yield from _built(item)
            yield from _original(item)


def _charts(items: Iterable[Item]) -> dict[str, dict[Version, Item]]:
    """Names, and versions from the newest on: the same items are the same bytes, however they come."""
    found: dict[str, dict[str, Item]] = defaultdict(dict)
    for item in items:
        file_name(item.name, item.version)
        known = found[item.name].setdefault(item.version, item)
        if known.files[0].sha256 != item.files[0].sha256:
            raise PublicationClash(
                f"two different charts are called {item.name} {item.version}: of {known.origin} and of {item.origin}",
                hint="leave one out, or give the local one a version of its own",
                between=(known.files[0].sha256, item.files[0].sha256),
            )
    return {
        name: dict(sorted(((parse_version(text), item) for text, item in versions.items()), key=_order, reverse=True))
        for name, versions in sorted(found.items())
    }


def _order(pair: tuple[Version, Item]) -> tuple[Version, str]:
    return pair[0], pair[1].version


def _index(charts: Mapping[str, Mapping[Version, Item]], newest: str) -> bytes:
    """As JSON, which is YAML too, and which helm reads without its slow YAML parser."""
    entries = {
        name: [
            {
                **item.publish["metadata"],
                "urls": [f"charts/{item.files[0].path}"],
                "digest": item.files[0].sha256,
                "created": item.publish.get("created") or newest,
            }
            for item in versions.values()
        ]
        for name, versions in charts.items()
    }
    return documents.canonical({"apiVersion": "v1", "entries": entries, "generated": newest}) + b"\n"


def _served(item: Item) -> Iterator[File]:
    """The chart and its provenance; what only the registry needs has no path."""
    chart = file_name(item.name, item.version)
    for file in item.files:
        if file.path:
            if file.path not in {chart, f"{chart}.prov"}:
                raise BadIndex(f"the chart {item.name} {item.version} has a file called {file.path[:200]!r}")
            yield file


def _built(item: Item) -> Iterator[Published]:
    """The artifact that helm would have pushed, below `charts/`."""
    content, *signature = (oci.Descriptor(file.media_type, file.sha256, file.size) for file in _served(item))
    manifest, config = oci.build(item.publish["metadata"], content, signature[0] if signature else None)
    repository = f"{OWN_REPOSITORIES}/{item.name.lower()}"
    yield Published(_tagged(repository, oci.tag_of(item.version)), oci.MANIFEST, manifest)
    yield Published(_named(repository, Digest.of(config).hex), oci.CONFIG, config)
    for layer in (content, *signature):
        yield Published(_named(repository, layer.sha256), layer.media_type, sha256=layer.sha256, size=layer.size)


def _original(item: Item) -> Iterator[Published]:
    """The artifact as its registry had it, under the name that it had there."""
    artifact: Mapping[str, str] | None = item.publish.get("artifact")
    if artifact is None:
        return
    reference = Reference.parse(artifact["reference"].removeprefix("oci://"))
    for file in item.files:
        tagged = file.sha256 == artifact["manifest"]
        path = _tagged(reference.path, reference.tag) if tagged else _named(reference.path, file.sha256)
        yield Published(path, file.media_type, sha256=file.sha256, size=file.size)


def _tagged(repository: str, tag: str) -> str:
    if not is_repository(repository) or not is_tag(tag):
        raise BadIndex(f"{repository}:{tag} is no name in a registry", hint="give the chart a name that is one")
    return f"oci/{repository}:{tag}"


def _named(repository: str, sha256: str) -> str:
    return f"oci/{repository}@{Digest.sha256(sha256)}"
