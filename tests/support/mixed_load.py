"""A day at the crate in a minute: clients that pull, push, update, search, miss and sign on, all at once."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import random
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_PUSHED = 200_000  # bytes of a layer
_KINDS = 40  # tags that are pushed to, again and again


@dataclass(frozen=True)
class Site:
    """Where to ask and for what: `paths` are GET without credentials. `user` has `password` and may publish."""

    port: int
    paths: tuple[str, ...]
    user: str
    password: str
    context: ssl.SSLContext | None = None


@dataclass
class Done:
    """Answers by what was asked for and their status, while a load runs; `wrong` are those that should not be."""

    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


@contextmanager
def mixed_load(site: Site, clients: int = 20) -> Iterator[Done]:
    """`clients` threads, each with a connection of its own, for as long as the context lasts."""
    done, stop = Done(), threading.Event()
    threads = [threading.Thread(target=_Client(site, number, done).work, args=(stop,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield done
    finally:
        stop.set()
        for thread in threads:
            thread.join()


class _Client:
    """One of them; what it does next is drawn, in an order of its own."""

    def __init__(self, site: Site, number: int, done: Done) -> None:
        self._site = site
        self._number = number
        self._done = done
        self._drawn = random.Random(number)
        self._connection: http.client.HTTPConnection | None = None
        signed_on = base64.b64encode(f"{site.user}:{site.password}".encode()).decode()
        self._credentials = {"Authorization": f"Basic {signed_on}"}

    def work(self, stop: threading.Event) -> None:
        doing: list[tuple[Callable[[], None], int]] = [
            (self._look, 30),
            (self._miss, 6),
            (self._push, 2),
            (self._sign_on, 2),
            (self._come_again, 2),
        ]
        actions, weights = zip(*doing, strict=True)
        while not stop.is_set():
            try:
                self._drawn.choices(actions, weights)[0]()
            except (OSError, http.client.HTTPException) as error:
                self._done.wrong.append(repr(error))
                self._come_again()
            time.sleep(0.005)
        self._come_again()

    def _ask(
        self, what: str, wanted: int, method: str, path: str, body: bytes = b"", *, headers: Mapping[str, str] = {}
    ) -> http.client.HTTPResponse:
        """The answer, read to its end; its status should be the `wanted` one."""
        if self._connection is None:
            self._connection = (
                http.client.HTTPSConnection("127.0.0.1", self._site.port, timeout=60, context=self._site.context)
                if self._site.context
                else http.client.HTTPConnection("127.0.0.1", self._site.port, timeout=60)
            )
        self._connection.request(method, path, body, dict(headers))
        answer = self._connection.getresponse()
        while answer.read(65536):
            """Thrown away, as it comes."""
        self._done.answers[what, answer.status] += 1
        if answer.status != wanted:
            self._done.wrong.append(f"{method} {path}: {answer.status}")
        return answer

    def _look(self) -> None:
        self._ask("look", 200, "GET", self._drawn.choice(self._site.paths))

    def _miss(self) -> None:
        name = f"absent-{self._drawn.randrange(100_000)}"
        miss = f"/v2/docker.io/library/{name}/manifests/1"
        self._ask("miss", 404, "GET", self._drawn.choice([miss, f"/pypi/simple/{name}/", f"/npm/{name}"]))

    def _push(self) -> None:
        repository = f"/v2/people/load-{self._number}"
        layer = self._drawn.randbytes(_PUSHED)
        digest = f"sha256:{hashlib.sha256(layer).hexdigest()}"
        begun = self._ask("push", 202, "POST", f"{repository}/blobs/uploads/", headers=self._credentials)
        location = begun.headers["Location"]
        self._ask("push", 202, "PATCH", location, layer, headers=self._credentials)
        self._ask("push", 201, "PUT", f"{location}?digest={digest}", headers=self._credentials)
        config = {"mediaType": "application/octet-stream", "digest": digest, "size": len(layer)}
        manifest = {"schemaVersion": 2, "mediaType": _MANIFEST, "config": config, "layers": []}
        headers = {**self._credentials, "Content-Type": _MANIFEST}
        tag = self._drawn.randrange(_KINDS)
        self._ask("push", 201, "PUT", f"{repository}/manifests/t{tag}", json.dumps(manifest).encode(), headers=headers)

    def _sign_on(self) -> None:
        self._ask("sign on", 200, "GET", "/token?service=crate", headers=self._credentials)

    def _come_again(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
