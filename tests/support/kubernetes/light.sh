# The light double: no Kubernetes at all. A server keeps the cluster as files and answers on 6443 in lines of its own;
# agents report there every second; `kubectl` reads and writes those files. For everything that is about waves.
#
# /lab/kubectl/<words joined by _, / as ,> is what kubectl answers to those words, or the program that does.
# Every word that kubectl was told is in /var/log/k3s-double.log of the server that keeps the cluster.
state=$data/server/db/cluster
answers=/lab/kubectl
port=6443

authority() { echo "$data/server/tls/server-ca.crt"; }

call() { # call HOST:PORT WORD...: one request, one answer; 1 when nobody is there
  local address=${1#https://} file
  address=${address%%/*}
  shift
  {
    exec 9<>"/dev/tcp/${address%%:*}/${address##*:}"
  } 2>/dev/null || return 1
  printf '%s\n' "$*" >&9
  cat <&9
  exec 9>&-
}

answer() { # what a server says to a request on its standard input
  local verb secret rest
  IFS=' ' read -r verb secret rest
  if [ "$verb" = CACERTS ]; then
    cat "$(authority)"
  elif [ "$secret" != "$(secret_of "$(cat "$data/server/token")")" ]; then
    echo "error: not authorized"
  elif [ -e "$data/server/follows" ]; then
    call "$(cat "$data/server/follows")" "$verb" "$secret" "$rest"
  elif [ "$verb" = BEAT ]; then
    # shellcheck disable=SC2086
    beat $rest
  elif [ "$verb" = KUBECTL ]; then
    local words
    mapfile -t -d '' words < <(base64 -d <<<"$rest")
    { kube "${words[@]}" && echo "exit 0" || echo "exit $?"; } 2>&1
  fi
}

beat() { # beat NAME IP ROLE VERSION LABELS TAINTS: a node reports
  local node=$state/nodes/$1
  if [ ! -d "$node" ]; then
    mkdir -p "$node"
    tr ',' '\n' <<<"$5" | sed '/^-$/d' >"$node/labels"
    tr ',' '\n' <<<"$6" | sed '/^-$/d' >"$node/taints"
    note "node $1 joined"
  fi
  echo "$2" >"$node/address"
  echo "$3" >"$node/role"
  echo "$4" >"$node/version"
  echo beats
}

report() { # report SERVER ROLE: beats until it is told otherwise
  local said
  said=$(call "$1" BEAT "$(secret_of "${cfg[token]}")" "$(node_name)" "$(node_ip)" "$2" "$version" \
    "$(tr ' ' ',' <<<"${cfg[node-label]:--}")" "$(tr ' ' ',' <<<"${cfg[node-taint]:--}")") || return 1
  [ -n "$said" ] || return 1 # the server that this one follows is away
  [ "$said" = beats ] || die "failed to retrieve configuration from server: $said"
}

kubeconfig() { # kubeconfig URL AUTHORITY FILE
  local text
  text=$(printf 'apiVersion: v1\nkind: Config\nclusters: [{name: default, cluster: {server: "%s", certificate-authority-data: %s}}]\nusers: [{name: default, user: {token: "%s"}}]\ncontexts: [{name: default, context: {cluster: default, user: default}}]\ncurrent-context: default\n' \
    "$1" "$(base64 -w0 <"$2")" "$(secret_of "${cfg[token]}")")
  (umask 077 && echo "$text" >"$3")
}

run_server() {
  local server=${cfg[server]} tls=$data/server/tls secret
  mkdir -p "$tls" "$data/server/"{db,manifests,static/charts} "$data/agent/images" "$conf"
  if on cluster-reset; then cluster_reset; fi
  if [ ! -e "$tls/server-ca.crt" ]; then
    if [ -n "$server" ]; then
      [ -n "${cfg[token]}" ] || die "--token is required to join $server"
      until call "$server" CACERTS >"$tls/server-ca.part" && [ -s "$tls/server-ca.part" ]; do
        say "Waiting to retrieve the authority of $server"
        sleep 0.5
      done
      check_pin "${cfg[token]}" "$tls/server-ca.part"
      echo "$server" >"$data/server/follows"
    else
      [[ ${cfg[token]} != K10* ]] || die "the first server takes the short form of a token"
      printf -- '-----BEGIN CERTIFICATE-----\n%s\n-----END CERTIFICATE-----\n' \
        "$(head -c480 /dev/urandom | base64)" >"$tls/server-ca.part"
    fi
    mv "$tls/server-ca.part" "$tls/server-ca.crt"
    secret=$(secret_of "${cfg[token]}")
    write_token "${secret:-$(new_secret)}" "$tls/server-ca.crt"
  fi
  secret=$(secret_of "$(cat "$data/server/token")")
  [ -z "${cfg[token]}" ] || [ "$(secret_of "${cfg[token]}")" = "$secret" ] ||
    die "bootstrap data already found and encrypted with different token"
  check_pin "${cfg[token]}" "$tls/server-ca.crt"
  cfg[token]=$secret
  open_database
  # `<version> late` in the list of what breaks: not before the database has been migrated
  [ ! -e "$breaks" ] || ! grep -qxF "$version late" "$breaks" || die "this version was told to fail late on this node"
  kubeconfig "https://127.0.0.1:$port" "$tls/server-ca.crt" "$conf/k3s.yaml"
  kubeconfig "https://127.0.0.1:$port" "$tls/server-ca.crt" "$data/agent/kubelet.kubeconfig"
  chmod "${cfg[write-kubeconfig-mode]:-600}" "$conf/k3s.yaml"
  usable_resolv_conf >/dev/null
  start "$record.6443" systemd-socket-activate --listen="0.0.0.0:$port" --accept --inetd "$0" --answer
  local listener=$!
  until report "127.0.0.1:$port" server; do
    kill -0 $listener 2>/dev/null || die "cannot listen on 6443: $(tail -1 "$record.6443")"
    sleep 0.1
  done
  say "k3s is up and running"
  ready
  while sleep 1; do
    report "127.0.0.1:$port" server || true
    apply_manifests
  done
}

open_database() { # SQLite is a file, etcd a folder; a newer k3s migrates, an older one cannot go back
  local database=$data/server/db/state.db writer
  if on cluster-init || [ -n "${cfg[server]}" ] || [ -d "$data/server/db/etcd" ]; then
    mkdir -p "$data/server/db/etcd/member"
    database=$data/server/db/etcd/member/writer
  fi
  mkdir -p "$state/nodes"
  if [ -e "$database" ]; then
    writer=$(cat "$database")
    [ "$(printf '%s\n' "$writer" "$version" | sort -V | tail -1)" = "$version" ] ||
      die "the database was written by $writer, which is newer than $version"
  fi
  echo "$version" >"$database"
}

cluster_reset() {
  local from=${cfg[cluster-reset-restore-path]:-}
  if [ -n "$from" ]; then
    [ -e "$from" ] || from=$data/server/db/snapshots/$from
    [ -e "$from" ] || die "etcd: snapshot path does not exist: $from"
    rm -rf "$data/server/db/etcd" "$state"
    tar -xf "$from" -C "$data/server/db"
  fi
  note "cluster reset $from"
  say "Managed etcd cluster membership has been reset, restart without --cluster-reset flag now."
  exit 0
}

apply_manifests() {
  local file sum
  for file in "$data"/server/manifests/*.yaml; do
    [ -e "$file" ] && [ ! -e "$file.skip" ] || continue
    sum=$(sha256sum <"$file")
    [ "$sum" != "$(cat "$state/applied/${file##*/}" 2>/dev/null)" ] || continue
    mkdir -p "$state/applied"
    echo "$sum" >"$state/applied/${file##*/}"
    note "applied ${file##*/}"
  done
}

