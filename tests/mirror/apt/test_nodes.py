"""Real nodes of Debian 12 and 13, without a route to anything but the crate, install from what the crate publishes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from archive.platforms import Platform
from mirror.apt.publish import publish
from mirror.apt.resolve import resolve
from mirror.apt.section import AptSection
from mirror.apt.sources import apt_settings, machine_sources
from mirror.ecosystem import Resolution
from tests.mirror.apt.archives import KEY, build_deb, resolved, suite, upstream
from tests.mirror.apt.nodes import Node, root, write_tree
from tests.mirror.apt.test_publish import Crate
from tests.mirror.transport import context

AMD64 = Platform("linux", "amd64")
UPDATE = "apt-get -q update -o APT::Update::Error-Mode=any"
INSTALL = "apt-get -q -y install --no-install-recommends"
STORAGE = ["nfs-common", "open-iscsi", "chrony", "wireguard-tools"]


async def _bundle(folder: Path, section: Mapping[str, object]) -> Resolution:
    """Resolves from this machine's own archive, and brings every .deb into `folder`/blobs."""
    async with context(folder / "blobs", folder, AMD64) as there:
        found = await resolve(AptSection.model_validate({"name": "debian", **section}), there)
        for item in found.items:
            file = item.files[0]
            await there.transport.fetch(item.origin, sha256=file.sha256, size=file.size)
    return found


def _crate(folder: Path, section: Mapping[str, object]) -> Path:
    """A crate of that section: the folder of everything that it serves."""
    found = asyncio.run(_bundle(folder, section))
    write_tree(publish(found.items, Crate()), folder / "blobs", folder / "tree")
    return folder / "tree"


@pytest.fixture(scope="module")
def bookworm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _crate(tmp_path_factory.mktemp("bookworm"), {"packages": STORAGE, "suites": _suites("bookworm")})


@pytest.fixture(scope="module")
def trixie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    url = machine_sources(apt_settings())[0].url
    packages = ["wireguard-tools", "chrony"]
    return _crate(tmp_path_factory.mktemp("trixie"), {"packages": packages, "url": url, "suites": ["trixie"]})


def _suites(name: str) -> list[str]:
    return [source.suite for source in machine_sources(apt_settings()) if source.suite.startswith(name)]


def _node(folder: Path, suite: str, tree: Path, *, clock: str = "", repository: str = "debian") -> Node:
    node = Node(folder / "node", suite, tree, clock)
    node.use(repository)
    return node


def _run(node: Node, *commands: str) -> str:
    told = node.run(" && ".join(commands))
    assert told.returncode == 0, told.stdout[-2000:] + told.stderr[-2000:]
    return told.stdout


def test_debian_12_installs_and_a_dist_upgrade_changes_nothing(tmp_path: Path, bookworm: Path) -> None:
    node = _node(tmp_path, "bookworm", bookworm)
    told = _run(
        node, UPDATE, f"{INSTALL} {' '.join(STORAGE)}", "wg --version", "iscsiadm --version", "apt-get -s dist-upgrade"
    )
    assert "wireguard-tools v" in told
    assert "0 upgraded, 0 newly installed, 0 to remove" in told


def test_a_crate_made_for_the_nodes_status_brings_them_up_to_date_and_removes_nothing(tmp_path: Path) -> None:
    status = root("bookworm") / "var/lib/dpkg/status"
    (tmp_path / "status").write_bytes(status.read_bytes())
    section = {"packages": ["nfs-common", "libc-dev-bin"], "suites": _suites("bookworm"), "base": "status"}
    tree = _crate(tmp_path, section)
    node = _node(tmp_path, "bookworm", tree)
    told = _run(node, UPDATE, f"{INSTALL} nfs-common libc-dev-bin", "apt-get -q -y dist-upgrade", "dpkg --audit")
    assert "The following packages will be REMOVED" not in told
    assert " 0 to remove" in told


def test_debian_13_installs(tmp_path: Path, trixie: Path) -> None:
    node = _node(tmp_path, "trixie", trixie)
    told = _run(node, UPDATE, f"{INSTALL} wireguard-tools chrony", "wg --version", "apt-get -s dist-upgrade")
    assert "wireguard-tools v" in told
    assert " 0 to remove" in told


