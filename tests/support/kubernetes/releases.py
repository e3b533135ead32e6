r"""Releases of a k3s double, served on loopback in the shape of the real ones.

with releases(tmp_path, light(tmp_path, "v1.30.4+k3s1"), light(tmp_path, "v1.31.2+k3s1")) as served:
    recipe = f'[k3s]\nversion = "v1.30.4+k3s1"\n[upstreams]\n{served.upstream}'
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from tests.support.ports import LOOPBACK

BINARIES = {"amd64": "k3s", "arm64": "k3s-arm64", "arm": "k3s-armhf"}
_HERE = Path(__file__).parent
_DOWNLOADS = "k3s-io/k3s/releases/download"


@dataclass(frozen=True)
class Release:
    """A version, its program for each architecture, its air-gap tarballs and the images that its list names."""

    version: str
    programs: Mapping[str, Path]
    tarballs: Mapping[str, Path] = field(default_factory=dict)
    images: Sequence[str] = ()


def light(folder: Path, version: str, images: Sequence[str] = ()) -> Release:
    """A release of the light double; the same script serves every architecture."""
    program = folder / f"k3s-light-{version}"
    parts = "".join((_HERE / name).read_text() for name in ("common.sh", "light.sh"))
    program.write_text(parts.replace("@VERSION@", version))
    program.chmod(0o755)
    return Release(version, dict.fromkeys(BINARIES, program), images=images)


@dataclass(frozen=True)
class Releases:
    """What is served: `upstream` is the line of a recipe's `[upstreams]` that has it answer for github.com."""

    url: str

    @property
    def upstream(self) -> str:
        return f'"github.com" = "{self.url}"'


@contextmanager
def releases(folder: Path, *published: Release) -> Iterator[Releases]:
    """Serves `published` from links below `folder` until the context ends."""
    root = folder / "releases"
    for release in published:
        _lay_out(root / _DOWNLOADS / release.version, release)
    with ThreadingHTTPServer((LOOPBACK, 0), partial(_Quiet, directory=str(root))) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield Releases(f"http://{LOOPBACK}:{server.server_port}")
        finally:
            server.shutdown()
            thread.join()


def _lay_out(folder: Path, release: Release) -> None:
    folder.mkdir(parents=True)
    for architecture, program in release.programs.items():
        assets = {BINARIES[architecture]: program}
        if architecture in release.tarballs:
            assets[f"k3s-airgap-images-{architecture}.tar.zst"] = release.tarballs[architecture]
        sums = []
        for name, source in assets.items():
            (folder / name).symlink_to(source.resolve())
            with source.open("rb") as file:
                sums.append(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {name}\n")
        (folder / f"sha256sum-{architecture}.txt").write_text("".join(sums))
    (folder / "k3s-images.txt").write_text("".join(f"{name}\n" for name in release.images))


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the base class
        pass
