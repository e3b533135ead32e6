"""The command line as a script sees it: exit codes, JSON, and messages that say what to do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.appliance.commands import run
from tests.support.crates import CrateMaker, Key, make_key


@pytest.fixture
def crate(tmp_path: Path, key: Key) -> Path:
    maker = CrateMaker(tmp_path / "blobs")
    maker.file("tool", b"a tool" * 100_000)
    return maker.write(tmp_path / "site-1.crate", [key])[0]


def test_from_trust_to_rollback(tmp_path: Path, key: Key, crate: Path) -> None:
    root = tmp_path / "root"
    assert run(root, "trust", "add", key.public, "--as", "release").returncode == 0
    verified = run(root, "verify", crate, "--json")
    assert json.loads(verified.stdout)[0]["signed_by"] == ["release"]
    installed = json.loads(run(root, "install", crate, "--json").stdout)
    assert (installed["generation"], installed["active"]) == (1, ["site 1"])
    maker = CrateMaker(tmp_path / "blobs", serial=2)
    maker.file("tool", b"another" * 100_000)
    (second,) = maker.write(tmp_path / "site-2.crate", [key])
    assert "generation 2 is active now: site 2" in run(root, "install", second).stdout
    state = json.loads(run(root, "status", "--json").stdout)
    assert state["generation"] == 2
    assert state["items"] == {"file": 1}
    assert [crate["serial"] for crate in state["crates"]] == [2]
    assert "generation 1 is active: site 1" in run(root, "rollback").stdout
    assert "site 1" in run(root, "status").stdout
    assert run(root, "rollback", "2").returncode == 0
    gone = json.loads(run(root, "gc", "--keep", "1", "--json").stdout)
    assert (gone["generations"], gone["packs"]) == (1, 1)
    listed = json.loads(run(root, "trust", "list", "--json").stdout)
    assert listed["floors"] == {"site": 2}
    assert listed["trusted"][0]["principal"] == "release"


@pytest.mark.parametrize("verb", ["install", "verify"])
def test_a_refusal_for_trust_is_exit_code_3_and_names_the_crate(tmp_path: Path, crate: Path, verb: str) -> None:
    refused = run(tmp_path / "root", verb, crate)
    assert refused.returncode == 3
    assert "crate-appliance: site-1.crate: it is signed by" in refused.stderr
    assert "not trusted here" in refused.stderr
    assert "hint: " in refused.stderr
    assert "Traceback" not in refused.stderr


KEYS = {
    "the private key": ("release", "this is a private key", ".pub"),
    "half a fingerprint": ("SHA256:abc", "not a whole fingerprint", "43 characters"),
    "not there": ("absent.pub", "absent.pub cannot be read: No such file or directory\n", ".pub"),
    "a folder": (".", "cannot be read: Is a directory\n", ".pub"),
}


@pytest.mark.parametrize(("given", "said", "hint"), KEYS.values(), ids=KEYS)
def test_what_is_no_public_key(tmp_path: Path, given: str, said: str, hint: str) -> None:
    make_key(tmp_path)
    path = given if given.startswith("SHA256:") else tmp_path / given
    refused = run(tmp_path / "root", "trust", "add", path, "--as", "release")
    assert refused.returncode == 2
    assert str(path) in refused.stderr
    assert said in refused.stderr
    assert hint in refused.stderr.partition("hint: ")[2]


def test_a_missing_part_is_exit_code_1_and_status_shows_what_is_unfinished(tmp_path: Path, key: Key) -> None:
    root = tmp_path / "root"
    maker = CrateMaker(tmp_path / "blobs")
    maker.file("tool", bytes(range(256)) * 4000)
    parts = maker.write(tmp_path / "all/site-1.crate", [key], part_size=300_032)
    (tmp_path / "stick").mkdir()
    shutil.copy(parts[0], tmp_path / "stick")
    run(root, "trust", "add", key.public, "--as", "release")
    failed = run(root, "install", tmp_path / "stick")
    assert failed.returncode == 1
    assert "site-1.crate.001 is missing (needed by file tool 1)" in failed.stderr
    assert "the missing site-1.crate.001" in failed.stderr
    assert "unfinished: site 1 (site-1.crate)" in run(root, "status").stdout
    assert run(root, "install", tmp_path / "all").returncode == 0
    assert "unfinished" not in run(root, "status").stdout


WRONG_USE: dict[str, tuple[list[str], str]] = {
    "a path that is not there": (["install", "nowhere.crate"], "does not exist"),
    "no path at all": (["install"], "Missing argument"),
    "status without a store": (["status"], "there is no store at"),
    "a key file that is not there": (["trust", "add", "nowhere.pub", "--as", "x"], "nowhere.pub"),
    "a key without a name": (["trust", "add", "SHA256:" + "A" * 43], "Missing option '--as'"),
    "rollback without a store": (["rollback"], "there is no store at"),
    "a plan without a store": (["plan"], "there is no store at"),
    "a wave that there is not": (["deploy", "--only", "agent"], "'agent' is not one of 'preflight', 'base', 'server'"),
    "a kubeconfig without a site": (["kubeconfig"], "no site file is in force"),
    "a site file that is not there": (["install", __file__, "--site", "nowhere.toml"], "nowhere.toml"),
    "keeping no generation": (["gc", "--keep", "0"], "Invalid value for '--keep'"),
}


@pytest.mark.parametrize(("words", "message"), WRONG_USE.values(), ids=WRONG_USE)
def test_wrong_use_is_exit_code_2_and_makes_nothing(tmp_path: Path, words: list[str], message: str) -> None:
    done = run(tmp_path / "root", *words)
    assert done.returncode == 2
    assert message in done.stderr
    assert not (tmp_path / "root").exists()


def test_a_file_that_is_no_crate_is_exit_code_2(tmp_path: Path) -> None:
    (tmp_path / "holiday.crate").write_bytes(b"not a crate" * 1000)
    done = run(tmp_path / "root", "install", tmp_path / "holiday.crate")
    assert done.returncode == 2
    assert "is not a crate" in done.stderr


def test_a_policy_is_set_shown_and_dropped(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for name in ("release", "audit"):
        run(root, "trust", "add", make_key(tmp_path / "keys", name).public, "--as", name)
    set_policy = ["trust", "policy", "site", "--principal", "release", "--principal", "audit", "--threshold", "2"]
    assert run(root, *set_policy).stdout == "site: 2 of release, audit\n"
    assert "site: 2 of release, audit" in run(root, "trust", "list").stdout
    assert run(root, "trust", "policy", "site", "--default").stdout == "site: 1 of anyone trusted\n"
    assert run(root, "trust", "floor", "site", "7").stdout == "site: nothing below serial 7\n"
    assert run(root, "trust", "remove", "audit").returncode == 0
    assert "audit" not in run(root, "trust", "list").stdout
