"""The registry's refusals: a class a code of the specification (distribution-spec, "Error Codes"), with its status.

Refusal
├── BlobUnknown · ManifestUnknown · NameUnknown · ManifestBlobUnknown · BlobUploadUnknown    404
├── NameInvalid · DigestInvalid · ManifestInvalid · SizeInvalid · BlobUploadInvalid          400
├── Unauthorized                                                                             401
├── Denied                                                                                   403
├── Unsupported                                                                              405
├── ManifestTooLarge (MANIFEST_INVALID)                                                      413
├── TooManyRequests                                                                          429
└── RangeInvalid (BLOB_UPLOAD_INVALID)                                                       416

PaginationNumberInvalid is docker's code for a bad `n`; the specification names none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import ClassVar

from aiohttp import web

from archive.errors import Problem


class Refusal(Problem):
    """`headers` travel with the answer (a challenge, the methods allowed, how far an upload is)."""

    code: ClassVar[str]
    status: ClassVar[int]

    def __init__(self, what: str, *, hint: str = "", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(what, hint=hint)
        self.headers = headers or {}

    def response(self) -> web.Response:
        return error_response(self.status, self.code, self.what, self.hint, self.headers)


def error_response(status: int, code: str, what: str, hint: str, headers: Mapping[str, str]) -> web.Response:
    message = f"{what}; {hint}" if hint else what
    return web.Response(
        status=status,
        body=json.dumps({"errors": [{"code": code, "message": message}]}).encode(),
        content_type="application/json",
        headers=headers,
    )


class BlobUnknown(Refusal):
    code, status = "BLOB_UNKNOWN", 404


class ManifestUnknown(Refusal):
    code, status = "MANIFEST_UNKNOWN", 404


class NameUnknown(Refusal):
    code, status = "NAME_UNKNOWN", 404


class ManifestBlobUnknown(Refusal):
    code, status = "MANIFEST_BLOB_UNKNOWN", 404


class BlobUploadUnknown(Refusal):
    code, status = "BLOB_UPLOAD_UNKNOWN", 404


class NameInvalid(Refusal):
    code, status = "NAME_INVALID", 400


class DigestInvalid(Refusal):
    code, status = "DIGEST_INVALID", 400


class ManifestInvalid(Refusal):
    code, status = "MANIFEST_INVALID", 400


class SizeInvalid(Refusal):
    code, status = "SIZE_INVALID", 400


class BlobUploadInvalid(Refusal):
    code, status = "BLOB_UPLOAD_INVALID", 400


class PaginationNumberInvalid(Refusal):
    code, status = "PAGINATION_NUMBER_INVALID", 400


class Unauthorized(Refusal):
    code, status = "UNAUTHORIZED", 401


class Denied(Refusal):
    code, status = "DENIED", 403


class Unsupported(Refusal):
    code, status = "UNSUPPORTED", 405


class ManifestTooLarge(Refusal):
    code, status = "MANIFEST_INVALID", 413


class TooManyRequests(Refusal):
    code, status = "TOOMANYREQUESTS", 429


class RangeInvalid(Refusal):
    code, status = "BLOB_UPLOAD_INVALID", 416
