"""What no client of ours sends: requests in bytes, by what is wrong with them."""

from __future__ import annotations

import base64
import io
import json
import socket
import tarfile
from collections.abc import Mapping, Sequence
from typing import Any

from appliance.manifest import OCI_INDEX, OCI_MANIFEST
from tests.support.ports import LOOPBACK

ROOTS = ("/v2/", "/token", "/apt/", "/pypi/", "/npm/", "/helm/", "/files/", "/blobs/", "/static/", "/api/v1/", "/")
UPLOADS = ("POST /pypi/", "POST /pypi/legacy/", "POST /helm/api/charts", "PUT /npm/x")
BODIES = (
    *UPLOADS,
    "POST /token",
    "PUT /npm/-/user/org.couchdb.user:x",
    "POST /v2/people/x/blobs/uploads/?digest=sha256:" + "0" * 64,
    "PUT /v2/people/x/manifests/1",
    "GET /v2/",
)
_DIGEST = "sha256:" + "0" * 64


def send(port: int, data: bytes, *, wait: float = 20.0) -> bytes:
    """All that comes back until the server closes, or is silent for `wait` seconds."""
    came = b""
    with socket.create_connection((LOOPBACK, port), timeout=wait) as connection:
        try:
            connection.sendall(data)
            while block := connection.recv(65536):
                came += block
        except (ConnectionError, TimeoutError):
            """It had enough of what we send, or waits for more."""
    return came


def request(
    line: str | bytes, headers: Mapping[str, str | bytes] | None = None, body: bytes = b"", *, secret: str = ""
) -> bytes:
    """`line` is METHOD and path; a body goes with its length, unless `headers` say how it is framed."""
    sent: dict[str, str | bytes] = {"Host": "crate.internal", "Connection": "close", **(headers or {})}
    if secret:
        sent["Authorization"] = f"Bearer {secret}"
    first = line if isinstance(line, bytes) else line.encode("latin-1")
    if "Transfer-Encoding" not in sent and (body or not first.startswith((b"GET", b"HEAD"))):
        sent["Content-Length"] = str(len(body))
    lines = [
        b"%b: %b" % (name.encode(), value if isinstance(value, bytes) else value.encode())
        for name, value in sent.items()
    ]
    return b"\r\n".join([first + b" HTTP/1.1", *lines, b"", body])


PATHS = {
    "dots": "../../crate.db",
    "encoded slashes": "..%2f..%2fcrate.db",
    "encoded dots": "%2e%2e/%2e%2e/crate.db",
    "all encoded": "%2e%2e%2fcrate.db",
    "encoded twice": "%252e%252e%252fcrate.db",
    "backslashes": "..\\..\\crate.db",
    "encoded backslashes": "..%5c..%5ccrate.db",
    "dots that are left when some are taken out": "....//....//crate.db",
    "a path parameter": "..;/crate.db",
    "an overlong encoding": "%c0%ae%c0%ae/crate.db",
    "an absolute path": "/etc/passwd",
    "two slashes": "//etc/passwd",
    "an encoded absolute path": "%2fetc%2fpasswd",
    "a NUL": "a%00.db",
    "a line break and a header": "%0d%0aX-Injected:%20yes",
    "half a percent-encoding": "a%",
    "what is no percent-encoding": "a%zz",
    "bytes that are no UTF-8": "a%ff%fe",
    "a path of seven thousand characters": "a" * 7000,
    "a folder of a thousand levels": "a/" * 1000,
    "a query of two thousand fields": "?" + "a=b&" * 2000,
    "a query of bytes that are no UTF-8": "?n=1&last=%ff%00&ns=%ff%00&text=%ff%00&page=%ff",
    "a fragment": "a#b",
}

