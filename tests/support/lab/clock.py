"""A machine without a battery: its ssh sessions live in another time, and may set it.

libfaketime moves the clock of every process of a session by the seconds in a file; a `date` in front of the real one
writes that file when it is told to set the clock. The real clock, which is this computer's, stays out of reach.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

OFFSET = "/etc/lab-clock"
_DATE = f"""\
#!/bin/sh
# Stands in front of /bin/date: setting the clock moves what libfaketime reads.
set -eu
new=
for word; do
  case $word in
  --set=*) new=${{word#--set=}} ;;
  -s?*) new=${{word#-s}} ;;
  esac
done
previous=
for word; do
  case $previous in -s | -us | --set) new=$word ;; esac
  previous=$word
done
[ -n "$new" ] || exec /bin/date "$@"
case " $* " in *" -u "* | *" -us "* | *" --utc "*) export TZ=UTC ;; esac
want=$(/bin/date -d "$new" +%s)
unset LD_PRELOAD
now=$(/bin/date +%s)
printf '%+ds\\n' $((want - now)) >{OFFSET}
/bin/date -d "$new"
"""


def files(start: str) -> Mapping[str, str]:
    """What makes ssh sessions begin at `start` (UTC)."""
    offset = datetime.fromisoformat(start).replace(tzinfo=UTC) - datetime.now(UTC)
    session = f"LD_PRELOAD=/usr/lib/libfaketime.so.1 FAKETIME_TIMESTAMP_FILE={OFFSET} FAKETIME_NO_CACHE=1"
    return {
        OFFSET: f"{int(offset.total_seconds()):+d}s\n",
        "etc/ssh/sshd_config.d/lab-clock.conf": f"SetEnv {session} FAKETIME_DONT_FAKE_MONOTONIC=1\n",
        "usr/local/bin/date": _DATE,
    }