run_agent() {
  local ca=$data/agent/server-ca.crt
  [ -n "${cfg[server]}" ] || die "--server is required"
  [ -n "${cfg[token]}" ] || die "--token is required"
  mkdir -p "$data/agent/images"
  until call "${cfg[server]}" CACERTS >"$ca" && [ -s "$ca" ]; do
    say "Waiting to retrieve agent configuration from ${cfg[server]}"
    sleep 0.5
  done
  check_pin "${cfg[token]}" "$ca"
  usable_resolv_conf >/dev/null
  until report "${cfg[server]}" agent; do sleep 0.5; done
  kubeconfig "${cfg[server]}" "$ca" "$data/agent/kubelet.kubeconfig"
  ready
  while sleep 1; do report "${cfg[server]}" agent || true; done
}

# -- kubectl ------------------------------------------------------------------------------------------------------

is_ready() { [ -n "$(find "$state/nodes/$1/version" -newermt '-6 seconds' 2>/dev/null)" ]; }
node_json() {
  local node=$state/nodes/$1 status=Unknown line labels="" taints=""
  if is_ready "$1"; then status=True; fi
  while read -r line; do labels+="\"${line%%=*}\": \"${line#*=}\", "; done <"$node/labels"
  if [ "$(cat "$node/role")" = server ]; then labels+='"node-role.kubernetes.io/control-plane": "true", '; fi
  local annotations=""
  while IFS= read -r line; do
    annotations+="${annotations:+, }\"${line%%=*}\": \"${line#*=}\""
  done < <(cat "$node/annotates" 2>/dev/null)
  while read -r line; do
    local key=${line%%:*} effect=${line##*:}
    taints+="${taints:+, }{\"key\": \"${key%%=*}\", \"value\": \"${key#*=}\", \"effect\": \"$effect\"}"
  done <"$node/taints"
  printf '{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "%s", "labels": {%s"kubernetes.io/hostname": "%s"}, "annotations": {%s}}, "spec": {"unschedulable": %s, "taints": [%s]}, "status": {"addresses": [{"type": "InternalIP", "address": "%s"}, {"type": "Hostname", "address": "%s"}], "conditions": [{"type": "Ready", "status": "%s", "reason": "Kubelet%s", "lastHeartbeatTime": "%s"}], "nodeInfo": {"kubeletVersion": "%s", "architecture": "amd64"}}}' \
    "$1" "$labels" "$1" "$annotations" "$([ -e "$node/cordoned" ] && echo true || echo false)" "$taints" "$(cat "$node/address")" "$1" \
    "$status" "$([ $status = True ] && echo Ready || echo Unknown)" "$(date -u -r "$node/version" +%FT%TZ)" "$(cat "$node/version")"
}
list_nodes() { # list_nodes FORMAT NAME...
  local format=$1 name first=1
  shift
  case $format in
  json)
    printf '{"apiVersion": "v1", "kind": "List", "items": ['
    for name; do
      [ -n "$first" ] || printf ', '
      first=
      node_json "$name"
    done
    printf ']}\n'
    ;;
  name) for name; do echo "node/$name"; done ;;
  *)
    [ "$format" = bare ] || echo "NAME   STATUS   ROLES   AGE   VERSION"
    for name; do
      printf '%s   %s%s   %s   1m   %s\n' "$name" "$(is_ready "$name" && echo Ready || echo NotReady)" \
        "$([ -e "$state/nodes/$name/cordoned" ] && echo ,SchedulingDisabled || true)" \
        "$([ "$(cat "$state/nodes/$name/role")" = server ] && echo control-plane || echo '<none>')" \
        "$(cat "$state/nodes/$name/version")"
    done
    ;;
  esac
}

