"""A daemon to talk to: a store made by hand, a process over it, and requests that may be as odd as a test wants."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import socket
import ssl
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from appliance.access import Role
from appliance.manifest import Manifest
from appliance.store import Store
from appliance.tokens import Tokens
from tests.support.images import MANIFEST_TYPES, Layout, MadeImage
from tests.support.ports import LOOPBACK, free_port, listening
from tests.support.processes import running

PROGRAM = [sys.executable, "-c", "from appliance.cli import main; main()"]


@dataclass(frozen=True)
class Answer:
    """A response; header names in lower case, repeated ones joined by a comma."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The code of the first error."""
        return str(json.loads(self.body)["errors"][0]["code"])


@dataclass(frozen=True)
class Crate:
    """A daemon that runs over the store at `root`. `token` is a publisher's."""

    root: Path
    port: int
    plain: int
    token: str
    pid: int
    ca: Path | None

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    @property
    def url(self) -> str:
        return f"{'https' if self.ca else 'http'}://{self.address}"

    def connect(self) -> socket.socket:
        """A connection to the main port."""
        plain = socket.create_connection((LOOPBACK, self.port), timeout=60)
        if self.ca is None:
            return plain
        return ssl.create_default_context(cafile=str(self.ca)).wrap_socket(plain, server_hostname=LOOPBACK)

    def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        token: str | None = None,
        port: int = 0,
    ) -> Answer:
        """One request, its path sent as it is. `token` None sends the publisher's, an empty one none."""
        sent = {"Host": self.address, **(headers or {})}
        secret = self.token if token is None else token
        if secret and "Authorization" not in sent:
            sent["Authorization"] = f"Bearer {secret}"
        connection = http.client.HTTPConnection(LOOPBACK, port or self.port, timeout=60)
        if not port:
            connection.sock = self.connect()
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in sent.items():
                connection.putheader(name, value)
            if body or method in {"POST", "PUT", "PATCH"}:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            response = connection.getresponse()
            found: dict[str, str] = {}
            for name, value in response.getheaders():
                key = name.lower()
                found[key] = f"{found[key]}, {value}" if key in found else value
            return Answer(response.status, found, response.read())
        finally:
            connection.close()

    def push_blob(self, repository: str, data: bytes, digest: str = "") -> str:
        digest = digest or sha256(data)
        answer = self.request("POST", f"/v2/{repository}/blobs/uploads/?digest={digest}", data)
        assert answer.status == 201, answer
        return digest

    def push(self, layout: Layout, digest: str, repository: str, tag: str) -> None:
        """The manifest `digest` of `layout` with everything below it."""
        body = layout.path(digest).read_bytes()
        document = json.loads(body)
        for child in document.get("manifests", ()):
            self.push(layout, child["digest"], repository, child["digest"])
        for blob in [*([document["config"]] if "config" in document else []), *document.get("layers", ())]:
            if layout.path(blob["digest"]).exists():
                self.push_blob(repository, layout.path(blob["digest"]).read_bytes(), blob["digest"])
        answer = self.request("PUT", f"/v2/{repository}/manifests/{tag}", body, {"Content-Type": document["mediaType"]})
        assert answer.status == 201, answer


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def raw_request(crate: Crate, method: str, path: str, *headers: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", f"Host: {crate.address}", f"Authorization: Bearer {crate.token}", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


def largest_layer(image: MadeImage) -> tuple[str, bytes]:
    manifest = json.loads(image.layout.path(image.manifests["linux/amd64"]["digest"]).read_bytes())
    digest = manifest["layers"][0]["digest"]
    return digest, image.layout.path(digest).read_bytes()


def make_token(root: Path, role: Role = Role.PUBLISHER) -> str:
    with Store.open(root) as store:
        return Tokens(store.database).create(role)


@contextmanager
def crate(root: Path, *options: str, tls: bool = False) -> Iterator[Crate]:
    """A daemon on loopback ports. Its log lies beside the store."""
    token = make_token(root)
    port, plain = free_port(), free_port()
    words = [*PROGRAM, "--root", str(root), "serve", "--listen", f"{LOOPBACK}:{port}", "--plain", f"{LOOPBACK}:{plain}"]
    words += [*options, *([] if tls else ["--no-tls"])]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}

    def ready() -> bool:
        return listening(port) and listening(plain)

    with running(words, ready=ready, log=log_of(root), environment=environment) as process:
        yield Crate(root, port, plain, token, process.pid, root / "tls/ca.pem" if tls else None)


def log_of(root: Path) -> Path:
    return root.with_suffix(".log")


def hold(root: Path, repository: str, layout: Layout, tags: Mapping[str, str], files: Mapping[str, bytes] = {}) -> int:
    """Makes a new active generation that publishes everything in `layout` from one pack, as an activation would.

    Stands for import and activation, which have tests of their own. Returns the generation.
    """
    blobs = [path.read_bytes() for path in sorted((layout.folder / "blobs/sha256").iterdir())] + [*files.values()]
    with Store.open(root) as store, store.database.write() as connection:
        name = hashlib.sha256(repository.encode() + b"".join(blobs)).hexdigest()
        pack = connection.execute(
            "INSERT INTO packs (digest, name, channel, serial, created, size, signed, signatures, imported_at)"
            " VALUES (?, 'test', '', 1, 0, 0, x'', '[]', 0)",
            (name,),
        ).lastrowid
        connection.execute("UPDATE generations SET active = 0")
        generation = connection.execute(
            "INSERT INTO generations (activated_at, dated, active) VALUES (0, 0, 1)"
        ).lastrowid
        with store.pack_path(name).open("wb") as file:
            for data in blobs:
                raw = hashlib.sha256(data).digest()
                file.seek(512, os.SEEK_CUR)
                row = (raw, len(data), pack, file.tell(), 0)
                connection.execute("INSERT OR IGNORE INTO blobs VALUES (?, ?, ?, ?, ?)", row)
                file.write(data)
                connection.execute(
                    "INSERT OR IGNORE INTO published_blobs VALUES (?, ?, ?)", (generation, repository, raw)
                )
                if data.startswith(b'{"schemaVersion"') and json.loads(data)["mediaType"] in MANIFEST_TYPES:
                    manifest = Manifest.parse(data)
                    connection.execute(
                        "INSERT OR IGNORE INTO published_manifests VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                        (
                            generation,
                            repository,
                            sha256(data),
                            manifest.media_type,
                            len(data),
                            str(manifest.subject or ""),
                            manifest.artifact_type,
                            json.dumps(dict(manifest.annotations)),
                        ),
                    )
        for tag, digest in tags.items():
            connection.execute("INSERT INTO published_tags VALUES (?, ?, ?, ?)", (generation, repository, tag, digest))
        for path, data in files.items():
            connection.execute(
                "INSERT INTO published_files (generation, path, digest, size, media_type, modified)"
                " VALUES (?, ?, ?, ?, 'application/octet-stream', 0)",
                (generation, f"files/{path}", hashlib.sha256(data).digest(), len(data)),
            )
    assert generation is not None
    return generation
