"""Modules and settings that a cluster's network wants of the kernel, now and at every boot."""

from __future__ import annotations

from collections.abc import Sequence

from deploys.preflight.facts import Facts

MODULES_FILE = "/etc/modules-load.d/buzzcrate.conf"
SYSCTL_FILE = "/etc/sysctl.d/90-buzzcrate.conf"
# Pods are behind bridges and routed; watching containers takes more inotify handles than one user has by default.
SETTINGS = {
    "net.ipv4.ip_forward": "1",
    "net.bridge.bridge-nf-call-iptables": "1",
    "net.bridge.bridge-nf-call-ip6tables": "1",
    "fs.inotify.max_user_instances": "512",
    "fs.inotify.max_user_watches": "524288",
}


def to_load(facts: Facts) -> tuple[str, ...]:
    """Modules that have to be loaded at boot; built-in ones are there anyway."""
    return tuple(name for name, state in facts.modules.items() if state in {"loaded", "loadable"})


def modules(names: Sequence[str]) -> str:
    return "".join(f"{name}\n" for name in names)


def sysctl() -> str:
    # `-`: a kernel without the key is no failure at boot (sysctl.d(5))
    return "".join(f"-{key} = {value}\n" for key, value in SETTINGS.items())


def _file(key: str) -> str:
    return "/proc/sys/" + key.replace(".", "/")


def unset_condition() -> str:
    """For sh: whether all settings that the kernel knows are at least what is wanted."""
    return " && ".join(
        f'{{ [ ! -e {_file(key)} ] || [ "$(cat {_file(key)})" -ge {value} ]; }}' for key, value in SETTINGS.items()
    )


def set_script() -> str:
    """For sh, after `deploys.kept.SH`: sets them, noting what was there."""
    return "".join(
        f'if [ -e {_file(key)} ] && [ "$(cat {_file(key)})" -lt {value} ]; then\n'
        f'  note "sysctl {key} $(cat {_file(key)})"\n  echo {value} >{_file(key)}\nfi\n'
        for key, value in SETTINGS.items()
    )
