"""From a stick to a crate-appliance that runs: install.sh on real Debian boards without a network."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from archive.volumes import part_name
from mirror.apt.sources import apt_settings, machine_sources
from tests.support.boards import Board, foreign_root
from tests.support.lab import Node, lab
from tests.support.sticks import Stick, another_version, stick
from tests.support.tools import tool

SECTION = 'platforms = ["linux/amd64"]\npython = ["3.11", "3.13"]\npackages = []'
INSTALL = "sh /media/install.sh"
VERSION = "crate-appliance --version"
CURRENT = "opt/buzzcrate/current"


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Stick:
    return stick(tmp_path_factory.mktemp("first"), serial=1, section=SECTION)


@pytest.fixture(scope="module")
def later(tmp_path_factory: pytest.TempPathFactory, first: Stick) -> Stick:
    """The next release, with a newer crate-appliance."""
    folder = tmp_path_factory.mktemp("later")
    source = another_version(folder / "source", "0.9.0")
    return stick(folder, serial=2, section=SECTION, source=source, key=first.key)


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory, first: Stick) -> Board:
    """A board on which crate-appliance is set up, and nobody is trusted."""
    board = Board.of(tmp_path_factory.mktemp("ready"), "bookworm", first.folder)
    board.succeed(f"{INSTALL} --fingerprint {first.key.fingerprint} --setup-only && rm -r /var/lib/crate")
    return board


_USE_THE_CRATE = """
crate-appliance serve --name 127.0.0.1 >log 2>&1 &
until grep -q "serving at" log; do sleep 1; kill -0 $! || exit 1; done
rm -f /etc/apt/sources.list
crate-appliance client-setup apt --address 127.0.0.1:5000 | sh &&
apt-get -q update && apt-get -q -y install --no-install-recommends hello dnsmasq-base chrony && hello &&
python3 -c "import ssl, urllib.request as web
context = ssl.create_default_context(cafile='/var/lib/crate/tls/ca.pem')
open('tool', 'wb').write(web.urlopen('https://127.0.0.1:5000/files/tool-arm64', context=context).read())" &&
chmod 755 tool && ./tool && echo it runs
"""


def left(board: Board) -> list[str]:
    """What is on the board that was not there at first, folders and what programs leave in passing aside."""
    names = (path.relative_to(board.upper).as_posix() for path in sorted(board.upper.rglob("*")) if not path.is_dir())
    return [name for name in names if not name.startswith(("root/.", "usr/lib/python3", "usr/local/bin/busybox"))]


@pytest.mark.parametrize(
    ("suite", "shell", "off"),
    [("bookworm", "busybox sh", "--keep"), ("trixie", "sh", "--purge")],
    ids=["Debian 12, with busybox's shell; the store stays", "Debian 13, with dash; the store goes"],
)
def test_one_command_sets_up_a_board_and_another_one_leaves_nothing(
    suite: str, shell: str, off: str, tmp_path: Path, first: Stick
) -> None:
    board = Board.of(tmp_path / "board", suite, first.folder)
    if "busybox" in shell:
        board.path("usr/local/bin").mkdir(parents=True)
        shutil.copy(tool("busybox"), board.path("usr/local/bin/busybox"))
    card = (first.card / "card.txt").read_text()
    digest = board.succeed("sha256sum /media/install.sh").split()[0]
    assert digest in card
    assert first.key.fingerprint in card

    told = board.succeed(f"{shell} /media/install.sh --fingerprint {first.key.fingerprint}")
    assert f"site 1 is signed by {first.key.fingerprint}" in told
    assert "generation 1 is active now: site 1" in told
    assert "0.1.0" in board.succeed(VERSION)
    assert first.key.fingerprint in board.succeed("crate-appliance trust list")

    current = board.path(CURRENT).readlink()
    again = board.succeed(f"{shell} /media/install.sh")
    assert "somebody who is trusted here" in again
    assert "was active already" in again
    assert "installing them" not in again
    assert board.path(CURRENT).readlink() == current

    told = board.succeed(f"crate-appliance uninstall {off}")
    assert ("/var/lib/crate stays" in told) == (off == "--keep")
    assert {name.split("/")[0] for name in left(board)} == ({"var"} if off == "--keep" else set())


def test_a_public_key_or_somebody_at_the_terminal_will_do_as_well(tmp_path: Path, first: Stick, ready: Board) -> None:
    board = ready.copy(tmp_path / "board", first.folder)
    board.path("root").mkdir(parents=True)
    shutil.copy(first.key.public, board.path("root/release.pub"))
    board.succeed(f"{INSTALL} --key release.pub --as boss --setup-only")
    assert "boss" in board.succeed("crate-appliance trust list")
    board.succeed("crate-appliance trust remove boss")

    told = board.run(INSTALL, typed="yes\n")
    assert told.code == 0, told.said
    assert "Compare every character with the card" in told.said
    assert "generation 1 is active now" in told.said


def test_a_crate_in_parts_is_installed_from_its_first(tmp_path: Path, first: Stick, ready: Board) -> None:
    """All that install.sh needs lies in the first part; the others are found beside it."""
    divided = tmp_path / "divided"
    divided.mkdir()
    shutil.copy(first.folder / "install.sh", divided)
    whole = first.volume.read_bytes()
    size = len(whole) - 3 * 512  # the end of the archive, and something before it
    for number, part in enumerate((whole[:size], whole[size:])):
        (divided / part_name(first.volume.name, number)).write_bytes(part)
    board = ready.copy(tmp_path / "board", divided)
    assert "generation 1 is active now" in board.succeed(f"{INSTALL} --fingerprint {first.key.fingerprint}")


def test_a_fingerprint_that_is_trusted_already_is_not_asked_for_again(
    tmp_path: Path, first: Stick, ready: Board
) -> None:
    """The run that was told the fingerprint may have ended before the crate was installed."""
    board = ready.copy(tmp_path / "board", first.folder)
    board.succeed(f"{INSTALL} --fingerprint {first.key.fingerprint} --setup-only")
    assert "generation 1 is active now" in board.succeed(INSTALL)


def test_what_is_not_an_option_of_install_sh_reaches_crate_appliance(
    tmp_path: Path, first: Stick, ready: Board
) -> None:
    board = ready.copy(tmp_path / "board", first.folder)
    told = board.run(f"{INSTALL} --json --fingerprint={first.key.fingerprint} --root /srv/crate")
    assert told.code == 0, told.said
    assert '"generation": 1' in told.said
    assert board.path("srv/crate/crate.db").exists()
    assert "'no such thing'" in board.run(f"{INSTALL} --root /srv/crate -- 'no such thing'").said


def test_noexec_on_tmp_and_a_pip_that_is_set_up_strangely_are_no_matter(tmp_path: Path, first: Stick) -> None:
    before = "mount -t tmpfs -o noexec,size=1m tmpfs $ROOT/tmp"
    board = Board.of(tmp_path / "board", "bookworm", first.folder, before)
    board.path("etc").mkdir(parents=True)
    board.path("etc/pip.conf").write_text("[global]\nindex-url = http://127.0.0.1:1/\ntarget = /nowhere\n")
    board.succeed(f"PIP_TARGET=/nowhere {INSTALL} --fingerprint {first.key.fingerprint} --setup-only")
    assert "0.1.0" in board.succeed(VERSION)


def test_killed_at_any_point_the_same_command_ends_it(tmp_path: Path, first: Stick) -> None:
    board = Board.of(tmp_path / "board", "bookworm", first.folder)
    command = f"{INSTALL} --fingerprint {first.key.fingerprint}"
    home = board.path("opt/buzzcrate")
    moments = {
        "the lock": (home / ".lock").exists,
        "wheels": lambda: len(list(home.glob("work/wheels/*"))) > 20,
        "the environment": lambda: any(home.glob("releases/*/bin/python")),
        "packages": lambda: any(home.glob("releases/*/lib/python3*/site-packages/aiohttp")),
        "the record": lambda: any(home.glob("releases/*/release.json")),
        "the command": lambda: board.path("usr/local/bin/crate-appliance").is_symlink(),
        "the import": lambda: any(board.path("var/lib/crate").glob("**/*.crate*")),
    }
    missed = [name for name, moment in moments.items() if not board.kill_when(command, moment)]
    assert missed == []
    assert "is active now: site 1" in board.succeed(command)
    assert "0.1.0" in board.succeed(VERSION)
    assert len(list((home / "releases").iterdir())) == 1
    assert not (home / "work").exists()


def test_an_upgrade_keeps_the_old_one_working_until_the_new_one_does(
    tmp_path: Path, first: Stick, later: Stick, ready: Board
) -> None:
    old = ready.copy(tmp_path / "board", first.folder)
    new = ready.copy(tmp_path / "board", later.folder)
    old.succeed(f"{INSTALL} --fingerprint {first.key.fingerprint}")
    home = new.path("opt/buzzcrate")
    current = f"readlink /{CURRENT}; ls /opt/buzzcrate/releases"
    assert "0.9.0" not in old.succeed(current)
    moments = {
        "wheels": lambda: any(home.glob("work/wheels/*")),
        "packages": lambda: any(home.glob("releases/0.9.0-*/lib/python3*/site-packages/aiohttp")),
        "the record": lambda: any(home.glob("releases/0.9.0-*/release.json")),
    }
    for name, moment in moments.items():
        assert new.kill_when(INSTALL, moment), name
        version = new.succeed(VERSION)
        assert "0.1.0" in version or (name == "the record" and "0.9.0" in version)
    assert "generation 2 is active now: site 2" in new.succeed(INSTALL)
    assert "0.9.0" in new.succeed(VERSION)
    link, *releases = new.succeed(current).split()
    assert link.startswith("releases/0.9.0-")
    assert [name.split("-")[0] for name in releases] == ["0.1.0", "0.9.0"]

    told = old.run(INSTALL)
    assert "crate-appliance came with site 2, which is newer, and stays" in told.said
    assert told.code == 3
    assert "site 1 is older than 2" in told.said
    assert "0.9.0" in new.succeed(VERSION)


def test_an_installation_that_somebody_harmed_is_made_again(tmp_path: Path, first: Stick, ready: Board) -> None:
    board = ready.copy(tmp_path / "board", first.folder)
    board.succeed("rm -r /opt/buzzcrate/current/lib/python3*/site-packages/click")
    assert board.run(VERSION).code != 0
    board.succeed(f"{INSTALL} --fingerprint {first.key.fingerprint} --setup-only")
    assert "0.1.0" in board.succeed(VERSION)


def test_uninstall_asks_whether_the_store_goes_too(tmp_path: Path, first: Stick, ready: Board) -> None:
    board = ready.copy(tmp_path / "board", first.folder)
    board.succeed(f"{INSTALL} --fingerprint {first.key.fingerprint}")
    told = board.run("crate-appliance uninstall --purge --keep")
    assert told.code == 2
    told = board.run("crate-appliance serve >/root/log 2>&1 & sleep 3; crate-appliance uninstall --purge")
    assert told.code == 1
    assert "a daemon still serves /var/lib/crate" in told.said
    assert "0.1.0" in board.succeed(VERSION)

    told = board.run("crate-appliance uninstall", typed="y\n")
    assert told.code == 0, told.said
    assert "Delete the store /var/lib/crate too" in told.said
    assert board.run("ls /var/lib/crate /opt/buzzcrate /usr/local/bin/crate-appliance").code != 0
    assert "No such file" in board.run("ls -d /var/lib/crate").said


def test_a_release_that_is_ready_is_not_trusted_for_that(tmp_path: Path, first: Stick, ready: Board) -> None:
    board = ready.copy(tmp_path / "board", first.folder)
    told = board.run(INSTALL)
    assert told.code == 3, told.said
    assert "nothing says that this is right" in told.said


def test_nothing_of_the_stick_runs_but_what_was_verified(tmp_path: Path, first: Stick) -> None:
    """Python looks into the current folder for modules, a shell for programs: an attacker would put some there."""
    folder = tmp_path / "stick"
    shutil.copytree(first.folder, folder)
    for name in ("json", "argparse", "hashlib", "pip", "subprocess", "venv", "sitecustomize"):
        (folder / f"{name}.py").write_text("open('/root/caught', 'w')\n")
    for name in ("python3", "ssh-keygen", "id", "dirname"):
        (folder / name).write_text("#!/bin/sh\n: >/root/caught\n")
        (folder / name).chmod(0o755)
    board = Board.of(tmp_path / "board", "bookworm", folder)
    path = "cd /media && PATH=.:/media:$PATH PYTHONPATH=/media PYTHONSTARTUP=/media/json.py"
    board.succeed(f"{path} sh install.sh --fingerprint {first.key.fingerprint} --setup-only")
    assert not board.path("root/caught").exists()


def test_a_service_goes_on_with_the_new_release_and_uninstall_takes_it_away(first: Stick, later: Stick) -> None:
    """On a board that is booted: systemd runs the daemon."""
    with lab(0, appliance=True) as site:
        board = site.appliance
        for number, made in enumerate((first, later), start=1):
            shutil.copytree(made.folder, board.media / str(number))
        told = board.run(f"sh /media/1/install.sh --fingerprint {first.key.fingerprint} 2>&1").stdout
        assert "systemctl" not in told
        assert "Failed" not in told
        board.run("crate-appliance service install")
        assert "releases/0.1.0-" in _daemon(board)
        board.run("sh /media/2/install.sh")
        assert "releases/0.9.0-" in _daemon(board)
        told = board.run("crate-appliance uninstall --purge").stdout
        assert "stopped and removed crate-appliance.service" in told
        assert not board.exists("/etc/systemd/system/crate-appliance.service")
        assert not board.exists("/etc/systemd/system/multi-user.target.wants/crate-appliance.service")
        assert not board.exists("/var/lib/crate")
        assert not board.exists("/opt/buzzcrate")
        assert "crate" not in board.run("systemctl list-units --all --plain; systemctl list-unit-files; ss -lt").stdout
        assert "crate-appliance: not found" in board.run("crate-appliance --version", check=False).stderr


def _daemon(board: Node) -> str:
    """The command line of the daemon that is running."""
    return board.run("tr '\\0' ' ' </proc/$(systemctl show -p MainPID --value crate-appliance)/cmdline").stdout


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_an_arm64_crate_sets_up_an_arm64_board(tmp_path: Path) -> None:
    """Emulated, so that what was installed really runs: native libraries, Debian packages, a program of the crate's."""
    url = machine_sources(apt_settings())[0].url
    more = f"""
[[apt]]
name = "debian"
url = "{url}"
suites = ["bookworm"]
packages = ["hello"]
[[files]]
name = "tool-{{arch}}"
path = "tool-{{arch}}"
"""
    (tmp_path / "made").mkdir()
    for architecture, root in (("amd64", "/"), ("arm64", foreign_root("bookworm", "arm64"))):
        shutil.copy(Path(root, "bin/true"), tmp_path / "made" / f"tool-{architecture}")
    section = 'platforms = ["linux/arm64", "linux/amd64"]'
    made = stick(tmp_path / "made", serial=1, section=section + more)
    board = Board.emulated(tmp_path / "board", "bookworm", "arm64", made.folder)
    assert "aarch64" in board.succeed("uname -m")
    told = board.succeed(f"{INSTALL} --fingerprint {made.key.fingerprint}")
    assert "generation 1 is active now: site 1" in told
    assert "0.1.0" in board.succeed(VERSION)

    libraries = "aiohttp._http_parser, bcrypt, cryptography.x509, gevent, nacl.bindings, pydantic, pysequoia, yaml"
    told = board.succeed(
        "/opt/buzzcrate/current/bin/python -c "
        f"'import {libraries}, zstandard.backend_c, sysconfig; print(sysconfig.get_platform(), yaml.__with_libyaml__)'"
    )
    assert told.split() == ["linux-aarch64", "True"]
    release = board.path("opt/buzzcrate") / board.path(CURRENT).readlink()
    tags = {line for path in release.rglob("*.dist-info/WHEEL") for line in path.read_text().splitlines()}
    native = {tag for tag in tags if tag.startswith("Tag: ") and not tag.endswith("-any")}
    assert native
    assert [tag for tag in native if "aarch64" not in tag] == []

    told = board.succeed(_USE_THE_CRATE)
    assert "Hello, world!" in told
    assert told.rstrip().endswith("it runs")
    assert "arm64" in board.succeed("dpkg-query -W -f '${Architecture}' hello dnsmasq-base chrony")