kube() {
  local words=() format="" raw="" name file word header=1 lenient=""
  note "kubectl $*"
  file=$(tr ' /' '_,' <<<"$*")
  if [ -x "$answers/$file" ]; then
    "$answers/$file"
    return
  elif [ -e "$answers/$file" ]; then
    cat "$answers/$file"
    return
  fi
  while [ $# -gt 0 ]; do
    case $1 in
    -o | --output) format=$2 && shift ;;
    -o* | --output=*) format=${1#--output=} && format=${format#-o} ;;
    --raw) raw=$2 && shift ;;
    --raw=*) raw=${1#--raw=} ;;
    --no-headers) header= ;;
    --ignore-not-found) lenient=1 ;;
    -f | -n | -l | --timeout | --namespace | --selector | --request-timeout | --grace-period) shift ;;
    -*) ;;
    *) words+=("$1") ;;
    esac
    shift
  done
  set -- "${words[@]}"
  [ -n "$header$format" ] || format=bare
  case ${1:-} in
  get)
    case ${raw:-${2:-}} in
    /readyz* | /healthz* | /livez*) echo ok ;;
    /version) printf '{"major": "1", "gitVersion": "%s"}\n' "$version" ;;
    nodes | node | no)
      shift 2
      for name; do
        [ -d "$state/nodes/$name" ] || [ -z "$lenient" ] || return 0
        need_node "$name" || return 1
      done
      if [ $# = 1 ] && [ "$format" = json ]; then
        node_json "$1"
        echo
      elif [ $# -gt 0 ]; then
        list_nodes "$format" "$@"
      else
        # shellcheck disable=SC2046
        list_nodes "$format" $(ls "$state/nodes")
      fi
      ;;
    *)
      [ "$format" = json ] || fail "the light double keeps no ${2:-such thing}" || return 1
      echo '{"apiVersion": "v1", "kind": "List", "items": []}'
      ;;
    esac
    ;;
  delete)
    [[ ${2:-} == node* ]] || { echo "deleted" && return; }
    for name in "${@:3}"; do
      [ -d "$state/nodes/${name#node/}" ] || [ -z "$lenient" ] || continue
      need_node "${name#node/}" || return 1
      rm -rf "${state:?}/nodes/${name#node/}"
      echo "node \"$name\" deleted"
    done
    ;;
  cordon | drain)
    need_node "$2" || return 1
    touch "$state/nodes/$2/cordoned"
    echo "node/$2 ${1}ed"
    ;;
  uncordon)
    need_node "$2" || return 1
    rm -f "$state/nodes/$2/cordoned"
    echo "node/$2 uncordoned"
    ;;
  label | taint | annotate)
    [[ $2 == node* ]] || { echo "${1}ed" && return; }
    need_node "$3" || return 1
    for word in "${@:4}"; do
      file=$state/nodes/$3/${1}s
      name=${word%-} name=${name%%[=:]*}
      { grep -v "^${name//./\\.}[=:]" "$file" 2>/dev/null || true; } >"$file.new"
      [[ $word == *- ]] || echo "$word" >>"$file.new"
      mv "$file.new" "$file"
    done
    echo "node/$3 ${1}ed"
    ;;
  version) printf 'Client Version: %s\nServer Version: %s\n' "$version" "$version" ;;
  apply | patch | create | wait | rollout) echo "${*:2} ${1}" ;;
  *) fail "the light double does not know kubectl ${1:-}" ;;
  esac
}
fail() {
  echo "$*" >&2
  return 1
}
need_node() { [ -d "$state/nodes/$1" ] || fail "Error from server (NotFound): nodes \"$1\" not found"; }

