"""What is printed for others to use: client set-up scripts, the systemd unit, tokens."""

from __future__ import annotations

import json
import subprocess
import tomllib
from pathlib import Path

import pytest

from appliance import service
from appliance.client_setup import CLIENTS, Crate, client_files, client_script
from appliance.errors import ServiceFailed
from appliance.uploads import EXPIRES, Uploads
from tests.appliance.daemon.serving import PROGRAM
from tests.support.tools import tool

CRATE = Crate(
    "crate.internal:5000",
    "-----BEGIN CERTIFICATE-----\nMII\n",
    ["docker.io", "harbor.example.org:8443"],
    {"debian": "Types: deb\nURIs: http://crate.internal:8080/apt/debian\n"},
)


def run(root: Path, *words: str) -> str:
    done = subprocess.run([*PROGRAM, "--root", str(root), *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("client", CLIENTS)
def test_the_script_writes_just_those_files(client: str, tmp_path: Path) -> None:
    """Run for real, with every path moved below the test's folder."""
    setup = CLIENTS[client](CRATE)
    script = client_script(client, CRATE)
    for command in setup.commands:
        script = script.replace(f"\n{command}\n", "\n")
    files = client_files(client, CRATE)
    for path in files:
        script = script.replace(f"'{path}'", f"'{tmp_path}{path}'")
        folder = path.rpartition("/")[0]
        script = script.replace(f"mkdir -p '{folder}'", f"mkdir -p '{tmp_path}{folder}'")
    subprocess.run(["sh"], input=script, text=True, check=True)
    written = {f"/{path.relative_to(tmp_path)}": path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    assert {path: text.rstrip("\n") for path, text in written.items()} == {
        path: text.rstrip("\n") for path, text in files.items()
    }
    needed = CRATE.sources["debian"] if client == "apt" else CRATE.authority
    assert needed.rstrip("\n") in "".join(written.values())


def test_containerd_asks_the_crate_for_every_host() -> None:
    files = client_files("containerd", CRATE)
    for host in ("docker.io", "harbor.example.org:8443", "_default", "crate.internal:5000"):
        hosts_toml = tomllib.loads(files[f"/etc/containerd/certs.d/{host}/hosts.toml"])
        assert hosts_toml["server"] == "https://crate.internal:5000"
        assert list(hosts_toml["host"]) == ["https://crate.internal:5000"]


def test_podman_asks_the_crate_first() -> None:
    text = client_files("podman", CRATE)["/etc/containers/registries.conf.d/buzzcrate.conf"]
    mirrors = {entry["prefix"]: entry["mirror"][0]["location"] for entry in tomllib.loads(text)["registry"]}
    assert mirrors == {
        "docker.io": "crate.internal:5000/docker.io",
        "harbor.example.org:8443": "crate.internal:5000/harbor.example.org_8443",
    }


@pytest.mark.parametrize("options", [[], ["--listen", "0.0.0.0:443", "--name", "a%b $HOME"]], ids=["default", "odd"])
def test_systemd_accepts_the_unit_and_calls_it_hardened(tmp_path: Path, options: list[str]) -> None:
    printed = run(tmp_path / "a store", "service", "install", "--print", *options)
    lines = printed.splitlines()
    start = next(line for line in lines if line.startswith("ExecStart="))
    assert f"serve --listen {'0.0.0.0:443' if options else '0.0.0.0:5000'}" in start
    if options:
        assert "'a%%b $$HOME'" in start
        assert "AmbientCapabilities=CAP_NET_BIND_SERVICE" in lines
    unit = tmp_path / service.UNIT
    # systemd looks for the program, which is not installed on a machine that only runs tests
    unit.write_text(printed.replace(start, f"ExecStart=/bin/true {start.partition(' ')[2]}"))
    analyze = tool("systemd-analyze")
    verified = subprocess.run([analyze, "verify", "--man=no", unit], capture_output=True, text=True, check=False)
    assert (verified.returncode, verified.stderr) == (0, "")
    words: list[str | Path] = [analyze, "security", "--offline=true", "--threshold=25", unit]  # tenths: 2.5 of 10
    assert subprocess.run(words, capture_output=True, check=False).returncode == 0


def test_installing_the_service_says_what_is_in_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "UNIT_PATH", tmp_path / "absent" / service.UNIT)
    with pytest.raises(ServiceFailed, match="cannot write"):
        service.install("[Unit]\n")


def test_tokens_from_the_command_line(tmp_path: Path) -> None:
    made = json.loads(run(tmp_path, "tokens", "create", "--role", "publisher", "--note", "ci", "--json"))
    plain = run(tmp_path, "tokens", "create", "--role", "reader").strip()
    listed = json.loads(run(tmp_path, "tokens", "list", "--json"))
    assert {(entry["id"], entry["role"], entry["note"]) for entry in listed} == {
        (made["token"].split("_")[1], "publisher", "ci"),
        (plain.split("_")[1], "reader", ""),
    }
    run(tmp_path, "tokens", "revoke", plain.split("_")[1])
    assert plain.split("_")[1] not in run(tmp_path, "tokens", "list")
    words = [*PROGRAM, "--root", str(tmp_path), "tokens", "revoke", "absent"]
    assert subprocess.run(words, capture_output=True, check=False).returncode == 2


def test_uploads_that_nobody_comes_back_to_expire(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path)
    old, busy, fresh = (uploads.begin(name) for name in "abc")
    busy.busy = True
    old.touched = busy.touched = fresh.touched - EXPIRES - 1
    uploads.expire()
    assert uploads.find(old.id, "a") is None
    assert not old.path.exists()
    assert uploads.find(busy.id, "b") is busy
    assert uploads.find(fresh.id, "c") is fresh
