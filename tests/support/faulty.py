"""A registry that speaks the protocol and misbehaves on demand. It stands for the bad days of real ones.

Faults queue up by what is asked for ("blob", "manifest", "token" or "file"); each request takes one, and the last one
that was put there with `always` stays. A fault is a coroutine that answers in place of the registry.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from aiohttp import web

from tests.support.ports import LOOPBACK, free_port

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
FOREVER = 3600.0


@dataclass(frozen=True)
class Content:
    """What an honest registry would answer with."""

    data: bytes
    media_type: str = "application/octet-stream"
    digest: str = ""


Fault = Callable[[web.Request, Content], Awaitable[web.StreamResponse]]


@dataclass
class Seen:
    """A request as it arrived."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: str = ""
    at: float = field(default_factory=time.monotonic)


@dataclass
class FaultyRegistry:
    """Blobs by digest, manifests by (repository, tag or digest), files by name; everything may change at any time."""

    address: str
    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[tuple[str, str], Content] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    referrers: dict[str, list[bytes]] = field(default_factory=dict)  # pages by digest
    faults: dict[str, deque[Fault]] = field(default_factory=lambda: defaultdict(deque))
    always: dict[str, Fault] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    realm: str = ""  # where tokens are had; empty: everybody may read
    accepted: set[str] = field(default_factory=set)
    token_life: float = 300
    basic: str = ""  # the Authorization that a Basic challenge accepts
    pace: tuple[int, float] = (0, 0.0)  # bytes, and seconds after so many
    busiest: int = 0  # requests that were answered at once, at most
    _busy: int = 0

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def blob(self, data: bytes, algorithm: str = "sha256") -> str:
        digest = f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"
        self.blobs[digest] = data
        return digest

    def manifest(self, repository: str, data: bytes, tag: str = "", media_type: str = MANIFEST_TYPE) -> str:
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        content = Content(data, media_type, digest)
        self.manifests[repository, digest] = content
        if tag:
            self.manifests[repository, tag] = content
        return digest

    def asked(self, part: str) -> list[Seen]:
        return [seen for seen in self.seen if part in seen.path]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(Seen(request.method, request.raw_path, dict(request.headers), await request.text()))
        self._busy += 1
        self.busiest = max(self.busiest, self._busy)
        try:
            return await self._answer(request)
        finally:
            self._busy -= 1

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        page = int(request.query.get("page", "0"))
        kind, content = self._find(path, page)
        fault = self.faults[kind].popleft() if self.faults[kind] else self.always.get(kind)
        if kind == "token":
            content = self._token()
        elif refusal := self._refusal(request):
            return refusal
        if fault is not None:
            return await fault(request, content or Content(b""))
        if content is None:
            return web.json_response({"errors": [{"code": "NAME_UNKNOWN"}]}, status=404)
        more = kind == "referrers" and page + 1 < len(self.referrers[path.rsplit("/", 1)[-1]])
        return await self._send(request, content, {"Link": f'<{path}?page={page + 1}>; rel="next"'} if more else {})

    def _find(self, path: str, page: int) -> tuple[str, Content | None]:
        words = path.strip("/").split("/")
        repository, last = "/".join(words[1:-2]), words[-1]
        if words[0] == "token":
            return "token", None
        if words[0] == "files":
            data = self.files.get("/".join(words[1:]))
            return "file", None if data is None else Content(data)
        if words[-2:-1] == ["manifests"]:
            return "manifest", self.manifests.get((repository, last))
        if words[-2:-1] == ["referrers"]:
            pages = self.referrers.get(last, [])
            return "referrers", Content(pages[page], INDEX_TYPE) if page < len(pages) else None
        data = self.blobs.get(last)
        return "blob", None if data is None else Content(data, digest=last)

    def _token(self) -> Content:
        token = f"token-{len(self.seen)}"
        self.accepted.add(f"Bearer {token}")
        return Content(f'{{"token":"{token}","expires_in":{self.token_life}}}'.encode(), "application/json")

    def _refusal(self, request: web.Request) -> web.Response | None:
        sent = request.headers.get("Authorization", "")
        if self.realm and sent not in self.accepted:
            challenge = f'Bearer realm="{self.realm}",service="faulty, of course",scope="repository:team/app:pull"'
            return web.Response(status=401, headers={"WWW-Authenticate": challenge})
        if self.basic and sent != self.basic:
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="faulty"'})
        return None

    async def _send(self, request: web.Request, content: Content, extra: dict[str, str]) -> web.StreamResponse:
        headers = {"Content-Type": content.media_type, "Docker-Content-Digest": content.digest, **extra}
        data, status = content.data, 200
        asked = request.headers.get("Range", "")
        if asked.startswith("bytes=") and asked.endswith("-"):
            start = int(asked[6:-1])
            if start >= len(data):
                return web.Response(status=416)
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            data, status = data[start:], 206
        return await send(request, data, status=status, headers=headers, pace=self.pace)


