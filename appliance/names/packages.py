"""The programs that names and time need, from the packages that the crate carries, by the machine's own apt.

apt is told of the crate's repositories for this one run; its own sources, lists and pins stay as they are.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from appliance.names.errors import NoPackage
from deploys.base.sources import for_release

_SEARCH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])
_SECONDS = 600
_UNITS = Path("/run/systemd/system")


def program(name: str) -> str:
    """The full path of a program of the system; empty when it is not installed."""
    return shutil.which(name, path=_SEARCH) or ""


def install(package: str, sources: Mapping[str, str], *, silence: Sequence[str] = ()) -> None:
    """Installs a package from the crate's repositories, whose `.sources` files are `sources`.

    The units in `silence` are what it would start on its own: they are kept from it, and disabled. Raises `NoPackage`.
    """
    hint = f'add it to the recipe: [[apt]] packages = ["{package}"]; or install it here another way'
    if not program("apt-get"):
        raise NoPackage(f"{package} is missing, and there is no apt here to install it with", hint=f"install {package}")
    suitable = {name: text for name, whole in sources.items() if (text := for_release(whole, codename()))}
    if not suitable:
        what = f"{package} is missing, and the crate carries no packages for {platform_name()}"
        raise NoPackage(what, hint=hint)
    with tempfile.TemporaryDirectory(prefix="buzzcrate-apt-") as folder, _silenced(silence):
        # apt reads lists as a user of its own
        Path(folder).chmod(0o755)
        options = _options(Path(folder), suitable)
        _apt([*options, "update"], package, hint)
        _apt([*options, "install", "--yes", "--no-install-recommends", package], package, hint)


def codename() -> str:
    """`bookworm`, `noble` …: the release of this system; empty for those that have no name."""
    return _os_release().get("VERSION_CODENAME", "")


def platform_name() -> str:
    return _os_release().get("PRETTY_NAME", "this system")


def _os_release() -> dict[str, str]:
    try:
        return platform.freedesktop_os_release()
    except OSError:
        return {}


def _options(folder: Path, sources: Mapping[str, str]) -> list[str]:
    parts, lists = folder / "sources.list.d", folder / "lists"
    for made in (parts, lists / "partial"):
        made.mkdir(parents=True)
    for name, text in sources.items():
        (parts / f"{name}.sources").write_text(text)
    settings = {
        "Dir::Etc::SourceList": "/dev/null",
        "Dir::Etc::SourceParts": parts,
        "Dir::State::Lists": lists,
        "Acquire::http::Proxy": "false",  # the crate is next door
        "Acquire::Languages": "none",
        "Acquire::Retries": "1",
        "APT::Update::Error-Mode": "any",  # a server that does not answer is no reason to go on with nothing
        "Dpkg::Use-Pty": "0",
        "Dpkg::Options::": "--force-confold",
    }
    return [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]


def _apt(words: Sequence[str], package: str, hint: str) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    command = [program("apt-get"), "--quiet", *words]
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, env=environment, timeout=_SECONDS,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise NoPackage(f"apt did not come to an end with {package}", hint="is another apt running?") from error
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("E:")] or done.stderr.splitlines()
        raise NoPackage(f"{package} cannot be installed: {said[0] if said else 'apt failed'}", hint=hint)


@contextmanager
def _silenced(units: Sequence[str]) -> Iterator[None]:
    """While a package is installed its units cannot be started; afterwards they are there, and disabled."""
    links = [_UNITS / unit for unit in units]
    try:
        for link in links:
            link.unlink(missing_ok=True)  # of a run that was killed here
            link.symlink_to("/dev/null")
        subprocess.run(["systemctl", "daemon-reload"], check=False, capture_output=True)
        yield
        subprocess.run(["systemctl", "disable", "--no-reload", *units], check=False, capture_output=True)
    finally:
        for link in links:
            link.unlink(missing_ok=True)
        subprocess.run(["systemctl", "daemon-reload"], check=False, capture_output=True)
