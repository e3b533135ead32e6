"""The registry client against Debian's docker-registry, plain and with TLS and a password, and what it lacks."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from archive.digests import Digest
from archive.references import Reference
from bundler import oci
from bundler.cache import Cache
from bundler.errors import AccessDenied, ImageInvalid, NotFound, Unreachable, UntrustedServer, WrongContent
from bundler.fetch import RegistryBlob, RegistryManifest, Wanted, fetch_all
from bundler.registry import RegistryClient
from bundler.transport import CachedTransport
from mirror.transport import Transport
from tests.bundler.clients import APP, client, login, password
from tests.support import faulty
from tests.support.faulty import MANIFEST_TYPE, faulty_registry
from tests.support.images import MadeImage, make_layout
from tests.support.registries import Registry

INDEX = "application/vnd.oci.image.index.v1+json"


def pushed(registry: Registry, folder: Path, **options: Any) -> MadeImage:
    """An image of two platforms, in a layout and in the registry as team/app:1."""
    made = make_layout(folder / "layout", str(APP), **options)
    registry.push(made.layout, made.digest, "team/app", "1")
    return made


async def walk(registry: RegistryClient, reference: Reference) -> list[Wanted]:
    """Everything that an image consists of, as a resolver finds it."""
    found = await registry.manifest(reference)
    at = reference.at(found.digest)
    wanted = [Wanted(found.digest.hex, len(found.body), (RegistryManifest(at),), str(at))]
    if found.media_type in oci.INDEX_TYPES:
        for member in oci.parse_index(found.body, str(at)):
            wanted += await walk(registry, reference.at(member.digest))
        return wanted
    manifest = oci.parse_manifest(found.body, str(at))
    for blob in [*manifest.layers, *([manifest.config] if manifest.config else [])]:
        source = RegistryBlob(reference.at(blob.digest))
        wanted.append(Wanted(blob.digest.hex, blob.size, (source,), str(blob.digest)))
    return wanted


@pytest.mark.parametrize("docker", [False, True], ids=["OCI", "docker schema 2"])
def test_an_image_arrives_whole(registry: Registry, tmp_path: Path, docker: bool) -> None:
    made = pushed(registry, tmp_path, docker=docker)
    cache = Cache(tmp_path / "cache")

    async def run() -> None:
        async with client(registry.url) as pulling:
            wanted = await walk(pulling, APP)
            report = await fetch_all(wanted, pulling, cache)
            assert report.fetched == sum(one.size for one in wanted)

    asyncio.run(run())
    blobs = [path for path in (made.folder / "blobs").rglob("*") if path.is_file()]
    assert len(blobs) == 9
    for path in blobs:
        assert cache.path(path.name).read_bytes() == path.read_bytes()


def test_tags_and_digests_resolve_to_the_same(registry: Registry, tmp_path: Path) -> None:
    made = pushed(registry, tmp_path)
    digest = Digest.parse(made.digest)

    async def run() -> None:
        async with client(registry.url) as pulling:
            by_tag, by_digest = await pulling.resolve(APP), await pulling.resolve(APP.at(digest))
            assert by_tag == by_digest == oci.Descriptor(digest, made.root["size"], INDEX)
            both = Reference(APP.host, APP.repository, "1", digest)
            assert (await pulling.manifest(both)).digest == digest
            with pytest.raises(NotFound) as caught:
                await pulling.resolve(Reference(APP.host, APP.repository, "2"))
            assert caught.value.what == "registry.example.org/team/app:2 does not exist"

    asyncio.run(run())


def test_a_registry_that_does_not_answer_head_is_asked_with_get() -> None:
    with faulty_registry() as server:
        digest = server.manifest("team/app", b'{"schemaVersion":2}', "1")
        server.faults["manifest"].append(faulty.answer(405))

        async def run() -> oci.Descriptor:
            async with client(server.url) as pulling:
                return await pulling.resolve(APP)

        assert asyncio.run(run()) == oci.Descriptor(Digest.parse(digest), 19, MANIFEST_TYPE)


def test_tls_and_a_password(tls_registry: Registry, tmp_path: Path) -> None:
    made = pushed(tls_registry, tmp_path)
    known = login(tmp_path, {tls_registry.address: password("robot", tls_registry.password)})

    async def run() -> None:
        async with client(tls_registry.url, ca=tls_registry.ca, credentials=known) as pulling:
            wanted = await walk(pulling, APP)
            await fetch_all(wanted, pulling, Cache(tmp_path / "cache"))
            assert str((await pulling.resolve(APP)).digest) == made.digest

    asyncio.run(run())


def test_a_wrong_password_is_told_with_the_file_it_came_from(tls_registry: Registry, tmp_path: Path) -> None:
    known = login(tmp_path, {tls_registry.address: password("robot", "guessed")})

    async def run() -> None:
        async with client(tls_registry.url, ca=tls_registry.ca, credentials=known) as pulling:
            await pulling.manifest(APP)

    with pytest.raises(AccessDenied) as caught:
        asyncio.run(run())
    assert str(tmp_path / "auth.json") in caught.value.what
    assert "guessed" not in caught.value.what + caught.value.hint
    assert f"docker login {tls_registry.address}" in caught.value.hint


def test_a_ca_that_nobody_named_is_not_trusted(tls_registry: Registry) -> None:
    async def run() -> None:
        async with client(tls_registry.url) as pulling:
            await pulling.manifest(APP)

    with pytest.raises(UntrustedServer) as caught:
        asyncio.run(run())
    assert "[upstreams]" in caught.value.hint


def test_plain_http_is_not_spoken_unless_asked_for(registry: Registry) -> None:
    reference = Reference.parse(f"localhost:{registry.address.split(':')[1]}/team/app:1")

    async def run() -> None:
        async with client(registry.url) as pulling:
            await pulling.manifest(reference)

    with pytest.raises(UntrustedServer) as caught:
        asyncio.run(run())
    assert f'"{reference.host}" = "http://{reference.host}"' in caught.value.hint


def test_nobody_at_home_is_said_with_the_host() -> None:
    async def run() -> None:
        async with client("http://127.0.0.1:1") as pulling:
            await pulling.manifest(APP)

    with pytest.raises(Unreachable) as caught:
        asyncio.run(run())
    assert caught.value.what == "no connection to 127.0.0.1:1: Connection refused"


def artifact(subject: str) -> bytes:
    return json.dumps({"mediaType": MANIFEST_TYPE, "subject": {"digest": subject}}).encode()


def index_of(*artifacts: bytes) -> bytes:
    members = [
        {"mediaType": MANIFEST_TYPE, "digest": str(Digest.of(one)), "size": len(one), "artifactType": "a/b"}
        for one in artifacts
    ]
    return json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": members}).encode()


SUBJECT = Digest.of(b"subject")
ONE, TWO = artifact(f"{SUBJECT}"), artifact(f"{SUBJECT} again")


def attached(url: str) -> list[Digest]:
    async def run() -> list[Digest]:
        async with client(url) as pulling:
            return [one.digest for one in await pulling.referrers(APP.at(SUBJECT))]

    return asyncio.run(run())


def test_referrers_come_page_by_page() -> None:
    with faulty_registry() as server:
        server.referrers[str(SUBJECT)] = [index_of(ONE), index_of(TWO)]
        assert attached(server.url) == [Digest.of(ONE), Digest.of(TWO)]
        assert len(server.seen) == 2


def test_without_the_api_the_fallback_tag_says_it(registry: Registry, tmp_path: Path) -> None:
    made = pushed(registry, tmp_path, referrers=("application/vnd.example.sbom",))
    (sbom,) = made.referrers
    registry.push(made.layout, sbom["digest"], "team/app")
    listing = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [sbom]}
    registry.put_manifest("team/app", made.digest.replace(":", "-"), json.dumps(listing).encode())

    async def run() -> list[oci.Descriptor]:
        async with client(registry.url) as pulling:
            return await pulling.referrers(APP.at(Digest.parse(made.digest)))

    (found,) = asyncio.run(run())
    assert str(found.digest) == sbom["digest"]
    assert found.fields["artifactType"] == "application/vnd.example.sbom"


REFERRERS = {
    "nothing": None,
    "404": faulty.answer(404),
    "a web page": faulty.answer(200, body=b"<html>", media_type="text/html"),
    "500, which some registries do to what they do not know": faulty.answer(500),
    "400": faulty.answer(400),
}


@pytest.mark.parametrize("fault", REFERRERS.values(), ids=REFERRERS.keys())
def test_a_registry_without_the_api_and_without_the_tag_answers(fault: faulty.Fault | None) -> None:
    with faulty_registry() as server:
        if fault is not None:
            server.always["referrers"] = fault
        assert attached(server.url) == []


def test_a_list_of_referrers_that_is_none_is_refused() -> None:
    with faulty_registry() as server:
        server.referrers[str(SUBJECT)] = [b'{"manifests":[{"digest":"sha256:short"}]}']
        with pytest.raises(ImageInvalid):
            attached(server.url)


def test_cosigns_tags_are_found(registry: Registry, tmp_path: Path) -> None:
    made = pushed(registry, tmp_path)
    child = next(iter(made.manifests.values()))
    tag = f"{made.digest.replace(':', '-')}.sig"
    registry.put_manifest("team/app", tag, made.layout.path(child["digest"]).read_bytes())

    async def run() -> dict[str, oci.Descriptor]:
        async with client(registry.url) as pulling:
            return await pulling.cosign_tags(APP.at(Digest.parse(made.digest)))

    found = asyncio.run(run())
    assert {name: str(one.digest) for name, one in found.items()} == {tag: child["digest"]}


def test_the_transport_reads_measures_fetches_and_adopts(tmp_path: Path) -> None:
    data = b"a file" * 1000
    with faulty_registry() as server:
        server.files["x"] = data
        url = "https://registry.example.org/files/x"

        async def run() -> None:
            async with client(server.url) as pulling:
                cache = Cache(tmp_path / "cache")
                transport: Transport = CachedTransport(pulling, cache)
                assert (await transport.read(url, limit=len(data))).body == data
                assert await transport.size(url) == len(data)
                server.faults["file"].append(faulty.answer(405))
                assert await transport.size(url) == len(data)
                unknown = await transport.fetch(url)
                assert unknown.sha256 == Digest.of(data).hex
                asked = len(server.seen)
                assert await transport.fetch(url, sha256=unknown.sha256, size=len(data)) == unknown
                assert len(server.seen) == asked
                named = hashlib.sha512(data).hexdigest()
                assert await transport.fetch(url, sha512=named) == unknown, "found out by reading it once more"
                asked = len(server.seen)
                assert await transport.fetch(url, sha512=named) == unknown
                assert len(server.seen) == asked
                with pytest.raises(WrongContent):
                    await transport.fetch(url, sha512="0" * 128)
                assert await transport.adopt(unknown.path) == unknown

        asyncio.run(run())
