"""`crate-bundle` as a user runs it: the same lock is the same archive, real tools read it, and no secret is in it."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from archive.signing import generate
from tests.bundler.workshop import Workshop
from tests.support.faulty import faulty_registry
from tests.support.images import BOTH, make_layout
from tests.support.registries import Registry
from tests.support.tools import tool

NAME = "docker.io/library/demo:1"
LOCAL = f"""[crate]
name = "lab"
serial = 7
[[images]]
layout = "layout"
name = "{NAME}"
[[files]]
name = "notes.txt"
path = "notes.txt"
"""


def local_workshop(folder: Path) -> Workshop:
    """A recipe that needs no network: an image for three platforms, of which two are wanted, and a file."""
    workshop = Workshop.make(folder, LOCAL)
    make_layout(folder / "layout", NAME, (*BOTH, "linux/arm/v7"), attestations=True)
    (folder / "notes.txt").write_text("read me\n")
    return workshop


def remote_workshop(folder: Path, registry: Registry, *, layer_size: int = 1 << 20) -> Workshop:
    made = make_layout(folder.parent / "made", NAME, (*BOTH, "linux/arm/v7"), attestations=True, layer_size=layer_size)
    registry.push(made.layout, made.digest, "library/demo", "1")
    recipe = f'[crate]\nname = "lab"\n[[images]]\nref = "demo:1"\n[upstreams]\n"docker.io" = "{registry.url}"\n'
    return Workshop.make(folder, recipe)


def unsigned(path: Path) -> str:
    """The sha256 of an archive without its signature slot."""
    data = bytearray(path.read_bytes())
    start = 512 + -(-int(data[124:135], 8) // 512) * 512 + 512
    data[start : start + 16 * 1024] = bytes(16 * 1024)
    return hashlib.sha256(data).hexdigest()


def test_real_tools_read_a_finished_crate(tmp_path: Path) -> None:
    workshop = local_workshop(tmp_path / "work")
    crate = workshop.crate(workshop.build())
    copied = tmp_path / "copied"
    copy = [tool("skopeo"), "--insecure-policy", "copy", "--all", f"oci-archive:{crate}:{NAME}", f"oci:{copied}:x"]
    subprocess.run(copy, check=True, capture_output=True)
    index = json.loads((copied / "index.json").read_bytes())["manifests"][0]
    (item,) = (it for it in workshop.lock["items"] if it["kind"] == "image")
    assert index["digest"] == item["publish"]["root"]["digest"]
    unpacked = tmp_path / "unpacked"
    unpacked.mkdir()
    subprocess.run([tool("tar"), "-xf", crate, "-C", unpacked], check=True)
    signed, slot = (unpacked / name for name in ("crate.json", "crate.json.sig"))
    (tmp_path / "allowed").write_text(f"release {(workshop.folder / 'release.key.pub').read_text()}")
    words = ["-Y", "verify", "-f", tmp_path / "allowed", "-I", "release", "-n", "buzzcrate-crate@v1", "-s", slot]
    with signed.open("rb") as content:
        subprocess.run([tool("ssh-keygen"), *map(str, words)], stdin=content, check=True, capture_output=True)


def test_a_docker_archive_and_an_oci_archive_are_packed_where_they_lie(tmp_path: Path) -> None:
    made = make_layout(tmp_path / "layout", "app:1", ["linux/amd64"], layer_size=1 << 20)
    for kind in ("docker-archive", "oci-archive"):
        target = f"{kind}:{tmp_path}/{kind}.tar:docker.io/library/{kind}:1"
        subprocess.run(
            [tool("skopeo"), "--insecure-policy", "copy", f"oci:{made.folder}:app:1", target],
            check=True,
            capture_output=True,
        )
    recipe = '[crate]\nname = "lab"\nplatforms = ["linux/amd64"]\n' + "".join(
        f'[[images]]\nlayout = "{tmp_path}/{kind}.tar"\nname = "{kind}:1"\n'
        for kind in ("docker-archive", "oci-archive")
    )
    workshop = Workshop.make(tmp_path / "work", recipe)
    crate = workshop.crate(workshop.build())
    for kind in ("docker-archive", "oci-archive"):
        source = f"oci-archive:{crate}:docker.io/library/{kind}:1"
        subprocess.run(
            [tool("skopeo"), "--insecure-policy", "copy", source, f"dir:{tmp_path}/{kind}"],
            check=True,
            capture_output=True,
        )
    cached = sum(path.stat().st_size for path in workshop.cache.rglob("*") if path.is_file())
    assert cached < 100_000, "layers were copied into the cache"
    assert {item["origin"] for item in workshop.lock["items"]} == {
        "file:../docker-archive.tar",
        "file:../oci-archive.tar",
    }, "a machine's folders do not travel"


def test_the_same_lock_is_the_same_archive_on_another_machine(registry: Registry, tmp_path: Path) -> None:
    first = remote_workshop(tmp_path / "first", registry)
    one = first.crate(first.build())
    again = first.crate(first.build("--locked"))
    assert one == again
    second = Workshop.make(tmp_path / "elsewhere" / "second", first.recipe.read_text())
    shutil.copy(first.folder / "bundle.lock", second.folder)
    built = second.build("--locked")
    assert built["fetched"] > 0, "its cache is its own"
    assert unsigned(second.crate(built)) == unsigned(one)
    shutil.copy(first.folder / "release.key", second.folder)
    shutil.copy(first.folder / "release.key.pub", second.folder)
    assert second.crate(second.build()).read_bytes() == one.read_bytes()


def test_the_same_local_files_are_the_same_archive_in_another_folder(tmp_path: Path) -> None:
    one, two = (local_workshop(tmp_path / name) for name in ("one", "two"))
    epoch = {"SOURCE_DATE_EPOCH": "1700000000"}
    first, second = one.build(**epoch), two.build(**epoch)
    assert (one.folder / "bundle.lock").read_bytes() == (two.folder / "bundle.lock").read_bytes()
    assert unsigned(one.crate(first)) == unsigned(two.crate(second))
    assert first["digest"] == second["digest"]


def test_parts_are_the_archive_cut(tmp_path: Path) -> None:
    workshop = local_workshop(tmp_path)
    whole = workshop.crate(workshop.build()).read_bytes()
    built = workshop.build("--split", "64K")
    parts = [workshop.folder / path for path in built["paths"]]
    assert [path.name for path in parts] == [f"lab-7.crate.{n:03}" for n in range(len(parts))]
    assert b"".join(path.read_bytes() for path in parts) == whole
    assert built["sizes"] == [path.stat().st_size for path in parts]
    shown = json.loads(workshop.succeed("inspect", "out", "--json"))
    assert len(shown["parts"]) == len(parts) > 1
    assert shown["missing"] == []


def test_no_secret_is_in_the_crate(tmp_path: Path) -> None:
    with faulty_registry() as server:
        server.files["tool"] = b"a tool"
        digest = hashlib.sha256(b"a tool").hexdigest()
        url = f"{server.url}/files/tool?X-Token=t0ps3cret&user=me"
        recipe = f"""[crate]
