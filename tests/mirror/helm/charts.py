"""Made-up charts, a chart repository that serves them, and a registry that holds what is published to one."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from mirror.ecosystem import Published
from mirror.helm import oci
from tests.mirror.loopback import NOT_FOUND, Answer, serving
from tests.mirror.serve import Blobs

TEMPLATE = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Release.Name }}-{{ .Chart.Name }}}\n"


@dataclass(frozen=True)
class Made:
    """A packed chart. `digest` is what an index says of it; `provenance` lies beside it."""

    name: str
    version: str
    content: bytes
    digest: str = ""
    provenance: bytes = b""

    @property
    def file(self) -> str:
        return f"{self.name}-{self.version}.tgz"

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


def packed(name: str, files: Mapping[str, bytes | str]) -> bytes:
    """A chart archive with `files` below the folder `name`."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            member = tarfile.TarInfo(f"{name}/{path}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return gzip.compress(buffer.getvalue(), mtime=0)


def chart_yaml(name: str, version: str, dependencies: Sequence[Mapping[str, str]] = (), **more: Any) -> str:
    return json.dumps(
        {"apiVersion": "v2", "name": name, "version": version, "dependencies": list(dependencies), **more}
    )


def chart(
    name: str, version: str, *, needs: Iterable[Made] = (), lacks: str = "", digest: str = "", **more: Any
) -> Made:
    """A chart that holds `needs`, and depends on `lacks` without holding it."""
    needs = list(needs)
    dependencies = [{"name": each.name, "version": each.version} for each in needs]
    dependencies += [{"name": lacks, "version": "*", "repository": "https://charts.example.org"}] if lacks else []
    files: dict[str, bytes | str] = {
        "Chart.yaml": chart_yaml(name, version, dependencies, **more),
        "templates/map.yaml": TEMPLATE,
    }
    return Made(name, version, packed(name, files | {f"charts/{each.file}": each.content for each in needs}), digest)


def folder(base: Path, name: str, version: str, dependencies: Sequence[Mapping[str, str]] = ()) -> Path:
    """An unpacked chart in `base`."""
    place = base / name
    (place / "templates").mkdir(parents=True)
    (place / "Chart.yaml").write_text(chart_yaml(name, version, dependencies))
    (place / "templates" / "map.yaml").write_text(TEMPLATE)
    return place


@contextmanager
def repository(*made: Made, index: bytes | None = None, latency: float = 0.0) -> Iterator[str]:
    """An HTTP repository; `index` stands in for its own index.yaml."""
    entries: dict[str, list[dict[str, Any]]] = {}
    for each in made:
        entry = {"name": each.name, "version": each.version, "urls": [f"charts/{each.file}"], "created": "2026-01-02"}
        entries.setdefault(each.name, []).append(entry | {"digest": each.digest or each.sha256})
    own = json.dumps({"apiVersion": "v1", "entries": entries}).encode()

    def handle(target: str, _headers: Mapping[str, str]) -> Answer:
        if target == "/index.yaml":
            return Answer(own if index is None else index, "application/yaml")
        for each in made:
            if target == f"/charts/{each.file}":
                return Answer(each.content)
            if target == f"/charts/{each.file}.prov" and each.provenance:
                return Answer(each.provenance)
        return NOT_FOUND

    with serving(handle, latency=latency) as url:
        yield url


@dataclass(frozen=True)
class Blob:
    body: bytes
    media_type: str


@contextmanager
def registry(published: Iterable[Published], blobs: Blobs) -> Iterator[str]:
    """A fake of the crate's registry, as far as helm pulls: holds what `oci/…` is published. Yields `host:port`."""
    content: dict[str, Blob] = {}
    tags: dict[str, str] = {}
    for each in published:
        if not each.path.startswith("oci/"):
            continue
        body = each.body
        if each.sha256:
            with blobs.open(each.sha256) as file:
                body = file.read()
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        name, at, named = each.path.removeprefix("oci/").partition("@")
        if at:
            assert named == digest
        else:
            name, _, tag = name.rpartition(":")
            tags[f"{name}:{tag}"] = digest
        content[f"{name}@{digest}"] = Blob(body, each.media_type)

    def handle(target: str, _headers: Mapping[str, str]) -> Answer:
        path = unquote(target.partition("?")[0]).removeprefix("/v2/")
        if not path:
            return Answer(b"{}", "application/json")
        name, _, rest = path.rpartition("/tags/list") if path.endswith("/tags/list") else ("", "", "")
        if name:
            listed = [key.rpartition(":")[2] for key in tags if key.rpartition(":")[0] == name]
            return Answer(json.dumps({"name": name, "tags": listed}).encode(), "application/json")
        kind = "/manifests/" if "/manifests/" in path else "/blobs/"
        name, _, rest = path.rpartition(kind)
        digest = tags.get(f"{name}:{rest}", rest)
        found = content.get(f"{name}@{digest}")
        if found is None:
            return NOT_FOUND
        return Answer(found.body, found.media_type, headers={"Docker-Content-Digest": digest})

    with serving(handle) as url:
        yield url.removeprefix("http://")


def pushed(repository: str, made: Made, blobs: Path) -> list[Published]:
    """What `helm push` would leave in a registry, for `registry` to hold."""
    (blobs / made.sha256).write_bytes(made.content)
    content = oci.Descriptor(oci.CONTENT, made.sha256, len(made.content))
    manifest, config = oci.build({"name": made.name, "version": made.version}, content, None)
    place = f"oci/{repository}/{made.name}"
    return [
        Published(f"{place}:{oci.tag_of(made.version)}", oci.MANIFEST, manifest),
        Published(f"{place}@sha256:{hashlib.sha256(config).hexdigest()}", oci.CONFIG, config),
        Published(f"{place}@sha256:{made.sha256}", oci.CONTENT, sha256=made.sha256, size=len(made.content)),
    ]
