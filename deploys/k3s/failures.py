"""Why k3s does not come up, read from its journal: the line that tells, as a sentence with a remedy.

The patterns are what k3s, its kubelet, its containerd and systemd write; the first of the table that fits anywhere in
the last lines wins, so the more particular stand before the more general.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reason:
    """What happened, and what to do about it."""

    what: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class _Sign:
    pattern: re.Pattern[str]
    what: str
    hint: str


def _sign(pattern: str, what: str, hint: str) -> _Sign:
    return _Sign(re.compile(pattern), what, hint)


_CLOCK = "set its clock from the appliance: run again with the base wave, or give the board a battery"
_MODULES = "install the kernel's extra modules for this board (linux-modules-extra on Ubuntu), or another kernel"

_SIGNS = (
    _sign(
        r"no default routes found",
        "k3s wants a default route and this node has none",
        "run the base wave, which adds one that leads nowhere; it was lost if the network was set up again since",
    ),
    _sign(
        r"failed to find memory cgroup|memory cgroup.*(?:not|disabled)|you may need to add \"?cgroup_memory",
        "the kernel runs without the memory cgroup",
        "add cgroup_memory=1 cgroup_enable=memory to the boot command line and reboot; the base wave does both",
    ),
    _sign(
        r"failed to find (?P<name>cpuset|cpu|pids) cgroup",
        "the kernel runs without the {name} cgroup",
        "boot a kernel that has it",
    ),
    _sign(
        r"listen (?:tcp|udp)\S* \S*?:(?P<port>\d+): bind: address already in use|"
        r"[Pp]ort (?P<other>\d+) is already in use",
        "port {port} is in use by another program",
        "find it with `ss -lptn 'sport = :{port}'` and stop it",
    ),
    _sign(
        r"certificate has expired or is not yet valid(?:: current time (?P<now>\S+))?",
        "a certificate is not valid at the time that this node's clock shows ({now})",
        _CLOCK,
    ),
    _sign(
        r"token CA hash does not match|certificate signed by unknown authority.*(?:cacerts|6443)|"
        r"failed to verify.*cacerts",
        "the server that answers belongs to another cluster than the token",
        "is an old cluster still running at the server's address? reset it, or give site.toml the right address",
    ),
    _sign(
        r"bootstrap data already found and encrypted with different token",
        "this server's data was made with another token",
        "restore the site's token from the backup, or reset the servers",
    ),
    _sign(
        r"Node password rejected|duplicate hostname",
        "the cluster knows another machine by this node's name",
        "remove the old one first: crate-appliance nodes remove NAME",
    ),
    _sign(
        r"(?:node-args|config)\S* ?:? ?401|not authorized|failed to validate token|401 Unauthorized|"
        r"failed to normalize (?:server )?token",
        "the server refuses the site's token",
        "the cluster was made with another one: restore the site's folder from the backup, or reset the nodes",
    ),
    _sign(
        r"critical configuration (?:value )?mismatch(?:ed)?(?: between servers)?:? ?\"?(?P<key>[\w-]*)",
        "this server's settings differ from those of the others ({key})",
        "deploy to all servers in one run, without --limit",
    ),
    _sign(
        r"duplicate node name found|has already been bootstrapped|member .* is unhealthy|cluster ID mismatch",
        "etcd among the servers still knows this node from before",
        "remove it from the cluster and let it join anew: crate-appliance nodes remove NAME, then deploy",
    ),
    _sign(
        r"flag provided but not defined: -+(?P<flag>[\w-]+)",
        "this release of k3s knows no setting {flag}",
        "correct [cluster.settings] in site.toml",
    ),
    _sign(
        r"error (?:reading|parsing) .*config\.yaml|yaml: ",
        "k3s cannot read its config.yaml",
        "look for what [cluster.settings] in site.toml adds to it, and for foreign files in config.yaml.d",
    ),
    _sign(
        r"unknown '?kubernetes\.io'? .*labels specified",
        "a label of Kubernetes' own name space was given to the kubelet",
        "take it out of the files in /etc/rancher/k3s/config.yaml.d",
    ),
    _sign(
        r"[Ee]xec format error|status=203/EXEC",
        "the k3s binary is not for this machine's architecture",
        "is a 32-bit system installed on a 64-bit board? preflight says which one the crate needs",
    ),
    _sign(r"[Nn]o space left on device", "the disk is full", "free some space, at /var/lib/rancher above all"),
    _sign(
        r"[Rr]ead-only file system",
        "the file system is read-only",
        "a card that is worn out turns read-only: look at dmesg, and replace it",
    ),
    _sign(r"oom-kill|Out of memory: Killed process", "there is not enough memory for k3s", "use a board with more"),
    _sign(
        r"(?:failed to (?:pull|get sandbox) image|[Ff]ailed to pull|ErrImagePull).*?\"?"
        r"(?P<image>[\w./:-]*(?:mirrored-)?pause[\w./:@-]*)",
        "the pause image {image} cannot be pulled, so no pod starts",
        "is it in the crate? images = true or airgap = true under [k3s] in bundle.toml brings it",
    ),
    _sign(
        r"overlayfs\W+snapshotter cannot be enabled",
        "the kernel or the file system under /var/lib/rancher has no overlayfs",
        'install to ext4 or xfs, or set snapshotter = "native" under [cluster.settings]',
    ),
    _sign(
        r"[Mm]odule (?P<name>\w+) not found|failed to create vxlan|[Ff]ailed to load kernel module (?P<other>[\w-]+)",
        "the kernel misses the module {name}",
        _MODULES,
    ),
    _sign(
        r"(?:iptables|ip6tables|nft)\S*: .*(?:[Nn]o such file|not supported|[Cc]ouldn't load|does not exist)",
        "the kernel or the iptables of this node cannot do what kube-proxy needs",
        _MODULES,
    ),
    _sign(
        r"dial tcp (?P<peer>\S+?): (?:connect: |i/o )?(?P<how>connection refused|no route to host|timeout|"
        r"network is unreachable)|(?P<late>context deadline exceeded).*cacerts",
        "the server at {peer} does not answer ({how})",
        "is it on, and does its firewall let this node in? crate-appliance nodes check",
    ),
    _sign(
        r"etcdserver: (?:no leader|request timed out)|failed to reach quorum|unhealthy cluster",
        "too few of the servers are up for etcd to agree on anything",
        "switch on the other servers first: more than half of them are needed",
    ),
)
_QUIET = "unknown"
_ELSE = {"port": "other", "name": "other", "how": "late"}  # groups of one meaning in several spellings of a line
_MESSAGE = re.compile(r'level=(?:fatal|error) (?:msg|message)="?((?:[^"\\]|\\.)*)')

# What systemd itself writes into a unit's journal about starting it again and again.
_SYSTEMD = re.compile(r"(?:Start|Stopp)(?:ed|ing) |Failed to start |Scheduled restart|k3s(?:-agent)?\.service: ")


def reason(journal: str) -> Reason:
    """What the last lines of a unit's journal say; the newest complaint itself when no sign is known."""
    lines = [line for line in journal.splitlines() if line.strip()]
    for sign in _SIGNS:
        for line in reversed(lines):
            if found := sign.pattern.search(line):
                return _said(sign, found)
    for line in reversed(lines):
        if complaint := _MESSAGE.search(line):
            return Reason(f"k3s says: {_shortened(complaint[1])}")
    said = [line for line in lines if not _SYSTEMD.match(line)]
    return Reason(f"the last that it said: {_shortened(said[-1])}" if said else "it has said nothing at all")


def known(journal: str) -> bool:
    """Whether the table has a sign for it, one that time alone does not mend."""
    return any(sign.pattern.search(line) for sign in _SIGNS for line in journal.splitlines())


def _said(sign: _Sign, found: re.Match[str]) -> Reason:
    words = {name: value for name, value in found.groupdict().items() if value}
    for name, other in _ELSE.items():
        words.setdefault(name, words.get(other, _QUIET))
    words = {name: words.get(name, _QUIET) for name in {*words, *found.re.groupindex}}
    return Reason(sign.what.format(**words), sign.hint.format(**words))


def _shortened(text: str) -> str:
    flat = " ".join(text.replace('\\"', '"').split())
    return flat if len(flat) <= 300 else f"{flat[:297]}..."
