"""What the checks make of what they see: tables of machines, and what is said of them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from appliance.doctor import certificates, clock, disks, machine
from appliance.doctor.daemon import judge_unit
from appliance.doctor.disks import Room
from appliance.doctor.findings import Finding, Level, Report
from appliance.names.clock import Known

GIB = 1 << 30
DAY = timedelta(days=1).total_seconds()
NOW = datetime(2026, 11, 23, tzinfo=UTC).timestamp()

CLOCKS = {
    "as it should be": (Known(NOW, saved=NOW - 60, crate=NOW - 9 * DAY), Level.FINE),
    "a minute behind what was noted, as after a power cut": (Known(NOW, saved=NOW + 60), Level.FINE),
    "at the beginning of time": (Known(5.0, saved=NOW), Level.FATAL),
    "before the newest crate was made": (Known(NOW, crate=NOW + 3 * DAY), Level.FATAL),
    "a year later than anything, as after a year in a drawer": (Known(NOW + 365 * DAY, saved=NOW), Level.FINE),
    "twelve years later than anything": (Known(NOW + 12 * 365 * DAY, saved=NOW), Level.WARNING),
    "on a store that knows nothing": (Known(NOW), Level.FINE),
}


@pytest.mark.parametrize(("known", "level"), CLOCKS.values(), ids=CLOCKS)
def test_a_clock(known: Known, level: Level) -> None:
    seen = clock.judge(known)
    assert seen.level is level
    assert bool(seen.remedy) == (level is not Level.FINE)


ROOMS = {
    "half full": (Room(64 * GIB, 32 * GIB, 1_000_000, 500_000), [Level.FINE]),
    "with 700 MiB of 64 GiB left": (Room(64 * GIB, 700 << 20, 1_000_000, 500_000), [Level.WARNING]),
    "small, with a tenth left": (Room(4 * GIB, GIB // 2, 100_000, 50_000), [Level.FINE]),
    "full": (Room(64 * GIB, 5 << 20, 1_000_000, 500_000), [Level.FATAL]),
    "with few inodes left": (Room(64 * GIB, 32 * GIB, 1_000_000, 900), [Level.FINE, Level.WARNING]),
    "without inodes": (Room(64 * GIB, 32 * GIB, 1_000_000, 3), [Level.FINE, Level.FATAL]),
    "of a file system that makes inodes as it needs them": (Room(64 * GIB, 32 * GIB, 0, 0), [Level.FINE]),
}


@pytest.mark.parametrize(("room", "levels"), ROOMS.values(), ids=ROOMS)
def test_a_disk(room: Room, levels: list[Level]) -> None:
    assert [seen.level for seen in disks.judge_room(room)] == levels


DEVICES: dict[str, tuple[Mapping[str, str], list[Level]]] = {
    "sound": ({"fs/ext4/mmcblk0p2/errors_count": "0\n"}, [Level.FINE]),
    "with errors in its file system": ({"fs/ext4/mmcblk0p2/errors_count": "12\n"}, [Level.FATAL]),
    "hardly used": ({"block/mmcblk0/device/life_time": "0x01 0x02\n"}, [Level.FINE]),
    "nearly worn out": ({"block/mmcblk0/device/life_time": "0x03 0x0a\n"}, [Level.WARNING]),
    "worn out": ({"block/mmcblk0/device/life_time": "0x0b 0x01\n"}, [Level.FATAL]),
    "that does not tell its wear": ({"block/mmcblk0/device/life_time": "0x00 0x00\n"}, []),
    "short of spare blocks": ({"block/mmcblk0/device/pre_eol_info": "0x02\n"}, [Level.WARNING]),
    "out of spare blocks": ({"block/mmcblk0/device/pre_eol_info": "0x03\n"}, [Level.FATAL]),
    "of another file system": ({}, []),
}


@pytest.mark.parametrize(("files", "levels"), DEVICES.values(), ids=DEVICES)
def test_a_card(tmp_path: Path, files: Mapping[str, str], levels: list[Level]) -> None:
    """A folder that stands for sysfs: a card with two partitions, the store on the second."""
    partition = tmp_path / "block/mmcblk0/mmcblk0p2"
    partition.mkdir(parents=True)
    (partition / "partition").write_text("2\n")
    (tmp_path / "dev/block").mkdir(parents=True)
    (tmp_path / "dev/block/179:2").symlink_to(partition)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert [seen.level for seen in disks.judge_device(os.makedev(179, 2), tmp_path)] == levels


def test_a_disk_that_the_kernel_does_not_know_is_somebody_elses(tmp_path: Path) -> None:
    assert [*disks.judge_device(os.makedev(0, 42), tmp_path)] == []


@pytest.mark.parametrize(("alarm", "level"), [("0", Level.FINE), ("1", Level.WARNING)], ids=["strong", "weak"])
def test_a_power_supply_that_is(tmp_path: Path, alarm: str, level: Level) -> None:
    sensor = tmp_path / "class/hwmon/hwmon1"
    sensor.mkdir(parents=True)
    (sensor / "name").write_text("rpi_volt\n")
    (sensor / "in0_lcrit_alarm").write_text(f"{alarm}\n")
    assert [seen.level for seen in machine.judge_power(tmp_path)] == [level]


CLOSED = """table inet filter {
\tchain input {
\t\ttype filter hook input priority filter; policy drop;
\t\tct state established,related accept
\t\ttcp dport { 22, 5000 } accept
\t}
}
"""
OPEN = CLOSED.replace("policy drop", "policy accept")
RULES = {
    "no rules": ("", [Level.FINE]),
    "rules that let everything in": (OPEN, [Level.FINE]),
    "rules that let one port in": (CLOSED, [Level.WARNING]),
    "rules that let both in": (CLOSED.replace("5000", "5000, 8080"), [Level.FINE]),
    "rules that let a port in whose number begins alike": (CLOSED.replace("5000", "50001, 8080"), [Level.WARNING]),
}


@pytest.mark.parametrize(("rules", "levels"), RULES.values(), ids=RULES)
def test_a_firewall_with(rules: str, levels: list[Level]) -> None:
    assert [seen.level for seen in machine.judge_rules(rules, [5000, 8080])] == levels


GOOD = {"ActiveState": "active", "UnitFileState": "enabled", "NRestarts": "0"}
UNITS = {
    "active": (GOOD, [Level.FINE]),
    "failed": ({**GOOD, "ActiveState": "failed"}, [Level.FATAL]),
    "not started at boot": ({**GOOD, "UnitFileState": "disabled"}, [Level.WARNING]),
    "started again and again": ({**GOOD, "NRestarts": "31"}, [Level.WARNING]),
    "unknown": ({}, [Level.FATAL, Level.WARNING]),
}


@pytest.mark.parametrize(("properties", "levels"), UNITS.values(), ids=UNITS)
def test_a_unit_that_is(properties: Mapping[str, str], levels: list[Level]) -> None:
    assert [seen.level for seen in judge_unit(properties)] == levels


TODAY = datetime(2026, 11, 23, tzinfo=UTC)
DATES = {
    "good for years": (timedelta(days=-100), timedelta(days=2000), Level.FINE),
    "that ends next week": (timedelta(days=-100), timedelta(days=7), Level.WARNING),
    "that ended yesterday": (timedelta(days=-100), timedelta(days=-1), Level.FATAL),
    "that begins tomorrow": (timedelta(days=1), timedelta(days=90), Level.FATAL),
}


@pytest.mark.parametrize(("begins", "ends", "level"), DATES.values(), ids=DATES)
def test_a_certificate(begins: timedelta, ends: timedelta, level: Level) -> None:
    (seen,) = certificates.judge_dates("it", (TODAY + begins, TODAY + ends), TODAY, "a remedy")
    assert seen.level is level


def test_a_report_is_as_grave_as_its_gravest_finding_and_reads_back() -> None:
    findings = (Finding("a", Level.FINE, "x"), Finding("b", Level.FATAL, "y", "z"), Finding("c", Level.WARNING, "w"))
    report = Report(7, whole=True, findings=findings)
    assert report.level is Level.FATAL
    assert report.line() == "not everything is well (to be done now: 1, to be looked at: 1)"
    assert Report.from_json(report.to_json()) == report
    assert Report(7, whole=True, findings=findings[:1]).line() == "everything is well"
