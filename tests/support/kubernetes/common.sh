#!/bin/bash
# A double of the k3s binary, for tests. This part is what both doubles keep of the real one: its settings and what it
# refuses, its files, its token. What follows it says what stands behind.
set -euo pipefail
version=@VERSION@
data=/var/lib/rancher/k3s
conf=/etc/rancher/k3s
breaks=/etc/lab-k3s-breaks # versions that shall fail on this node, one a line
record=/var/log/k3s-double.log
keys=" agent-token cluster-cidr cluster-dns cluster-domain cluster-init cluster-reset cluster-reset-restore-path \
data-dir disable disable-cloud-controller disable-default-registry-endpoint disable-helm-controller \
disable-network-policy embedded-registry etcd-expose-metrics etcd-snapshot-compress etcd-snapshot-dir \
etcd-snapshot-retention etcd-snapshot-schedule-cron flannel-backend flannel-iface kube-apiserver-arg \
kube-controller-manager-arg kube-proxy-arg kube-scheduler-arg kubelet-arg log node-external-ip node-ip node-label \
node-name node-taint pause-image private-registry protect-kernel-defaults resolv-conf secrets-encryption selinux \
server service-cidr snapshotter supervisor-metrics system-default-registry tls-san token token-file v \
write-kubeconfig write-kubeconfig-mode "
flags=" cluster-init cluster-reset disable-cloud-controller disable-default-registry-endpoint disable-helm-controller \
disable-network-policy embedded-registry etcd-expose-metrics etcd-snapshot-compress protect-kernel-defaults \
secrets-encryption selinux supervisor-metrics "

say() { echo "time=\"$(date -u +%FT%TZ)\" level=info msg=\"$*\"" >&2; }
die() {
  echo "time=\"$(date -u +%FT%TZ)\" level=fatal msg=\"$*\"" >&2
  exit 1
}
note() { echo "$(date -u +%s) $version $*" >>"$record"; }

# Children must not say READY, or speak to systemd at all; only this process may.
notify=${NOTIFY_SOCKET:-}
unset NOTIFY_SOCKET
ready() {
  note ready
  [ -z "$notify" ] || NOTIFY_SOCKET=$notify systemd-notify --ready
}

# k3s is one process. Here its parts are children, which must not outlive it, however it ends.
main=$$
start() {
  local log=$1
  shift
  setpriv --pdeathsig KILL "$@" >>"$log" 2>&1 </dev/null &
}
alive() { kill -0 "$main" 2>/dev/null; }
stop() {
  note stopped
  trap - TERM INT EXIT
  local children
  children=$(jobs -p)
  # shellcheck disable=SC2086
  [ -z "$children" ] || kill -KILL $children 2>/dev/null || true
  exit "${1:-0}"
}

