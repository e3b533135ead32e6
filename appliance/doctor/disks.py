"""The disk under the store: its space, and what the kernel and the disk itself say of its health."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from appliance.doctor.findings import Seen, fatal, fine, warning
from appliance.store import Store
from console import units

_FULL = 100 << 20  # bytes below which pushes and imports begin to fail
_TIGHT = 1 << 30  # bytes, or a twentieth of the disk where that is less
_SHARE = 20
_REPLACE = "crate-appliance backup FILE to another disk now, then replace this one"
_FREE = "crate-appliance gc drops old generations; crate-appliance status shows what takes space"


@dataclass(frozen=True, slots=True)
class Room:
    """Of a file system: bytes and inodes, all and free. A file system without a fixed number of inodes has 0."""

    size: int
    free: int
    inodes: int
    free_inodes: int


def space(store: Store) -> Iterator[Seen]:
    state = os.statvfs(store.root)
    frames = state.f_frsize
    yield from judge_room(Room(state.f_blocks * frames, state.f_bavail * frames, state.f_files, state.f_favail))
    if state.f_flag & os.ST_RDONLY:
        yield fatal(f"the disk of {store.root} is mounted read-only, as happens after errors", f"dmesg; {_REPLACE}")


def judge_room(room: Room) -> Iterator[Seen]:
    told = f"{units.size(room.free)} of {units.size(room.size)} are free"
    if room.free < _FULL:
        yield fatal(f"the disk is full: {told}", _FREE)
    elif room.free < min(_TIGHT, room.size // _SHARE):
        yield warning(f"the disk is nearly full: {told}", _FREE)
    else:
        yield fine(told)
    if room.inodes and room.free_inodes < room.inodes // _SHARE:
        level = fatal if room.free_inodes < 100 else warning
        yield level(f"{room.free_inodes} more files fit on the disk, whatever their size", _FREE)


def health(store: Store) -> Iterator[Seen]:
    yield from judge_device(store.root.stat().st_dev, Path("/sys"))


def judge_device(number: int, sys: Path) -> Iterator[Seen]:
    """What is known of the block device `number`; `sys` is where sysfs is mounted."""
    partition = (sys / "dev/block" / f"{os.major(number)}:{os.minor(number)}").resolve()
    if not partition.exists():
        return  # a network or memory file system, an overlay: the disk is somebody else's
    errors = sys / "fs/ext4" / partition.name / "errors_count"
    count = int(_read(errors) or 0)
    if count:
        yield fatal(
            f"the file system on {partition.name} has noted {count} errors",
            f"{_REPLACE}; fsck at the next boot (touch /forcefsck) may mend the file system",
        )
    disk = partition.parent if (partition / "partition").exists() else partition
    yield from _wear(disk)
    yield from _smart(disk.name)
    if not count and errors.exists():
        yield fine(f"the file system on {partition.name} has noted no errors")


def _wear(disk: Path) -> Iterator[Seen]:
    """EMMC and newer SD cards tell how worn they are (JEDEC JESD84-B51, 7.4.96 and 7.4.97)."""
    tenths = [int(word, 16) for word in _read(disk / "device/life_time").split()]
    used = max(tenths, default=0)
    if used > 10:
        yield fatal(f"{disk.name} has outlived the writes that it was made for", _REPLACE)
    elif used >= 9:
        yield warning(f"{disk.name} has used {(used - 1) * 10} to {used * 10} % of its writes", _REPLACE)
    elif used:
        yield fine(f"{disk.name} has used {(used - 1) * 10} to {used * 10} % of its writes")
    if (reserve := int(_read(disk / "device/pre_eol_info") or "0", 16)) > 1:
        level, how = (fatal, "nearly all") if reserve > 2 else (warning, "80 %")
        yield level(f"{disk.name} has used {how} of its spare blocks", _REPLACE)


def _smart(disk: str) -> Iterator[Seen]:
    """What the disk says of itself, where smartctl(8) is installed and may ask it."""
    program = shutil.which("smartctl", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if program is None or os.geteuid() != 0 or disk.startswith("mmcblk"):
        return
    try:
        asked = subprocess.run(
            [program, "--json", "--health", f"/dev/{disk}"], capture_output=True, check=False, timeout=20
        )
        passed = json.loads(asked.stdout).get("smart_status", {}).get("passed")
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return
    if passed is False:
        yield fatal(f"{disk} says of itself that it is failing (SMART)", _REPLACE)
    elif passed:
        yield fine(f"{disk} says of itself that it is well (SMART)")


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
