"""From a line of the journal to a sentence and a remedy."""

from __future__ import annotations

import pytest

from deploys.k3s.failures import reason

LINES = {
    "no default route": (
        'level=fatal msg="no default routes found in \\"/proc/net/route\\" or \\"/proc/net/ipv6_route\\""',
        "default route",
        "base wave",
    ),
    "no memory cgroup": ('level=fatal msg="failed to find memory cgroup (v2)"', "memory cgroup", "cgroup_memory=1"),
    "no cpuset cgroup": ('level=fatal msg="failed to find cpuset cgroup (v2)"', "the cpuset cgroup", "kernel"),
    "the API's port is taken": (
        'level=fatal msg="starting kubernetes: preparing server: listen tcp :6443: bind: address already in use"',
        "port 6443 is in use",
        "sport = :6443",
    ),
    "the kubelet's port is taken": (
        'E1123 server.go:214] "Failed to listen" err="listen tcp 0.0.0.0:10250: bind: address already in use"',
        "port 10250",
        ":10250",
    ),
    "a clock in 1970": (
        (
            'level=info msg="Failed to validate connection: x509: certificate has expired or is not yet valid: '
            'current time 1970-01-01T00:01:02Z is before 2026-11-23T10:00:00Z"'
        ),
        "1970-01-01T00:01:02Z",
        "clock",
    ),
    "another cluster's authority": (
        'level=fatal msg="token CA hash does not match the Cluster CA certificate hash: 12 != 34"',
        "another cluster",
        "reset",
    ),
    "another token's data": (
        'level=fatal msg="failed to bootstrap: bootstrap data already found and encrypted with different token"',
        "another token",
        "backup",
    ),
    "a wrong token": (
        'level=error msg="failed to retrieve configuration: https://127.0.0.1:6444/v1-k3s/config: 401 Unauthorized"',
        "refuses the site's token",
        "backup",
    ),
    "a wrong token, as an agent says it": (
        'level=fatal msg="failed to retrieve agent configuration: not authorized"',
        "refuses the site's token",
        "reset",
    ),
    "a machine that replaced another": (
        (
            'level=error msg="Node password rejected, duplicate hostname or contents of /etc/rancher/node/password '
            'may not match server node-passwd entry, try enabling a unique node name with the --with-node-id flag"'
        ),
        "another machine by this node's name",
        "nodes remove",
    ),
    "servers that disagree": (
        (
            'level=fatal msg="failed to validate server configuration: critical configuration value mismatch between '
            'servers: EmbeddedRegistry"'
        ),
        "EmbeddedRegistry",
        "--limit",
    ),
    "an old member of etcd": (
        'level=fatal msg="etcd cluster join failed: duplicate node name found, please use a unique name for this node"',
        "from before",
        "nodes remove",
    ),
    "a setting that does not exist": (
        'level=fatal msg="flag provided but not defined: -flanel-backend"',
        "flanel-backend",
        "[cluster.settings]",
    ),
    "a config that is no YAML": (
        "level=fatal msg=\"error reading /etc/rancher/k3s/config.yaml: cannot read 'x'\"",
        "config.yaml",
        "config.yaml.d",
    ),
    "a binary for another machine": (
        "systemd[1]: k3s.service: Main process exited, code=exited, status=203/EXEC",
        "architecture",
        "preflight",
    ),
    "a full disk": ('level=fatal msg="write /var/lib/x: no space left on device"', "disk is full", "/var/lib/rancher"),
    "a worn-out card": ("mkdir /var/lib/rancher: read-only file system", "read-only", "card"),
    "too little memory": ("systemd[1]: k3s.service: Failed with result 'oom-kill'.", "memory", "more"),
    "a pause image that is not in the crate": (
        (
            'E1123 kuberuntime_sandbox.go:72] "Failed to create sandbox for pod" err="rpc error: code = NotFound '
            'desc = failed to get sandbox image \\"rancher/mirrored-pause:3.6\\": failed to pull image"'
        ),
        "pause image rancher/mirrored-pause:3.6",
        "bundle.toml",
    ),
    "no overlayfs": (
        'level=fatal msg="\\"overlayfs\\" snapshotter cannot be enabled for \\"/var/lib/rancher/k3s/agent\\""',
        "overlayfs",
        "snapshotter",
    ),
    "a kernel without vxlan": (
        'level=error msg="flannel exited: failed to create vxlanDevice: operation not supported"',
        "misses the module",
        "linux-modules-extra",
    ),
    "a module that modprobe cannot find": (
        "modprobe: FATAL: Module br_netfilter not found in directory /lib/modules/6.1.0",
        "module br_netfilter",
        "linux-modules-extra",
    ),
    "a server that is off": (
        (
            'level=error msg="failed to get CA certs: Get \\"https://10.77.0.11:6443/cacerts\\": dial tcp '
            '10.77.0.11:6443: connect: no route to host"'
        ),
        "10.77.0.11:6443 does not answer (no route to host)",
        "nodes check",
    ),
    "too few servers": ('level=error msg="etcdserver: request timed out"', "too few of the servers", "switch on"),
    "something new": ('level=fatal msg="the flux capacitor \\"x\\" is dry"', 'the flux capacitor "x" is dry', ""),
    "no complaint at all": ("systemd[1]: Starting Kubernetes (k3s server)...", "Starting Kubernetes", ""),
}


@pytest.mark.parametrize(("line", "what", "hint"), LINES.values(), ids=LINES.keys())
def test_a_line_of_the_journal_becomes_a_sentence(line: str, what: str, hint: str) -> None:
    found = reason(f"level=info msg=Starting\n{line}\nlevel=info msg=Stopping\n" if "level" in line else line)
    assert what in found.what
    assert hint in found.hint
    assert "{" not in found.what + found.hint


def test_the_particular_wins_over_what_follows_from_it() -> None:
    journal = "\n".join((LINES["a clock in 1970"][0], LINES["a server that is off"][0], LINES["something new"][0]))
    assert "1970" in reason(journal).what


def test_the_words_of_k3s_count_and_not_systemds_about_starting_it() -> None:
    systemd = (
        "k3s-agent.service: Main process exited, code=exited, status=1/FAILURE\nStarting k3s-agent.service - Kubernetes"
    )
    assert reason(f"no luck today\n{systemd}").what == "the last that it said: no luck today"
    assert reason(systemd).what == "it has said nothing at all"


def test_an_empty_journal_is_an_answer_too() -> None:
    assert reason("\n\n").what == "it has said nothing at all"


def test_a_long_complaint_is_cut() -> None:
    assert len(reason(f'level=fatal msg="{"x" * 5000}"').what) < 350
