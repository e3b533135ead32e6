"""What a node was like before: how each thing is noted the first time it is changed, and how all of it is undone.

`/var/lib/buzzcrate/kept/list` has a line for each, in the order in which they were first touched:

    saved PATH      a copy lies in kept/files/PATH: content, mode, owner, times, a link as a link
    absent PATH     there was nothing
    folder PATH     a folder that had to be made
    unit NAME       a unit that was enabled or started, and was not before
    stopped NAME    a unit that was disabled and stopped, and was enabled before
    sysctl KEY VALUE
    package NAME    was not installed
    after COMMAND   to be run at the end of undoing, once what was noted behind it is back

A line is on the disk before what it speaks of is touched, so a run that dies in between can still be undone, a power
cut included.

`/var/lib/buzzcrate/pending/` has a file for each change whose follow-up (a service to be restarted, an index to be
fetched, a unit to be started) has not ended well yet; it is made with the change and makes the next run do both again.
"""

from __future__ import annotations

STATE = "/var/lib/buzzcrate"
KEPT = f"{STATE}/kept"
_PENDING = f"{STATE}/pending"


def pending(path: str) -> str:
    """The mark that says that the follow-up of a change of `path` is still to be done."""
    return f"{_PENDING}/{path.strip('/').replace('/', '+')}"


# Functions for the scripts of operations. `note` writes a line once; `save` a file's; `makes` those of missing folders.
SH = f"""\
set -eu
kept={KEPT}
note() {{
  grep -qsxF -- "$1" "$kept/list" && return 0
  mkdir -p -m 700 {STATE} "$kept"
  printf '%s\\n' "$1" >>"$kept/list"
  sync -- "$kept/list"
}}
makes() {{
  [ -e "$1" ] && return 0
  makes "$(dirname -- "$1")"
  note "folder $1"
  mkdir -p -- "$1"
}}
save() {{
  grep -qsxF -e "saved $1" -e "absent $1" -- "$kept/list" && return 0
  if [ -e "$1" ] || [ -L "$1" ]; then
    mkdir -p -m 700 {STATE} "$kept/files" "$kept/files$(dirname -- "$1")"
    rm -rf -- "$kept/files$1"
    cp -a -- "$1" "$kept/files$1"
    sync -- "$kept/files$1" 2>/dev/null || :
    note "saved $1"
  else
    makes "$(dirname -- "$1")"
    note "absent $1"
  fi
}}
"""
