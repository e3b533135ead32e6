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
        _lay_out(root, closure, recommends=recommends)
        _run(root, closure, "update")
        names = [name for name in closure.solution.wished if name in closure.solution.chosen]
        _compare(closure, _run(root, closure, "-s", "install", *names))
        if upgrades:
            removed = " ".join(_REMOVE.findall(_run(root, closure, "-s", "dist-upgrade")))
            if removed:
                raise ReplayDiffers(
                    f"for {closure.universe.architecture}, a dist-upgrade on the nodes would remove {removed}",
                    hint="give a newer status file as `base`",
                )


def _lay_out(root: Path, closure: Closure, *, recommends: bool) -> None:
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


def _run(root: Path, closure: Closure, *words: str) -> str:
    environment = {
        **os.environ,
        "APT_CONFIG": str(root / "apt.conf"),
        "LC_ALL": "C",
        "DEBIAN_FRONTEND": "noninteractive",
    }
    command = ["apt-get", "-q", *words]
    done = subprocess.run(
        command,
        env=environment,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        said = " ".join(line.strip() for line in (done.stdout + done.stderr).splitlines()[-12:])
        raise ReplayDiffers(
            f"for {closure.universe.architecture}, apt-get {words[0]} fails on the result: {said[-900:]}"
        )
    return done.stdout


def _compare(closure: Closure, told: str) -> None:
    apt = {name.partition(":")[0]: version for name, version in _INSTALL.findall(told)}
    ours = {name: package.version for name, package in closure.solution.chosen.items()}
    companions = closure.solution.companions
    lines = [f"apt installs {n} {v}, which was not chosen" for n, v in apt.items() if ours.get(n) != v]
    lines += [f"apt does not need {n} {v}" for n, v in ours.items() if n not in apt and n not in companions]
    lines += [f"apt removes {name}" for name in _REMOVE.findall(told)]
    if lines:
        raise ReplayDiffers(f"for {closure.universe.architecture}, apt differs: " + "; ".join(lines[:10]))
