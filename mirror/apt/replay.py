"""apt's own opinion: the finished partial repository, played through `apt-get -s` in a root of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from mirror.apt.closure import Closure
from mirror.apt.status import write_status
from mirror.errors import ReplayDiffers

_INSTALL = re.compile(r"^Inst (\S+) (?:\[[^\]]*\] )?\((\S+)", re.MULTILINE)
_REMOVE = re.compile(r"^Remv (\S+)", re.MULTILINE)
_TIMEOUT = 600


def available() -> bool:
    return shutil.which("apt-get") is not None


def check(closure: Closure, *, recommends: bool, upgrades: bool) -> None:
    """Raises `ReplayDiffers` when apt would choose anything else than `closure` from the packages of `closure`, or,
    with `upgrades`, when a dist-upgrade from it would remove something.
    """
    with tempfile.TemporaryDirectory(prefix="buzzcrate-replay-") as folder:
        root = Path(folder)
        lay_out(root, closure, recommends=recommends)
        names = [name for name in closure.solution.wished if name in closure.solution.chosen]
        where = f"for {closure.universe.architecture}, apt"
        try:
            run(root, "update")
            differences = _differences(closure, run(root, "-s", "install", *names))
            removed = _REMOVE.findall(run(root, "-s", "dist-upgrade")) if upgrades else []
        except subprocess.CalledProcessError as error:
            said = " ".join(line.strip() for line in (error.stdout + error.stderr).splitlines()[-12:])
            raise ReplayDiffers(f"{where} cannot use the result: {said[-900:]}") from error
        if differences:
            raise ReplayDiffers(f"{where} differs: {'; '.join(differences[:10])}")
        if removed:
            raise ReplayDiffers(
                f"{where} would remove {' '.join(removed)} from the nodes in a dist-upgrade",
                hint="give a newer status file as `base`",
            )


def lay_out(root: Path, closure: Closure, *, recommends: bool) -> None:
    """An apt of its own in `root`, that knows the packages of `closure` and what its nodes have, and nothing else."""
    for folder in ("etc/parts", "etc/trusted", "lists/partial", "cache/archives/partial", "log", "repository"):
        (root / folder).mkdir(parents=True)
    stanzas = (package.text.strip("\n") + "\n" for package in closure.packages.values())
    (root / "repository/Packages").write_text("\n".join(stanzas), encoding="utf-8")
    (root / "status").write_bytes(write_status(closure.universe.base))
    (root / "etc/sources.list").write_text(f"deb [trusted=yes] file:{root}/repository ./\n", encoding="utf-8")
    methods = Path("/usr/lib/apt/methods")
    (root / "apt.conf").write_text(
        f"""#clear APT::Architectures;
APT::Architecture "{closure.universe.architecture}";
APT::Architectures {{ "{closure.universe.architecture}"; }};
APT::Install-Recommends "{str(recommends).lower()}";
APT::Install-Suggests "false";
APT::Sandbox::User "";
Acquire::Languages "none";
Dir "{root}/";
Dir::State "{root}";
Dir::State::lists "{root}/lists";
Dir::State::status "{root}/status";
Dir::Cache "{root}/cache";
Dir::Log "{root}/log";
Dir::Etc "{root}/etc";
Dir::Etc::sourcelist "{root}/etc/sources.list";
Dir::Etc::sourceparts "{root}/etc/parts";
Dir::Etc::parts "{root}/etc/parts";
Dir::Etc::main "{root}/etc/none";
Dir::Etc::preferences "{root}/etc/none";
Dir::Etc::preferencesparts "{root}/etc/parts";
Dir::Etc::trustedparts "{root}/etc/trusted";
Dir::Bin::methods "{methods}";
""",
        encoding="utf-8",
    )


def run(root: Path, *words: str) -> str:
    """What apt-get prints in the root that `lay_out` made. Raises `CalledProcessError`."""
    return subprocess.run(
        ["apt-get", "-q", *words],
        env={**os.environ, "APT_CONFIG": str(root / "apt.conf"), "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT,
        check=True,
    ).stdout


def _differences(closure: Closure, told: str) -> list[str]:
    apt = {name.partition(":")[0]: version for name, version in _INSTALL.findall(told)}
    ours = {name: package.version for name, package in closure.solution.chosen.items()}
    companions = closure.solution.companions
    lines = [f"apt installs {n} {v}, which was not chosen" for n, v in apt.items() if ours.get(n) != v]
    lines += [f"apt does not need {n} {v}" for n, v in ours.items() if n not in apt and n not in companions]
    return lines + [f"apt removes {name}" for name in _REMOVE.findall(told)]
