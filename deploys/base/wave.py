"""The wave: one room after another, in the order in which each needs those before it."""

from __future__ import annotations

import hashlib
import time

from deploys.base import clock, kernel, names, network, packages, sources
from deploys.base.names import Setting
from deploys.boot import boot_file
from deploys.errors import NodeProblem, OperationFailed
from deploys.kept import SH
from deploys.operations import keep, unit
from deploys.operations import run as _run
from deploys.preflight.facts import Facts
from deploys.preflight.judging import SKEW
from deploys.preflight.wave import read
from deploys.running import Run, Wave

AUTHORITY = "/etc/buzzcrate/ca.pem"
_JOURNAL = "/etc/systemd/journald.conf.d/buzzcrate.conf"
_DEBIAN_AUTHORITY = "/usr/local/share/ca-certificates/buzzcrate.crt"
_ARCH_AUTHORITY = "/etc/ca-certificates/trust-source/anchors/buzzcrate.crt"
_APT_TIMEOUT = 1800  # seconds
_REBOOT = 300  # seconds for a board to come back


class Base(Wave):
    """Gets a node ready for a cluster."""

    name = "base"

    def add(self, run: Run) -> None:
        began = time.time()
        facts = read(run)
        run.look(*_paths(run, facts))
        _names(run, facts)
        if not run.node.local:
            _clock(run, facts, began)
            _resolver(run, facts)
        _authority(run, facts)
        _sources(run, facts)
        _packages(run, facts)
        _kernel(run, facts)
        if run.order.base.time and not run.node.local:
            _time(run, facts)
        _journal(run, facts)
        _route(run, facts)
        _firewall(run, facts)
        _memory_cgroup(run, facts)


WAVE = Base()


def _paths(run: Run, facts: Facts) -> list[str]:
    """All files that the wave will look at."""
    units = (f"/etc/systemd/system/{name}" for name in (network.ROUTE_UNIT, network.FIREWALL_UNIT))
    ours = (sources.path(source) for source in sources.fitting(run.order, facts.os.get("VERSION_CODENAME", "")))
    written = (setting.path for setting in names.resolver(run.order, facts))
    boot = boot_file(facts.boot_files)
    return [
        *("/etc/hostname", "/etc/hosts", "/etc/resolv.conf", names.KUBELET_RESOLVER, AUTHORITY, _JOURNAL),
        *(_DEBIAN_AUTHORITY, _ARCH_AUTHORITY, kernel.MODULES_FILE, kernel.SYSCTL_FILE, network.FIREWALL_FILE),
        *(names.CLOUD, *facts.paths, *facts.sources, *units, *ours, *written),
        *((clock.follow(facts)[1],) if clock.follow(facts)[1] else ()),
        *((boot.path,) if boot else ()),
    ]


def _put(run: Run, setting: Setting) -> bool:
    return run.add(
        keep,
        name=setting.name,
        path=setting.path,
        content=setting.content,
        then=setting.then,
        undone=setting.undone,
    )


def _names(run: Run, facts: Facts) -> None:
    name = run.node.name
    text = run.look("/etc/hosts")["/etc/hosts"].text
    # first the name in hosts: sudo warns as soon as a host does not know its own
    run.add(keep, name="Hosts", path="/etc/hosts", content=names.hosts(text, run.order, run.node))
    run.add(keep, name="Host name", path="/etc/hostname", content=f"{name}\n")
    if facts.hostname != name:
        run.add(_run, name="Host name, now", command=f"echo {name} >/proc/sys/kernel/hostname")
    if "/etc/cloud/cloud.cfg.d" in facts.paths:
        run.add(keep, name="cloud-init leaves names alone", path=names.CLOUD, content=names.cloud())


def _clock(run: Run, facts: Facts, began: float) -> None:
    if abs(facts.clock - began) > SKEW:
        run.add(_run, name="Clock", command=clock.setting_command(time.time()))


def _resolver(run: Run, facts: Facts) -> None:
    _put(run, names.for_kubelet(run.order, facts))
    if not run.order.base.resolver:
        return
    if "/etc/dhcpcd.conf" in facts.paths:
        text = names.dhcpcd(run.look("/etc/dhcpcd.conf")["/etc/dhcpcd.conf"].text)
        run.add(keep, name="dhcpcd leaves resolv.conf alone", path="/etc/dhcpcd.conf", content=text)
    for setting in names.resolver(run.order, facts):
        _put(run, setting)


def _authority(run: Run, facts: Facts) -> None:
    text = run.order.crate.authority
    run.add(keep, name="Authority of the crate", path=AUTHORITY, content=text)
    if "update-ca-certificates" in facts.programs:
        refresh = "update-ca-certificates >/dev/null"
        # without --fresh the links to an authority that is gone stay behind
        undone = "update-ca-certificates --fresh >/dev/null"
        _put(run, Setting("Authority, for all programs", _DEBIAN_AUTHORITY, text, refresh, undone))
    elif "update-ca-trust" in facts.programs:
        _put(run, Setting("Authority, for all programs", _ARCH_AUTHORITY, text, "update-ca-trust"))


