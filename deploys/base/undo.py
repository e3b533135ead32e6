"""Takes back what was noted on a node: files, units, settings and packages, newest first. The last wave of a reset."""

from __future__ import annotations

from deploys.kept import KEPT, STATE
from deploys.operations import run as _run
from deploys.running import Run, Wave

# The list goes before the files that it speaks of: whatever interrupts the last line, nothing is undone twice.
_UNDO = f"""\
kept={KEPT}
if [ ! -e "$kept/list" ]; then
  rm -rf -- {STATE}
  exit
fi
failed=0
tac "$kept/list" >"$kept/undoing"
packages=
while read -r kind rest; do
  case $kind in
  unit) systemctl disable --quiet --now -- "$rest" 2>/dev/null || : ;;
  saved)
    part=$(dirname -- "$rest")/.buzzcrate.$(basename -- "$rest")
    mkdir -p -- "$(dirname -- "$rest")"
    rm -f -- "$part"
    cp -a -- "$kept/files$rest" "$part" && mv -fT -- "$part" "$rest" || failed=1
    ;;
  absent) rm -f -- "$rest" || failed=1 ;;
  folder) rmdir --ignore-fail-on-non-empty -- "$rest" 2>/dev/null || : ;;
  sysctl) echo "${{rest#* }}" >"/proc/sys/$(echo "${{rest%% *}}" | tr . /)" || : ;;
  package) packages="$packages $rest" ;;
  after) ( eval "$rest" ) || : ;;
  esac
done <"$kept/undoing"
if [ -n "$packages" ]; then
  DEBIAN_FRONTEND=noninteractive dpkg --purge $packages || echo "left installed: $packages" >&2
fi
systemctl daemon-reload
read -r name <"/etc/hostname" && echo "$name" >/proc/sys/kernel/hostname
[ $failed = 0 ] || {{ echo 'not all files could be put back' >&2; exit 1; }}
sync
rm -f -- "$kept/list"
rm -rf -- {STATE}
"""


class Undo(Wave):
    """Leaves a node as it was before the first run."""

    name = "undo"

    def add(self, run: Run) -> None:
        run.add(_run, name="Undo", command=_UNDO, unless=f"[ ! -e {STATE} ]", shown="put back what was changed")


WAVE = Undo()
