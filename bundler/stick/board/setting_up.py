"""From boot files to a crate-appliance that runs; the one before works until the new one does.

/opt/buzzcrate/releases/<id>   a virtual environment; whole once it holds release.json
/opt/buzzcrate/current         a link to one of them, moved in one step
/opt/buzzcrate/work            what is under way; nothing in it outlives a run
/usr/local/bin/crate-appliance a link through `current`
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bundler.stick.board.ground import FAILED, MIB, Stop, say
from bundler.stick.board.head import Head, extract
from bundler.stick.board.machine import Choice

HOME = Path("/opt/buzzcrate")
COMMAND = Path("/usr/local/bin/crate-appliance")
UNIT = Path("/etc/systemd/system/crate-appliance.service")
GROWTH = 6  # unpacked and compiled, a wheel takes more than four times its size, and it lies beside that meanwhile


@contextmanager
def working() -> Iterator[Path]:
    """An empty folder that goes away again, of one run at a time."""
    fresh = not HOME.exists()
    HOME.mkdir(parents=True, exist_ok=True)
    with (HOME / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Stop(FAILED, "another install.sh is at work here", "wait for it, or end it") from None
        work = HOME / "work"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(0o700)
        try:
            yield work
        finally:
            shutil.rmtree(work, ignore_errors=True)
            if fresh and not (HOME / "current").exists():
                shutil.rmtree(HOME, ignore_errors=True)


def newer_than(release: dict[str, Any]) -> str:
    """The crate that what is installed came with, if it is newer than this one: code must not go back unasked."""
    with suppress(OSError, ValueError, KeyError):
        record = json.loads((HOME / "current/release.json").read_text())
        if record["created"] > release["created"]:
            return f"{record['name']} {record['serial']}"
    return ""


def set_up(head: Head, choice: Choice, work: Path) -> None:
    """Makes the release that this crate brings the current one, unless it is."""
    if (COMMAND.exists() or COMMAND.is_symlink()) and not _ours(COMMAND):
        raise Stop(FAILED, f"{COMMAND} is there and did not come from a stick", "move it away, and run this again")
    folder = _folder(choice.name)
    if not (folder / "release.json").exists():
        _make(folder, head, choice, work)
    current = HOME / "current"
    previous = current.resolve() if current.exists() else None
    if previous != folder:
        if previous:
            (HOME / ".restart").touch()  # until it is done, whoever runs this next has to do it
        _link(current, Path("releases", folder.name))
        for other in (HOME / "releases").iterdir():
            if other not in {folder, previous}:
                shutil.rmtree(other)


def settle() -> None:
    """What a switch leaves to be done, now or after an interruption: the command, and a service that runs goes on with
    the new release.
    """
    if not _ours(COMMAND):
        COMMAND.parent.mkdir(parents=True, exist_ok=True)
        _link(COMMAND, HOME / "current/bin/crate-appliance")
    if (HOME / ".restart").exists():
        if UNIT.exists() and Path("/run/systemd/system").is_dir():
            subprocess.run(["systemctl", "try-restart", UNIT.name], check=False)
        (HOME / ".restart").unlink()


def _make(folder: Path, head: Head, choice: Choice, work: Path) -> None:
    size = sum(one["size"] for one in choice.files)
    _check_room(size * GROWTH)
    _check_exec(work)
    wheels = work / "wheels"
    wheels.mkdir()
    say(f"checking {len(choice.files)} files, {size / MIB:.0f} MiB")
    extract(head, choice.files, wheels)
    say("installing them; a small board takes a minute or two")
    _quiet([choice.python, "-I", "-m", "venv", "--without-pip", str(folder)], work, "making a virtual environment")
    pip = next(wheels.glob("pip-*.whl"))
    words = [str(folder / "bin/python"), "-I", f"{pip}/pip", "--isolated", "install", "--no-index", "--no-input"]
    words += ["--no-cache-dir", "--disable-pip-version-check", "--no-warn-script-location", "--only-binary", ":all:"]
    _quiet([*words, "--find-links", str(wheels), f"buzzcrate=={choice.version}"], work, "installing the appliance")
    _quiet([str(folder / "bin/crate-appliance"), "install", "--help"], work, "starting crate-appliance")
    os.sync()
    record = {key: head.release[key] for key in ("name", "serial", "created")}
    record |= {"sha256": hashlib.sha256(head.signed).hexdigest(), "python": choice.python}
    with (work / "release.json").open("w") as file:
        json.dump(record, file)
        file.flush()
        os.fsync(file.fileno())
    (work / "release.json").rename(folder / "release.json")


def _check_room(needed: int) -> None:
    status = os.statvfs(HOME)
    free = status.f_bavail * status.f_frsize
    if free < needed:
        what = f"{HOME} has room for {free // MIB} MiB, and the appliance takes up to {needed // MIB} MiB"
        raise Stop(FAILED, what, "free some space on that disk")


def _check_exec(work: Path) -> None:
    probe = work / "probe"
    probe.write_text("#!/bin/sh\n")
    probe.chmod(0o700)
    try:
        subprocess.run([probe], check=True)
    except (OSError, subprocess.CalledProcessError):
        hint = "mount its file system without noexec: mount -o remount,exec ..."
        raise Stop(FAILED, f"no program may run in {HOME}", hint) from None


def _folder(base: str) -> Path:
    """Where the release is, whole and working, or is to be made; what was left half made there is removed."""
    number = 0
    while True:
        folder = HOME / "releases" / (f"{base}-{number}" if number else base)
        if not (folder / "release.json").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.parent.mkdir(parents=True, exist_ok=True)
            return folder
        words = [str(folder / "bin/crate-appliance"), "--version"]
        with suppress(OSError):
            if subprocess.run(words, capture_output=True, check=False).returncode == 0:
                return folder
        number += 1  # somebody harmed it, and it may be in use: make another one beside it


def _quiet(words: list[str], work: Path, what: str) -> None:
    """Runs a program that has nothing to say unless it fails."""
    scratch = work / "tmp"
    scratch.mkdir(exist_ok=True)
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOME": str(work), "TMPDIR": str(scratch)}
    environment["PIP_CONFIG_FILE"] = os.devnull  # this machine's settings are for other installations
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment, cwd=work)
    if done.returncode:
        told = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()[-8:]
        raise Stop(FAILED, f"{what} failed:\n  " + "\n  ".join(told), "run it again; if it stays, send these lines")


def _link(path: Path, target: Path) -> None:
    """Points `path` to `target`, in one step."""
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    beside.symlink_to(target)
    beside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


def _ours(path: Path) -> bool:
    return path.is_symlink() and path.readlink() == HOME / "current/bin/crate-appliance"
