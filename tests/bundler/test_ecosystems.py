"""A recipe that asks every ecosystem for something: locked, explained, updated, built, and built again elsewhere."""

from __future__ import annotations

import base64
import difflib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from archive.digests import Digest
from bundler import inspection
from mirror.helm import oci
from tests.bundler.test_build import unsigned
from tests.bundler.workshop import Workshop
from tests.bundler.worlds import World, archive, world
from tests.mirror.helm.charts import Made, chart
from tests.support.registries import Registry

EPOCH = {"SOURCE_DATE_EPOCH": "1700000000"}


@pytest.fixture
def there() -> Iterator[World]:
    with world() as made:
        yield made


def names(workshop: Workshop) -> set[str]:
    return {f"{item['kind']} {item['name']} {item['version']}" for item in workshop.lock["items"]}


def requests(workshop: Workshop) -> dict[tuple[str, str], dict[str, Any]]:
    return {(request["section"], request["name"]): request for request in workshop.lock["requests"]}


def test_one_recipe_asks_all_of_them_and_the_lock_says_what_came_why_and_at_what_cost(
    there: World, tmp_path: Path
) -> None:
    workshop = there.workshop(tmp_path / "work")
    told = workshop.succeed("lock")
    assert names(workshop) == {
        *("apt clock 1.0", "apt libtime 2.0", "pypi alpha 1.0", "pypi beta 1.0", "npm @team/top 2.0.0"),
        *("npm leaf 1.0.0", "chart web 1.2.0", "chart app 0.1.0"),
    }
    for words in ("apt debian", "clock + libtime", "alpha>=1 + beta", "package-lock.json + leaf", "charts web"):
        assert words in told
    assert requests(workshop)["apt", "debian"]["asked"] == [{"what": "clock", "pulled_in": ["libtime"], "size": 1100}]
    assert json.loads(workshop.succeed("lock", "--json"))["changed"] is False
    before = (workshop.folder / "bundle.lock").read_bytes()

    shown = inspection.inspect([workshop.crate(workshop.build())])
    assert set(shown.kinds) == {"apt", "chart", "npm", "pypi"}
    assert ("pypi", "linux/arm64") in shown.platforms
    assert (workshop.folder / "bundle.lock").read_bytes() == before


def test_the_lock_is_the_same_archive_on_another_machine_whose_cache_is_empty(there: World, tmp_path: Path) -> None:
    first = there.workshop(tmp_path / "first")
    one = first.crate(first.build(**EPOCH))
    second = there.workshop(tmp_path / "elsewhere" / "second")
    shutil.copy(first.folder / "bundle.lock", second.folder)
    built = second.build("--locked")
    assert built["fetched"] > 0
    assert unsigned(second.crate(built)) == unsigned(one)


CHAINS = {
    "a dependency of a Debian package": ("libtime", ["apt debian: clock > libtime"]),
    "a package that was asked for": ("clock", ["apt debian: clock"]),
    "a Python package, however it is spelled": ("Beta", ["pypi: alpha>=1 > alpha > beta"]),
    "a package of Node.js": ("leaf", ["npm: package-lock.json > @team/top > leaf"]),
    "a scoped one": ("@team/top", ["npm: package-lock.json > @team/top"]),
    "a chart that two things bring": ("web", ["charts app: app > web", "charts web: web ^1 of URL > web"]),
}


def test_why_prints_the_chains_from_the_lock_while_no_upstream_answers(tmp_path: Path) -> None:
    with world() as there:
        workshop = there.workshop(tmp_path)
        workshop.succeed("lock")
    for name, chains in CHAINS.values():
        told = workshop.succeed("lock", "--why", name).replace(there.urls["charts"], "URL")
        assert told.splitlines() == chains
    found = json.loads(workshop.succeed("lock", "--why", "beta", "--json"))
    assert found["chains"] == [{"section": "pypi", "name": "pypi", "chain": ["alpha>=1", "alpha", "beta"]}]
    absent = workshop.run("lock", "--why", "libtimes")
    assert absent.returncode == 2
    assert "libtimes is not in the lock" in absent.stderr
    assert "libtime" in absent.stderr.partition("hint:")[2]