def _sources(run: Run, facts: Facts) -> None:
    ours = {
        sources.path(source): source.text
        for source in sources.fitting(run.order, facts.os.get("VERSION_CODENAME", ""))
        if "apt-get" in facts.programs
    }
    if run.order.base.foreign_sources == "disable":
        theirs = [path for path in facts.sources if not path.startswith(f"{sources.FOLDER}/buzzcrate-")]
        for path, now in run.look(*theirs).items():
            text = sources.without_internet(path, now.text)
            if text != now.text:
                # mode and owner stay what they are
                run.add(keep, name=f"No internet in {path}", path=path, content=text, mode=now.mode, owner=now.owner)
    for path, text in ours.items():
        run.add(keep, name="Packages from the crate", path=path, content=text)
    if ours:
        digest = hashlib.sha256("".join(ours.values()).encode()).hexdigest()
        script = packages.update(_hosts(run), digest)
        condition = f'[ "$(cat {packages.UPDATED})" = {digest} ]'
        run.add(_run, name="apt reads its sources", command=script, unless=condition, timeout=_APT_TIMEOUT)


def _hosts(run: Run) -> tuple[str, str]:
    return run.order.crate.address, run.order.crate.name


def _packages(run: Run, facts: Facts) -> None:
    wanted = list(run.order.base.packages)
    if "apt-get" not in facts.programs:
        if wanted:
            run.find("packages", "warning", f"not installed, for want of apt: {', '.join(wanted)}")
        return
    if run.order.base.time and not clock.follow(facts)[0] and not run.node.local and run.order.crate.apt:
        if run.holds(packages.available("systemd-timesyncd")):
            wanted.append("systemd-timesyncd")
        elif not run.planning:  # before the sources are in place nobody knows
            run.find("time", "warning", "nothing on it keeps time", "put systemd-timesyncd or chrony into the crate")
    if wanted and (missing := run.ask(packages.missing(wanted)).split()):
        shown = f"apt-get install {' '.join(missing)}"
        command = packages.install(missing, _hosts(run))
        run.add(_run, name="Packages", command=command, shown=shown, timeout=_APT_TIMEOUT)


def _kernel(run: Run, facts: Facts) -> None:
    if load := kernel.to_load(facts):
        run.add(keep, name="Kernel modules at boot", path=kernel.MODULES_FILE, content=kernel.modules(load))
        if "loadable" in facts.modules.values():
            run.add(_run, name="Kernel modules, now", command=f"modprobe -a {' '.join(load)}")
    run.add(keep, name="Kernel settings at boot", path=kernel.SYSCTL_FILE, content=kernel.sysctl())
    run.add(
        _run,
        name="Kernel settings, now",
        command=SH + kernel.set_script(),
        unless=kernel.unset_condition(),
        shown="sysctl " + " ".join(f"{key}={value}" for key, value in kernel.SETTINGS.items()),
    )


def _time(run: Run, facts: Facts) -> None:
    service, path = clock.follow(facts)
    if not service and run.holds("[ -x /usr/lib/systemd/systemd-timesyncd ] || [ -x /lib/systemd/systemd-timesyncd ]"):
        service, path = clock.TIMESYNCD
    if service:
        _put(run, clock.setting(run.order, service, path, run.look(path)[path].text))


def _journal(run: Run, facts: Facts) -> None:
    if facts.disk in {"card", "emmc"}:
        text = "[Journal]\nStorage=volatile\nRuntimeMaxUse=32M\n"
        _put(run, Setting("Journal in memory", _JOURNAL, text, "systemctl restart systemd-journald"))


def _route(run: Run, facts: Facts) -> None:
    if not network.needs_route(facts):
        return
    kind = "dummy" if "dummy" in facts.links else "bridge"
    run.add(unit, name="Default route", unit_name=network.ROUTE_UNIT, text=network.route_unit(kind))


def _firewall(run: Run, facts: Facts) -> None:
    if not run.order.base.firewall:
        return
    program = next((name for name in ("nft", "iptables") if facts.filter in {name, "both"}), "")
    if not program:
        return  # preflight has said so
    friends = network.friends(run.order)
    text = network.nftables(friends) if program == "nft" else network.iptables(friends)
    again = f"if systemctl -q is-active {network.FIREWALL_UNIT}; then systemctl restart {network.FIREWALL_UNIT}; fi"
    _put(run, Setting("Firewall rules", network.FIREWALL_FILE, text, again, ":"))
    run.add(unit, name="Firewall", unit_name=network.FIREWALL_UNIT, text=network.firewall_unit(program))


def _memory_cgroup(run: Run, facts: Facts) -> None:
    if "memory" in facts.cgroups:
        return
    boot = boot_file(facts.boot_files)
    if boot is None or boot.edit is None or not run.order.base.reboot:
        raise NodeProblem(f"{run.node.name}: the memory cgroup is off", hint=boot.remedy if boot else "")
    now = run.look(boot.path)[boot.path]
    text = boot.edit(now.text)
    run.add(
        keep,
        name="Memory cgroup at boot",
        path=boot.path,
        content=text,
        mode=now.mode,
        owner=now.owner,
        then=boot.after,
    )
    if run.node.local:
        raise NodeProblem(
            f"{run.node.name}: the memory cgroup comes with the next start",
            hint="this is the appliance itself: restart it, then run the same command again",
        )
    run.restart(seconds=_REBOOT)
    if not run.planning and "memory" not in read(run).cgroups:
        raise OperationFailed(f"{run.node.name}: the memory cgroup is off in spite of {boot.path}", hint=boot.remedy)