@pytest.mark.parametrize("clock", ["2023-06-01 00:00:00", "1971-01-01 00:00:00"])
@pytest.mark.parametrize("debian", ["bookworm", "trixie"])
def test_a_node_whose_clock_is_years_behind_installs(
    tmp_path: Path, request: pytest.FixtureRequest, debian: str, clock: str
) -> None:
    node = _node(tmp_path, debian, request.getfixturevalue(debian), clock=clock)
    told = _run(node, "date +%Y", UPDATE, f"{INSTALL} wireguard-tools", "wg --version")
    assert told.startswith(clock[:4])
    assert "wireguard-tools v" in told


def _small_crate(folder: Path) -> Path:
    """A crate of two packages that dpkg-deb just built."""
    (folder / "debs").mkdir(parents=True)
    for control in ("mine 0.5; Depends: yours (>= 1)", "yours 1 [all]"):
        build_deb(folder / "debs", control)
    with upstream(suite("other 1")) as there:
        found = asyncio.run(resolved(folder, {"url": there.url, "suites": ["stable"], "debs": ["debs/*.deb"]}))
    write_tree(publish(found.items, Crate()), folder / "blobs", folder / "tree")
    return folder / "tree"


def test_local_packages_install(tmp_path: Path) -> None:
    node = _node(tmp_path, "bookworm", _small_crate(tmp_path), repository="tests")
    assert "0.5" in _run(node, UPDATE, f"{INSTALL} mine", "cat /usr/share/buzzcrate-tests/mine")
    assert "1" in _run(node, "cat /usr/share/buzzcrate-tests/yours")


def test_where_the_nodes_were_not_known_an_upgrade_takes_a_word(tmp_path: Path) -> None:
    tree = _small_crate(tmp_path)
    node = _node(tmp_path, "bookworm", tree, repository="tests")
    (tmp_path / "old").mkdir()
    build_deb(tmp_path / "old", "yours 0.1 [all]").rename(tree / "yours-old.deb")
    fetch = "/usr/lib/apt/apt-helper download-file http://127.0.0.1:8099/yours-old.deb /root/old.deb"
    _run(node, fetch, "dpkg -i /root/old.deb", UPDATE)
    assert "\n0 upgraded" in _run(node, "apt-get -s dist-upgrade")
    assert node.run(f"{INSTALL} mine").returncode
    assert "1" in _run(node, f"{INSTALL} -t stable mine", "cat /usr/share/buzzcrate-tests/yours")


def _flip(path: Path) -> None:
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 1
    path.unlink()
    path.write_bytes(body)


FLIPPED: list[tuple[str, Callable[[Path], Sequence[Path]], str]] = [
    ("in a package", lambda tree: [*tree.glob("apt/tests/pool/**/yours*.deb")], "Hash Sum mismatch"),
    ("in an index", lambda tree: [*tree.glob("apt/tests/dists/**/SHA256/*")], "Hash Sum mismatch"),
    ("in the signed text", lambda tree: [tree / "apt/tests/dists/stable/InRelease"], "is not signed"),
]


@pytest.mark.parametrize("debian", ["bookworm", "trixie"])
@pytest.mark.parametrize(("where", "words"), [row[1:] for row in FLIPPED], ids=[row[0] for row in FLIPPED])
def test_a_flipped_byte_is_refused(
    tmp_path: Path, debian: str, where: Callable[[Path], Sequence[Path]], words: str
) -> None:
    tree = _small_crate(tmp_path)
    flipped = where(tree)
    assert flipped
    for path in flipped:
        _flip(path)
    told = _node(tmp_path, debian, tree, repository="tests").run(f"{UPDATE} && {INSTALL} mine")
    assert told.returncode
    assert words in told.stdout + told.stderr


def test_another_crates_key_is_refused(tmp_path: Path) -> None:
    tree = _small_crate(tmp_path)
    snippet = tree / "apt/tests.sources"
    ours, theirs = (
        "\n".join(f" {line}" if line else " ." for line in key.public_key().decode().strip().split("\n"))
        for key in (Crate().signer, KEY)
    )
    assert ours in snippet.read_text()
    snippet.write_text(snippet.read_text().replace(ours, theirs))
    told = _node(tmp_path, "bookworm", tree, repository="tests").run(UPDATE)
    assert told.returncode
    assert "NO_PUBKEY" in told.stdout + told.stderr
