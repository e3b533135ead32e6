"""The protocol as a table: what is sent, and what must come back (distribution-spec 1.1).

A case is a list of exchanges against one repository; `{name}` in paths, bodies and headers stands for what an earlier
exchange returned or what the table defines below.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.appliance.daemon.conftest import HELD
from tests.appliance.daemon.serving import Crate, sha256
from tests.support.images import DOCKER_TYPES, OCI_TYPES, MadeImage

BLOB = b"a blob of some bytes, more than the shortest of ranges"
DIGEST = sha256(BLOB)
SHA512 = f"sha512:{hashlib.sha512(BLOB).hexdigest()}"
OTHER = sha256(b"something else")
EMPTY = b"{}"
OCI = OCI_TYPES.manifest


def document(**fields: Any) -> bytes:
    """An OCI manifest over the blob, unless `fields` say otherwise; a None leaves one out."""
    blob = {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": DIGEST, "size": len(BLOB)}
    config = {"mediaType": "application/vnd.example.config", "digest": sha256(EMPTY), "size": 2}
    whole = {"schemaVersion": 2, "mediaType": OCI, "config": config, "layers": [blob], **fields}
    return json.dumps({key: value for key, value in whole.items() if value is not None}).encode()


def index(*children: bytes, **fields: Any) -> bytes:
    described = [{"mediaType": OCI, "digest": sha256(child), "size": len(child)} for child in children]
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_TYPES.index, "manifests": described, **fields}).encode()


MANIFEST = document()
INDEX = index(MANIFEST)
SPARSE = index(b"never pushed")
FOREIGN = document(
    layers=[{"mediaType": OCI_TYPES.foreign, "digest": OTHER, "size": 1, "urls": ["https://mirror.example.org/x"]}]
)
DOCKER_V2 = document(mediaType=DOCKER_TYPES.manifest)
SUBJECT = {"mediaType": OCI, "digest": sha256(MANIFEST), "size": len(MANIFEST)}
REFERRER = document(subject=SUBJECT, artifactType="application/spdx+json", annotations={"made": "here"})
BY_CONFIG = document(subject=SUBJECT, layers=[])
ORPHAN = document(subject={**SUBJECT, "digest": OTHER})
FALLBACK = index(b"attached by an older client")
BIG = document(annotations={"padding": "x" * (4 << 20)})
FITTING = document(annotations={"padding": "x" * ((4 << 20) - len(document(annotations={"padding": ""})))})

PUSHED = ("POST", "/v2/{repo}/blobs/uploads/?digest=" + DIGEST, BLOB)
CONFIG = ("POST", "/v2/{repo}/blobs/uploads/?digest=" + sha256(EMPTY), EMPTY)


@dataclass(frozen=True)
class Step:
    """One exchange. `headers` must come back (a value None: must not); `body` is compared, JSON as JSON."""

    method: str
    path: str
    data: bytes = b""
    send: Mapping[str, str] = field(default_factory=dict)
    status: int = 200
    code: str = ""
    headers: Mapping[str, str | None] = field(default_factory=dict)
    body: Any = None
    token: str | None = None


def put(body: bytes, name: str = "1", kind: str = OCI, *, status: int = 201, **expected: Any) -> Step:
    return Step("PUT", "/v2/{repo}/manifests/" + name, body, {"Content-Type": kind}, status, **expected)


PUSH_BLOB = Step(*PUSHED, status=201, headers={"docker-content-digest": DIGEST})
PUSH_CONFIG = Step(*CONFIG, status=201)
BLOBS = [PUSH_BLOB, PUSH_CONFIG]
BEGIN = Step("POST", "/v2/{repo}/blobs/uploads/", status=202, headers={"range": "0-0"})
GET_BLOB = Step("GET", "/v2/{repo}/blobs/" + DIGEST, body=BLOB)
NO_BLOB = Step("GET", "/v2/{repo}/blobs/" + DIGEST, status=404, code="BLOB_UNKNOWN")
GOT_206 = {"accept-ranges": "bytes", "docker-content-digest": DIGEST}


def ranged(header: str, expected: bytes, content_range: str) -> list[Step]:
    step = Step(
        "GET",
        "/v2/{repo}/blobs/" + DIGEST,
        send={"Range": header},
        status=206,
        body=expected,
        headers={**GOT_206, "content-range": content_range, "content-length": str(len(expected))},
    )
    return [PUSH_BLOB, step]


def listed(*descriptors: tuple[bytes, str], applied: str | None = None) -> dict[str, Any]:
    """What a referrers list holds: each manifest with the artifact type it must be listed by."""
    return {
        "headers": {"content-type": OCI_TYPES.index, "oci-filters-applied": applied},
        "body": sorted((sha256(manifest), kind) for manifest, kind in descriptors),
    }


SIZE = len(BLOB)
CASES: dict[str, list[Step]] = {
    # --- uploads
    "POST then PUT": [
        BEGIN,
        Step("PUT", "{location}?digest=" + DIGEST, BLOB, status=201, headers={"docker-content-digest": DIGEST}),
        GET_BLOB,
    ],
    "POST with the digest and the whole blob": [PUSH_BLOB, GET_BLOB],
    "an empty blob": [
        Step("POST", "/v2/{repo}/blobs/uploads/?digest=" + sha256(b""), status=201),
        Step("GET", "/v2/{repo}/blobs/" + sha256(b""), headers={"content-length": "0"}, body=b""),
    ],
    "a streamed PATCH without Content-Range, then an empty PUT": [
        BEGIN,
        Step("PATCH", "{location}", BLOB, status=202, headers={"range": f"0-{SIZE - 1}"}),
        Step("PUT", "{location}?digest=" + DIGEST, status=201),
        GET_BLOB,
    ],
    "chunked PATCHes": [
        BEGIN,
        Step("PATCH", "{location}", BLOB[:9], {"Content-Range": "0-8"}, 202, headers={"range": "0-8"}),
        Step(
            "PATCH",
            "{location}",
            BLOB[9:],
            {"Content-Range": f"9-{SIZE - 1}"},
            202,
            headers={"range": f"0-{SIZE - 1}"},
        ),
        Step("PUT", "{location}?digest=" + DIGEST, status=201),
        GET_BLOB,
    ],
    "the last chunk in the PUT": [
        BEGIN,
        Step("PATCH", "{location}", BLOB[:9], {"Content-Range": "0-8"}, 202),
        Step("PUT", "{location}?digest=" + DIGEST, BLOB[9:], {"Content-Range": f"9-{SIZE - 1}"}, 201),
        GET_BLOB,
    ],
    "the status of an upload": [
        BEGIN,
        Step("PATCH", "{location}", BLOB[:9], status=202),
        Step("GET", "{location}", status=204, headers={"range": "0-8", "location": "{location}"}),
    ],
    "a PATCH out of order": [
        BEGIN,
        Step("PATCH", "{location}", BLOB[:9], {"Content-Range": "0-8"}, 202),
        Step(
            "PATCH",
            "{location}",
            BLOB[12:],
            {"Content-Range": f"12-{SIZE - 1}"},
            416,
            "BLOB_UPLOAD_INVALID",
            {"range": "0-8"},
        ),
        Step("PATCH", "{location}", BLOB[9:], {"Content-Range": f"9-{SIZE - 1}"}, 202),
        Step("PUT", "{location}?digest=" + DIGEST, status=201),
        GET_BLOB,
    ],
    "a first PATCH that does not begin at 0": [
        BEGIN,
        Step("PATCH", "{location}", BLOB[1:], {"Content-Range": f"1-{SIZE - 1}"}, 416, "BLOB_UPLOAD_INVALID"),
    ],
    "a PATCH sent twice": [
        BEGIN,
        Step("PATCH", "{location}", BLOB[:9], {"Content-Range": "0-8"}, 202),
        Step("PATCH", "{location}", BLOB[:9], {"Content-Range": "0-8"}, 416, "BLOB_UPLOAD_INVALID"),
    ],
    "a PUT out of order": [
        BEGIN,
        Step(
            "PUT",
            "{location}?digest=" + DIGEST,
            BLOB[9:],
            {"Content-Range": f"9-{SIZE - 1}"},
            416,
            "BLOB_UPLOAD_INVALID",
        ),
        NO_BLOB,
    ],
    "a Content-Range that is none": [
        BEGIN,
        Step("PATCH", "{location}", BLOB, {"Content-Range": "bytes=0-8"}, 416, "BLOB_UPLOAD_INVALID"),
    ],
    "a Content-Range longer than the body": [
        BEGIN,
        Step("PATCH", "{location}", BLOB[:9], {"Content-Range": "0-20"}, 400, "SIZE_INVALID"),
    ],
    "a wrong digest in the PUT": [
        BEGIN,
        Step("PUT", "{location}?digest=" + OTHER, BLOB, status=400, code="DIGEST_INVALID"),
        NO_BLOB,
        Step("GET", "/v2/{repo}/blobs/" + OTHER, status=404, code="BLOB_UNKNOWN"),
        Step("GET", "{location}", status=404, code="BLOB_UPLOAD_UNKNOWN"),
    ],
    "a wrong digest in a POST": [
        Step("POST", "/v2/{repo}/blobs/uploads/?digest=" + OTHER, BLOB, status=400, code="DIGEST_INVALID"),
        NO_BLOB,
    ],
    "a PUT without a digest": [BEGIN, Step("PUT", "{location}", BLOB, status=400, code="DIGEST_INVALID")],
    "a PUT with a digest of an unknown algorithm": [
        BEGIN,
        Step("PUT", "{location}?digest=md5:d41d8cd98f00b204e9800998ecf8427e", BLOB, status=400, code="DIGEST_INVALID"),
    ],
    "a cancelled upload": [
        BEGIN,
        Step("DELETE", "{location}", status=204),
        Step("PUT", "{location}?digest=" + DIGEST, BLOB, status=404, code="BLOB_UPLOAD_UNKNOWN"),
    ],
    "an upload that never was": [
        Step("PATCH", "/v2/{repo}/blobs/uploads/0123456789abcdef", BLOB, status=404, code="BLOB_UPLOAD_UNKNOWN"),
    ],
    "an upload of another repository": [
        BEGIN,
        Step("PATCH", "/v2/{repo}/other/blobs/uploads/{uuid}", BLOB, status=404, code="BLOB_UPLOAD_UNKNOWN"),
    ],
    "a body that says it is gzip is stored as it came": [
        Step(*PUSHED, {"Content-Encoding": "gzip"}, 201),
        GET_BLOB,
    ],
    # --- sha512
    "a blob known by sha512": [
        Step("POST", "/v2/{repo}/blobs/uploads/?digest=" + SHA512, BLOB, status=201),
        Step("GET", "/v2/{repo}/blobs/" + SHA512, headers={"docker-content-digest": SHA512}, body=BLOB),
        Step("HEAD", "/v2/{repo}/blobs/" + DIGEST, headers={"docker-content-digest": DIGEST}),
    ],
    "a wrong sha512": [
        Step("POST", "/v2/{repo}/blobs/uploads/?digest=" + SHA512, BLOB + b"!", status=400, code="DIGEST_INVALID"),
    ],
    "a manifest known by sha512": [
        *BLOBS,
        put(MANIFEST, "{sha512 of manifest}", headers={"docker-content-digest": "{sha512 of manifest}"}),
        Step(
            "GET",
            "/v2/{repo}/manifests/{sha512 of manifest}",
            headers={"docker-content-digest": "{sha512 of manifest}"},
            body=MANIFEST,
        ),
        Step("HEAD", "/v2/{repo}/manifests/" + sha256(MANIFEST), headers={"docker-content-digest": sha256(MANIFEST)}),
        Step("DELETE", "/v2/{repo}/manifests/{sha512 of manifest}", status=202),
        Step("GET", "/v2/{repo}/manifests/" + sha256(MANIFEST), status=404),
    ],
    # --- mounts
    "a mount from a repository that holds the blob": [
        PUSH_BLOB,
        Step(
            "POST",
            "/v2/{repo}/b/blobs/uploads/?mount=" + DIGEST + "&from={repo}",
            status=201,
            headers={"location": "/v2/{repo}/b/blobs/" + DIGEST, "docker-content-digest": DIGEST},
        ),
        Step("GET", "/v2/{repo}/b/blobs/" + DIGEST, body=BLOB),
    ],
    "a mount of what a crate holds": [
        Step("POST", "/v2/{repo}/blobs/uploads/?mount={held layer}&from=" + HELD, status=201),
        Step("HEAD", "/v2/{repo}/blobs/{held layer}"),
    ],
    "a mount without from finds the blob wherever it is": [
        PUSH_BLOB,
        Step("POST", "/v2/{repo}/b/blobs/uploads/?mount=" + DIGEST, status=201),
    ],
    "a mount of what is not there begins an upload": [
        Step("POST", "/v2/{repo}/blobs/uploads/?mount=" + sha256(b"nowhere") + "&from={repo}/x", status=202),
        Step("PUT", "{location}?digest=" + DIGEST, BLOB, status=201),
    ],
    "a mount from a repository that does not hold the blob begins an upload": [
        PUSH_BLOB,
        Step("POST", "/v2/{repo}/b/blobs/uploads/?mount=" + DIGEST + "&from={repo}/x", status=202),
    ],
    "a mount of no digest": [
        Step("POST", "/v2/{repo}/blobs/uploads/?mount=x&from=y", status=400, code="DIGEST_INVALID")
    ],
    # --- blobs
    "HEAD of a blob has its length and nothing more": [
        PUSH_BLOB,
        Step("HEAD", "/v2/{repo}/blobs/" + DIGEST, headers={"content-length": str(SIZE), **GOT_206}, body=b""),
    ],
    "a blob is visible only in the repository that holds it": [
        PUSH_BLOB,
        Step("GET", "/v2/{repo}/b/blobs/" + DIGEST, status=404, code="BLOB_UNKNOWN"),
    ],
    "an encoded colon in a digest": [
        PUSH_BLOB,
        Step("GET", "/v2/{repo}/blobs/" + DIGEST.replace(":", "%3A"), body=BLOB),
    ],
    "a blob is never content-encoded": [
        PUSH_BLOB,
        Step(
            "GET",
            "/v2/{repo}/blobs/" + DIGEST,
            send={"Accept-Encoding": "gzip, zstd"},
            headers={"content-encoding": None, "content-length": str(SIZE)},
            body=BLOB,
        ),
    ],
    "a first range": ranged("bytes=0-8", BLOB[:9], f"bytes 0-8/{SIZE}"),
    "a range to the end": ranged("bytes=9-", BLOB[9:], f"bytes 9-{SIZE - 1}/{SIZE}"),
    "a range past the end is cut": ranged("bytes=9-99999", BLOB[9:], f"bytes 9-{SIZE - 1}/{SIZE}"),
    "a suffix": ranged("bytes=-5", BLOB[-5:], f"bytes {SIZE - 5}-{SIZE - 1}/{SIZE}"),
    "a suffix longer than the blob": ranged("bytes=-99999", BLOB, f"bytes 0-{SIZE - 1}/{SIZE}"),
    "a range of one byte": ranged("bytes=3-3", BLOB[3:4], f"bytes 3-3/{SIZE}"),
    **{
        f"{header} cannot be satisfied": [
            PUSH_BLOB,
            Step(
                "GET",
                "/v2/{repo}/blobs/" + DIGEST,
                send={"Range": header},
                status=416,
                headers={"content-range": f"bytes */{SIZE}"},
            ),
        ]
        for header in ("bytes=-0", f"bytes={SIZE}-", "bytes=99999-100000")
    },
    **{
        f"{header} is answered with the whole": [
            PUSH_BLOB,
            Step(
                "GET", "/v2/{repo}/blobs/" + DIGEST, send={"Range": header}, body=BLOB, headers={"content-range": None}
            ),
        ]
        for header in ("bytes=0-3,5-8", "bytes=8-3", "lines=1-2", "bytes=", "bytes=-", "nonsense")
    },
    "If-None-Match of the same digest": [
        PUSH_BLOB,
        Step("GET", "/v2/{repo}/blobs/" + DIGEST, send={"If-None-Match": f'"x", "{DIGEST}"'}, status=304, body=b""),
    ],
    "If-None-Match of another digest": [
        PUSH_BLOB,
        Step("GET", "/v2/{repo}/blobs/" + DIGEST, send={"If-None-Match": f'"{OTHER}"'}, body=BLOB),
    ],
    "If-Range that no longer holds": [
        PUSH_BLOB,
        Step("GET", "/v2/{repo}/blobs/" + DIGEST, send={"Range": "bytes=0-3", "If-Range": '"old"'}, body=BLOB),
    ],
    # --- manifests
    "a manifest comes back byte for byte": [
        *BLOBS,
        put(MANIFEST, headers={"location": "/v2/{repo}/manifests/" + sha256(MANIFEST)}),
        Step(
            "GET",
            "/v2/{repo}/manifests/1",
            send={"Accept": "text/html"},
            headers={"content-type": OCI, "docker-content-digest": sha256(MANIFEST), "etag": f'"{sha256(MANIFEST)}"'},
            body=MANIFEST,
        ),
        Step(
            "HEAD",
            "/v2/{repo}/manifests/" + sha256(MANIFEST),
            headers={"content-type": OCI, "content-length": str(len(MANIFEST))},
            body=b"",
        ),
        Step("GET", "/v2/{repo}/manifests/1", send={"If-None-Match": f'"{sha256(MANIFEST)}"'}, status=304),
    ],
    "a tag moves from an index to a manifest": [
        *BLOBS,
        put(MANIFEST, sha256(MANIFEST)),
        put(INDEX, "1", OCI_TYPES.index),
        Step("GET", "/v2/{repo}/manifests/1", headers={"content-type": OCI_TYPES.index}, body=INDEX),
        put(MANIFEST, "1"),
        Step("GET", "/v2/{repo}/manifests/1", headers={"content-type": OCI}, body=MANIFEST),
    ],
    "tags given with a digest": [
        *BLOBS,
        put(MANIFEST, sha256(MANIFEST) + "?tag=a&tag=b", headers={"oci-tag": "a, b"}),
        Step("GET", "/v2/{repo}/tags/list", body={"name": "{repo}", "tags": ["a", "b"]}),
    ],
    "a sparse index": [put(SPARSE, "1", OCI_TYPES.index), Step("GET", "/v2/{repo}/manifests/1", body=SPARSE)],
    "an empty index": [put(index(), "1", OCI_TYPES.index)],
    "an image without layers": [PUSH_CONFIG, put(document(layers=[]))],
    "a non-distributable layer may be missing": [PUSH_CONFIG, put(FOREIGN)],
    "Docker schema 2": [
        *BLOBS,
        put(DOCKER_V2, kind=DOCKER_TYPES.manifest),
        Step("HEAD", "/v2/{repo}/manifests/1", headers={"content-type": DOCKER_TYPES.manifest}),
    ],
    "a manifest of exactly 4 MiB": [*BLOBS, put(FITTING)],
    "a manifest over 4 MiB": [*BLOBS, put(BIG, status=413, code="MANIFEST_INVALID")],
    "a missing layer": [PUSH_CONFIG, put(MANIFEST, status=404, code="MANIFEST_BLOB_UNKNOWN")],
    "a layer that only another repository holds": [
        *BLOBS,
        Step("PUT", "/v2/{repo}/b/manifests/1", MANIFEST, {"Content-Type": OCI}, 404, code="MANIFEST_BLOB_UNKNOWN"),
    ],
    "a manifest under another digest": [
        *BLOBS,
        put(MANIFEST, OTHER, status=400, code="DIGEST_INVALID"),
        Step("GET", "/v2/{repo}/manifests/" + OTHER, status=404),
    ],
    "schema 1": [
        put(
            b'{"schemaVersion": 1, "name": "x", "fsLayers": []}',
            kind="application/vnd.docker.distribution.manifest.v1+prettyjws",
            status=400,
            code="MANIFEST_INVALID",
        )
    ],
    "schema 1 that says it is schema 2": [put(document(schemaVersion=1), status=400, code="MANIFEST_INVALID")],
    "a manifest that is not JSON": [put(b"{not json", status=400, code="MANIFEST_INVALID")],
    "a manifest that is a list": [put(b"[]", status=400, code="MANIFEST_INVALID")],
    "a key that stands there twice": [
        put(b'{"schemaVersion": 2, "schemaVersion": 2}', status=400, code="MANIFEST_INVALID")
    ],
    "a layer without a digest": [put(document(layers=[{}]), status=400, code="MANIFEST_INVALID")],
    "an image that is an index too": [
        put(document(manifests=[]), status=400, code="MANIFEST_INVALID"),
    ],
    "a media type that differs from the document's": [
        put(MANIFEST, kind=DOCKER_TYPES.manifest, status=400, code="MANIFEST_INVALID")
    ],
    "an unknown media type": [put(b"{}", kind="text/plain", status=400, code="MANIFEST_INVALID")],
    "a tag that is none": [put(MANIFEST, "-x", status=400, code="MANIFEST_INVALID")],
    "a tag of 129 characters": [put(MANIFEST, "x" * 129, status=400, code="MANIFEST_INVALID")],
    "a manifest that is not there": [
        *BLOBS,
        put(MANIFEST),
        Step("GET", "/v2/{repo}/manifests/2", status=404, code="MANIFEST_UNKNOWN"),
        Step("GET", "/v2/{repo}/manifests/.INVALID", status=404, code="MANIFEST_UNKNOWN"),
    ],
    "a repository that is not there": [
        Step("GET", "/v2/{repo}/manifests/1", status=404, code="NAME_UNKNOWN"),
        Step("GET", "/v2/{repo}/tags/list", status=404, code="NAME_UNKNOWN"),
    ],
    # --- deletions
    "deleting a tag leaves the manifest": [
        *BLOBS,
        put(MANIFEST),
        Step("DELETE", "/v2/{repo}/manifests/1", status=202),
        Step("GET", "/v2/{repo}/manifests/1", status=404, code="MANIFEST_UNKNOWN"),
        Step("HEAD", "/v2/{repo}/manifests/" + sha256(MANIFEST)),
        Step("GET", "/v2/{repo}/tags/list", body={"name": "{repo}", "tags": []}),
    ],
    "deleting a manifest takes its tags along": [
        *BLOBS,
        put(MANIFEST, "1"),
        put(MANIFEST, "2"),
        Step("DELETE", "/v2/{repo}/manifests/" + sha256(MANIFEST), status=202),
        Step("GET", "/v2/{repo}/manifests/2", status=404),
        Step("DELETE", "/v2/{repo}/manifests/" + sha256(MANIFEST), status=404, code="MANIFEST_UNKNOWN"),
    ],
    "deleting a blob": [
        PUSH_BLOB,
        Step("DELETE", "/v2/{repo}/blobs/" + DIGEST, status=202),
        NO_BLOB,
        Step("DELETE", "/v2/{repo}/blobs/" + DIGEST, status=404, code="BLOB_UNKNOWN"),
    ],
    "deleting a tag that is not there": [Step("DELETE", "/v2/{repo}/manifests/1", status=404, code="MANIFEST_UNKNOWN")],
    # --- referrers
    "referrers of nothing": [Step("GET", "/v2/{repo}/referrers/" + OTHER, **listed())],
    "a referrer names its type, its size and its annotations": [
        *BLOBS,
        put(REFERRER, sha256(REFERRER), headers={"oci-subject": sha256(MANIFEST)}),
        Step("GET", "/v2/{repo}/referrers/" + sha256(MANIFEST), **listed((REFERRER, "application/spdx+json"))),
    ],
    "an artifact type falls back to the config's": [
        *BLOBS,
        put(BY_CONFIG),
        Step(
            "GET", "/v2/{repo}/referrers/" + sha256(MANIFEST), **listed((BY_CONFIG, "application/vnd.example.config"))
        ),
    ],
    "referrers filtered by type": [
        *BLOBS,
        put(BY_CONFIG),
        put(REFERRER, "2"),
        Step(
            "GET",
            "/v2/{repo}/referrers/" + sha256(MANIFEST) + "?artifactType=application/spdx%2Bjson",
            **listed((REFERRER, "application/spdx+json"), applied="artifactType"),
        ),
    ],
    "a missing subject is accepted": [
        *BLOBS,
        put(ORPHAN, headers={"oci-subject": OTHER}),
        Step("GET", "/v2/{repo}/referrers/" + OTHER, **listed((ORPHAN, "application/vnd.example.config"))),
    ],
    "a fallback tag is merged in": [
        *BLOBS,
        put(FALLBACK, sha256(MANIFEST).replace(":", "-"), OCI_TYPES.index),
        put(REFERRER, "2"),
        Step(
            "GET",
            "/v2/{repo}/referrers/" + sha256(MANIFEST),
            **listed((REFERRER, "application/spdx+json"), (b"attached by an older client", "")),
        ),
    ],
    "a deleted referrer is gone": [
        *BLOBS,
        put(REFERRER),
        Step("DELETE", "/v2/{repo}/manifests/" + sha256(REFERRER), status=202),
        Step("GET", "/v2/{repo}/referrers/" + sha256(MANIFEST), **listed()),
    ],
    "referrers of no digest": [Step("GET", "/v2/{repo}/referrers/latest", status=400, code="DIGEST_INVALID")],
    # --- lists
    "tags in ASCII order": [
        *BLOBS,
        *(put(MANIFEST, tag) for tag in ("b", "B", "a", "10", "9", "_")),
        Step(
            "GET",
            "/v2/{repo}/tags/list",
            headers={"link": None},
            body={"name": "{repo}", "tags": ["10", "9", "B", "_", "a", "b"]},
        ),
    ],
    "pages of tags": [
        *BLOBS,
        *(put(MANIFEST, tag) for tag in "abcde"),
        Step(
            "GET",
            "/v2/{repo}/tags/list?n=2",
            headers={"link": '</v2/{repo}/tags/list?n=2&last=b>; rel="next"'},
            body={"name": "{repo}", "tags": ["a", "b"]},
        ),
        Step("GET", "/v2/{repo}/tags/list?n=2&last=d", headers={"link": None}, body={"name": "{repo}", "tags": ["e"]}),
        Step("GET", "/v2/{repo}/tags/list?n=5", headers={"link": None}),
        Step("GET", "/v2/{repo}/tags/list?last=c", headers={"link": None}, body={"name": "{repo}", "tags": ["d", "e"]}),
        Step("GET", "/v2/{repo}/tags/list?n=0", headers={"link": None}, body={"name": "{repo}", "tags": []}),
        *(
            Step("GET", f"/v2/{{repo}}/tags/list?n={bad}", status=400, code="PAGINATION_NUMBER_INVALID")
            for bad in ("-1", "x", "1e3", "9999999999", "%D9%A1")
        ),
    ],
    "pages of the catalogue": [
        *BLOBS,
        put(MANIFEST),
        Step("GET", "/v2/_catalog?n=1&last={repo before}", body={"repositories": ["{repo}"]}),
        Step("GET", "/v2/_catalog?n=0", headers={"link": None}, body={"repositories": []}),
        Step("GET", "/v2/_catalog?n=1", headers={"link": "</v2/_catalog?n=1&last="}),
    ],
    # --- what a crate holds
    "what a crate holds is pulled by its full name": [
        Step("GET", f"/v2/{HELD}/manifests/1", headers={"docker-content-digest": "{held}"}),
        Step("HEAD", f"/v2/{HELD}/blobs/{{held layer}}", headers={"docker-content-digest": "{held layer}"}),
        Step("GET", f"/v2/{HELD}/tags/list", body={"name": HELD, "tags": ["1"]}),
    ],
    "its referrers are listed": [
        Step("GET", f"/v2/{HELD}/referrers/{{held}}", body=[("{held referrer}", "application/spdx+json")]),
    ],
    **{
        f"ns={namespace} and {name} name it too": [
            Step("GET", f"/v2/{name}/manifests/1?ns={namespace}", headers={"docker-content-digest": "{held}"}),
            Step("HEAD", f"/v2/{name}/blobs/{{held layer}}?ns={namespace}"),
        ]
        for namespace, name in (
            ("docker.io", "library/held"),
            ("docker.io", "held"),
            ("index.docker.io", "library/held"),
            ("registry-1.docker.io", "library/held"),
            ("DOCKER.IO", "library/held"),
            ("127.0.0.1:5000", HELD),
            ("crate.internal:5000", HELD),
        )
    },
    "Docker Hub's short names, as a registry mirror is asked": [
        Step("GET", "/v2/library/held/manifests/1", headers={"docker-content-digest": "{held}"}),
        Step("GET", "/v2/held/manifests/1", headers={"docker-content-digest": "{held}"}),
    ],
    **{
        f"ns={namespace} leads nowhere": [
            Step("GET", f"/v2/library/held/manifests/1?ns={namespace}", status=404, code="NAME_UNKNOWN"),
        ]
        for namespace in ("ghcr.io", "docker.io.example.org", "..%2Fdocker.io", "docker.io%00", "%20", "x" * 300)
    },
    **{
        f"{method} {path} into what a crate holds is denied": [
            Step(method, f"/v2/{HELD}/{path}", data, {"Content-Type": OCI}, 403, "DENIED"),
        ]
        for method, path, data in (
            ("POST", "blobs/uploads/", b""),
            ("POST", f"blobs/uploads/?digest={DIGEST}", BLOB),
            ("PUT", "manifests/1", MANIFEST),
            ("PUT", "manifests/mine", MANIFEST),
            ("DELETE", "manifests/1", b""),
            ("DELETE", "manifests/{held}", b""),
            ("DELETE", "blobs/{held layer}", b""),
        )
    },
    # --- who may
    "/v2/ challenges whoever brings no token": [
        Step(
            "GET",
            "/v2/",
            token="",
            status=401,
            code="UNAUTHORIZED",
            headers={"www-authenticate": 'Bearer realm="http://{host}/token",service="crate"'},
        ),
        Step("GET", "/v2/", token="anonymous"),
        Step("GET", "/v2/", headers={"docker-distribution-api-version": "registry/2.0"}, body={}),
        Step("GET", "/v2"),
    ],
    "anybody pulls": [
        Step("GET", f"/v2/{HELD}/manifests/1", token=""),
        Step("GET", f"/v2/{HELD}/manifests/1", token="anonymous"),
        Step("HEAD", f"/v2/{HELD}/blobs/{{held layer}}", token=""),
        Step("GET", "/v2/_catalog", token=""),
    ],
    **{
        f"{method} without a token is challenged": [
            Step(
                method,
                path,
                token=token,
                status=401,
                code="UNAUTHORIZED",
                headers={
                    "www-authenticate": f'Bearer realm="http://{{host}}/token",service="crate",scope="repository:{{repo}}:{actions}"'
                },
            )
            for token in ("", "anonymous")
        ]
        for method, path, actions in (
            ("POST", "/v2/{repo}/blobs/uploads/", "pull,push"),
            ("PUT", "/v2/{repo}/manifests/1", "pull,push"),
            ("DELETE", "/v2/{repo}/manifests/1", "delete"),
            ("DELETE", "/v2/{repo}/blobs/" + DIGEST, "delete"),
        )
    },
    "a token that is none of ours": [
        Step("GET", f"/v2/{HELD}/manifests/1", token="crate_00000000_" + "x" * 43, status=401, code="UNAUTHORIZED"),
        Step("GET", "/v2/", token="nonsense", status=401, code="UNAUTHORIZED"),
        Step("GET", "/v2/", send={"Authorization": "Basic %%%"}, status=401, code="UNAUTHORIZED"),
    ],
    "a token as the password of any user": [
        Step("POST", "/v2/{repo}/blobs/uploads/", send={"Authorization": "Basic {basic}"}, status=202),
    ],
    "a reader's token does not push": [
        Step("GET", "/v2/", token="{reader}"),
        Step("POST", "/v2/{repo}/blobs/uploads/", token="{reader}", status=403, code="DENIED"),
    ],
    # --- what makes no sense
    "methods that mean nothing": [
        Step(
            "POST",
            "/v2/{repo}/manifests/1",
            status=405,
            code="UNSUPPORTED",
            headers={"allow": "DELETE, GET, HEAD, PUT"},
        ),
        Step("PUT", "/v2/_catalog", status=405, code="UNSUPPORTED"),
        Step("GET", "/v2/{repo}/blobs/uploads/", status=405, code="UNSUPPORTED", headers={"allow": "POST"}),
    ],
    **{
        f"the name {name!r} is refused": [
            Step("GET", f"/v2/{name}/manifests/1", status=400, code="NAME_INVALID"),
            Step("POST", f"/v2/{name}/blobs/uploads/", status=400, code="NAME_INVALID"),
        ]
        for name in (
            "Upper",
            "..",
            "a/../b",
            "%2e%2e/%2e%2e",
            "a%2Fb",
            "a%00b",
            "a//b",
            "-a",
            "a%20b",
            "%C3%A9",
            "a" * 256,
            "a" * 4096,
            "b%3Ac",
        )
    },
    **{
        f"the digest {digest!r} is refused": [
            Step("GET", f"/v2/{{repo}}/blobs/{digest}", status=400, code="DIGEST_INVALID"),
        ]
        for digest in (
            "sha256:abc",
            DIGEST.upper(),
            f"{DIGEST}0",
            "sha256:..%2f..%2fetc%2fpasswd",
            "sha256%3A" + "g" * 64,
            "latest",
            "x" * 4096,
        )
    },
    "paths that lead nowhere": [
        Step("GET", "/v2/{repo}/", status=404, code="NAME_UNKNOWN"),
        Step("GET", "/v2/{repo}", status=404, code="NAME_UNKNOWN"),
        Step("GET", "/v2/a/manifests/x/y", status=404, code="NAME_UNKNOWN"),
        Step("GET", "/v2/../../etc/passwd", status=404, code="NAME_UNKNOWN"),
    ],
    "a repository may be called like an endpoint": [
        Step("POST", "/v2/{repo}/blobs/uploads/blobs/uploads/?digest=" + DIGEST, BLOB, status=201),
        Step("GET", "/v2/{repo}/blobs/uploads/blobs/" + DIGEST, body=BLOB),
    ],
}


@pytest.mark.parametrize("name", CASES)
def test_exchange(name: str, plain_crate: Crate, held: MadeImage, reader: str) -> None:
    number = list(CASES).index(name)
    amd64 = json.loads(held.layout.path(held.manifests["linux/amd64"]["digest"]).read_bytes())
    known = {
        "repo": f"people/r{number:04}",
        "repo before": f"people/r{number - 1:04}zzz",
        "host": plain_crate.address,
        "sha512 of manifest": f"sha512:{hashlib.sha512(MANIFEST).hexdigest()}",
        "held": held.digest,
        "held layer": amd64["layers"][0]["digest"],
        "held referrer": held.referrers[0]["digest"],
        "basic": _basic(plain_crate.token),
        "reader": reader,
    }
    for step in CASES[name]:
        _run(plain_crate, step, known)


def _run(crate: Crate, step: Step, known: dict[str, str]) -> None:
    token = None if step.token is None else _filled(step.token, known)
    answer = crate.request(
        step.method,
        _filled(step.path, known),
        step.data,
        {key: _filled(value, known) for key, value in step.send.items()},
        token=token,
    )
    assert answer.status == step.status, answer
    if step.code and step.method != "HEAD":
        assert answer.code == step.code
    for header, value in step.headers.items():
        if value is None:
            assert header not in answer.headers
        else:
            assert answer.headers.get(header, "").startswith(_filled(value, known)), (header, answer)
    if isinstance(step.body, bytes):
        assert answer.body == step.body
    elif isinstance(step.body, dict):
        assert json.loads(answer.body) == json.loads(_filled(json.dumps(step.body), known))
    elif isinstance(step.body, list):
        manifests = json.loads(answer.body)["manifests"]
        found = sorted((entry["digest"], entry.get("artifactType", "")) for entry in manifests)
        assert found == [(_filled(digest, known), kind) for digest, kind in step.body]
    if answer.status == 202 and "location" in answer.headers:
        known["location"] = answer.headers["location"]
        known["uuid"] = answer.headers["docker-upload-uuid"]


def _filled(text: str, known: Mapping[str, str]) -> str:
    return re.sub(r"\{([a-z0-9 ]+)\}", lambda match: known[match[1]], text)


def _basic(password: str) -> str:
    return base64.b64encode(f"anybody:{password}".encode()).decode()
