"""What the crate serves for its apt items: signed repositories that unmodified clients install from.

A repository is `apt/<name>/`, laid out as Debian's RepositoryFormat has it. Nothing depends on the clock or on the
order of the items: the same items make the same bytes.
"""

from __future__ import annotations

import gzip
import hashlib
import lzma
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from email.utils import format_datetime

from archive.catalogue import Item
from mirror.ecosystem import ORIGIN, PublishContext, Published
from mirror.errors import PublicationClash

_FILENAME = re.compile(r"^Filename:.*$", re.MULTILINE | re.IGNORECASE)
_DEB = "application/vnd.debian.binary-package"
# For indexes, level 1 of xz is a quarter larger than level 6, ten times as fast, and takes a tenth of its memory.
_XZ_PRESET = 1
_GZIP_LEVEL = 6


@dataclass(slots=True)
class _Suite:
    """The stanzas of one suite by component and architecture, each with what sorts it and tells it apart."""

    automatic: bool = True
    indexes: dict[tuple[str, str], dict[tuple[str, str], tuple[str, str]]] = field(default_factory=dict)


def publish(items: Iterable[Item], context: PublishContext) -> Iterator[Published]:
    """Every address of every repository: pool files, indexes by name and by hash, InRelease, and what a node needs to
    use it: the key `apt/<name>.asc` and the snippet `apt/<name>.sources`.

    Raises `PublicationClash` when two packs have different files for one version of one package.
    """
    repositories: dict[str, dict[str, _Suite]] = {}
    pool: dict[str, str] = {}
    for item in items:
        file, about = item.files[0], item.publish
        suite = repositories.setdefault(about["repository"], {}).setdefault(about["suite"], _Suite())
        suite.automatic &= bool(about["automatic"])
        index = suite.indexes.setdefault((about["component"], about["architecture"]), {})
        known = index.setdefault((item.name, item.version), (file.sha256, ""))
        if known[0] != file.sha256:
            raise PublicationClash(
                f"apt {about['repository']}/{about['suite']}: two different files are {item.name} {item.version} "
                f"for {about['architecture']}: {known[0][:12]} and {file.sha256[:12]}",
                hint="they come from two crates, or from two sections of one; keep one of them",
                between=(known[0], file.sha256),
            )
        index[item.name, item.version] = (file.sha256, _rewritten(about["stanza"], file.path, about["repository"]))
        if file.path not in pool:
            pool[file.path] = file.sha256
            yield Published(f"apt/{file.path}", _DEB, sha256=file.sha256, size=file.size)
        elif pool[file.path] != file.sha256:
            raise PublicationClash(
                f"apt: two different files want to be {file.path}",
                hint="keep one of them",
                between=(pool[file.path], file.sha256),
            )
    for name in sorted(repositories):
        yield from _repository(name, repositories[name], context)


def _rewritten(stanza: str, path: str, repository: str) -> str:
    line = "Filename: " + path.removeprefix(f"{repository}/")
    return _FILENAME.sub(line, stanza.strip("\n"), count=1) + "\n"


def _repository(name: str, suites: dict[str, _Suite], context: PublishContext) -> Iterator[Published]:
    components = {suite: sorted({c for c, _ in suites[suite].indexes}) for suite in sorted(suites)}
    for suite in components:
        yield from _suite(name, suite, suites[suite], context)
    key = context.signer.public_key()
    yield Published(f"apt/{name}.asc", "application/pgp-keys", key)
    yield Published(f"apt/{name}.sources", "text/plain", sources(name, components, key), origin_bound=True)


def _suite(repository: str, name: str, suite: _Suite, context: PublishContext) -> Iterator[Published]:
    root = f"apt/{repository}/dists/{name}"
    components = " ".join(sorted({component for component, _ in suite.indexes}))
    architectures = " ".join(sorted({architecture for _, architecture in suite.indexes}))
    pins = []
    for component, architecture in sorted(suite.indexes):
        stanzas = suite.indexes.pop((component, architecture))
        plain = "\n".join(stanzas[key][1] for key in sorted(stanzas)).encode()
        stanzas.clear()
        folder = f"{component}/binary-{architecture}"
        for file, media_type, body in _packed(plain):
            digest = hashlib.sha256(body).hexdigest()
            pins.append(f" {digest} {len(body)} {folder}/{file}")
            yield Published(f"{root}/{folder}/{file}", media_type, body)
            yield Published(f"{root}/{folder}/by-hash/SHA256/{digest}", media_type, body)
    fields = [
        "Origin: BuzzCrate",
        f"Label: {repository}",
        f"Suite: {name}",
        f"Codename: {name}",
        f"Date: {format_datetime(context.newest.replace(microsecond=0)).replace('+0000', 'UTC')}",
        f"Architectures: {architectures}",
        f"Components: {components}",
        "Acquire-By-Hash: yes",
        "No-Support-for-Architecture-all: Packages",
        # Without all that a node has, an upgrade could take libraries and leave, or remove, what was built with them.
        *([] if suite.automatic else ["NotAutomatic: yes"]),
        f"Description: packages of the crate for {name}",
        "SHA256:",
        *sorted(pins, key=lambda pin: pin.split()[2]),
    ]
    release = ("\n".join(fields) + "\n").encode()
    yield Published(f"{root}/Release", "text/plain", release)
    yield Published(f"{root}/Release.gpg", "application/pgp-signature", context.signer.detach(release))
    yield Published(f"{root}/InRelease", "text/plain", context.signer.clearsign(release))


def _packed(plain: bytes) -> Iterator[tuple[str, str, bytes]]:
    yield "Packages", "text/plain", plain
    yield "Packages.gz", "application/gzip", gzip.compress(plain, _GZIP_LEVEL, mtime=0)
    yield "Packages.xz", "application/x-xz", lzma.compress(plain, preset=_XZ_PRESET)


def sources(repository: str, components: dict[str, list[str]], key: bytes) -> bytes:
    """A deb822 `.sources` file for a node: the key inside, and no look at the clock, which a board may lack."""
    embedded = "\n".join(f" {line}" if line else " ." for line in key.decode().strip().split("\n"))
    blocks = (
        f"Types: deb\nURIs: {ORIGIN.decode()}/apt/{repository}\nSuites: {suite}\n"
        f"Components: {' '.join(components[suite])}\nCheck-Date: no\nSigned-By:\n{embedded}\n"
        for suite in components
    )
    return "\n".join(blocks).encode()
