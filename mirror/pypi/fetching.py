"""Brings chosen files into the cache, checks what the index or lock said of them, and reads what they say."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable

from mirror import origins
from mirror.ecosystem import ResolveContext
from mirror.errors import PublicationClash, WrongDigest
from mirror.pypi.choosing import Choice
from mirror.pypi.wheels import Metadata, read_sdist, read_wheel
from mirror.together import together
from mirror.transport import Fetched

AT_ONCE = 24
"""Transfers in flight: enough to hide a slow index; the transport keeps its own limit per host."""

_STRONG = ("sha256", "sha384", "sha512", "blake2b", "sha3_256", "sha3_512")


class Files:
    """Every file of the section, once, by its name: an index cannot hold two under one name."""

    def __init__(self, context: ResolveContext) -> None:
        self._context = context
        self._choices: dict[str, Choice] = {}
        self._fetched: dict[str, Fetched] = {}
        self._metadata: dict[str, Metadata] = {}
        self._builds: dict[str, tuple[str, ...]] = {}

    async def fetch(self, choices: Iterable[Choice]) -> None:
        """Raises `PublicationClash` for two files of one name, `WrongDigest`, `BadIndex`, and the transport's."""
        fresh: dict[str, Choice] = {}
        for choice in choices:
            known = self._choices.setdefault(choice.file, choice)
            if known.hashes.get("sha256", "") != choice.hashes.get("sha256", ""):
                raise PublicationClash(
                    f"{choice.file} is one file at {known.url} and another at {choice.url}",
                    hint="take the project from one index, or split the section in two crates",
                )
            if choice.file not in self._fetched:
                fresh[choice.file] = choice
        largest_first = sorted(fresh.values(), key=lambda choice: (-(choice.size or 0), choice.file))
        total = sum(choice.size or 0 for choice in largest_first)
        with self._context.progress.task("fetching Python packages", total) as task:

            async def one(choice: Choice) -> None:
                await self._fetch(choice)
                task.advance(self._fetched[choice.file].size)

            await together([one(choice) for choice in largest_first], limit=AT_ONCE)

    def fetched(self, choice: Choice) -> Fetched:
        return self._fetched[choice.file]

    def metadata(self, choice: Choice) -> Metadata:
        return self._metadata[choice.file]

    def build_requires(self, choice: Choice) -> tuple[str, ...]:
        """What building this sdist takes (PEP 518)."""
        return self._builds[choice.file]

    def origin(self, choice: Choice) -> str:
        """Where it came from, as the lock records it."""
        if choice.path is None:
            return origins.public_url(choice.url)
        return origins.local(str(choice.path), self._context.base)

    async def _fetch(self, choice: Choice) -> None:
        if choice.path is None:
            sha256 = choice.hashes.get("sha256", "").lower()
            fetched = await self._context.transport.fetch(choice.url, sha256=sha256, size=choice.size)
        else:
            fetched = await self._context.transport.adopt(choice.path.resolve())
        self._fetched[choice.file] = fetched
        await asyncio.to_thread(self._check, choice, fetched)
        # in this thread: requirements are parsed with `ast`, which CPython 3.11 cannot do in two threads at once
        self._read(choice, fetched)

    def _check(self, choice: Choice, fetched: Fetched) -> None:
        for algorithm in _STRONG:
            expected = choice.hashes.get(algorithm)
            if expected is None:
                continue
            with fetched.path.open("rb") as content:
                found = fetched.sha256 if algorithm == "sha256" else hashlib.file_digest(content, algorithm).hexdigest()
            if found != expected.lower():
                raise WrongDigest(
                    f"{choice.file} has {algorithm} {found}, and {expected} was promised",
                    hint="the file changed after it was locked, or on its way; lock again if you trust the new one",
                )

    def _read(self, choice: Choice, fetched: Fetched) -> None:
        with fetched.path.open("rb") as content:
            if choice.parsed.sdist:
                self._metadata[choice.file], self._builds[choice.file] = read_sdist(content, choice.file)
            else:
                self._metadata[choice.file] = read_wheel(content, choice.file)


def checked(choice: Choice) -> str:
    """The strongest word of upstream that `Files` has held this choice's file against."""
    return next((algorithm for algorithm in _STRONG if algorithm in choice.hashes), "")
