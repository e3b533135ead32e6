"""What the double of k3s carries: a real Kubernetes for amd64, compiled once from Debian's source package.

apiserver, controllers, scheduler, kubelet, proxy and kubectl become one program (payload/inside), as in k3s; the
doubles of what k3s deploys become another (payload/addons). etcd, containerd, runc and the CNI plugins are Debian
bookworm's packages, helm comes out of its wheel. About seven minutes on two cores and 6 GB of disk the first time; the
result is kept below `BUZZCRATE_TEST_ROOTS`, named by what it is made from.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from mirror.apt.sources import apt_settings, machine_sources
from tests.mirror.helm.binary import helm_binary
from tests.support.lab.roots import KEPT, kept
from tests.support.tools import tool

VERSION = "v1.20.2+k3s1"
"""What the programs are compiled to call themselves. A release of the double replaces it by one of the same length."""
_RECIPE = Path(__file__).parent / "payload"
_PACKAGES = ("etcd-server", "etcd-client", "containerd", "runc", "containernetworking-plugins", "conntrack")
_REFLECT = "golang-github-modern-go-reflect2-dev"
_PROGRAMS = ("etcd", "etcdctl", "containerd", "containerd-shim-runc-v2", "ctr", "runc", "conntrack", "bridge",
             "host-local", "loopback", "portmap")  # fmt: skip
_NAMES = ("kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler", "kubectl", "kubelet",
          "k3s-authority", "k3s-bootstrap", "k3s-charts", "k3s-front", "k3s-join", "k3s-registries",
          "k3s-routes")  # fmt: skip


def payload() -> Path:
    """A folder with `bin/` for the nodes and `addons` for images; compiled when it is not kept yet."""
    sources = sorted(path for path in _RECIPE.rglob("*.go"))
    parts = [VERSION.encode(), *_RECIPE_STEPS, *(path.read_bytes() for path in sources)]
    key = hashlib.sha256(b"\0".join(parts)).hexdigest()[:12]
    with kept(f"k3s-payload-{key}") as made:
        if not made.is_dir():
            with tempfile.TemporaryDirectory(prefix="payload-", dir=KEPT) as scratch:
                _build(Path(scratch), Path(scratch) / "made")
                (Path(scratch) / "made").rename(made)
    return made


_RECIPE_STEPS = (" ".join(_PACKAGES).encode(), " ".join(_PROGRAMS).encode(), " ".join(_NAMES).encode())


def _build(scratch: Path, made: Path) -> None:
    fetched = scratch / "fetched"
    _fetch(fetched)
    unpacked = scratch / "unpacked"
    for package in fetched.glob("*.deb"):
        _run([tool("dpkg-deb"), "-x", package, unpacked], scratch)
    programs = made / "bin"
    programs.mkdir(parents=True)
    for name in _PROGRAMS:
        found = [path for path in unpacked.rglob(name) if path.is_file() and not path.is_symlink()]
        # not its completion, its init script or its manual
        shutil.copy(max(found, key=lambda path: path.stat().st_size), programs / name)
    shutil.copy(helm_binary(), programs / "helm")
    for name in (*_PROGRAMS, "helm"):  # Debian's Go programs keep what only a debugger wants
        subprocess.run([tool("strip"), programs / name], check=False, capture_output=True)
    inside, addons = _compile(scratch, next(fetched.glob("kubernetes_*.orig.tar.gz")), unpacked)
    shutil.move(inside, programs / "kubernetes")
    shutil.move(addons, made / "addons")
    for name in _NAMES:
        (programs / name).symlink_to("kubernetes")


def _fetch(folder: Path) -> None:
    """Debian's packages and the source package, through an apt of its own that has this machine's mirror as source."""
    for name in ("lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True)
    url = machine_sources(apt_settings())[0].url
    signed = "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]"
    (folder / "sources.list").write_text(f"deb {signed} {url} bookworm main\ndeb-src {signed} {url} bookworm main\n")
    settings = {
        "Dir::Etc::sourcelist": folder / "sources.list",
        "Dir::Etc::sourceparts": "-",
        "Dir::State::lists": folder / "lists",
        "Dir::Cache": folder / "cache",
        "APT::Sandbox::User": "root",
    }
    apt = [tool("apt-get"), "-qq", *(word for key, value in settings.items() for word in ("-o", f"{key}={value}"))]
    _run([*apt, "update"], folder)
    _run([*apt, "download", *_PACKAGES, _REFLECT], folder)
    _run([*apt, "--download-only", "source", "kubernetes"], folder)


def _compile(scratch: Path, source: Path, unpacked: Path) -> tuple[Path, Path]:
    _run([tool("tar"), "-xzf", source], scratch)
    tree = next(scratch.glob("kubernetes-*"))
    # the reflect2 that it carries crashes under Go 1.18 and later; Debian packages a newer one
    theirs = tree / "vendor/github.com/modern-go/reflect2"
    for path in (*theirs.glob("*.go"), *theirs.glob("*.s")):
        path.unlink()
    for path in (unpacked / "usr/share/gocode/src/github.com/modern-go/reflect2").glob("*.[gs]*"):
        if not path.name.endswith("_test.go"):
            shutil.copy(path, theirs)
    for name in ("inside", "addons"):
        shutil.copytree(_RECIPE / name, tree / "cmd" / name)
    # a file, because variables do not count in a tree that git exported
    says = {"COMMIT": "unknown", "TREE_STATE": "clean", "VERSION": VERSION, "MAJOR": "1", "MINOR": "20"}
    (scratch / "version").write_text("".join(f"KUBE_GIT_{name}='{value}'\n" for name, value in says.items()))
    environment = {
        **os.environ,
        "KUBE_GIT_VERSION_FILE": str(scratch / "version"),
        "GOPROXY": "off",
        "GOCACHE": str(scratch / "go"),
    }
    make = [tool("make"), "WHAT=cmd/inside cmd/addons", "CGO_ENABLED=0", "GOLDFLAGS=-s -w"]
    for name in ("gcc", "go", "jq", "rsync"):
        tool(name)
    _run([tool("nice"), *make], tree, environment)
    output = tree / "_output/local/bin/linux/amd64"
    return output / "inside", output / "addons"


def _run(words: Sequence[str | Path], folder: Path, environment: dict[str, str] | None = None) -> None:
    done = subprocess.run(words, cwd=folder, env=environment, check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, words))} failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
