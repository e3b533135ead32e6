"""What a pushing client was told is here stays until it has pushed the rest."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from pathlib import Path

import pytest

from appliance.access import Role
from appliance.collect import collect
from appliance.manifest import OCI_MANIFEST
from appliance.store import Store
from archive.digests import Digest
from tests.appliance.daemon import serving
from tests.appliance.daemon.serving import Crate, sha256


def touched(crate: Crate, digest: str, to: int | None = None) -> int:
    with Store.open(crate.root) as store:
        raw = bytes.fromhex(Digest.parse(digest).hex)
        if to is not None:
            with store.database.write() as connection:
                connection.execute("UPDATE blobs SET touched = ? WHERE digest = ?", (to, raw))
        return int(store.database.reader.execute("SELECT touched FROM blobs WHERE digest = ?", (raw,)).fetchone()[0])


def test_what_a_pusher_asks_for_outlives_the_next_collection(tmp_path: Path) -> None:
    with serving.crate(tmp_path / "store") as crate:
        layer = crate.push_blob("people/grace", b"a layer that was pushed long ago")
        config = crate.push_blob("people/grace", b"{}")
        stray = crate.push_blob("people/grace", b"nobody asks for this one")
        layers = [{"mediaType": "x", "digest": layer}]
        body = json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": layers}).encode()
        untagged = f"/v2/people/grace/manifests/{sha256(body)}"
        assert crate.request("PUT", untagged, body, {"Content-Type": OCI_MANIFEST}).status == 201
        for digest in (layer, config, stray, sha256(body)):
            touched(crate, digest, 0)
        assert crate.request("HEAD", untagged).status == 200
        assert crate.request("HEAD", f"/v2/people/grace/blobs/{config}").status == 200
        with Store.open(crate.root) as store:
            collect(store, grace=timedelta(hours=2))
        for path in (untagged, f"/v2/people/grace/blobs/{config}", f"/v2/people/grace/blobs/{layer}"):
            assert crate.request("GET", path).status == 200
        assert crate.request("HEAD", f"/v2/people/grace/blobs/{stray}").status == 404


def test_a_manifest_without_media_types_is_told_what_it_lacks(plain_crate: Crate) -> None:
    body = json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": [{"digest": sha256(b"x")}]}).encode()
    answer = plain_crate.request("PUT", "/v2/people/lacking/manifests/1", body, {"Content-Type": OCI_MANIFEST})
    assert (answer.status, answer.code) == (400, "MANIFEST_INVALID")
    assert b"a descriptor in the manifest has no 'mediaType'" in answer.body


@pytest.mark.parametrize(
    ("method", "role"),
    [("HEAD", None), ("HEAD", Role.READER), ("GET", Role.PUBLISHER)],
    ids=["anybody's HEAD", "a reader's HEAD", "a publisher's GET"],
)
def test_others_keep_nothing(plain_crate: Crate, method: str, role: Role | None) -> None:
    digest = plain_crate.push_blob("people/grace2", b"a layer that others look at")
    touched(plain_crate, digest, 5)
    token = serving.make_token(plain_crate.root, role) if role else ""
    assert plain_crate.request(method, f"/v2/people/grace2/blobs/{digest}", token=token).status == 200
    assert touched(plain_crate, digest) == 5


def test_asking_again_and_again_is_not_written_down_again_and_again(plain_crate: Crate) -> None:
    digest = plain_crate.push_blob("people/grace3", b"a layer that is asked for often")
    recent = int(time.time()) - 3000
    touched(plain_crate, digest, recent)
    assert plain_crate.request("HEAD", f"/v2/people/grace3/blobs/{digest}").status == 200
    assert touched(plain_crate, digest) == recent


def test_a_pusher_asks_by_sha512_too(plain_crate: Crate) -> None:
    data = b"a layer with another name"
    named = str(Digest.of(data, "sha512"))
    plain_crate.push_blob("people/grace4", data, named)
    touched(plain_crate, sha256(data), 0)
    assert plain_crate.request("HEAD", f"/v2/people/grace4/blobs/{named}").status == 200
    assert touched(plain_crate, sha256(data)) > 0
