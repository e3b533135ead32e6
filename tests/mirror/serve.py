"""A fake of the crate's daemon: serves a list of `Published` as the seam says, so that real clients can be let loose.

It stands for addressing, variants by Accept and the replacing of ORIGIN. Validators, Range and TLS are not in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote

from mirror.ecosystem import ORIGIN, Published, RepositorySigner
from tests.mirror.loopback import NOT_FOUND, Answer, serving


@dataclass(frozen=True)
class Blobs:
    """A fake of the crate's side of publishing: blobs lie in a folder by their sha256, and nothing is signed."""

    folder: Path
    newest: datetime = datetime(2026, 1, 1, tzinfo=UTC)

    @property
    def signer(self) -> RepositorySigner:
        raise AssertionError("this ecosystem signs nothing")

    def open(self, sha256: str) -> BinaryIO:
        return (self.folder / sha256).open("rb")


@dataclass
class Served:
    """What the fake daemon was asked: the targets it answered, and those it had nothing for."""

    url: str
    answered: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)


@contextmanager
def crate(published: Iterable[Published], blobs: Blobs) -> Iterator[Served]:
    variants: dict[str, list[Published]] = {}
    for each in published:
        variants.setdefault(each.path, []).append(each)
    served = Served("")

    def handle(target: str, headers: Mapping[str, str]) -> Answer:
        found = _variant(variants.get(unquote(target.partition("?")[0]).lstrip("/"), []), headers.get("accept", ""))
        if found is None:
            served.missed.append(target)
            return NOT_FOUND
        served.answered.append(target)
        body = found.body
        if found.sha256:
            with blobs.open(found.sha256) as blob:
                body = blob.read()
        if found.origin_bound:
            body = body.replace(ORIGIN, f"http://{headers['host']}".encode())
        return Answer(body, found.media_type, headers={"Vary": "Accept"} if found.accepts else {})

    with serving(handle) as url:
        served.url = url
        yield served


def _variant(variants: list[Published], accept: str) -> Published | None:
    """The variant that the client prefers (RFC 9110, section 12.5.1); a wildcard means the default."""
    default = next((each for each in variants if not each.accepts), None)
    wishes: list[tuple[float, str]] = []
    for part in accept.split(","):
        media_type, _, parameters = part.strip().partition(";")
        quality = parameters.replace(" ", "").partition("q=")[2] or "1"
        wishes.append((-float(quality), media_type.strip()))
    for _, media_type in sorted(wishes, key=lambda wish: wish[0]):
        for each in variants:
            if media_type in each.accepts or (each is default and media_type in {each.media_type, "*/*"}):
                return each
    return default