HEADERS: Mapping[str, bytes] = {
    "no Host": b"",
    "an empty Host": b"Host:\r\n",
    "two Hosts": b"Host: a\r\nHost: b\r\n",
    "a Host with markup": b'Host: a"><script>\r\n',
    "a Host with a path": b"Host: a/../b\r\n",
    "a Host with a user": b"Host: somebody@a\r\n",
    "a Host with a port too high": b"Host: a:99999999\r\n",
    "a Host of brackets": b"Host: [[[:::\r\n",
    "a Host of bytes that are no UTF-8": b"Host: \xff\xfe\r\n",
    "a long Host": b"Host: " + b"a" * 5000 + b"\r\n",
    "credentials that are no UTF-8": b"Host: a\r\nAuthorization: Bearer \xff\xfe\r\n",
    "Basic credentials that are no base64": b"Host: a\r\nAuthorization: Basic \xff\xfe\r\n",
    "Basic credentials that are no UTF-8": b"Host: a\r\nAuthorization: Basic "
    + base64.b64encode(b"\xff:\xff")
    + b"\r\n",
    "Basic credentials with NULs": b"Host: a\r\nAuthorization: Basic " + base64.b64encode(b"a\0:\0") + b"\r\n",
    "credentials of no scheme": b"Host: a\r\nAuthorization:\r\n",
    "cookies that are none": b"Host: a\r\nCookie: crate=\xff; __Host-crate=%00; =; ;\r\n",
    "conditions that are none": b"Host: a\r\nIf-None-Match: \xff\r\nIf-Range: \xff\r\nRange: bytes=0-1\r\n",
    "types that are none": b"Host: a\r\nAccept: \xff, */, ;q=, a/b;q=9e999, " + b"a/b," * 1000 + b"\r\n",
    "an upgrade": b"Host: a\r\nUpgrade: websocket\r\n",
    "an expectation": b"Host: a\r\nExpect: the-unexpected\r\n",
    "a header of 20 KB": b"Host: a\r\nX-Long: " + b"a" * 20_000 + b"\r\n",
    "a thousand headers": b"Host: a\r\n" + b"X-Many: a\r\n" * 1000,
    "a NUL in a header": b"Host: a\r\nX-Nul: a\0b\r\n",
    "a header without a name": b"Host: a\r\n: a\r\n",
    "a line that is no header": b"Host: a\r\nnonsense\r\n",
}

LINES: Mapping[str, bytes] = {
    "a tunnel": b"CONNECT a:443 HTTP/1.1",
    "a proxy's request": b"GET http://elsewhere.example/v2/ HTTP/1.1",
    "an address that is none": b"GET http://[::1 HTTP/1.1",
    "a port that is none": b"GET http://a:999999/ HTTP/1.1",
    "an asterisk": b"GET * HTTP/1.1",
    "a path without a slash": b"GET v2/ HTTP/1.1",
    "bytes that are no UTF-8": b"GET /files/\xff\xfe\x80 HTTP/1.1",
    "a method that is none": b"BREW /v2/ HTTP/1.1",
    "HTTP/2 by prior knowledge": b"PRI * HTTP/2.0",
    "a version that is none": b"GET / HTTP/9.9",
    "no version": b"GET /",
}

FRAMINGS: Mapping[str, bytes] = {
    "a length and chunks": b"Content-Length: 5\r\nTransfer-Encoding: chunked",
    "two lengths": b"Content-Length: 5\r\nContent-Length: 6",
    "one length twice": b"Content-Length: 5\r\nContent-Length: 5",
    "a list of lengths": b"Content-Length: 5, 5",
    "a length below nothing": b"Content-Length: -5",
    "a length with a sign": b"Content-Length: +5",
    "a length in hexadecimal": b"Content-Length: 0x5",
    "a length of 26 digits": b"Content-Length: " + b"9" * 26,
    "a space before the colon": b"Content-Length : 5",
    "chunks of chunks": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "an encoding nobody knows": b"Transfer-Encoding: xchunked",
    "an encoding behind a control character": b"Transfer-Encoding:\x0bchunked",
    "chunks that are not the last encoding": b"Transfer-Encoding: chunked, identity",
    "a folded header": b"X-Folded: a\r\n b\r\nContent-Length: 5",
    "a bare line feed": b"X-Line: a\nContent-Length: 5",
    "a bare carriage return": b"X-Line: a\rContent-Length: 5",
}
"""What two servers might read in two ways; the second request hides behind it."""
HIDDEN = b"\r\n\r\n5\r\nhello\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"

CHUNKS: Mapping[str, bytes] = {
    "a size that is no number": b"zz\r\nhello\r\n",
    "a size below nothing": b"-5\r\nhello\r\n",
    "a size of 80 bits": b"f" * 20 + b"\r\nhello",
    "an extension of 20 KB": b"5;" + b"a" * 20_000 + b"\r\nhello\r\n0\r\n\r\n",
    "more than was announced": b"5\r\nhelloXX0\r\n\r\n",
    "two thousand trailers": b"0\r\n" + b"X: y\r\n" * 2000 + b"\r\n",
    "a trailer with credentials": b"0\r\nAuthorization: Bearer x\r\n\r\n",
}

