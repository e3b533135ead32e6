# The double: k3s's outside in front of a real Kubernetes (see building.py for what stands in it, and manifests/ for what
# it deploys). It is not k3s: API 1.20 whatever version it says, a bridge with host routes for flannel, etcd for SQLite,
# one server behind every agent, no rewrites in registries.yaml, no ServiceLB.
#
# What it carries comes after this script, as a compressed tar, and is unpacked at the first start like k3s's own.
carried=@CARRIED@ # bytes
hash=@HASH@
inside=$data/data/$hash
export PATH=$inside/bin:$PATH
logs=$data/logs
socket=/run/k3s/containerd/containerd.sock

unpack() {
  [ ! -e "$inside" ] || return 0
  mkdir -p "$data/data"
  local part=$inside.part.$$
  mkdir "$part"
  tail -c "$carried" "$0" | gzip -dc | tar -x -C "$part"
  mv -T "$part" "$inside" 2>/dev/null || rm -rf "$part"
  ln -sfn "$hash" "$data/data/current"
}

kubeconfig() { # kubeconfig FILE SERVER CA TOKEN
  (
    umask 077
    printf 'apiVersion: v1\nkind: Config\nclusters: [{name: default, cluster: {server: "%s", certificate-authority-data: %s}}]\nusers: [{name: default, user: {token: "%s"}}]\ncontexts: [{name: default, context: {cluster: default, user: default}}]\ncurrent-context: default\n' \
      "$2" "$(base64 -w0 <"$3")" "$4" >"$1.part"
    mv "$1.part" "$1"
  )
}

last() { tail -1 "$logs/$1.log" 2>/dev/null; }

# -- server -------------------------------------------------------------------------------------------------------

run_server() {
  local tls=$data/server/tls ip name ha="" elect=false secret token
  ip=$(node_ip) name=$(node_name) token=${cfg[token]}
  [ -n "$ip" ] || die "no address of this node is to be found"
  mkdir -p "$tls" "$data/server/"{db,manifests,static/charts} "$data/agent/images" "$conf" /run/k3s
  if on cluster-init || [ -n "${cfg[server]}" ] || [ -d "$data/server/db/etcd" ]; then ha=yes elect=true; fi
  if on cluster-reset; then cluster_reset "$ip" "$name"; fi
  if [ ! -e "$tls/server-ca.crt" ] && [ -n "${cfg[server]}" ]; then
    [ -n "$token" ] || die "--token is required to join ${cfg[server]}"
    k3s-bootstrap "${cfg[server]}" "$tls" <<<"$token" || die "cannot join ${cfg[server]}"
  elif [ ! -e "$tls/server-ca.crt" ] && [[ $token == K10* ]]; then
    die "the first server takes the short form of a token"
  fi
  # shellcheck disable=SC2086
  k3s-authority "$tls" kubernetes kubernetes.default kubernetes.default.svc kubernetes.default.svc.cluster.local \
    localhost "$name" 127.0.0.1 10.43.0.1 "$ip" ${cfg[tls-san]:-} || die "no certificates could be made"
  if [ ! -e "$data/server/token" ]; then
    secret=$(secret_of "$token")
    write_token "${secret:-$(new_secret)}" "$tls/server-ca.crt"
  fi
  secret=$(secret_of "$(cat "$data/server/token")")
  [ -z "$token" ] || [ "$(secret_of "$token")" = "$secret" ] ||
    die "bootstrap data already found and encrypted with different token"
  check_pin "$token" "$tls/server-ca.crt"
  if [ ! -e "$tls/admin.token" ]; then
    (
      umask 077
      new_secret >"$tls/admin.token"
      printf '%s,admin,admin,system:masters\n%s,node,node,system:masters\n' "$(cat "$tls/admin.token")" "$secret" \
        >"$tls/tokens.csv"
    )
  fi
  if [ -n "$ha" ]; then
    wrote "$data/server/db/etcd-writer"
    start_shared_etcd "$ip" "$name"
  else
    wrote "$data/server/db/state.db"
    start "$logs/etcd.log" etcd --data-dir "$data/server/db/kine" --listen-client-urls http://127.0.0.1:2379 \
      --advertise-client-urls http://127.0.0.1:2379 --listen-peer-urls http://127.0.0.1:2380 --log-level error
  fi
  start "$logs/apiserver.log" kube-apiserver --etcd-servers http://127.0.0.1:2379 --bind-address 127.0.0.2 \
    --secure-port 6443 --advertise-address "$ip" --service-cluster-ip-range 10.43.0.0/16 \
    --tls-cert-file "$tls/apiserver.crt" --tls-private-key-file "$tls/apiserver.key" \
    --client-ca-file "$tls/server-ca.crt" --kubelet-client-certificate "$tls/apiserver.crt" \
    --kubelet-client-key "$tls/apiserver.key" --service-account-key-file "$tls/service.key" \
    --service-account-signing-key-file "$tls/service.key" \
    --service-account-issuer https://kubernetes.default.svc.cluster.local --token-auth-file "$tls/tokens.csv" \
    --authorization-mode RBAC --allow-privileged --enable-priority-and-fairness=false \
    --kubelet-preferred-address-types InternalIP
  local apiserver=$!
  start "$logs/front.log" k3s-front --tls "$tls" --secret-file "$data/server/token" --listen "127.0.0.1:6443,$ip:6443"
  local front=$!
  kubeconfig "$conf/k3s.yaml" https://127.0.0.1:6443 "$tls/server-ca.crt" "$(cat "$tls/admin.token")"
  chmod "${cfg[write-kubeconfig-mode]:-600}" "$conf/k3s.yaml"
  export KUBECONFIG=$conf/k3s.yaml
  until kubectl get --raw /readyz >/dev/null 2>&1; do
    kill -0 $apiserver 2>/dev/null || die "apiserver exited: $(last apiserver)"
    kill -0 $front 2>/dev/null || die "cannot answer on 6443: $(last front)"
    sleep 0.2
  done
  start "$logs/controllers.log" kube-controller-manager --kubeconfig "$KUBECONFIG" --allocate-node-cidrs \
    --cluster-cidr 10.42.0.0/16 --service-cluster-ip-range 10.43.0.0/16 \
    --service-account-private-key-file "$tls/service.key" --root-ca-file "$tls/server-ca.crt" \
    --use-service-account-credentials "--leader-elect=$elect" --node-monitor-grace-period 15s \
    --controllers '*,-ttl'
  start "$logs/scheduler.log" kube-scheduler --kubeconfig "$KUBECONFIG" "--leader-elect=$elect"
  packaged
  start_node https://127.0.0.1:6443 "$tls/server-ca.crt" "$secret"
  until kubectl get node "$name" >/dev/null 2>&1; do
    kill -0 "$kubelet" 2>/dev/null || die "kubelet exited: $(last kubelet)"
    sleep 0.2
  done
  kubectl label node "$name" --overwrite node-role.kubernetes.io/control-plane=true \
    node-role.kubernetes.io/master=true >/dev/null
  say "k3s is up and running"
  ready
  on disable-helm-controller || start "$logs/charts.log" k3s-charts "$KUBECONFIG" /run/k3s/charts
  run_manifests &
  watch_over "$apiserver" "$front"
}

