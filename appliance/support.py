"""The support archive: what somebody who can help wants to see, in a tar.gz, and no secret of the store.

What may hold one is not copied but told in words of our own, and every document goes through a last sieve: whatever
the store keeps as a secret is struck out wherever it stands.
"""

from __future__ import annotations

import io
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from appliance.doctor.findings import Report, gravest_first
from appliance.service import UNIT
from appliance.site.folder import SiteFolder
from appliance.status import status
from appliance.store import Store
from console.version import VERSION

_LOG_LINES = "2000"
_LOG_BYTES = 1 << 20
_RECEIPTS = 10
_STRUCK = "[struck out]"
_WORD = 16  # characters of a word in a file of secrets that is one itself, and no key of YAML
_SHORTEST = 8  # characters; shorter ones would strike out words
# What a person may have written into a file that is no place for it (site.toml), or a node into its messages.
_TELLING = re.compile(
    r"((?:password|passphrase|secret|token|credential|api[-_]?key)[\w-]*[\"']?\s*[:=]\s*)(\"[^\"]*\"|'[^']*'|[^\s,}]+)",
    re.IGNORECASE,
)
_BLOCKS = re.compile(r"-----BEGIN [^-]*PRIVATE KEY-----.*?-----END [^-]*PRIVATE KEY-----", re.DOTALL)
_USERINFO = re.compile(r"(\w+://)[^/@\s\"']+@")
_COMMANDS = {
    "machine/addresses.txt": ["ip", "-brief", "address"],
    "machine/routes.txt": ["ip", "route"],
    "machine/disks.txt": ["df", "-h"],
    "machine/memory.txt": ["free", "-m"],
    "machine/listening.txt": ["ss", "-lntu"],
    "machine/kernel.txt": ["dmesg", "--level=err,warn"],
    "machine/units.txt": ["systemctl", "--no-pager", "status", "crate-appliance.service", "buzzcrate-*"],
    "logs/appliance.txt": ["journalctl", "--no-pager", "-n", _LOG_LINES, "-u", UNIT],
    "logs/names.txt": ["journalctl", "--no-pager", "-n", "200", "-u", "buzzcrate-*"],
}


def write_bundle(store: Store, report: Report, target: Path) -> int:
    """Writes the archive, for its owner's eyes; returns how many documents it holds. Raises `OSError`."""
    sieve = Sieve(secrets(store))
    count = 0
    beside = target.with_name(f".{target.name}.part")
    try:
        with (
            os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file,
            tarfile.open(fileobj=file, mode="w:gz") as archive,
        ):
            for name, text in documents(store, report):
                body = sieve.clean(text).encode()
                member = tarfile.TarInfo(f"support/{name}")
                member.size, member.mode, member.mtime = len(body), 0o600, int(time.time())
                archive.addfile(member, io.BytesIO(body))
                count += 1
        beside.rename(target)
    finally:
        beside.unlink(missing_ok=True)
    return count


def documents(store: Store, report: Report) -> Iterator[tuple[str, str]]:
    """Name and text of each, not sieved yet."""
    yield "versions.txt", _versions()
    yield (
        "findings.txt",
        "".join(
            f"{finding.level.word}: {finding.check}: {finding.what}\n  {finding.remedy}\n"
            for finding in gravest_first(report.findings)
        ),
    )
    yield "findings.json", json.dumps(report.to_json(), indent=1)
    yield "status.json", json.dumps(asdict(status(store)), indent=1, default=str)
    yield "store.txt", "".join(_listing(store.root))
    folder = SiteFolder(store.root)
    for path in (folder.site, folder.facts, folder.journal, folder.known_hosts, folder.path / "log"):
        with suppress(OSError):
            yield f"site/{path.name}", _tail(path)
    for path in sorted(folder.receipts.glob("*"))[-2 * _RECEIPTS :]:
        yield f"site/receipts/{path.name}", _tail(path)
    for path in sorted((store.root / "logs").glob("*")):
        yield f"logs/{path.name}", _tail(path)
    for name, command in _COMMANDS.items():
        yield name, _said(command)


class Sieve:
    """Strikes out these secrets, and whatever looks like one."""

    def __init__(self, known: Iterable[str]) -> None:
        # the longest first: one may be a part of another
        self._known = sorted({one for one in known if len(one) >= _SHORTEST}, key=len, reverse=True)

    def clean(self, text: str) -> str:
        for secret in self._known:
            text = text.replace(secret, _STRUCK)
        text = _BLOCKS.sub(_STRUCK, text)
        text = _TELLING.sub(lambda found: f"{found[1]}{_STRUCK}", text)
        return _USERINFO.sub(rf"\1{_STRUCK}@", text)


def secrets(store: Store) -> Iterator[str]:
    """Every line of every file that is to stay here, and what the database keeps to compare secrets with."""
    for path in secret_files(store.root):
        with suppress(OSError):
            text = path.read_text(errors="replace")
            yield text.strip()
            for line in text.splitlines():
                if not line.startswith("-----"):
                    yield line.strip()
                    yield from (word for word in line.split() if len(word) >= _WORD)
    reader = store.database.reader
    for query in ("SELECT password FROM users", "SELECT hash FROM tokens"):
        yield from (row[0] for row in reader.execute(query))


def secret_files(root: Path) -> Iterator[Path]:
    """The files below a store that nobody else may see."""
    site = SiteFolder(root)
    yield root / "session.key"
    yield from (root / "tls").glob("*.key")
    yield root / "trust/repository.pgp"
    yield from (path for path in (root / "identity").glob("*") if path.suffix != ".pub")
    yield from (site.key, site.token, site.server_token, site.kubeconfig)


def _versions() -> str:
    lines = [
        f"crate-appliance {VERSION}",
        f"Python {sys.version.split()[0]}",
        f"{platform.system()} {platform.release()} {platform.machine()}",
    ]
    with suppress(OSError):
        lines.append(Path("/etc/os-release").read_text())
    with suppress(OSError):
        lines.append(Path("/proc/device-tree/model").read_text(errors="replace").strip("\0"))
    return "\n".join([*lines, ""])


def _listing(root: Path) -> Iterator[str]:
    """Names and sizes of the store's own files; of loose blobs no more than how many there are."""
    loose = 0
    for folder, names, files in os.walk(root):
        names.sort()
        if Path(folder).parent == root / "loose/sha256":
            loose += len(files)
            continue
        for name in sorted(files):
            with suppress(OSError):
                path = Path(folder, name)
                found = path.stat()
                yield f"{found.st_size:14} {found.st_blocks * 512:14} {oct(found.st_mode)} {path.relative_to(root)}\n"
    yield f"and {loose} loose blobs\n"


def _tail(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _LOG_BYTES))
        return file.read(_LOG_BYTES).decode(errors="replace")


def _said(command: list[str]) -> str:
    program = shutil.which(command[0], path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if program is None:
        return f"there is no {command[0]} here\n"
    try:
        done = subprocess.run([program, *command[1:]], capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{command[0]}: {error}\n"
    return (done.stdout + done.stderr)[-_LOG_BYTES:]