RANGES: Mapping[str, bytes] = {
    "nothing from the end": b"bytes=-0",
    "backwards": b"bytes=9-3",
    "an end of 4,400 digits": b"bytes=0-" + b"9" * 4400,
    "a start of 5,000 digits": b"bytes=" + b"9" * 5000 + b"-",
    "fifteen hundred ranges": b"bytes=" + b",".join([b"0-0"] * 1500),
    "ranges over each other": b"bytes=0-,0-,0-",
    "another unit": b"lines=1-2",
    "digits of another script": "bytes=٣-٤".encode(),
    "no digits": b"bytes=-",
    "letters": b"bytes=a-b",
    "a sign": b"bytes=+1-2",
    "bytes that are no UTF-8": b"bytes=\xff-",
}

_PART = b'Content-Disposition: form-data; name="content"; filename="x-1.0-py3-none-any.whl"'
_CHART = b'Content-Disposition: form-data; name="chart"; filename="x-1.0.tgz"'
_FORM = "multipart/form-data; boundary=x"


def _form(*parts: tuple[bytes, bytes]) -> bytes:
    return b"".join(b"--x\r\n%b\r\n\r\n%b\r\n" % part for part in parts) + b"--x--\r\n"


def _both(header: bytes, content: bytes = b"content") -> bytes:
    """A form that has the file for twine's address, and one that has it for helm's."""
    return _form((_PART + header, content), (_CHART + header, content))


FORMS: Mapping[str, tuple[str | bytes, bytes]] = {
    "no boundary": ("multipart/form-data", b"--x--"),
    "an empty boundary": ("multipart/form-data; boundary=", b"--x--"),
    "a boundary of 2,000 characters": ("multipart/form-data; boundary=" + "b" * 2000, b"--x--"),
    "a boundary of bytes that are no UTF-8": (b"multipart/form-data; boundary=\xff", b"--x--"),
    "nothing": (_FORM, b""),
    "no form": (_FORM, b"nonsense"),
    "a form without an end": (_FORM, b"--x\r\n" + _PART + b"\r\n\r\nabc"),
    "a part without a name": (_FORM, _form((b"X-A: b", b"c"))),
    "a file name out of its folder": (
        _FORM,
        _form(
            (b'Content-Disposition: form-data; name="content"; filename="../../../evil.whl"', b"c"),
            (b'Content-Disposition: form-data; name="chart"; filename="../../../evil.tgz"', b"c"),
        ),
    ),
    "a file name with a NUL": (
        _FORM,
        _form((_PART.replace(b"x-1", b"x\0"), b"c"), (_CHART.replace(b"x-1", b"x\0"), b"c")),
    ),
    "a file name that is no UTF-8": (_FORM, _form((_PART.replace(b"x-", b"\xff-"), b"c"))),
    "a file name with a line separator": (_FORM, _form((_PART.replace(b"x-", "\u2028-".encode()), b"c"))),
    "a file name of an unknown charset": (_FORM, _form((_PART.replace(b'e="x', b"e*=nonsense''%ff; x=\"x"), b"c"))),
    "an unknown transfer encoding": (_FORM, _both(b"\r\nContent-Transfer-Encoding: nonsense")),
    "base64 that is none": (_FORM, _both(b"\r\nContent-Transfer-Encoding: base64", b"!!!")),
    "gzip that is none": (_FORM, _both(b"\r\nContent-Encoding: gzip")),
    "a part longer than the form": (_FORM, _both(b"\r\nContent-Length: 99999")),
    "a part of a length below nothing": (_FORM, _both(b"\r\nContent-Length: -1")),
    "a part of a length that is no number": (_FORM, _both(b"\r\nContent-Length: abc")),
    "a form in a form": (_FORM, _both(b"\r\nContent-Type: multipart/mixed; boundary=y", b"--y\r\n\r\n\r\n--y--")),
    "a form in a form without boundary": (_FORM, _both(b"\r\nContent-Type: multipart/mixed")),
    "a charset nobody knows": (
        _FORM,
        _form((b'Content-Disposition: form-data; name="_charset_"', b"nonsense"), (_PART, b"c"), (_CHART, b"c")),
    ),
    "a part with a header of 100 KB": (_FORM, _both(b"\r\nX-A: " + b"b" * 100_000)),
    "a part with 5,000 headers": (_FORM, _both(b"\r\nX-A: b" * 5000)),
    "3,000 parts": (_FORM, _form(*[(b'Content-Disposition: form-data; name="a%d"' % n, b"b") for n in range(3000)])),
    "a field of 2 MB": (_FORM, _form((b'Content-Disposition: form-data; name="a"', b"b" * (2 << 20)))),
    "two files": (_FORM, _form((_PART, b"a"), (_PART, b"b"), (_CHART, b"a"))),
    "files that are none": (_FORM, _form((_PART, b"PK\3\4nonsense"), (_CHART, b"\x1f\x8b\x08nonsense"))),
    "fields in a charset nobody knows": (
        "application/x-www-form-urlencoded; charset=nonsense",
        b"username=a&password=b",
    ),
    "fields in a charset that is none": ("application/x-www-form-urlencoded; charset=base64", b"password=abc\x80"),
    "fields in half a UTF-16": ("application/x-www-form-urlencoded; charset=utf-16", b"password=b"),
    "fields that are no UTF-8": ("application/x-www-form-urlencoded", b"username=\xff&password=\xff"),
    "fields of 400 KB": ("application/x-www-form-urlencoded", b"a=b&" * 100_000),
    "7,000 fields": ("application/x-www-form-urlencoded", b"a&" * 7000),
    "a type that is none": (b"\xff/\xff; charset=\xff", b"nonsense"),
}

