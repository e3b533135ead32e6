"""The registry's URLs (distribution-spec, "Endpoints"): a path becomes a target, or a refusal that says why.

Pure. A repository may itself hold the words `blobs` or `manifests`, so a path is read from its end.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from appliance.registry.errors import NameInvalid, NameUnknown
from archive.references import is_repository

PREFIX = "/v2/"


class Kind(Enum):
    """What a path leads to."""

    BASE = "base"
    CATALOG = "catalog"
    MANIFEST = "manifest"
    BLOB = "blob"
    UPLOADS = "uploads"
    UPLOAD = "upload"
    TAGS = "tags"
    REFERRERS = "referrers"


@dataclass(frozen=True, slots=True)
class Target:
    """`reference` is the path's last word as it was written: a tag, a digest or an upload's id, not checked yet."""

    kind: Kind
    repository: str = ""
    reference: str = ""


@lru_cache(maxsize=4096)
def parse(path: str) -> Target:
    """`path` as it came, percent-encoding and all. Raises `NameInvalid`, and `NameUnknown` for no endpoint at all."""
    # The one character of names and digests that clients ever encode; whatever else is encoded breaks the grammar.
    words = path.removeprefix(PREFIX).replace("%3A", ":").replace("%3a", ":").split("/")
    match words:
        case [""] | ["", "v2"]:
            return Target(Kind.BASE)
        case ["_catalog"]:
            return Target(Kind.CATALOG)
        case [*name, "blobs", "uploads", ""] | [*name, "blobs", "uploads"]:
            target = Target(Kind.UPLOADS, "/".join(name))
        case [*name, "blobs", "uploads", upload]:
            target = Target(Kind.UPLOAD, "/".join(name), upload)
        case [*name, "tags", "list"]:
            target = Target(Kind.TAGS, "/".join(name))
        case [*name, "manifests" | "blobs" | "referrers" as collection, reference]:
            kind = {"manifests": Kind.MANIFEST, "blobs": Kind.BLOB, "referrers": Kind.REFERRERS}[collection]
            target = Target(kind, "/".join(name), reference)
        case _:
            raise NameUnknown("there is nothing at this path", hint="see the OCI distribution specification")
    if not is_repository(target.repository):
        raise NameInvalid(
            f"{target.repository[:160]!r} is not a repository name", hint="use lower-case words joined by /"
        )
    return target