@pytest.mark.parametrize("name", ["debian", "clock", "apt"], ids=["by section", "by wish", "by kind"])
def test_an_update_of_one_leaves_the_others_and_differs_by_lines(name: str, there: World, tmp_path: Path) -> None:
    workshop = there.workshop(tmp_path)
    workshop.succeed("lock", **EPOCH)
    before = (tmp_path / "bundle.lock").read_text()
    there.apt.files |= archive("1.1")
    shown = json.loads(workshop.succeed("lock", "--update", name, "--json", **EPOCH))
    assert shown["resolved"] == ["debian"]
    after = (tmp_path / "bundle.lock").read_text()
    changed = [line for line in difflib.ndiff(before.splitlines(), after.splitlines()) if line[0] in "+-"]
    assert {"apt clock 1.1", "apt libtime 2.0", "pypi alpha 1.0"} < names(workshop)
    assert not [line for line in changed if "libtime" in line and "clock" not in line], "it did not change"
    assert not [line for line in changed if any(word in line for word in ("alpha", "leaf", "web"))]
    assert len(changed) < 24


def test_new_signatures_over_the_same_packages_change_nothing(there: World, tmp_path: Path) -> None:
    workshop = there.workshop(tmp_path)
    workshop.succeed("lock")
    before = (tmp_path / "bundle.lock").read_bytes()
    there.apt.files |= archive()  # signed anew, dated anew
    shown = json.loads(workshop.succeed("lock", "--json"))
    assert shown["changed"] is False
    assert (tmp_path / "bundle.lock").read_bytes() == before


def test_what_has_vanished_upstream_is_named_with_the_way_out(there: World, tmp_path: Path) -> None:
    workshop = there.workshop(tmp_path)
    workshop.succeed("lock")
    workshop.keygen()
    del there.apt.files["pool/clock_1.0.deb"]
    there.apt.files |= {path: body for path, body in archive("1.1").items() if not path.endswith("clock_1.0.deb")}
    failed = workshop.run("build", "--out", "out", "--key", "release.key")
    assert failed.returncode == 1
    assert "clock 1.0" in failed.stderr
    assert "crate-bundle lock --update debian" in failed.stderr
    assert not list((tmp_path / "out").glob("*.crate*"))
    workshop.succeed("lock", "--update", "debian")
    workshop.build()
    assert "apt clock 1.1" in names(workshop)


def test_a_local_chart_that_changed_since_is_refused_where_it_must_be_packed_again(
    there: World, tmp_path: Path
) -> None:
    workshop = there.workshop(tmp_path)
    workshop.succeed("lock")
    workshop.keygen()
    shutil.rmtree(workshop.cache)
    (tmp_path / "app" / "values.yaml").write_text("replicas: 3\n")
    failed = workshop.run("build", "--out", "out", "--key", "release.key")
    assert failed.returncode == 1
    assert "app is not what was locked as app 0.1.0" in failed.stderr
    assert "crate-bundle lock --update app" in failed.stderr


def test_everything_that_cannot_be_is_named_with_platform_and_wanted_by(there: World, tmp_path: Path) -> None:
    recipe = there.recipe().replace('packages = ["clock"]', 'packages = ["clock", "broken"]')
    recipe = recipe.replace('requirements = ["alpha>=1"]', 'requirements = ["alpha>=1", "gamma"]')
    recipe = recipe.replace('version = "^1"', 'version = "^7"')
    workshop = there.workshop(tmp_path, recipe)
    failed = workshop.run("lock")
    assert failed.returncode == 1
    assert not (tmp_path / "bundle.lock").exists()
    lines = recipe.splitlines()
    for heading, words in {
        "[[apt]]": ["for amd64", "broken", "nowhere"],
        "[[pypi]]": ["linux/arm64", "gamma"],
        "[[charts]]": ["web", "^7"],
    }.items():
        where = f"bundle.toml:{lines.index(heading) + 1}: "
        assert where in failed.stderr
        assert all(word in failed.stderr.partition(where)[2] for word in words)


def test_a_lock_for_other_platforms_is_refused_and_renewed(there: World, tmp_path: Path) -> None:
    workshop = there.workshop(tmp_path)
    workshop.succeed("lock")
    workshop.keygen()
    lock = tmp_path / "bundle.lock"
    edited = lock.read_text().replace('"platforms": ["linux/amd64", "linux/arm64"]', '"platforms": ["linux/amd64"]')
    lock.write_text(edited)
    refused = workshop.run("build", "--out", "out", "--key", "release.key")
    assert refused.returncode == 2
    assert "is for linux/amd64, and " in refused.stderr
    workshop.write(there.recipe(head='platforms = ["linux/arm64"]'))
    refused = workshop.run("build", "--out", "out", "--key", "release.key")
    assert refused.returncode == 2
    workshop.succeed("lock")
    assert workshop.lock["platforms"] == ["linux/arm64"]
    assert {item.get("platform", "") for item in workshop.lock["items"]} == {"linux/arm64", ""}


