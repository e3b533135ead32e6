"""The registry client: what the distribution specification 1.1 says a client does to pull, and no more."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import aiohttp
from yarl import URL

from archive.digests import Digest
from archive.errors import InvalidValue
from archive.references import Reference
from bundler import oci
from bundler.answers import body, expect, parse
from bundler.credentials import Credentials
from bundler.errors import MalformedAnswer, NotFound, ServerFailed, WrongContent
from bundler.http import Http
from bundler.retries import Passing
from bundler.tokens import Authorizer, Place
from bundler.upstreams import registry_host

MANIFEST_LIMIT = 4 << 20
_ACCEPT = f"{oci.INDEX}, {oci.MANIFEST}, {oci.DOCKER_LIST}, {oci.DOCKER_MANIFEST}"
_KNOWN = oci.INDEX_TYPES | oci.MANIFEST_TYPES
_NEXT = re.compile(r'<([^>]*)>\s*;\s*rel="?next"?', re.IGNORECASE)
_MAX_PAGES = 100
_COSIGN = ("sig", "att", "sbom")


@dataclass(frozen=True, slots=True)
class RawManifest:
    """A manifest or an index as its registry keeps it, checked against the digest it was asked for by."""

    body: bytes
    media_type: str
    digest: Digest


class RegistryClient:
    """Pulls from any registry. Every method raises `FetchFailed` for what the registry or the network does wrong."""

    def __init__(self, http: Http, credentials: Credentials) -> None:
        self.http = http
        self._authorizer = Authorizer(http, credentials)

    async def resolve(self, reference: Reference) -> oci.Descriptor:
        """What a tag or digest names now, without fetching it where the registry says enough."""
        stated = await self.http.persist(lambda: self._head(reference))
        if stated is not None:
            return stated
        found = await self.manifest(reference)
        return oci.Descriptor(found.digest, len(found.body), found.media_type)

    async def manifest(self, reference: Reference) -> RawManifest:
        """The manifest or index of a tag or, when the reference has one, a digest; at most 4 MiB."""
        return await self.http.persist(lambda: self._manifest(reference))

    async def referrers(self, reference: Reference) -> list[oci.Descriptor]:
        """What is attached to the manifest that `reference` names by digest: by the API, else by the fallback tag.

        Raises `ImageInvalid` for a list that is none.
        """
        digest = _digest(reference)
        found = await self._listed(reference, digest)
        if found is not None:
            return found
        try:
            fallback = await self.manifest(_tagged(reference, _fallback_tag(digest)))
        except NotFound:
            return []
        where = f"the referrers of {reference}"
        return list(oci.parse_index(fallback.body, where)) if fallback.media_type in oci.INDEX_TYPES else []

    async def cosign_tags(self, reference: Reference) -> dict[str, oci.Descriptor]:
        """Signatures, attestations and SBOMs that cosign left under tags of its own, by tag."""
        base = _fallback_tag(_digest(reference))
        found = {}
        for tag in (f"{base}.{suffix}" for suffix in _COSIGN):
            try:
                found[tag] = await self.resolve(_tagged(reference, tag))
            except NotFound:
                continue
        return found

    @asynccontextmanager
    async def open(
        self, reference: Reference, headers: Mapping[str, str], *, manifest: bool = False
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """One attempt at a blob, or a manifest as one blob among others, by its digest; see `Http.open`."""
        kind, sent = ("manifests", {**headers, "Accept": _ACCEPT}) if manifest else ("blobs", headers)
        async with self.api(reference, f"{kind}/{_digest(reference)}", headers=sent, pinned=True) as answer:
            yield answer

    async def _head(self, reference: Reference) -> oci.Descriptor | None:
        """None when the registry leaves out digest, size or type, or does not like to be asked this way."""
        path = f"manifests/{reference.digest or reference.tag}"
        async with self.api(reference, path, method="HEAD", headers={"Accept": _ACCEPT}) as answer:
            if answer.status == 404:
                raise _missing(reference)
            if answer.status != 200:
                return None
            media_type, size = answer.content_type, answer.content_length
            try:
                digest = reference.digest or Digest.parse(answer.headers.get("Docker-Content-Digest", ""))
            except InvalidValue:
                return None
        if size is None or media_type not in _KNOWN:
            return None
        return oci.Descriptor(digest, size, media_type)

    async def _manifest(self, reference: Reference) -> RawManifest:
        path = f"manifests/{reference.digest or reference.tag}"
        async with self.api(
            reference, path, headers={"Accept": _ACCEPT}, pinned=reference.digest is not None
        ) as answer:
            if answer.status == 404:
                raise NotFound(f"{reference} does not exist", hint="check host, repository and tag")
            expect(answer, answer.url)
            content = await body(answer, answer.url, MANIFEST_LIMIT)
            stated, media_type = answer.headers.get("Docker-Content-Digest", ""), answer.content_type
        digest = _checked(content, reference, stated)
        if media_type not in _KNOWN:
            media_type = oci.media_type(content, str(reference))
        return RawManifest(content, media_type, digest)

    async def _listed(self, reference: Reference, digest: Digest) -> list[oci.Descriptor] | None:
        """The referrers API, page by page; None where it does not exist ("Listing Referrers")."""
        found: list[oci.Descriptor] = []
        path = f"referrers/{digest}"
        for _ in range(_MAX_PAGES):
            page = await self.http.persist(partial(self._page, reference, path))
            if page is None:
                return None
            content, following = page
            found += oci.parse_index(content, f"the referrers of {reference}")
            if not following:
                return found
            path = f"referrers/{digest}?{following}"
        raise MalformedAnswer(f"the referrers of {reference} have more than {_MAX_PAGES} pages")

    async def _page(self, reference: Reference, path: str) -> tuple[bytes, str] | None:
        """A page and the query of the next one, which is empty after the last."""
        try:
            async with self.api(reference, path, headers={"Accept": oci.INDEX}) as answer:
                if answer.status != 200 or answer.content_type != oci.INDEX:
                    return None
                following = _NEXT.search(answer.headers.get("Link", ""))
                content = await body(answer, answer.url, MANIFEST_LIMIT)
                return content, URL(following[1], encoded=True).raw_query_string if following else ""
        except Passing as trouble:
            # registries without this API answer it with all sorts of things, 500 among them
            if isinstance(trouble.problem, ServerFailed):
                return None
            raise

    @asynccontextmanager
    async def api(
        self,
        reference: Reference,
        path: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str],
        pinned: bool = False,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """One request below `/v2/<repository>/`, authorised: with what is known, then with what a 401 teaches."""
        url = parse(f"https://{registry_host(reference.host)}/v2/{reference.repository}/{path}")
        place = Place(self.http.locate(url).origin(), reference.repository)
        for last in (False, True):
            known = await self._authorizer.headers(place)
            async with self.http.open(url, method=method, headers={**headers, **known}, pinned=pinned) as answer:
                if answer.status == 401 and not last and self._authorizer.challenged(place, answer, known):
                    continue
                if answer.status in {401, 403}:
                    raise await self._authorizer.refusal(place, answer.status)
                yield answer
                return


def _checked(content: bytes, reference: Reference, stated: str) -> Digest:
    """The digest of a manifest that is the one asked for, or that the registry says it is. Raises `Passing`."""
    try:
        wanted = reference.digest or (Digest.parse(stated) if stated else None)
    except InvalidValue:
        wanted = None
    if wanted is not None and Digest.of(content, wanted.algorithm) != wanted:
        raise Passing(WrongContent(f"the registry's manifest of {reference} is not the one of digest {wanted}"))
    return reference.digest or Digest.of(content)


def _missing(reference: Reference) -> NotFound:
    return NotFound(f"{reference} does not exist", hint="check host, repository and tag")


def _digest(reference: Reference) -> Digest:
    if reference.digest is None:
        raise InvalidValue(f"{reference} has no digest, and one is needed here")
    return reference.digest


def _fallback_tag(digest: Digest) -> str:
    """The specification's "Referrers Tag Schema": the algorithm and at most 64 digits."""
    return f"{digest.algorithm}-{digest.hex[:64]}"


def _tagged(reference: Reference, tag: str) -> Reference:
    return Reference(reference.host, reference.repository, tag)
