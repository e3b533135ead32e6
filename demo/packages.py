"""The demo's second crate: real packages from this machine's own sources, installed from the crate alone."""

from __future__ import annotations

import os
import platform
import sys

from demo.stage import DemoFailed, Stage

RECIPE = """\
[crate]
name = "packages"
platforms = ["linux/amd64", "linux/arm64"]

[[pypi]]
requirements = ["markupsafe", "click"]
python = ["{python}"]
"""
APT = """
[[apt]]
name = "debian"
packages = ["hello", "jq"]
"""
# An apt of one's own: nothing of this machine's settings, lists or keys, and nothing that root would have to do.
APT_CONF = """\
#clear APT::Architectures;
APT::Architectures {{ "amd64"; "arm64"; }};
APT::Sandbox::User "";
Acquire::http::Proxy "DIRECT";
Acquire::Languages "none";
Dir "{root}";
Dir::Etc "{root}";
Dir::Etc::trusted "{root}/none";
Dir::Etc::trustedparts "{root}/none";
Dir::State::status "{root}/status";
Dir::Bin::methods "/usr/lib/apt/methods";
"""


def carry(stage: Stage, plain: str) -> bool:
    """Builds the crate, installs it beside the first one, and lets pip and apt loose on it. Whether there was one."""
    stage.step("Packages: a second crate, for apt and pip")
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    apt = stage.has("apt-get") and stage.has("dpkg-deb")
    stage.say("They come from wherever this machine's own apt and pip take theirs, with all that they need.")
    stage.write("packages.toml", RECIPE.format(python=here) + (APT if apt else ""))
    try:
        stage.run("crate-bundle lock packages.toml")
    except DemoFailed as problem:
        if os.environ.get("CI"):
            raise
        stage.say(f"(No packages are to be had here, so the demo goes on without: {problem})")
        return False
    stage.run("crate-bundle build packages.toml --out packages --key release.key")
    stage.run("crate-appliance --root crate install packages")
    stage.say("The daemon that runs serves it from this moment on, beside the first crate.")
    _pip(stage)
    if apt:
        _apt(stage, plain)
    return True


def _pip(stage: Stage) -> None:
    stage.step("pip: for this machine, and for the other kind")
    pip = "client/bin/pip --isolated -q --disable-pip-version-check"
    index = "--no-cache-dir --cert certs/ca.crt --index-url https://$CRATE/pypi/simple/"
    stage.run("python -m venv client")
    stage.run(f"{pip} install {index} markupsafe click")
    stage.run("client/bin/python -c 'import markupsafe; print(markupsafe.escape(\"<from the crate>\"))'")
    other = "x86_64" if platform.machine() == "aarch64" else "aarch64"
    levels = " ".join(f"--platform {level}_{other}" for level in ("manylinux2014", "manylinux_2_17", "manylinux_2_28"))
    stage.run(f"{pip} download {index} --only-binary :all: {levels} -d wheels markupsafe click && ls wheels")


def _apt(stage: Stage, plain: str) -> None:
    stage.step("apt: for both, with every signature checked")
    stage.say("The crate signs its repository with a key of its own, and offers the file that a node needs.")
    stage.run("mkdir -p node/{sources.list,preferences,apt.conf}.d node/var/{lib/apt/lists,cache/apt/archives}/partial")
    stage.run(f"touch node/status && curl -fsS http://{plain}/apt/debian.sources -o node/sources.list.d/crate.sources")
    stage.write("node/apt.conf", APT_CONF.format(root=stage.folder / "node"))
    stage.let("APT_CONFIG", str(stage.folder / "node/apt.conf"))
    stage.run("apt-get -q update")
    stage.run("apt-get -q download hello:amd64 hello:arm64 jq:amd64 jq:arm64 && ls *.deb")
    own = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine())
    if platform.system() == "Linux" and own:
        stage.run(f"dpkg-deb -x hello_*_{own}.deb unpacked && unpacked/usr/bin/hello")