wrote() { # wrote FILE: a newer k3s migrates what is stored, and an older one cannot go back
  local writer
  if [ -e "$1" ]; then
    writer=$(cat "$1")
    [ "$(printf '%s\n' "$writer" "$version" | sort -V | tail -1)" = "$version" ] ||
      die "the database was written by $writer, which is newer than $version"
  fi
  echo "$version" >"$1"
}

start_shared_etcd() { # start_shared_etcd IP NAME
  local peer=http://$1:2380 members="$2=http://$1:2380" state=new seed listed
  if [ -n "${cfg[server]}" ] && [ ! -d "$data/server/db/etcd/member" ]; then
    seed=${cfg[server]#https://}
    seed=http://${seed%%:*}:2379
    listed=$(etcdctl --endpoints "$seed" member list) || die "etcd of ${cfg[server]} does not answer"
    while IFS=', ' read -r id status _ address _; do
      [ "$address" != "$peer" ] || [ "$status" = started ] || etcdctl --endpoints "$seed" member remove "$id" >/dev/null
    done <<<"$listed"
    until listed=$(etcdctl --endpoints "$seed" member add "$2" --peer-urls "$peer" 2>&1); do
      say "etcd does not take another member yet: $listed"
      alive && sleep 1
    done
    members=$(sed -n 's/^ETCD_INITIAL_CLUSTER="\(.*\)"/\1/p' <<<"$listed") state=existing
  fi
  start "$logs/etcd.log" etcd --name "$2" --data-dir "$data/server/db/etcd" --log-level error \
    --listen-client-urls "http://127.0.0.1:2379,http://$1:2379" --advertise-client-urls "http://$1:2379" \
    --listen-peer-urls "$peer" --initial-advertise-peer-urls "$peer" --initial-cluster "$members" \
    --initial-cluster-state "$state"
}

cluster_reset() { # cluster_reset IP NAME: one member again, from what there is or from a snapshot
  local from=${cfg[cluster-reset-restore-path]:-} peer=http://$1:2380
  if [ -n "$from" ]; then
    [ -e "$from" ] || from=$data/server/db/snapshots/$from
    [ -e "$from" ] || die "etcd: snapshot path does not exist: $from"
    rm -rf "$data/server/db/etcd"
    etcdctl snapshot restore "$from" --name "$2" --data-dir "$data/server/db/etcd" --initial-cluster "$2=$peer" \
      --initial-advertise-peer-urls "$peer" >>"$logs/etcd.log" 2>&1 || die "etcd: $(last etcd)"
    rm -f "$data/server/db/etcd-writer"
  else
    start "$logs/etcd.log" etcd --name "$2" --data-dir "$data/server/db/etcd" --force-new-cluster \
      --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls "http://$1:2379" --listen-peer-urls "$peer"
    until etcdctl member list >/dev/null 2>&1; do sleep 0.2; done
  fi
  note "cluster reset $from"
  say "Managed etcd cluster membership has been reset, restart without --cluster-reset flag now."
  stop 0
}

packaged() { # the manifests that k3s writes at every start
  local name
  for name in charts coredns local-storage traefik; do
    if [[ " ${cfg[disable]:-} " == *" $name "* ]]; then
      rm -f "$data/server/manifests/$name.yaml"
    else
      cp "$inside/manifests/$name.yaml" "$data/server/manifests/"
    fi
  done
}

run_manifests() {
  local file sum applied=/run/k3s/applied
  trap - TERM INT EXIT
  rm -rf "$applied"
  mkdir -p "$applied"
  while alive; do
    for file in "$data"/server/manifests/*.yaml; do
      [ -e "$file" ] && [ ! -e "$file.skip" ] || continue
      sum=$(sha256sum <"$file")
      [ "$sum" != "$(cat "$applied/${file##*/}" 2>/dev/null)" ] || continue
      if kubectl apply -f "$file" >>"$logs/manifests.log" 2>&1; then
        echo "$sum" >"$applied/${file##*/}"
        note "applied ${file##*/}"
      fi
    done
    sleep 1
  done
}

