"""Packages of the crate on a node, by apt: what is missing of those asked for, and how it comes. Pure scripts."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from deploys.kept import SH, STATE

UPDATED = f"{STATE}/sources-read"
"""Holds what the sources were (a digest) when apt last read all of them."""


def missing(names: Sequence[str]) -> str:
    """For sh: prints those of `names` that are not installed."""
    return f"""\
for p in {shlex.join(names)}; do
  case $(dpkg-query -W -f '${{db:Status-Abbrev}}' "$p" 2>/dev/null) in ii* | hi*) ;; *) echo "$p" ;; esac
done"""


def update(hosts: Sequence[str], digest: str) -> str:
    """Makes apt read all sources, and says so in `UPDATED`."""
    return f"{_apt(hosts)} update && mkdir -p -m 700 {STATE} && echo {digest} >{UPDATED}"


def install(names: Sequence[str], hosts: Sequence[str]) -> str:
    """Installs `names` with what they need, noting every package that was not there before."""
    words = shlex.join(names)
    return f"""\
{SH}export DEBIAN_FRONTEND=noninteractive
dpkg --configure -a
apt="{_apt(hosts)}"
$apt update
for p in $($apt -s install {words} | awk '$1 == "Inst" && $3 !~ /^\\[/ {{ print $2 }}'); do note "package $p"; done
$apt install {words}
"""


def available(name: str) -> str:
    """For sh: whether apt could install `name`."""
    return f'[ -n "$(apt-cache -q madison {shlex.quote(name)} 2>/dev/null)" ]'


def _apt(hosts: Sequence[str]) -> str:
    """apt-get without questions, Recommends or a proxy on the way to `hosts`; the lock is waited for."""
    direct = " ".join(f"-o Acquire::http::Proxy::{host}=DIRECT" for host in hosts)
    return (
        "apt-get -q -y --no-install-recommends -o DPkg::Lock::Timeout=120 -o Dpkg::Options::=--force-confold "
        f"-o Acquire::http::Timeout=15 -o Acquire::Retries=1 -o Acquire::Languages=none {direct}"
    )