def test_what_this_machines_clients_log_in_with_is_used_and_is_nowhere_in_the_crate(tmp_path: Path) -> None:
    secret = "hid%20den"
    basic = "Basic " + base64.b64encode(b"ann:hid den").decode()
    with world({"apt": basic, "charts": basic, "pypi": basic, "npm": "Bearer t0ken-of-ann"}) as there:
        workshop = there.workshop(tmp_path, there.recipe(pypi="", npm=""))
        (tmp_path / ".netrc").write_text('machine 127.0.0.1 login ann password "hid den"\n')
        (tmp_path / ".netrc").chmod(0o600)
        place = there.urls["npm"].removeprefix("http:")
        (tmp_path / ".npmrc").write_text(f"registry={there.urls['npm']}/\n{place}/:_authToken=${{TOKEN}}\n")
        pypi = there.urls["pypi"].replace("//", f"//ann:{secret}@")
        given = {"TOKEN": "t0ken-of-ann", "PIP_INDEX_URL": pypi, **EPOCH}
        told = workshop.succeed("lock", **given)
        shutil.rmtree(workshop.cache)
        built = workshop.build("--locked", **given)
        assert built["fetched"] > 0
        everything = [told.encode(), (tmp_path / "bundle.lock").read_bytes(), workshop.crate(built).read_bytes()]
        failed = workshop.run("lock", **{**given, "PIP_INDEX_URL": pypi.replace(secret, "wr0ng-word")})
        assert failed.returncode == 1
        everything.append(failed.stderr.encode())
    for text in everything:
        for word in (b"hid den", secret.encode(), b"t0ken", b"wr0ng", b"ann:", basic.split()[1].encode()):
            assert word not in text


def push(registry: Registry, made: Made, repository: str) -> None:
    """What `helm push` does."""
    content = oci.Descriptor(oci.CONTENT, made.sha256, len(made.content))
    manifest, config = oci.build({"name": made.name, "version": made.version}, content, None)
    for blob in (made.content, config):
        _, headers, _ = registry.request("POST", f"/v2/{repository}/{made.name}/blobs/uploads/", b"")
        joint = "&" if "?" in headers["location"] else "?"
        place = f"{headers['location']}{joint}digest={Digest.of(blob)}"
        registry.request("PUT", place, blob, {"Content-Type": "application/octet-stream"})
    registry.put_manifest(f"{repository}/{made.name}", made.version, manifest)


def test_a_chart_of_a_registry_comes_with_that_registrys_login_and_keeps_its_manifest(
    tls_registry: Registry, tmp_path: Path
) -> None:
    for version in ("1.0.0", "1.1.0"):
        push(tls_registry, chart("web", version), "team/charts")
    recipe = f"""[crate]
name = "lab"
[[charts]]
name = "web"
repository = "oci://registry.example.org/team/charts"
version = "~1.1"
[upstreams]
"registry.example.org" = {{ url = "{tls_registry.url}", ca = "{tls_registry.ca}" }}
"""
    workshop = Workshop.make(tmp_path / "work", recipe)
    refused = workshop.run("lock")
    assert refused.returncode == 1
    assert "team/charts/web may not be read without credentials" in refused.stderr
    (workshop.folder / ".docker").mkdir()
    login = {"auths": {tls_registry.address: {"auth": tls_registry.credentials}}}
    (workshop.folder / ".docker" / "config.json").write_text(json.dumps(login))
    workshop.succeed("lock")
    (item,) = workshop.lock["items"]
    assert item["origin"] == "oci://registry.example.org/team/charts/web:1.1.0"
    assert {file["mediaType"] for file in item["files"]} == {oci.CONTENT, oci.MANIFEST, oci.CONFIG}
    shutil.rmtree(workshop.cache)
    built = workshop.build("--locked")
    assert built["fetched"] == sum(file["size"] for file in item["files"])
    assert tls_registry.credentials.encode() not in workshop.crate(built).read_bytes()


def test_one_package_in_two_repositories_is_in_both_and_one_of_them_moves_alone(there: World, tmp_path: Path) -> None:
    head, _, _ = there.recipe().partition("[[pypi]]")
    section = head.partition("[[apt]]")[2]
    workshop = there.workshop(tmp_path, f"{head}\n[[apt]]{section.replace('debian', 'spare')}")
    workshop.succeed("lock")
    places = {(item["name"], item["publish"]["repository"]) for item in workshop.lock["items"]}
    assert places == {(name, place) for name in ("clock", "libtime") for place in ("debian", "spare")}
    there.apt.files |= archive("1.1")
    workshop.succeed("lock", "--update", "spare")
    clocks = {(item["version"], item["publish"]["repository"]) for item in workshop.lock["items"]}
    assert clocks == {("1.0", "debian"), ("1.1", "spare"), ("2.0", "debian"), ("2.0", "spare")}
    assert inspection.inspect([workshop.crate(workshop.build())]).kinds.keys() == {"apt"}
