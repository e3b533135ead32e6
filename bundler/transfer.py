"""One blob on its way into the cache: resumed, hashed as it comes, and kept only when it is what was asked for."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial

import aiohttp

from archive.digests import Digest
from bundler.answers import expect, shown
from bundler.cache import Cache, Partial
from bundler.errors import FetchFailed, MalformedAnswer, TooLarge, Unreachable, WrongContent
from bundler.http import Http
from bundler.retries import Passing
from console import units
from mirror.transport import Fetched

BLOB_LIMIT = (8 << 30) - 1  # what the archive can hold
_DAMAGED = "the upstream is damaged, or somebody tampers with it; ask its owner"
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")

# One attempt at the content, sent with these headers.
Opener = Callable[[Mapping[str, str]], AbstractAsyncContextManager[aiohttp.ClientResponse]]


@dataclass(frozen=True, slots=True)
class Goal:
    """What is to arrive: its digest and size where they are known, its URL where the digest is not."""

    digest: Digest | None = None
    size: int | None = None
    url: str = ""

    @property
    def key(self) -> str:
        """Names the transfer in the cache, so that whoever has the same goal goes on with the same bytes."""
        if self.digest is not None:
            return f"{self.digest.algorithm}-{self.digest.hex}"
        return f"url-{hashlib.sha256(self.url.encode()).hexdigest()}"


@dataclass(slots=True, eq=False)
class Track:
    """Where a transfer stands, for whoever watches: bytes here, bytes that came over the wire in this run."""

    label: str = ""
    position: int = 0
    received: int = 0


async def bring(goal: Goal, openers: Sequence[Opener], http: Http, cache: Cache, track: Track | None = None) -> Fetched:
    """The blob, from the cache or from the first of `openers` that yields it whole. Raises `FetchFailed`, `CacheFull`.

    When all openers fail, the problem is that of the first. Nobody else fetches the same meanwhile, in this process or
    another: whoever comes second waits, and finds it here.
    """
    track = track if track is not None else Track()
    async with cache.claim(goal.key, goal.digest, goal.size) as claimed:
        if isinstance(claimed, Fetched):
            return claimed
        transfer = _Transfer(goal, claimed, track)
        await asyncio.to_thread(transfer.recover)
        problems: list[FetchFailed] = []
        for opener in openers:
            try:
                await http.persist(partial(transfer.attempt, opener), position=lambda: track.position)
                return cache.complete(claimed, transfer.sha256, goal.digest)
            except FetchFailed as problem:
                problems.append(problem)
        raise problems[0]


class _Transfer:
    """The partial file and the hash of what it holds, which never disagree."""

    def __init__(self, goal: Goal, claimed: Partial, track: Track) -> None:
        self._goal = goal
        self._partial = claimed
        self._track = track
        self._limit = BLOB_LIMIT if goal.size is None else goal.size
        self._begin()

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()

    def recover(self) -> None:
        """Brings the hash to where an earlier run left the file. Without a digest nothing proves it the same blob."""
        if self._goal.digest is None or self._partial.size > self._limit:
            self._restart()
            return
        for block in self._partial.blocks():
            self._hash(block)

    async def attempt(self, opener: Opener) -> None:
        """Goes on from where the file ends. Raises `Passing` or `FetchFailed`; what came is kept unless it is wrong."""
        if self._goal.digest is None:
            self._restart()
        began, where = self._track.position, "the cache"
        if began == 0 or began != self._goal.size:
            async with opener({"Range": f"bytes={began}-"} if began else {}) as answer:
                where = shown(answer.url)
                began = self._accept(answer, where)
                await self._receive(answer, where)
        self._check(where, in_one_piece=began == 0)

    def _accept(self, answer: aiohttp.ClientResponse, where: str) -> int:
        """Settles where the answer's bytes belong: at the end of the file, or at its beginning."""
        position, size = self._track.position, self._goal.size
        if position and answer.status == 206:
            found = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", "").strip())
            if found is None or int(found[1]) != position or (size is not None and found[3] not in {"*", str(size)}):
                self._restart()
                raise Passing(MalformedAnswer(f"{where} sends another range than it was asked for"))
            return position
        if position and answer.status == 416:
            self._restart()
            raise Passing(MalformedAnswer(f"{where} has no more than the {position} bytes that came already"))
        expect(answer, answer.url)
        if position:  # it knows no ranges, and begins again
            self._restart()
        if answer.content_length is not None and size not in {None, answer.content_length}:
            raise Passing(WrongContent(f"{where} has {answer.content_length} bytes, not {size}", hint=_DAMAGED))
        return 0

    async def _receive(self, answer: aiohttp.ClientResponse, where: str) -> None:
        track, size = self._track, self._goal.size
        async for block in answer.content.iter_any():
            if track.position + len(block) > self._limit:
                self._restart()
                if size is None:
                    raise TooLarge(f"{where} has more than the {units.size(BLOB_LIMIT)} that a crate can hold")
                raise WrongContent(f"{where} sends more than {size} bytes", hint=_DAMAGED)
            self._partial.append(block)
            self._hash(block)
            track.received += len(block)
        if size is not None and track.position < size:
            raise Passing(Unreachable(f"{where} ends after {track.position} of {size} bytes"))

    def _check(self, where: str, *, in_one_piece: bool) -> None:
        """Raises `WrongContent`, or `Passing` where pieces of different attempts may be at odds: one more, whole."""
        digest = self._goal.digest
        if digest is None or self._named.hexdigest() == digest.hex:
            return
        self._restart()
        problem = WrongContent(f"what came from {where} is not {digest}", hint=_DAMAGED)
        raise problem if in_one_piece else Passing(problem)

    def _restart(self) -> None:
        self._partial.restart()
        self._begin()

    def _begin(self) -> None:
        self._sha256 = hashlib.sha256()
        self._named = self._sha256
        if self._goal.digest is not None and self._goal.digest.algorithm != "sha256":
            self._named = hashlib.new(self._goal.digest.algorithm)
        self._track.position = 0

    def _hash(self, block: bytes) -> None:
        self._sha256.update(block)
        if self._named is not self._sha256:
            self._named.update(block)
        self._track.position += len(block)
