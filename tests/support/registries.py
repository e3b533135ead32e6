"""Debian's docker-registry on a loopback port, plain or with TLS and a password, and a way to fill it."""

from __future__ import annotations

import base64
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bcrypt

from tests.support.certificates import make_certificate
from tests.support.images import MANIFEST_TYPES, Layout
from tests.support.ports import LOOPBACK, free_port, listening
from tests.support.processes import running
from tests.support.tools import tool


@dataclass(frozen=True)
class Registry:
    """A registry that runs: `address` is host:port, `ca` the authority to trust, `pid` for those who measure."""

    address: str
    folder: Path
    pid: int
    ca: Path | None = None
    user: str = ""
    password: str = ""

    def __str__(self) -> str:
        return self.address

    @property
    def url(self) -> str:
        return f"{'https' if self.ca else 'http'}://{self.address}"

    @property
    def credentials(self) -> str:
        """The `auth` of a docker config.json."""
        return base64.b64encode(f"{self.user}:{self.password}".encode()).decode()

    def request(
        self, method: str, path: str, data: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers with lower-case names, and body; an error status is a result like any other."""
        url = path if path.startswith("http") else self.url + path
        request = urllib.request.Request(url, data=data, method=method, headers=headers or {})
        if self.user:
            request.add_header("Authorization", f"Basic {self.credentials}")
        trust = ssl.create_default_context(cafile=str(self.ca)) if self.ca else None
        try:
            with urllib.request.urlopen(request, timeout=60, context=trust) as answer:
                return answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, {name.lower(): value for name, value in error.headers.items()}, error.read()

    def push(self, layout: Layout, digest: str, repository: str, tag: str = "") -> None:
        """Uploads the manifest `digest` of `layout` with everything below it; foreign layers stay away."""
        document = json.loads(layout.path(digest).read_bytes())
        for child in document.get("manifests", ()):
            if layout.path(child["digest"]).exists():
                self.push(layout, child["digest"], repository)
        for blob in [*([document["config"]] if "config" in document else []), *document.get("layers", ())]:
            self._push_blob(layout, blob, repository)
        self.put_manifest(repository, tag or digest, layout.path(digest).read_bytes())

    def put_manifest(self, repository: str, name: str, body: bytes) -> None:
        """Puts `body` under a tag or digest of `repository`."""
        media_type = json.loads(body)["mediaType"]
        assert media_type in MANIFEST_TYPES, media_type
        path = f"/v2/{repository}/manifests/{name}"
        status, _, answer = self.request("PUT", path, body, {"Content-Type": media_type})
        assert status == 201, (status, answer)

    def _push_blob(self, layout: Layout, descriptor: dict[str, Any], repository: str) -> None:
        digest = descriptor["digest"]
        if not layout.path(digest).exists() or self.request("HEAD", f"/v2/{repository}/blobs/{digest}")[0] == 200:
            return
        status, headers, answer = self.request("POST", f"/v2/{repository}/blobs/uploads/", b"")
        assert status == 202, (status, answer)
        joint = "&" if "?" in headers["location"] else "?"
        status, _, answer = self.request(
            "PUT",
            f"{headers['location']}{joint}digest={digest}",
            layout.path(digest).read_bytes(),
            {"Content-Type": "application/octet-stream"},
        )
        assert status == 201, (status, answer)


@contextmanager
def docker_registry(
    folder: Path, *, tls: bool = False, user: str = "", password: str = "secret", proxy: str = ""
) -> Iterator[Registry]:
    """Runs docker-registry with its storage in `folder` until the context ends.

    `tls` gives it a certificate of a test authority, `user` asks everybody for that user's `password` (htpasswd),
    `proxy` makes it a pull-through cache of that URL.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    http: dict[str, Any] = {"addr": f"{LOOPBACK}:{port}", "secret": "one process, one secret"}
    ca = None
    if tls:
        made = make_certificate(folder / "tls")
        http["tls"] = {"certificate": str(made.certificate), "key": str(made.key)}
        ca = made.ca
    settings: dict[str, Any] = {
        "version": 0.1,
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {
            "filesystem": {"rootdirectory": str(folder / "storage")},
            "delete": {"enabled": True},
            "cache": {"blobdescriptor": "inmemory"},
            "maintenance": {"uploadpurging": {"enabled": False}},
        },
        "http": http,
        "validation": {"manifests": {"urls": {"allow": [".*"]}}},
    }
    if user:
        secrets = folder / "htpasswd"
        secrets.write_text(f"{user}:{bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()}\n")
        settings["auth"] = {"htpasswd": {"realm": "test", "path": str(secrets)}}
    if proxy:
        settings["proxy"] = {"remoteurl": proxy}
    configuration = folder / "config.yml"
    configuration.write_text(json.dumps(settings))  # JSON is YAML
    command = [tool("docker-registry"), "serve", str(configuration)]
    with running(command, ready=lambda: listening(port), log=folder / "registry.log") as process:
        yield Registry(f"{LOOPBACK}:{port}", folder, process.pid, ca, user, password if user else "")
