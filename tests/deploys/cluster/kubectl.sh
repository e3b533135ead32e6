#!/bin/sh
# Stands in for `k3s kubectl` on a server, for tests of what is asked and done, not of a cluster: every line that it is
# told goes to /lab/kubectl.log, what it answers is the file in /lab/kubectl that is called as its words are (/ as ,).
shift
echo "$*" >>/lab/kubectl.log
answer=/lab/kubectl/$(echo "$*" | tr ' /' '_,')
if [ -e "$answer.refused" ]; then cat "$answer.refused" >&2; exit 1; fi
[ -e "$answer" ] && exec cat "$answer"
case "$*" in *json) echo '{"apiVersion": "v1", "kind": "List", "items": []}' ;; esac