# Settings: config.yaml, then the files of config.yaml.d, then the command line; a list is kept with spaces between.
declare -A cfg
unquoted() { sed -E "s/^\"(.*)\"\$/\\1/; s/^'(.*)'\$/\\1/" <<<"$1"; }
set_key() { # set_key KEY VALUE APPEND
  local value=$2
  [[ $keys == *" $1 "* ]] || die "flag provided but not defined: -$1"
  if [[ $value =~ ^\[(.*)\]$ ]]; then
    local item items=()
    IFS=, read -ra items <<<"${BASH_REMATCH[1]}"
    value=
    for item in "${items[@]}"; do value+=" $(unquoted "$(sed -E 's/^ +| +$//g' <<<"$item")")"; done
    value=${value# }
  else
    value=$(unquoted "$value")
  fi
  if [ -n "$3" ]; then cfg[$1]="${cfg[$1]:-} $value"; else cfg[$1]=$value; fi
  cfg[$1]=${cfg[$1]# }
}
read_config() {
  local file key line
  for file in "${K3S_CONFIG_FILE:-$conf/config.yaml}" "$conf"/config.yaml.d/*.yaml; do
    [ -e "$file" ] || continue
    key=
    while IFS= read -r line || [ -n "$line" ]; do
      [[ $line =~ ^[[:space:]]*(#.*)?$ || $line == --- ]] && continue
      if [[ $line =~ ^([a-z][a-z-]*)(\+?):[[:space:]]*(.*)$ ]]; then
        key=${BASH_REMATCH[1]}
        set_key "$key" "${BASH_REMATCH[3]}" "${BASH_REMATCH[2]}"
      elif [[ $line =~ ^[[:space:]]*-[[:space:]]+(.*)$ && -n $key ]]; then
        set_key "$key" "${BASH_REMATCH[1]}" +
      else
        die "failed to load configuration: yaml: cannot read '$line' of $file"
      fi
    done <"$file"
  done
  while [ $# -gt 0 ]; do
    [[ $1 =~ ^--?([a-z][a-z-]*)(=(.*))?$ ]] || die "flag provided but not defined: $1"
    key=${BASH_REMATCH[1]}
    if [ -n "${BASH_REMATCH[2]}" ]; then
      set_key "$key" "${BASH_REMATCH[3]}" ""
    elif [[ $flags == *" $key "* ]]; then
      set_key "$key" true ""
    else
      set_key "$key" "${2:-}" ""
      shift
    fi
    shift
  done
  [ -z "${cfg[token-file]:-${K3S_TOKEN_FILE:-}}" ] || cfg[token]=$(cat "${cfg[token-file]:-${K3S_TOKEN_FILE:-}}")
  cfg[token]=${cfg[token]:-${K3S_TOKEN:-}}
  cfg[server]=${cfg[server]:-${K3S_URL:-}}
}
on() { [ "${cfg[$1]:-false}" = true ]; }

need_route() {
  ip -4 route show default | grep -q . ||
    die 'no default routes found in \"/proc/net/route\" or \"/proc/net/ipv6_route\"'
}
need_health() {
  [ ! -e "$breaks" ] || ! grep -qxF "$version" "$breaks" || die "this version was told to fail on this node"
}
node_ip() {
  local found=${cfg[node-ip]:-}
  [ -n "$found" ] || found=$(ip -4 route get 203.0.113.1 2>/dev/null | sed -n 's/.* src \([0-9.]*\).*/\1/p' | head -1)
  echo "$found"
}
node_name() {
  local name=${cfg[node-name]:-$(hostname)}
  echo "${name,,}"
}
# Without a nameserver that others can reach, k3s takes a public one: a way out of the gap.
usable_resolv_conf() {
  local file=${cfg[resolv-conf]:-/etc/resolv.conf}
  if grep -E '^nameserver' "$file" 2>/dev/null | grep -qvE '[[:space:]]127\.'; then
    echo "$file"
  else
    mkdir -p "$data/agent/etc"
    echo 'nameserver 8.8.8.8' >"$data/agent/etc/resolv.conf"
    say "Host resolv.conf includes loopback, multicast, or link-local nameservers, or none: using 8.8.8.8"
    echo "$data/agent/etc/resolv.conf"
  fi
}

# K10<sha256 of the authority>::server:<secret>, or the secret alone.
secret_of() { echo "${1##*:}"; }
check_pin() { # check_pin TOKEN FILE
  [[ $1 == K10* ]] || return 0
  local pinned=${1#K10}
  [ "${pinned%%::*}" = "$(sha256sum <"$2" | cut -d' ' -f1)" ] ||
    die "token CA hash does not match the Cluster CA certificate hash: ${pinned%%::*}"
}
write_token() { # write_token SECRET AUTHORITY
  (
    umask 077
    echo "K10$(sha256sum <"$2" | cut -d' ' -f1)::server:$1" >"$data/server/token"
  )
  ln -sf token "$data/server/node-token"
  ln -sf token "$data/server/agent-token"
}
new_secret() { head -c16 /dev/urandom | od -An -tx1 | tr -d ' \n'; }
print_version() { printf 'k3s version %s (double)\ngo version none\n' "$version"; }