async def send(
    request: web.Request,
    data: bytes,
    *,
    length: int | None = None,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    pace: tuple[int, float] = (0, 0.0),
) -> web.StreamResponse:
    """Sends `data` as a body that claims to have `length` bytes."""
    answer = web.StreamResponse(status=status, headers=headers)
    answer.content_length = len(data) if length is None else length
    await answer.prepare(request)
    if request.method != "HEAD":
        size = pace[0] or max(len(data), 1)
        for start in range(0, len(data), size):
            await answer.write(data[start : start + size])
            await asyncio.sleep(pace[1])
    return answer


def stall(after: int = 0) -> Fault:
    """Sends so many bytes and falls silent."""

    async def fault(request: web.Request, content: Content) -> web.StreamResponse:
        answer = await send(request, content.data[:after], length=len(content.data))
        await asyncio.sleep(FOREVER)
        return answer

    return fault


def cut(after: int, *, politely: bool = False) -> Fault:
    """Breaks the connection after so many bytes: with a reset, or as if that were all."""

    async def fault(request: web.Request, content: Content) -> web.StreamResponse:
        start = int(request.headers.get("Range", "bytes=0-")[6:-1])
        whole = len(content.data)
        found = {"Content-Range": f"bytes {start}-{whole - 1}/{whole}"} if start else {}
        answer = await send(
            request,
            content.data[start : start + after],
            length=whole - start,
            status=206 if start else 200,
            headers=found,
        )
        await asyncio.sleep(0.05)  # let it arrive: a reset discards what was not sent yet
        assert request.transport is not None
        if politely:
            request.transport.close()
        else:
            request.transport.abort()
        return answer

    return fault


def hang_up() -> Fault:
    """Closes the connection in place of an answer."""

    async def fault(request: web.Request, content: Content) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    return fault


def answer(status: int, *, body: bytes = b"", media_type: str = "text/plain", **headers: str) -> Fault:
    """Answers with this; `Retry_After="1"` makes a header."""

    async def fault(request: web.Request, content: Content) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=status, body=body, headers={"Content-Type": media_type, **named})

    return fault


def claim(length: int) -> Fault:
    """States another length than the body has, and sends as much of it as fits."""

    async def fault(request: web.Request, content: Content) -> web.StreamResponse:
        return await send(request, content.data[:length], length=length)

    return fault


def swap(data: bytes) -> Fault:
    """Sends something else altogether; chunked, so that no length gives it away."""

    async def fault(request: web.Request, content: Content) -> web.StreamResponse:
        answer = web.StreamResponse()
        answer.enable_chunked_encoding()
        await answer.prepare(request)
        await answer.write(data)
        return answer

    return fault


def redirect(url: str) -> Fault:
    """Sends the client there, with the path that it asked for."""

    async def fault(request: web.Request, content: Content) -> web.StreamResponse:
        return web.Response(status=307, headers={"Location": f"{url}{request.raw_path}"})

    return fault


def ignore_range() -> Fault:
    """Answers as if the whole had been asked for."""

    async def fault(request: web.Request, content: Content) -> web.StreamResponse:
        return await send(request, content.data)

    return fault


def wrong_range(content_range: str) -> Fault:
    """Answers 206 with bytes from the beginning, and this Content-Range."""

    async def fault(request: web.Request, content: Content) -> web.StreamResponse:
        headers = {"Content-Range": content_range} if content_range else {}
        return await send(request, content.data[:64], status=206, headers=headers)

    return fault


@contextmanager
def faulty_registry() -> Iterator[FaultyRegistry]:
    """Runs one in a thread of its own until the context ends."""
    registry = FaultyRegistry(f"{LOOPBACK}:{free_port()}")
    loop = asyncio.new_event_loop()
    ready, stop = threading.Event(), asyncio.Event()

    async def serve() -> None:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", registry.handle)
        runner = web.AppRunner(application, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        host, port = registry.address.split(":")
        await web.TCPSite(runner, host, int(port)).start()
        ready.set()
        await stop.wait()
        await runner.cleanup()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    try:
        assert ready.wait(10)
        yield registry
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()
