"""The table of preflight: what is said of a board, how bad it is, and what to do. No board needed."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from deploys.events import Level
from deploys.order import Profile
from deploys.preflight.judging import CHECKS, judge, together
from tests.deploys.preflight.cards import NOW, case, facts, order


@dataclass(frozen=True)
class Row:
    """A board that differs from a healthy one, and what must be said of it: words of `what`, and of the remedy."""

    check: str
    level: Level
    more: str = ""
    without: tuple[str, ...] = ()
    changes: dict[str, object] = field(default_factory=dict)
    role: str = "server"
    what: str = ""
    hint: str = ""


_MEMORY = "boot /boot/firmware/cmdline.txt"
ROWS = {
    "a board without systemd cannot be a node": Row("init", "fatal", without=("init",), what="systemd", hint="Debian"),
    "a board of an architecture that the crate lacks": Row(
        "architecture",
        "fatal",
        changes={"crate.platforms": ["linux/amd64"]},
        what="linux/arm64, and the crate is for linux/amd64",
        hint='"linux/arm64"',
    ),
    "a 32-bit system on a 64-bit kernel is 32-bit": Row(
        "architecture", "fatal", "packages-for armhf", without=("packages-for",), what="it is linux/arm,"
    ),
    "a system with neither apt nor pacman": Row("packages", "warning", without=("program apt-get",), what="pacman"),
    "a root that is read-only": Row("read-only", "fatal", "read-only /", what="read-only", hint="raspi-config"),
    "a kernel without VXLAN on Ubuntu for Raspberry Pi": Row(
        "modules",
        "fatal",
        "module vxlan missing\nflavour ubuntu",
        without=("module vxlan", "flavour"),
        what="no vxlan",
        hint="linux-modules-extra-raspi",
    ),
    "a kernel without VXLAN on Armbian": Row(
        "modules", "fatal", "module vxlan missing\nflavour armbian", without=("module vxlan", "flavour"), hint="family"
    ),
    "a kernel without overlay on Arch Linux ARM": Row(
        "modules",
        "fatal",
        "module overlay missing\nos ID archarm",
        without=("module overlay", "flavour", "os ID"),
        what="no overlay",
        hint="pacman -S linux-aarch64",
    ),
    "a kernel that was upgraded under the running one": Row(
        "modules",
        "fatal",
        "module overlay missing\nmodule br_netfilter missing",
        without=("module overlay", "module br_netfilter"),
        what="no overlay, br_netfilter",
        hint="restart it if its kernel was upgraded",
    ),
    "a kernel that cannot filter packets": Row(
        "packet-filter", "fatal", "filter missing", without=("filter",), what="nf_tables"
    ),
    "no program to put up the fence with": Row(
        "firewall", "warning", "filter kernel", without=("filter",), what="8472/udp", hint="nftables"
    ),
    "a kernel without the cpuset controller": Row("cgroups", "fatal", without=("cgroup cpuset",), what="cpuset"),
    "Raspberry Pi OS without the memory cgroup": Row(
        "memory-cgroup",
        "fixable",
        without=("cgroup memory",),
        what="memory cgroup",
        hint="in /boot/firmware/cmdline.txt, add to the end of its one line: cgroup_memory=1 cgroup_enable=memory",
    ),
    "an older Raspberry Pi OS, whose file is elsewhere": Row(
        "memory-cgroup",
        "fixable",
        "boot /boot/cmdline.txt",
        without=("cgroup memory", _MEMORY),
        hint="in /boot/cmdline.txt,",
    ),
    "Armbian without the memory cgroup": Row(
        "memory-cgroup",
        "fixable",
        "boot /boot/armbianEnv.txt",
        without=("cgroup memory", _MEMORY),
        hint="in /boot/armbianEnv.txt, set extraargs=cgroup_memory=1 cgroup_enable=memory",
    ),
    "Ubuntu on a PC without the memory cgroup": Row(
        "memory-cgroup",
        "fixable",
        "boot /etc/default/grub",
        without=("cgroup memory", _MEMORY),
        hint='GRUB_CMDLINE_LINUX="cgroup_memory=1 cgroup_enable=memory" and run update-grub',
    ),
    "Arch Linux ARM with extlinux": Row(
        "memory-cgroup",
        "fixable",
        "boot /boot/extlinux/extlinux.conf",
        without=("cgroup memory", _MEMORY),
        hint="APPEND",
    ),
    "Arch Linux ARM with U-Boot's script, which a person has to compile": Row(
        "memory-cgroup", "fatal", "boot /boot/boot.txt", without=("cgroup memory", _MEMORY), hint="./mkscr"
    ),
    "a boot loader that nobody knows": Row(
        "memory-cgroup", "fatal", without=("cgroup memory", _MEMORY), hint="cgroup_enable=memory to the kernel"
    ),
    "no memory cgroup, and the site allows no restart": Row(
        "memory-cgroup", "fatal", without=("cgroup memory",), changes={"base.reboot": False}, hint="cmdline.txt"
    ),
    "a clock of 1970": Row(
        "clock", "fixable", "clock 86400", without=("clock",), what="57 years behind", hint="base puts it right"
    ),
    "a clock that is ahead": Row("clock", "fixable", f"clock {NOW + 600}", without=("clock",), what="10 minutes ahead"),
    "a server with half a gigabyte": Row(
        "memory", "fatal", "memory MemTotal: 512000", without=("memory",), what="a server needs 900"
    ),
    "an agent with a quarter": Row(
        "memory", "fatal", "memory MemTotal: 256000", without=("memory",), role="agent", what="an agent needs 450"
    ),
    "a server with one gigabyte is tight": Row(
        "little-memory", "warning", "memory MemTotal: 1000000", without=("memory",), what="976 MiB"
    ),
    "a full disk": Row("disk", "fatal", "disk 100000 8000000 /dev/sda1", without=("disk",), what="97 MiB are free"),
    "a disk that will fill": Row("little-disk", "warning", "disk 4000000 8000000 /dev/sda1", without=("disk",)),
    "the cluster's database on an SD card": Row(
        "disk-speed",
        "warning",
        "block SD /sys/block/mmcblk0",
        without=("block",),
        what="SD card",
        hint="/var/lib/rancher",
    ),
    "swap on a file": Row("swap", "warning", "swap /var/swap file 102396", what="/var/swap", hint="swapoff -a"),
    "the API's port in use": Row("ports", "fatal", "port tcp 6443 nginx", what="6443/tcp (nginx)"),
    "VXLAN's port in use": Row("ports", "fatal", "port udp 8472 -", role="agent", what="8472/udp"),
    "a kubeadm cluster that is left over": Row(
        "left-over", "fatal", "left-over /etc/kubernetes/admin.conf", what="kubeadm", hint="kubeadm reset -f"
    ),
    "MicroK8s that is left over": Row(
        "left-over", "fatal", "left-over /var/snap/microk8s", what="MicroK8s", hint="snap remove --purge microk8s"
    ),
    "a k3s of somebody else": Row(
        "left-over", "fatal", "k3s-unit k3s active", what="somebody else", hint="/usr/local/bin/k3s-uninstall.sh"
    ),
    "a k3s agent of somebody else": Row(
        "left-over", "fatal", "k3s-unit k3s-agent active", hint="/usr/local/bin/k3s-agent-uninstall.sh"
    ),
    "an agent of this crate that is to be a server": Row(
        "role", "fatal", "k3s-unit k3s-agent active\nk3s-ours k3s-agent", what="an agent", hint="reset --node n1"
    ),
    "no default route": Row("route", "fixable", without=("route",), what="default route"),
    "no default route, and no device to make one with": Row("route", "fatal", without=("route", "link")),
    "another host name": Row(
        "hostname", "fixable", "hostname raspberrypi", without=("hostname",), what="raspberrypi, and site.toml n1"
    ),
    "an address that is translated on the way": Row(
        "address", "warning", "address eth0 192.168.1.5/24", without=("address eth0",), what="10.77.0.11"
    ),
    "no nameserver": Row("nameserver", "fixable", without=("nameserver",)),
    "no nameserver, and the crate answers no names": Row(
        "names", "warning", without=("nameserver",), changes={"base.resolver": False}, hint="/etc/resolv.conf"
    ),
}


def test_nothing_is_said_of_a_healthy_board() -> None:
    assert judge(case()) == ()
    assert judge(case(role="agent")) == ()


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_what_is_said_of_a_board(row: Row) -> None:
    said = judge(case(row.more, without=row.without, changes=row.changes, role=row.role))
    found = {each.check: each for each in said}
    assert row.check in found, said
    assert found[row.check].level == row.level
    assert row.what in found[row.check].what
    assert row.hint in found[row.check].hint
    assert all(each.hint for each in said)


def test_every_row_of_the_table_is_tried() -> None:
    assert {row.check for row in ROWS.values()} == {check.name for check in CHECKS}


QUIET = {
    "a crate without a cluster is for any architecture": case(changes={"crate.platforms": []}),
    "swap in compressed memory is none": case("swap /dev/zram0 partition 102396"),
    "a clock that differs by seconds": case(f"clock {NOW - 4}", without=("clock",)),
    "an agent may use the ports of a server": case("port tcp 6443 nginx", role="agent"),
    "ports that our own k3s listens on": case("port tcp 6443 k3s-server\nk3s-unit k3s active\nk3s-ours k3s"),
    "a site that wants no fence": case("filter kernel", without=("filter",), changes={"base.firewall": False}),
    "an agent on an SD card": case("block SD /sys/block/mmcblk0", without=("block",), role="agent"),
    "modules of cgroup version 1": case("cgroup blkio"),
}


@pytest.mark.parametrize("quiet", QUIET.values(), ids=QUIET)
def test_what_nothing_is_said_of(quiet: object) -> None:
    assert judge(quiet) == ()  # type: ignore[arg-type]


def test_cards_that_were_copied_are_told_apart() -> None:
    other = facts("machine-id ffff", without=("machine-id",))
    said = list(together({"n1": facts(), "n2": other, "n3": facts()}, order()))
    assert [name for name, _ in said] == ["n1", "n3"]
    assert said[0][1].what == "n1 has the machine-id of n3: one card was copied from the other"
    assert "systemd-machine-id-setup" in said[0][1].hint


def test_profiles_have_to_fit_into_the_memory_of_all_nodes() -> None:
    profile = {"name": "large", "namespaces": [], "manifests": {}, "memory": 3000}
    site = order()
    site = site.model_copy(update={"profiles": (Profile.model_validate(profile),)})
    small = facts("memory MemTotal: 2048000\nmachine-id ffff", without=("memory", "machine-id"))
    said = [judgement for name, judgement in together({"n1": facts(), "n2": small}, site) if not name]
    assert said == []
    said = [judgement for name, judgement in together({"n1": small, "n2": small}, site) if not name]
    assert [each.what for each in said] == [
        "the profiles large take 3000 MiB of memory, and the nodes have 2650 to spare"
    ]
    assert not [name for name, _ in together({"n1": small}, site) if not name], "not all of them were read"