run_kubectl() { # over the wire, as the real one; standard input does not matter to it
  local said address secret config=${KUBECONFIG:-$conf/k3s.yaml}
  [ -r "$config" ] || die "unable to read client config $config"
  address=$(sed -n 's/.*server: "\([^"]*\)".*/\1/p' "$config")
  secret=$(sed -n 's/.*token: "\([^"]*\)".*/\1/p' "$config")
  said=$(call "$address" KUBECTL "$secret" \
    "$(printf '%s\0' "$@" | base64 -w0)") ||
    fail "The connection to the server ${address#https://} was refused - did you specify the right host or port?" || exit 1
  sed '$d' <<<"$said" | if [ "${said##*exit }" = 0 ]; then cat; else cat >&2; fi
  exit "${said##*exit }"
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
    call "127.0.0.1:$port" CACERTS >/dev/null || die "connection refused: is the server running?"
    file=$data/server/db/snapshots/$name-$(hostname)-$(date +%s)
    tar -cf "$file" -C "$data/server/db" etcd cluster
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
  [ -e "$record" ] || : >"$record"
  note "$role starts"
  trap stop TERM INT
  trap 'stop $?' EXIT
  "run_$role"
  ;;
kubectl)
  shift
  run_kubectl "$@"
  ;;
etcd-snapshot)
  shift
  run_snapshot "$@"
  ;;
token) [ "${2:-}" = generate ] && new_secret || cat "$data/server/token" ;;
ctr | crictl) ;;
--answer) answer ;;
--version | -v) print_version ;;
*) die "usage: k3s server|agent|kubectl|ctr|crictl|etcd-snapshot|token|--version" ;;
esac