# -- every node ---------------------------------------------------------------------------------------------------

run_agent() {
  local ca=$data/agent/server-ca.crt token=${cfg[token]}
  [ -n "${cfg[server]}" ] || die "--server is required"
  [ -n "$token" ] || die "--token is required"
  mkdir -p "$data/agent/images" /run/k3s
  k3s-join "${cfg[server]}" "$ca" <<<"$token" || die "cannot join ${cfg[server]}"
  start_node "${cfg[server]}" "$ca" "$(secret_of "$token")"
  ready
  watch_over
}

start_containerd() {
  local etc=$data/agent/etc/containerd tarball
  mkdir -p "$etc/certs.d" "$data/agent/etc/cni/net.d" "$data/agent/images" /run/k3s/containerd
  # an overlay does not mount on an overlay, which is what a lab's disk is
  if [ ! -e "$data/agent/containerd" ] && [ "$(stat -f -c %T "$data")" = overlayfs ] && [ -d /lab ]; then
    rm -rf /lab/containerd 2>/dev/null || true
    mkdir -p /lab/containerd
    ln -s /lab/containerd "$data/agent/containerd"
  fi
  rm -rf "$etc/certs.d"
  mkdir -p "$etc/certs.d"
  if [ -e "$conf/registries.yaml" ]; then
    k3s-registries --from "$conf/registries.yaml" --to "$etc/certs.d" \
      "--disable-default-registry-endpoint=${cfg[disable-default-registry-endpoint]:-false}" ||
      die "cannot use $conf/registries.yaml"
  fi
  cat >"$etc/config.toml" <<T
version = 2
root = "$data/agent/containerd"
state = "/run/k3s/containerd"
[grpc]
  address = "$socket"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${cfg[pause-image]:-docker.io/rancher/mirrored-pause:3.6}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "$inside/bin"
    conf_dir = "$data/agent/etc/cni/net.d"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "$etc/certs.d"
T
  start "$logs/containerd.log" containerd -c "$etc/config.toml"
  local containerd=$!
  until ctr -a $socket version >/dev/null 2>&1; do
    kill -0 $containerd 2>/dev/null || die "containerd exited: $(last containerd)"
    sleep 0.1
  done
  for tarball in "$data"/agent/images/*.tar "$data"/agent/images/*.tar.gz; do
    [ -e "$tarball" ] || continue
    case $tarball in *.gz) gzip -dc "$tarball" ;; *) cat "$tarball" ;; esac |
      ctr -a $socket -n k8s.io images import - >>"$logs/images.log" 2>&1 || die "cannot import $tarball"
  done
}

start_node() { # start_node SERVER CA TOKEN; leaves the process in $kubelet
  local name config=$data/agent/kubelet.kubeconfig
  name=$(node_name)
  mkdir -p /var/lib/kubelet
  [ -e /dev/kmsg ] || ln -sf /dev/null /dev/kmsg # a namespace node has none, and the kubelet wants one
  start_containerd
  kubeconfig "$config" "$1" "$2" "$3"
  cat >"$data/agent/kubelet.yaml" <<Y
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
cgroupDriver: cgroupfs
cgroupsPerQOS: false
enforceNodeAllocatable: []
failSwapOn: false
resolvConf: "$(usable_resolv_conf)"
clusterDomain: cluster.local
clusterDNS: ["10.43.0.10"]
authentication: {anonymous: {enabled: false}, webhook: {enabled: false}, x509: {clientCAFile: "$2"}}
authorization: {mode: AlwaysAllow}
evictionHard: {nodefs.available: "1%"}
nodeStatusUpdateFrequency: 4s
volumePluginDir: "$data/agent/volume-plugins"
Y
  [ -e /etc/resolv.conf ] || : >/etc/resolv.conf
  local words=(--config "$data/agent/kubelet.yaml" --kubeconfig "$config" --container-runtime remote
    --container-runtime-endpoint "unix://$socket" --hostname-override "$name" --node-ip "$(node_ip)")
  [ -z "${cfg[node-label]:-}" ] || words+=(--node-labels "$(tr ' ' ',' <<<"${cfg[node-label]}")")
  [ -z "${cfg[node-taint]:-}" ] || words+=(--register-with-taints "$(tr ' ' ',' <<<"${cfg[node-taint]}")")
  start "$logs/kubelet.log" kubelet "${words[@]}"
  kubelet=$!
  start "$logs/proxy.log" kube-proxy --kubeconfig "$config" --hostname-override "$name" --cluster-cidr 10.42.0.0/16 \
    --proxy-mode iptables --conntrack-max-per-core 0 --conntrack-tcp-timeout-established 0 \
    --conntrack-tcp-timeout-close-wait 0
  echo 1 >/proc/sys/net/ipv4/ip_forward
  start "$logs/routes.log" k3s-routes "$config" "$name" "$data/agent/etc/cni/net.d/10-k3s.conflist"
}

watch_over() { # watch_over PID...: ends when the kubelet or another part that matters does
  local each
  while sleep 1; do
    for each in "$kubelet" "$@"; do
      kill -0 "$each" 2>/dev/null || die "a part of k3s ended: $(last kubelet) $(last apiserver)"
    done
  done
}

run_snapshot() {
  local word=${1:-save} name=on-demand file
  [ -d "$data/server/db/etcd" ] || die "etcd datastore disabled"
  mkdir -p "$data/server/db/snapshots"
  case $word in
  save)
    shift || true
    while [ $# -gt 0 ]; do
      case $1 in --name) name=$2 && shift ;; --name=*) name=${1#--name=} ;; esac
      shift
    done
    file=$data/server/db/snapshots/$name-$(hostname)-$(date +%s)
    etcdctl snapshot save "$file" >>"$logs/etcd.log" 2>&1 || die "$(last etcd)"
    say "Snapshot ${file##*/} saved."
    ;;
  ls | list) ls -l "$data/server/db/snapshots" ;;
  *) die "unknown command $word" ;;
  esac
}

case ${1:-} in
server | agent)
  role=$1
  shift
  read_config "$@"
  need_route
  need_health
  note "$role starts"
  trap stop TERM INT
  trap 'stop $?' EXIT
  unpack
  mkdir -p "$logs"
  "run_$role"
  ;;
kubectl)
  shift
  unpack
  [ -e "$record" ] && note "kubectl $*" 2>/dev/null
  KUBECONFIG=${KUBECONFIG:-$conf/k3s.yaml} exec kubectl "$@"
  ;;
ctr)
  shift
  unpack
  exec ctr -a $socket "$@"
  ;;
crictl) die "this double carries no crictl" ;;
etcd-snapshot)
  shift
  unpack
  run_snapshot "$@"
  ;;
token) if [ "${2:-}" = generate ]; then new_secret; else cat "$data/server/token"; fi ;;
--version | -v) print_version ;;
*) die "usage: k3s server|agent|kubectl|ctr|etcd-snapshot|token|--version" ;;
esac
exit
