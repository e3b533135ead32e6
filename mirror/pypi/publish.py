"""The simple index of a crate: PEP 503 pages, their PEP 691 form, and PEP 658 metadata beside every wheel.

    pypi/simple/                    every project
    pypi/simple/NAME/               every file of one, addressed relative to the page
    pypi/files/NAME/FILE            the file itself; FILE.metadata its METADATA

Names are normalised (PEP 503), as clients ask for them, so nothing needs a redirect.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any
from urllib.parse import quote

from packaging.version import Version

from archive import documents
from archive.catalogue import File, Item
from mirror.ecosystem import PublishContext, Published
from mirror.errors import BadIndex, PublicationClash
from mirror.pypi.wheels import metadata_document, parse_file_name

JSON = "application/vnd.pypi.simple.v1+json"
HTML = "text/html"
_JSON_NAMES = (JSON, "application/vnd.pypi.simple.latest+json")
_META = {"api-version": "1.1"}


@dataclass(frozen=True, slots=True)
class Release:
    """One file of a project, as its pages show it."""

    project: str
    version: Version
    file: File
    about: dict[str, Any]

    @property
    def address(self) -> str:
        """Relative to the project's page."""
        return f"../../files/{self.project}/{quote(self.file.path)}"

    def to_json(self) -> dict[str, Any]:
        """PEP 691, with what PEP 700 and 714 added."""
        metadata, uploaded = self.about.get("metadata_sha256"), self.about.get("uploaded")
        return {
            "filename": self.file.path,
            "url": self.address,
            "hashes": {"sha256": self.file.sha256},
            "size": self.file.size,
            "yanked": self.about.get("yanked", False),
            **({"core-metadata": {"sha256": metadata}} if metadata else {}),
            **({"requires-python": python} if (python := self.about.get("requires_python")) else {}),
            **({"upload-time": uploaded} if uploaded else {}),
        }

    def to_html(self) -> str:
        """PEP 503, with the attributes of PEP 592 and 714 (and 658's, which older clients read)."""
        attributes = {"href": f"{self.address}#sha256={self.file.sha256}"}
        if metadata := self.about.get("metadata_sha256"):
            attributes |= dict.fromkeys(("data-core-metadata", "data-dist-info-metadata"), f"sha256={metadata}")
        if python := self.about.get("requires_python"):
            attributes["data-requires-python"] = python
        if yanked := self.about.get("yanked"):
            attributes["data-yanked"] = yanked
        written = " ".join(f'{key}="{escape(value)}"' for key, value in attributes.items())
        return f"<a {written}>{escape(self.file.path)}</a>"


def publish(items: Iterable[Item], context: PublishContext, *, others: Iterable[str] = ()) -> Iterator[Published]:
    """`others` are projects whose pages are there already; the list of all names them, too.

    Raises `PublicationClash` for two files that want one name, `BadIndex` for a wheel whose METADATA is another.
    """
    projects = _projects(items)
    names = sorted({*projects, *others})
    yield from _pages(
        "pypi/simple/",
        "Simple index",
        [f'<a href="{name}/">{name}</a>' for name in names],
        {"meta": _META, "projects": [{"name": name} for name in names]},
    )
    for name, releases in projects.items():
        yield from _pages(
            f"pypi/simple/{name}/",
            f"Links for {name}",
            [release.to_html() for release in releases],
            {
                "meta": _META,
                "name": name,
                "versions": [str(version) for version in sorted({release.version for release in releases})],
                "files": [release.to_json() for release in releases],
            },
        )
        for release in releases:
            yield from _file(release, context)


def _projects(items: Iterable[Item]) -> dict[str, Sequence[Release]]:
    """Projects and files in order: the same items are the same bytes, however they come."""
    files: dict[str, dict[str, Release]] = defaultdict(dict)
    for item in items:
        for file in item.files:
            parsed = parse_file_name(file.path)
            release = Release(parsed.name, parsed.version, file, item.publish["files"].get(file.path, {}))
            known = files[parsed.name].setdefault(file.path, release)
            if known.file.sha256 != file.sha256:
                raise PublicationClash(
                    f"two active crates hold different files named {file.path}",
                    hint="deactivate one of them, or give the local build a version of its own",
                    between=(known.file.sha256, file.sha256),
                )
    return {
        name: sorted(found.values(), key=lambda release: (release.version, release.file.path))
        for name, found in sorted(files.items())
    }


def _pages(path: str, title: str, links: Iterable[str], document: object) -> Iterator[Published]:
    body = "".join(f"    {link}<br>\n" for link in links)
    head = f'<meta name="pypi:repository-version" content="{_META["api-version"]}"><title>{title}</title>'
    page = f"<!DOCTYPE html>\n<html>\n  <head>{head}</head>\n  <body>\n{body}  </body>\n</html>\n"
    yield Published(path, HTML, page.encode())
    yield Published(path, JSON, documents.canonical(document), accepts=_JSON_NAMES)


def _file(release: Release, context: PublishContext) -> Iterator[Published]:
    """The wheel or sdist, and for a wheel what it says of itself: read out again, held against what the lock pinned."""
    path = f"pypi/files/{release.project}/{release.file.path}"
    yield Published(path, "application/octet-stream", sha256=release.file.sha256, size=release.file.size)
    pinned = release.about.get("metadata_sha256")
    if pinned:
        with context.open(release.file.sha256) as wheel:
            document = metadata_document(wheel, release.file.path)
        if hashlib.sha256(document).hexdigest() != pinned:
            raise BadIndex(f"the METADATA of {release.file.path} is not the one that was locked")
        yield Published(f"{path}.metadata", "text/plain; charset=utf-8", document)
