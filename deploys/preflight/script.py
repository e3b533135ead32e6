"""The one script that reads a node: POSIX sh, no Python, nothing written.

It prints `key value` lines, a key as often as there are values. What is tried rather than read (a vxlan device, an
iptables table) is tried in a network namespace of its own, which is gone with the command.
"""

from __future__ import annotations

import shlex

MODULES = ("overlay", "br_netfilter", "nf_conntrack", "vxlan")
SERVICES = (
    "chrony", "chronyd", "dhcpcd", "networking", "NetworkManager", "ntp", "ntpsec", "openntpd", "resolvconf",
    "systemd-networkd", "systemd-resolved", "systemd-timesyncd",
)  # fmt: skip
PROGRAMS = (
    "apt-get", "chronyd", "curl", "ip", "iptables", "mount", "nft", "pacman", "resolvconf", "systemctl",
    "update-ca-certificates", "update-ca-trust", "update-grub", "wget",
)  # fmt: skip
BOOT_FILES = (
    "/boot/firmware/cmdline.txt", "/boot/cmdline.txt", "/boot/armbianEnv.txt", "/boot/extlinux/extlinux.conf",
    "/etc/default/grub", "/boot/boot.txt",
)  # fmt: skip
# What later waves ask about: who writes resolv.conf, who keeps time, where authorities go.
PATHS = (
    "/etc/chrony/chrony.conf", "/etc/chrony.conf", "/etc/ntpsec/ntp.conf", "/etc/ntp.conf", "/etc/dhcpcd.conf",
    "/etc/dhcp/dhclient-enter-hooks.d", "/etc/resolvconf.conf", "/etc/cloud/cloud.cfg.d",
)  # fmt: skip
# What other programs leave that make a cluster, and how they are called.
LEFT_OVERS = {
    "/etc/kubernetes/admin.conf": "kubeadm",
    "/etc/kubernetes/kubelet.conf": "kubeadm",
    "/var/snap/microk8s": "MicroK8s",
    "/var/lib/rancher/rke2": "RKE2",
    "/etc/k0s": "k0s",
}


def script() -> str:
    """The script, as text for sh."""
    words = {
        "MODULES": MODULES,
        "SERVICES": SERVICES,
        "PROGRAMS": PROGRAMS,
        "BOOT_FILES": BOOT_FILES,
        "LEFT_OVERS": LEFT_OVERS,
        "PATHS": PATHS,
    }
    text = _SCRIPT
    for name, values in words.items():
        text = text.replace(f"@{name}@", shlex.join(values))
    return text