_CONFIG: dict[str, Any] = {"mediaType": "application/octet-stream", "digest": _DIGEST, "size": 1}
_MANIFEST: dict[str, Any] = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": _CONFIG, "layers": []}
_INDEX: dict[str, Any] = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}

_WRONG: Sequence[tuple[dict[str, Any], str, Sequence[object]]] = (
    (_MANIFEST, "config", (5, [], "x", True, {"digest": 5}, {"digest": [1]}, {"digest": "sha256:../../x"})),
    (_MANIFEST, "config", ({**_CONFIG, "mediaType": 5}, {**_CONFIG, "digest": f"{_DIGEST}\n"})),
    (_MANIFEST, "layers", (5, "abc", {"a": 1}, [None], [{"urls": 5, "digest": _DIGEST}])),
    (_INDEX, "annotations", (5, [1], {"a": {"b": 1}}, {"a\0": "\0"}, {"\ud800": "\udfff"})),
    (_INDEX, "artifactType", (5, 10**30, [[]], {"a": 1}, True, "\ud800", "a\0b")),
    (_INDEX, "mediaType", ([OCI_INDEX], {"a": 1}, 5, True)),
    (_INDEX, "manifests", ([5], {"digest": "x"}, [{"digest": {}}], "abc")),
    (_INDEX, "subject", (5, "x", [1], {"digest": 5}, {"digest": None})),
)
_STRANGE: Sequence[object] = (5, ["x"], {"a": 1}, None, "\ud800", "a\0b", "x" * 9000)

DOCUMENTS: Mapping[str, bytes] = {
    "200,000 brackets": b"[" * 200_000,
    "100,000 objects in each other": b'{"a":' * 100_000,
    "half an object": b"{",
    "null": b"null",
    "a list": b"[]",
    "a number": b"5",
    "a string": b'"x"',
    "UTF-16": "{}".encode("utf-16"),
    "bytes that are no UTF-8": b'{"a":"\xff"}',
    "a number of 5,000 digits": b'{"schemaVersion":' + b"9" * 5000 + b"}",
    "a number beyond all bounds": b'{"schemaVersion":2e400}',
    "what is not a number": b'{"schemaVersion":NaN}',
    **{
        f"{key} {value!r:.40}": json.dumps({**document, key: value}).encode()
        for document, key, values in _WRONG
        for value in values
    },
    **{
        f"a login whose {key} is {value!r:.40}": json.dumps({"name": "x", "password": "x", key: value}).encode()
        for key in ("name", "password")
        for value in _STRANGE
    },
}


def packument(**changed: object) -> bytes:
    """What `npm publish` sends for x 1, but for some of its fields."""
    content, text = io.BytesIO(), b'{"name":"x","version":"1.0.0"}'
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        member = tarfile.TarInfo("package/package.json")
        member.size = len(text)
        archive.addfile(member, io.BytesIO(text))
    attached = {"x-1.0.0.tgz": {"data": base64.b64encode(content.getvalue()).decode()}}
    document = {"name": "x", "versions": {"1.0.0": {}}, "dist-tags": {"latest": "1.0.0"}, **changed}
    return json.dumps({**document, "_attachments": attached}, separators=(",", ":")).encode()


_ODD: Sequence[object] = (5, ["x"], [None], "x", True, {"\ud800": "\ud800"}, {"a": {"b": [[]]}})
PACKUMENTS: Sequence[Mapping[str, object]] = [
    {key: value} for key in ("name", "versions", "dist-tags") for value in _ODD
]
