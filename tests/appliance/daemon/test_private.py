"""`serve --private`: without a token nothing can be read, and nothing found out."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from appliance.access import Role
from tests.appliance.daemon import serving
from tests.appliance.daemon.conftest import HELD
from tests.appliance.daemon.serving import largest_layer
from tests.support.images import MadeImage


def test_a_private_crate_answers_nobody_without_a_token(tmp_path: Path, held: MadeImage) -> None:
    root = tmp_path / "store"
    serving.hold(root, HELD, held.layout, {"1": held.digest}, {"tool": b"x"})
    digest, data = largest_layer(held)
    with serving.crate(root, "--private", tls=True) as crate:
        for path in (f"/v2/{HELD}/manifests/1", f"/v2/{HELD}/blobs/{digest}", "/files/tool", "/token"):
            assert crate.request("GET", path, token="").status == 401, path
        assert crate.request("GET", "/v2/", token="anonymous").status == 401
        basic = {"Authorization": "Basic " + base64.b64encode(b"x:anonymous").decode()}
        assert crate.request("GET", "/token", headers=basic).status == 401, "docker login would believe it"
        assert crate.request("GET", f"/v2/{HELD}/blobs/{digest}", token="", port=crate.plain).status == 401
        reader = serving.make_token(root, Role.READER)
        assert crate.request("GET", f"/v2/{HELD}/manifests/1", token=reader).status == 200
        assert crate.request("GET", f"/v2/{HELD}/blobs/{digest}", token=reader).body == data
        assert crate.request("GET", "/files/tool", token=reader).body == b"x"


@pytest.mark.parametrize("token", ["", "anonymous", "crate_00000000_" + "A" * 43], ids=["none", "anonymous", "made up"])
def test_a_private_crate_does_not_tell_what_it_holds(tmp_path: Path, held: MadeImage, token: str) -> None:
    """Every route gives the same answer for what is there and for what is not."""
    root = tmp_path / "store"
    serving.hold(root, HELD, held.layout, {"1": held.digest}, {"tool": b"x"})
    digest, _ = largest_layer(held)
    absent = f"sha256:{'0' * 64}"
    with serving.crate(root, "--private", tls=True) as crate:

        def answers(method: str, *paths: str, port: int = 0) -> set[tuple[int, str]]:
            found = set()
            for path in paths:
                answer = crate.request(method, path, token=token, port=port)
                found.add((answer.status, answer.headers.get("www-authenticate", "").partition(",scope")[0]))
            return found

        for method in ("GET", "HEAD", "DELETE"):
            for kind, here, gone in (("manifests", "1", "2"), ("blobs", digest, absent)):
                paths = [
                    f"/v2/{HELD}/{kind}/{here}",
                    f"/v2/{HELD}/{kind}/{gone}",
                    f"/v2/docker.io/absent/{kind}/{here}",
                ]
                ((status, challenge),) = answers(method, *paths)
                assert (status, challenge[:14]) == (401, 'Bearer realm="'), (method, kind)
        for here, gone in (
            (f"/v2/{HELD}/tags/list", "/v2/docker.io/absent/tags/list"),
            (f"/v2/{HELD}/referrers/{held.digest}", f"/v2/{HELD}/referrers/{absent}"),
            ("/v2/library/held/manifests/1?ns=docker.io", "/v2/library/held/manifests/1?ns=quay.io"),
            ("/v2/_catalog", "/v2/_catalog?n=1"),
            ("/files/tool", "/files/absent"),
            ("/files/", "/files/"),
        ):
            ((status, _),) = answers("GET", here, gone)
            assert status == 401, here
        mount = f"/v2/team/app/blobs/uploads/?mount={digest}&from={HELD}"
        ((status, _),) = answers("POST", mount, mount.replace(digest, absent))
        assert status == 401
        for method in ("GET", "HEAD"):
            paths = [f"/v2/{HELD}/blobs/{digest}", f"/v2/{HELD}/blobs/{absent}"]
            ((status, _),) = answers(method, *paths, port=crate.plain)
            assert status in {401, 403}
        for path in ("/files/tool", "/v2/_catalog", f"/v2/{HELD}/manifests/1", f"/v2/{HELD}/tags/list"):
            ((status, _),) = answers("GET", path, port=crate.plain)
            assert status in {404, 405}, path
