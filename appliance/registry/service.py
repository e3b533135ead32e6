"""What the registry's handlers share: who may do what where, and the two kinds of work that leave the event loop."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from aiohttp import web

from appliance import misses
from appliance.access import Access, Caller
from appliance.addresses import Address
from appliance.errors import UnknownBlob
from appliance.manifest import LIMIT
from appliance.published import Documents, PublishedPaths
from appliance.pushed import Pushed
from appliance.registry import names
from appliance.registry.callers import Callers
from appliance.registry.contents import Contents, HeldManifest
from appliance.registry.errors import Denied, DigestInvalid, Unauthorized
from appliance.registry.paths import Target
from appliance.requests import Requests
from appliance.rules import Rules
from appliance.sessions import Sessions
from appliance.store import Store
from appliance.tokens import Tokens
from appliance.uploads import Uploads
from appliance.users import Users
from archive.digests import Digest
from archive.errors import InvalidValue

CHARTS = "charts"  # below this, the registry has what helm's index has
_READERS = 8  # threads that wait for a slow stick or card
_WRITERS = 4  # threads that receive, hash and commit pushes
_NAMED = 10_000  # tags and digests whose meaning is kept in memory
_CACHED = 16 << 20  # bytes of manifests kept in memory

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """One request under way."""

    request: web.Request
    target: Target
    caller: Caller

    def parameter(self, name: str) -> str:
        """A parameter of the query, decoded; empty when it is not there."""
        return self.request.query.get(name, "") if self.request.rel_url.raw_query_string else ""


class Registry:
    """One daemon's registry over one store. `own_hosts` may be replaced while it serves."""

    def __init__(
        self,
        store: Store,
        *,
        open_pulls: bool,
        own_hosts: Collection[str],
        address: str,
        idle: float,
        plain: Address | None = None,
    ) -> None:
        """`address` (host:port) goes into challenges to clients that do not say whom they asked.

        `idle` is how many seconds a client may be silent in the middle of a transfer. `plain` is the plain port, if
        open pulls of blobs are to be redirected to it.
        """
        self.store = store
        self.own_hosts = own_hosts
        self.idle = idle
        self.plain = plain
        self.contents = Contents(store.database)
        self.paths = PublishedPaths(store.database)
        self.pushed = Pushed(store.database)
        self.uploads = Uploads(store.uploads)
        self.requests = Requests(store.database)
        self._rules = Rules(store.database, open_pulls=open_pulls)
        users = Users(store.database)
        self.callers = Callers(
            Tokens(store.database),
            users,
            Sessions(store.root / "session.key", users),
            self._rules.access,
            address,
        )
        self.readers = ThreadPoolExecutor(_READERS, "read")
        self.documents = Documents(store.database, self.readers)
        self._writers = ThreadPoolExecutor(_WRITERS, "write")
        self._named: dict[tuple[str, str], HeldManifest] = {}
        self._named_at = -1
        self._manifests: OrderedDict[Digest, bytes] = OrderedDict()
        self._manifests_size = 0

    @property
    def access(self) -> Access:
        """The rules that hold now."""
        return self._rules.access()

    async def write(self, function: Callable[..., T], *arguments: object) -> T:
        """Runs what blocks on the disk in a thread of its own kind, so that waiting pushes never keep pulls waiting."""
        return await asyncio.get_running_loop().run_in_executor(self._writers, function, *arguments)

    def readable(self, call: Call) -> list[str]:
        """The repositories that the request may mean and the caller may read. Raises `Unauthorized`, `Denied`."""
        meant = names.candidates(call.target.repository, call.parameter("ns"), self.own_hosts)
        access = self.access
        allowed = [repository for repository in meant if access.may_read(call.caller, repository)]
        # Refused by its name, not for being there: what is private must not be told from what is not here.
        if meant and meant[0] not in allowed:
            raise self._refused(call, "pull")
        return allowed

    def writable(self, call: Call) -> str:
        """The repository to push to. Raises `Unauthorized`, `Denied`."""
        repository = call.target.repository
        self.check_write(call, "pull,push")
        if self.contents.from_crate(repository):
            raise self.held_by_crate(repository)
        return repository

    def check_write(self, call: Call, actions: str) -> None:
        if not self.access.may_publish(call.caller, call.target.repository):
            raise self._refused(call, actions)

    def check_list(self, call: Call) -> None:
        if not self.access.may_list(call.caller):
            raise Unauthorized(
                "what there is here is told to those with a token",
                hint="log in with a token as the password",
                headers=self.callers.challenge(call.request),
            )

    def held_by_crate(self, repository: str) -> Denied:
        if repository.startswith(f"{CHARTS}/"):
            return Denied(
                f"{repository} is made from charts that are published as files",
                hint="upload the chart (helm cm-push, or curl to /helm/api/charts), or push to another repository",
            )
        return Denied(
            f"{repository} comes from a crate and changes with the next one only", hint="push under another name"
        )

    def _refused(self, call: Call, actions: str) -> Denied | Unauthorized:
        repository = call.target.repository
        if call.caller.role is None:
            return Unauthorized(
                f"{repository} wants a token for this ({actions})",
                hint="log in with a token as the password",
                headers=self.callers.challenge(call.request, repository, actions),
            )
        return Denied(
            f"{call.caller.name} may not do that to {repository} ({actions})",
            hint="an operator gives rights: crate-appliance users change",
        )

    def manifest(self, repository: str, reference: str) -> HeldManifest | None:
        """What a tag or digest names; answered from memory for as long as nobody commits. Raises `DigestInvalid`."""
        version = self.store.database.data_version()
        if version != self._named_at or len(self._named) > _NAMED:
            self._named.clear()
            self._named_at = version
        found = self._named.get((repository, reference))
        if found is None:
            digest = parse_digest(reference) if ":" in reference else self.contents.tagged(repository, reference)
            found = self.contents.manifest(repository, digest) if digest else None
            if found:
                self._named[repository, reference] = found
        return found

    async def manifest_bytes(self, digest: Digest) -> bytes:
        """A manifest that a repository holds. Raises `UnknownBlob` when the store lost it."""
        cached = self._manifests.get(digest)
        if cached is not None:
            self._manifests.move_to_end(digest)
            return cached
        loop = asyncio.get_running_loop()
        body = await loop.run_in_executor(self.readers, self._read_manifest, digest)
        if digest not in self._manifests:
            self._manifests[digest] = body
            self._manifests_size += len(body)
        while self._manifests_size > _CACHED:
            self._manifests_size -= len(self._manifests.popitem(last=False)[1])
        return body

    def _read_manifest(self, digest: Digest) -> bytes:
        """Compared with its digest, because it is kept in memory and may be asked for by a tag."""
        body = self.store.blobs.read(digest, LIMIT)
        if hashlib.new(digest.algorithm, body).hexdigest() != digest.hex:
            raise UnknownBlob(f"{digest} is damaged in the store", hint="crate-appliance doctor --scrub")
        return body

    async def keep_for(self, call: Call, digest: Digest) -> bool:
        """Keeps what a publisher is told by HEAD to be here, because he will not send it; False when it is gone by now.

        Nobody else's requests keep anything.
        """
        if call.request.method != "HEAD" or not call.caller.publishes:
            return True
        return await self.write(self.store.blobs.touch, digest)

    def note_missing(self, call: Call, reference: str) -> None:
        """Remembers an image that was asked for in vain; with no `reference`, the tags of one.

        Pushing clients ask by HEAD before every upload, which means nothing.
        """
        if call.caller.publishes and call.request.method == "HEAD":
            return
        meant = misses.of_image(call.target.repository, reference, call.parameter("ns"), self.own_hosts)
        self.requests.note(meant, call.request.remote)

    def close(self) -> None:
        self.readers.shutdown()
        self._writers.shutdown()


def parse_digest(text: str) -> Digest:
    """Raises `DigestInvalid`."""
    try:
        return Digest.parse(text)
    except InvalidValue as error:
        raise DigestInvalid(error.what, hint=error.hint) from error