name = "lab"
# {url}
[[files]]
name = "tool"
url = "{url}"
sha256 = "{digest}"
"""
        workshop = Workshop.make(tmp_path, recipe)
        crate = workshop.crate(workshop.build())
        assert any("t0ps3cret" in seen.path for seen in server.asked("tool")), "upstream is asked with its query"
        assert b"t0ps3cret" not in crate.read_bytes()
        assert b"X-Token" not in crate.read_bytes()
        assert b"t0ps3cret" not in (tmp_path / "bundle.lock").read_bytes()
        shutil.rmtree(workshop.cache)
        assert workshop.build("--locked")["fetched"] == len(b"a tool"), "the recipe gives the query back"


def test_kill_at_any_moment_then_the_same_command_ends_in_the_same_archive(registry: Registry, tmp_path: Path) -> None:
    reference = remote_workshop(tmp_path / "reference", registry, layer_size=6 << 20)
    began = time.monotonic()
    expected = reference.crate(reference.build()).read_bytes()
    took = time.monotonic() - began
    workshop = Workshop.make(tmp_path / "killed", reference.recipe.read_text())
    for name in ("bundle.lock", "release.key", "release.key.pub"):
        shutil.copy(reference.folder / name, workshop.folder)
    words = workshop.command("build", "--out", "out", "--key", "release.key")
    killed = 0
    for share in (0.3, 0.5, 0.6, 0.7, 0.8, 0.9):
        process = subprocess.Popen(
            words,
            cwd=workshop.folder,
            env=workshop.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(took * share)
        process.kill()
        killed += process.wait() == -signal.SIGKILL
        finished = workshop.folder / "out" / reference_name(reference)
        assert not finished.exists() or finished.read_bytes() == expected, "half a crate under the name of a whole one"
    assert killed
    assert workshop.crate(workshop.build("--locked")).read_bytes() == expected
    assert sorted(path.name for path in (workshop.folder / "out").iterdir()) == [reference_name(reference)]


def reference_name(workshop: Workshop) -> str:
    return f"lab-{workshop.lock['serial']}.crate"


def test_a_damaged_blob_of_the_cache_is_dropped_and_fetched_again(registry: Registry, tmp_path: Path) -> None:
    workshop = remote_workshop(tmp_path / "work", registry)
    whole = workshop.crate(workshop.build()).read_bytes()
    blob = max(
        (path for path in (workshop.cache / "blobs").rglob("*") if path.is_file()), key=lambda it: it.stat().st_size
    )
    data = bytearray(blob.read_bytes())
    data[1000] ^= 1
    blob.write_bytes(data)
    failed = workshop.run("build", "--out", "out", "--key", "release.key")
    assert failed.returncode == 1
    assert blob.name in failed.stderr
    assert "run the same command again" in failed.stderr
    assert workshop.crate(workshop.build()).read_bytes() == whole


@pytest.mark.parametrize("cached", [True, False], ids=["held by the cache", "not held by the cache"])
@pytest.mark.parametrize("same_size", [True, False], ids=["of the same size", "of another size"])
def test_a_local_file_that_changed_since_is_refused_by_name(tmp_path: Path, *, same_size: bool, cached: bool) -> None:
    workshop = local_workshop(tmp_path)
    workshop.succeed("lock")
    if not cached:
        shutil.rmtree(workshop.cache)
    notes = tmp_path / "notes.txt"
    notes.write_text(notes.read_text().swapcase() if same_size else "something else\n")
    workshop.keygen()
    done = workshop.run("build", "--out", "out", "--key", "release.key")
    assert done.returncode == 1
    assert "notes.txt is not what was locked" in done.stderr
    assert "crate-bundle lock --update notes.txt" in done.stderr
    workshop.succeed("lock", "--update", "notes.txt")
    workshop.build()


def test_a_local_file_that_is_gone_comes_from_the_cache(tmp_path: Path) -> None:
    workshop = local_workshop(tmp_path)
    whole = workshop.crate(workshop.build()).read_bytes()
    (tmp_path / "notes.txt").unlink()
    assert workshop.crate(workshop.build()).read_bytes() == whole


KEYS = {
    "encrypted, and nobody to ask": ("encrypted", "set BUZZCRATE_PASSPHRASE, or "),
    "a folder": ("out", "the key out cannot be read"),
    "no key at all": ("bundle.toml", "bundle.toml: "),
    "not there": ("absent", "crate-bundle keygen absent"),
}


@pytest.mark.parametrize(("key", "said"), KEYS.values(), ids=KEYS)
def test_keys_that_cannot_sign(tmp_path: Path, key: str, said: str) -> None:
    workshop = local_workshop(tmp_path)
    (tmp_path / "out").mkdir()
    generate(tmp_path / "encrypted", "secret", "encrypted")
    done = workshop.run("build", "--out", "out", "--key", key)
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr
    assert list((tmp_path / "out").iterdir()) == []


def test_a_changed_recipe_makes_the_lock_stale(tmp_path: Path) -> None:
    workshop = local_workshop(tmp_path)
    workshop.build()
    workshop.write(LOCAL + '[[files]]\nname = "again.txt"\npath = "notes.txt"\n')
    for options in ([], ["--locked"]):
        done = workshop.run("build", "--out", "out", "--key", "release.key", *options)
        assert done.returncode == 2
        assert "bundle.toml has changed since bundle.lock was written" in done.stderr
        assert "crate-bundle lock" in done.stderr
    workshop.succeed("lock", "--update", "again.txt")
    workshop.build("--locked")


# words, exit code, what standard error says
MISUSES: dict[str, tuple[list[str], int, list[str]]] = {
    "a build without a key": (["build", "--out", "out"], 2, ["no --key", "crate-bundle keygen"]),
    "a key that is not there": (["build", "--out", "out", "--key", "x"], 2, ["x is not there", "keygen x"]),
    "a build without a folder": (["build", "--key", "release.key"], 2, ["--out"]),
    "--locked without a lock": (
        ["build", "--out", "out", "--key", "release.key", "--locked"],
        2,
        ["bundle.lock is not there", "crate-bundle lock bundle.toml"],
    ),
    "a split that is no size": (
        ["build", "--out", "out", "--key", "release.key", "--split", "much"],
        2,
        ["'much' is not a size", "700M"],
    ),
    "a recipe that is not there": (["lock", "absent.toml"], 2, ["absent.toml is not there", "crate-bundle init"]),
    "an update of what nobody asked for": (["lock", "--update", "nginx"], 2, ["nginx", "it asks for", "notes.txt"]),
    "a crate that is not there": (["inspect", "absent.crate"], 2, ["absent.crate", "does not exist"]),
    "a crate that is none": (["inspect", "bundle.toml"], 2, ["bundle.toml"]),
    "a verb that is none": (["bake"], 2, ["No such command"]),
    "keygen over an existing key": (["keygen", "release.key"], 2, ["release.key exists"]),
    "init over an existing recipe": (["init"], 2, ["bundle.toml exists"]),
}


def test_misuse_ends_in_a_line_and_a_hint(tmp_path: Path) -> None:
    workshop = local_workshop(tmp_path)
    workshop.keygen()
    for name, (words, code, said) in MISUSES.items():
        done = workshop.run(*words)
        assert done.returncode == code, (name, done.stderr)
        assert all(part in done.stderr for part in said), (name, done.stderr)
        assert "Traceback" not in done.stderr, name
        assert done.stdout == "", name
    assert not (tmp_path / "out").exists()


def test_an_upstream_that_cannot_be_meant_is_named_by_line(tmp_path: Path) -> None:
    workshop = local_workshop(tmp_path)
    workshop.write(LOCAL + '[upstreams]\n"docker.io" = "ftp://mirror.example.org"\n')
    done = workshop.run("lock")
    assert done.returncode == 2
    assert f"bundle.toml:{LOCAL.count(chr(10)) + 1}: [upstreams]" in done.stderr


def test_init_writes_a_recipe_that_is_valid(tmp_path: Path) -> None:
    workshop = local_workshop(tmp_path / "My Site!")
    workshop.recipe.unlink()
    assert "crate-bundle lock" in workshop.succeed("init")
    assert 'name = "my-site"' in workshop.recipe.read_text()
    uncommented = "\n".join(
        line.removeprefix("# ") if line[2:3] != " " and ("=" in line or "[" in line) else ""
        for line in workshop.recipe.read_text().splitlines()
    )
    assert "[k3s]" in uncommented
    workshop.recipe.write_text(uncommented)
    done = workshop.run("lock", "--update", "nothing")
    assert "does not ask for nothing" in done.stderr, "with every comment taken away it is valid as well"


def test_what_lock_prints(tmp_path: Path) -> None:
    workshop = local_workshop(tmp_path)
    shown = json.loads(workshop.succeed("lock", "--json"))
    assert (shown["name"], shown["serial"], shown["changed"]) == ("lab", 7, True)
    by_name = {request["name"]: request for request in shown["requests"]}
    assert by_name["notes.txt"] == {
        "section": "files",
        "name": "notes.txt",
        "items": 1,
        "blobs": 1,
        "size": 8,
        "added": 8,
        "asked": [],
        "notes": [],
    }
    assert by_name[NAME]["size"] == sum(file["size"] for file in workshop.lock["items"][1]["files"])
    assert shown["to_fetch"] == 0
    text = workshop.succeed("lock")
    assert "nothing has changed" in text
    assert NAME in text


def test_what_build_prints(tmp_path: Path) -> None:
    workshop = local_workshop(tmp_path)
    workshop.keygen()
    text = workshop.succeed("build", "--out", "out", "--key", "release.key", "--split", "100K")
    fingerprint = subprocess.run(
        [tool("ssh-keygen"), "-lf", tmp_path / "release.key.pub"], check=True, capture_output=True, text=True
    ).stdout.split()[1]
    for part in ("out/lab-7.crate.000", "lab 7", fingerprint, "crate-appliance install lab-7.crate*", "locked in"):
        assert part in text
    shown = workshop.build()
    assert shown["signed_by"] == [fingerprint]
    assert shown.keys() == {
        *("name", "channel", "serial", "digest", "paths", "sizes", "size", "signed_by", "lock", "fetched", "reused"),
        *("card", "left_out"),
    }


@pytest.fixture
def built(tmp_path: Path) -> tuple[Workshop, dict[str, Any]]:
    workshop = local_workshop(tmp_path)
    return workshop, workshop.build()


def test_inspect_tells_kinds_platforms_and_sizes(built: tuple[Workshop, dict[str, Any]]) -> None:
    workshop, made = built
    shown = json.loads(workshop.succeed("inspect", made["paths"][0], "--json"))
    assert (shown["name"], shown["serial"], shown["digest"]) == ("lab", 7, made["digest"])
    assert shown["kinds"].keys() == {"file", "image"}
    assert shown["kinds"]["file"] == 8
    platforms = {(it["kind"], it["platform"]): it["size"] for it in shown["platforms"]}
    assert platforms["image", "linux/amd64"] == platforms["image", "linux/arm64"] > 32 * 1024
    assert platforms["file", "all"] == 8
    assert [item["name"] for item in shown["items"]] == ["notes.txt", "docker.io/library/demo"]
    text = workshop.succeed("inspect", "out")
    assert "not judged here" in text
    assert NAME in text


def test_verify_checks_signature_and_content(built: tuple[Workshop, dict[str, Any]]) -> None:
    workshop, made = built
    key = (workshop.folder / "release.key.pub").read_text()
    (workshop.folder / "allowed").write_text(f"release {key}")
    shown = json.loads(workshop.succeed("verify", "out", "--allowed-signers", "allowed", "--json"))
    assert shown["sound"]
    assert [it["principal"] for it in shown["trusted"]] == ["release"]
    workshop.succeed("keygen", "other.key")
    (workshop.folder / "others").write_text(f"other {(workshop.folder / 'other.key.pub').read_text()}")
    refused = workshop.run("verify", "out", "--allowed-signers", "others")
    assert refused.returncode == 3
    assert "not trusted" in refused.stderr
    assert "signed by" in workshop.succeed("sign", "out", "--key", "other.key")
    workshop.succeed("verify", "out", "--allowed-signers", "others")
    assert "was signed before" in workshop.succeed("sign", made["paths"][0], "--key", "other.key")


def test_verify_names_damage_and_who_needs_the_blob(built: tuple[Workshop, dict[str, Any]]) -> None:
    workshop, made = built
    crate = workshop.crate(made)
    layer = max(workshop.lock["items"][1]["files"], key=lambda file: int(file["size"]))["sha256"]
    content = (workshop.folder / "layout/blobs/sha256" / layer).read_bytes()
    data = bytearray(crate.read_bytes())
    data[data.index(content) + 5000] ^= 0x40
    crate.write_bytes(data)
    done = workshop.run("verify", "out", "--json")
    assert done.returncode == 1
    (damage,) = json.loads(done.stdout)["damages"]
    assert layer in damage
    assert crate.name in damage
    assert NAME in damage
    assert "copy the damaged part again" in workshop.run("verify", "out").stdout


def test_an_encrypted_key_takes_its_passphrase_from_the_environment(tmp_path: Path) -> None:
    workshop = local_workshop(tmp_path)
    words = ["-q", "-t", "ed25519", "-N", "open sesame", "-f", tmp_path / "release.key"]
    subprocess.run([tool("ssh-keygen"), *map(str, words)], check=True)
    refused = workshop.run("build", "--out", "out", "--key", "release.key")
    assert refused.returncode == 2
    assert "is encrypted" in refused.stderr
    workshop.build(BUZZCRATE_PASSPHRASE="open sesame")


def test_the_cache_is_shown_and_pruned(registry: Registry, tmp_path: Path) -> None:
    workshop = remote_workshop(tmp_path / "work", registry)
    workshop.build()
    held = json.loads(workshop.succeed("cache", "info", "--json"))
    assert held["path"] == str(workshop.cache)
    assert held["size"] > 4 << 20
    assert json.loads(workshop.succeed("cache", "prune", "--json"))["blobs"] == 0, "all of it was used just now"
    assert json.loads(workshop.succeed("cache", "prune", "--older-than", "0", "--json"))["size"] > 4 << 20
    assert workshop.build("--locked")["fetched"] > 4 << 20
