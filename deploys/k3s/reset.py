"""The wave *reset*: k3s off a node, with its pods, mounts, network devices, firewall chains and files.

Settings that `keep` wrote are also in the node's list of what to undo; the wave after this one goes through it.
"""

from __future__ import annotations

from deploys import operations
from deploys.k3s import layout
from deploys.running import Run, Wave

_UNITS = "k3s.service k3s-agent.service"
_TRACES = (
    layout.BINARY,
    layout.STARTED,
    layout.UPGRADE,
    "/etc/rancher",
    f"{layout.DATA}/server",
    f"{layout.DATA}/agent",
    "/etc/systemd/system/k3s.service",
    "/etc/systemd/system/k3s-agent.service",
)

# A folder that somebody mounted a disk on stays, emptied: only what is mounted below it is k3s's.
_RESET = """\
for unit in {units}; do
  systemctl disable --now "$unit" 2>/dev/null
  systemctl reset-failed "$unit" 2>/dev/null
done

# what a stopped k3s leaves running: shims (an argument of theirs is its socket, and just that, or this script would be
# one too), what is in its cgroups, and all their children
mine() {{
  grep -lszxF /run/k3s/containerd/containerd.sock /proc/[0-9]*/cmdline | cut -d / -f 3
  find /sys/fs/cgroup -name cgroup.procs \\( -path '*/kubepods*' -o -path '*/k3s*.service/*' \\) \\
    -exec cat {{}} + 2>/dev/null
}}
below() {{
  for parent; do
    echo "$parent"
    [ -e "/proc/$parent/task/$parent/children" ] && below $(cat "/proc/$parent/task/$parent/children")
  done
}}
for round in 1 2 3 4 5; do
  left=
  # 0 is a process outside of this container, 1 the system itself
  for pid in $(below $(mine) 2>/dev/null | sort -un); do
    [ "$pid" -gt 1 ] && [ "$pid" != $$ ] && [ -d "/proc/$pid" ] && left="$left $pid"
  done
  [ -n "$left" ] || break
  kill -KILL $left 2>/dev/null
  sleep 0.3
done

for round in 1 2 3; do
  cut -d ' ' -f 2 /proc/self/mounts | grep -E '^(/run/k3s|/var/lib/(rancher|kubelet)/.|/run/netns/cni-)' | sort -r |
    while read -r mounted; do umount -- "$mounted" 2>/dev/null || umount -l -- "$mounted"; done
done

for namespace in $(ip netns list 2>/dev/null | cut -d ' ' -f 1 | grep '^cni-'); do ip netns delete "$namespace"; done
for device in $(ip -o link show master cni0 2>/dev/null | cut -d ' ' -f 2 | cut -d @ -f 1 | tr -d :) \\
  cni0 flannel.1 flannel-v6.1 flannel-wg flannel-wg-v6 kube-ipvs0; do
  ip link show "$device" >/dev/null 2>&1 && ip link delete "$device"
done
for range in {ranges}; do ip route flush root "$range" 2>/dev/null; done

for family in iptables ip6tables iptables-legacy ip6tables-legacy; do
  command -v "$family-save" >/dev/null && "$family-save" >/run/buzzcrate-rules 2>/dev/null || continue
  if grep -qE 'KUBE-|CNI-|FLANNEL' /run/buzzcrate-rules; then
    grep -vE 'KUBE-|CNI-|FLANNEL' /run/buzzcrate-rules | "$family-restore"
  fi
done
rm -f /run/buzzcrate-rules
if command -v ipset >/dev/null; then
  for set in $(ipset list -n 2>/dev/null | grep '^KUBE-'); do ipset destroy "$set"; done
fi
if command -v nft >/dev/null; then
  for table in 'ip kube-proxy' 'ip6 kube-proxy'; do nft delete table $table 2>/dev/null; done
fi

empty() {{ find "$1" -xdev -mindepth 1 -delete 2>/dev/null; rmdir -- "$1" 2>/dev/null; }}
empty {data}
for folder in /var/lib/rancher /var/lib/kubelet; do empty "$folder"; done
find /var/lib/cni \\( -name 'cbr0*' -o -name 'cni-loopback-*' \\) -exec rm -rf -- {{}} + 2>/dev/null
find /var/lib/cni -depth -type d -empty -delete 2>/dev/null
rm -rf -- /etc/rancher /run/k3s /run/flannel /run/.kube /var/log/pods /var/log/containers \\
  /etc/cni/net.d/10-k3s.conflist {binary} {binary}.next {previous} {upgrade} {proven} {started}
for unit in {units}; do rm -f -- "/etc/systemd/system/$unit"; done
systemctl daemon-reload

for folder in {data}/server {data}/agent; do
  if [ -e "$folder" ]; then echo "$folder cannot be removed: $(ls -A "$folder" | head -3)" >&2; exit 1; fi
done
"""


class Reset(Wave):
    """Nothing of k3s there is nothing to do."""

    name = "reset"

    def add(self, run: Run) -> None:
        gone = " && ".join(f"[ ! -e {path} ]" for path in _TRACES)
        command = _RESET.format(
            units=_UNITS,
            ranges=" ".join(_ranges(run)),
            data=layout.DATA,
            binary=layout.BINARY,
            previous=layout.PREVIOUS,
            upgrade=layout.UPGRADE,
            proven=layout.PROVEN,
            started=layout.STARTED,
        )
        run.add(
            operations.run,
            name="Take k3s off",
            command=command,
            unless=gone,
            shown="stop k3s and its pods; remove its mounts, network devices, firewall chains and files",
        )
        if not run.planning:
            run.learn({"k3s": ""})


def _ranges(run: Run) -> list[str]:
    """The pods' addresses, to which routes may be left. What k3s takes unless told otherwise."""
    told = run.order.k3s.settings.get("cluster-cidr") if run.order.k3s else None
    return [part.strip() for part in str(told or "10.42.0.0/16").split(",") if part.strip().count(".") == 3]


WAVE = Reset()
