"""A registry client of one page, for machines without skopeo: the distribution protocol needs no more to pull.

python -m demo.client CA.pem HOST:PORT/REPOSITORY:TAG PLATFORM FOLDER
"""

from __future__ import annotations

import hashlib
import json
import ssl
import sys
import urllib.request
from pathlib import Path
from typing import Any

_ACCEPT = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json"


def pull(ca: Path, reference: str, platform: str, folder: Path) -> list[str]:
    """Brings the image of one platform into `folder`, each blob checked against its digest, and names the blobs."""
    server, _, named = reference.partition("/")
    repository, _, tag = named.rpartition(":")
    trust = ssl.create_default_context(cafile=str(ca))
    folder.mkdir(parents=True, exist_ok=True)

    def get(kind: str, name: str) -> bytes:
        request = urllib.request.Request(f"https://{server}/v2/{repository}/{kind}/{name}", headers={"Accept": _ACCEPT})
        with urllib.request.urlopen(request, context=trust, timeout=60) as answer:
            body: bytes = answer.read()
        if ":" in name and hashlib.sha256(body).hexdigest() != name.split(":")[1]:
            raise SystemExit(f"{name} is not what the server sent")
        return body

    index = json.loads(get("manifests", tag))
    digest = next(child["digest"] for child in index["manifests"] if _platform(child) == platform)
    body = get("manifests", digest)
    (folder / "manifest.json").write_bytes(body)
    manifest = json.loads(body)
    names = [blob["digest"] for blob in [manifest["config"], *manifest["layers"]]]
    for name in names:
        (folder / name.split(":")[1]).write_bytes(get("blobs", name))
    return names


def _platform(descriptor: dict[str, Any]) -> str:
    words = descriptor["platform"]
    return f"{words['os']}/{words['architecture']}"


if __name__ == "__main__":
    ca, reference, platform, folder = sys.argv[1:]
    for name in pull(Path(ca), reference, platform, Path(folder)):
        print(f"pulled {name}")