_SCRIPT = r"""
say() { printf '%s\n' "$*"; }
say clock "$(date +%s)"
say machine "$(uname -m)"
say kernel "$(uname -r)"
say hostname "$(uname -n)"
say user "$(id -u)"
if command -v dpkg >/dev/null; then say packages-for "$(dpkg --print-architecture)"; fi
sed -nE 's/^(ID|ID_LIKE|VERSION_ID|VERSION_CODENAME|PRETTY_NAME)=/os \1 /p' /etc/os-release 2>/dev/null
[ -e /etc/rpi-issue ] && say flavour raspberry
[ -e /etc/armbian-release ] && say flavour armbian
[ -r /proc/device-tree/model ] && say model "$(tr -d '\0' </proc/device-tree/model)"
[ -d /run/systemd/system ] && say init systemd
say machine-id "$(cat /etc/machine-id 2>/dev/null)"
awk '/^(MemTotal|MemAvailable):/ { print "memory", $1, $2 }' /proc/meminfo
awk 'NR > 1 { print "swap", $1, $2, $3 }' /proc/swaps

release=/lib/modules/$(uname -r)
for m in @MODULES@; do
  file=$(say "$m" | tr _ -)
  state=missing
  if [ -d "/sys/module/$m" ]; then state=loaded
  elif grep -qsE "/($m|$file)\.ko" "$release/modules.builtin"; then state=builtin
  elif modprobe -n -q "$m" 2>/dev/null; then state=loadable
  else case $m in
    overlay) grep -qw overlay /proc/filesystems && state=works ;;
    br_netfilter) [ -e /proc/sys/net/bridge/bridge-nf-call-iptables ] && state=works ;;
    nf_conntrack) [ -e /proc/sys/net/netfilter/nf_conntrack_max ] && state=works ;;
    vxlan) unshare -n ip link add probe type vxlan id 1 dstport 4789 2>/dev/null && state=works ;;
    esac
  fi
  say module "$m" "$state"
done
filter=missing
if command -v nft >/dev/null && unshare -n nft add table inet probe 2>/dev/null; then filter=nft; fi
if command -v iptables >/dev/null && unshare -n iptables -t nat -S >/dev/null 2>&1; then
  if [ $filter = nft ]; then filter=both; else filter=iptables; fi
fi
if [ $filter = missing ]; then
  for m in nf_tables ip_tables; do
    if [ -d "/sys/module/$m" ] || grep -qs "/$m\.ko" "$release/modules.builtin" || modprobe -n -q "$m" 2>/dev/null
    then filter=kernel; fi
  done
fi
say filter $filter
if unshare -n ip link add probe type dummy 2>/dev/null; then say link dummy; fi
if unshare -n ip link add probe type bridge 2>/dev/null; then say link bridge; fi

say cgroup-fs "$(stat -fc %T /sys/fs/cgroup 2>/dev/null)"
if [ -r /sys/fs/cgroup/cgroup.controllers ]; then
  for c in $(cat /sys/fs/cgroup/cgroup.controllers); do say cgroup "$c"; done
else
  awk '!/^#/ && $4 == 1 { print "cgroup", $1 }' /proc/cgroups
fi
say cmdline "$(cat /proc/cmdline)"
for f in @BOOT_FILES@; do if [ -f "$f" ]; then say boot "$f"; fi; done

at=/var/lib/rancher
while [ ! -e "$at" ]; do at=$(dirname "$at"); done
df -Pk "$at" | awk 'NR == 2 { print "disk", $4, $2, $1 }'
device=$(df -P "$at" | awk 'NR == 2 { print $1 }')
block=$(basename "$(readlink -f "$device" 2>/dev/null)")
if [ -e "/sys/class/block/$block" ]; then
  real=$(readlink -f "/sys/class/block/$block")
  if [ -e "$real/partition" ]; then real=$(dirname "$real"); fi
  kind=$(cat "$real/device/type" 2>/dev/null)
  case $kind in SD | MMC) ;; *) kind=$(cat "$real/queue/rotational" 2>/dev/null) ;; esac
  say block "${kind:-0}" "$(readlink -f "$real/device" || echo "$real")"
fi
case $(awk '$2 == "/" { print $4 }' /proc/mounts | tail -n 1) in ro | ro,*) say read-only / ;; esac

ss -H -lntup 2>/dev/null | awk '{
  n = split($5, a, ":"); p = "-"
  if (match($0, /users:\(\("[^"]*"/)) p = substr($0, RSTART + 9, RLENGTH - 10)
  print "port", $1, a[n], p
}'
ip -4 route show default | sed 's/^/route /'
ip -6 route show default | sed 's/^/route6 /'
ip -o -4 addr show | awk '{ print "address", $2, $4 }'
ip -o -d link show type vxlan 2>/dev/null | awk -F': ' '{ print "vxlan-link", $2 }'
sed -n 's/^nameserver[[:space:]]*/nameserver /p' /etc/resolv.conf 2>/dev/null
if [ -L /etc/resolv.conf ]; then say resolv-link "$(readlink /etc/resolv.conf)"; fi
for s in @SERVICES@; do
  state=$(systemctl is-active "$s.service" 2>/dev/null)
  if [ "$state" = active ]; then say active "$s"; fi
done
for p in @PROGRAMS@; do if command -v "$p" >/dev/null; then say program "$p"; fi; done
if [ -x /usr/lib/apt/apt-helper ]; then say program apt-helper; fi
for s in /lib/systemd /usr/lib/systemd; do
  if [ -x "$s/systemd-timesyncd" ]; then say program systemd-timesyncd; break; fi
done
for p in @LEFT_OVERS@; do if [ -e "$p" ]; then say left-over "$p"; fi; done
if [ -x /usr/local/bin/k3s ]; then
  say k3s "$(timeout 20 /usr/local/bin/k3s --version 2>/dev/null | awk 'NR == 1 { print $3 }')"
fi
for u in k3s k3s-agent; do
  if [ -e "/etc/systemd/system/$u.service" ]; then
    say k3s-unit "$u" "$(systemctl is-active "$u.service" 2>/dev/null)"
    if grep -qsxF "absent /etc/systemd/system/$u.service" /var/lib/buzzcrate/kept/list; then say k3s-ours "$u"; fi
  fi
done
for f in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources /etc/pacman.conf; do
  if [ -f "$f" ]; then say source "$f"; fi
done
for p in @PATHS@; do if [ -e "$p" ]; then say path "$p"; fi; done
:
"""
