"""The operations that all waves share: each looks first, does nothing when all is well, and can be undone.

They are pyinfra operations, declared through `Run.add`, which shows their commands and diffs in a plan:

    run.add(keep, name="Resolver", path="/etc/resolv.conf", content=text)
    run.add(fetch, name="k3s", artifact=artifact, to="/usr/local/bin/k3s", mode="755")

Scripts are POSIX sh over coreutils; a node needs no Python. A secret is only ever the content of a file: it travels on
standard input, and stands in no command line, log, diff or event.
"""

from __future__ import annotations

import hashlib
import shlex
from pathlib import PurePosixPath

from pyinfra.api.facts import FactBase
from pyinfra.api.operation import operation
from pyinfra.context import host

from deploys.files import FileNow, difference, forget, look
from deploys.kept import SH, pending
from deploys.order import Artifact
from deploys.steps import Step, Steps

_FETCH_TIMEOUT = 1800  # seconds: the k3s binary over a slow link to an SD card


class Holds(FactBase[bool]):
    """Whether `condition`, a command for sh, succeeds. It must change nothing."""

    def command(self, condition: str) -> str:
        return f"if {condition}; then echo yes; else echo no; fi 2>/dev/null"

    def process(self, output: list[str]) -> bool:
        return output[-1:] == ["yes"]


class UnitNow(FactBase[dict[str, str]]):
    """What systemd says of a unit: ActiveState, UnitFileState, NeedDaemonReload."""

    def command(self, unit_name: str) -> str:
        return f"systemctl show -p ActiveState,UnitFileState,NeedDaemonReload -- {shlex.quote(unit_name)}"

    def process(self, output: list[str]) -> dict[str, str]:
        return dict(line.partition("=")[::2] for line in output if "=" in line)


@operation()
def keep(
    path: str,
    content: str,
    *,
    mode: str = "644",
    owner: str = "root:root",
    secret: bool = False,
    then: str = "",
    undone: str = "",
) -> Steps:
    """`path` is a plain file with exactly this content, mode and owner. Written beside and renamed; folders are made.

    The first time, what stood there is kept for `reset`. The diff of a `secret` file is not shown. `then` is a command
    that makes the change count; until it has ended well, the next run does both again. `undone` is run after `reset`
    has put the file back, `then` where it is not given.
    """
    mark = pending(path)
    now = look(host, [path, mark])
    if _fits(now[path], content, mode, owner) and now[mark].kind == "absent":
        return
    script = _WRITE
    if then:
        noted = shlex.quote(f"after {undone or then}")
        script = f"note {noted}\n{_marked(mark)}{_WRITE}umask 022\n( {then} )\n{_unmarked(mark)}"
    yield _write(
        script,
        path,
        content=content,
        mode=mode,
        owner=owner,
        shown=f"; {then}" if then else "",
        diff=difference(path, now[path], content, secret=secret),
    )


@operation()
def drop(path: str) -> Steps:
    """Nothing is at `path`; what stood there is kept for `reset`."""
    if (now := look(host, [path])[path]).kind != "absent":
        forget(host, path)
        yield Step(
            f"{SH}save {shlex.quote(path)}\nrm -f -- {shlex.quote(path)}\n",
            shown=f"rm {path}",
            diff=difference(path, now, None),
        )


@operation()
def fetch(artifact: Artifact, to: str, mode: str = "755") -> Steps:
    """`to` is the artifact, fetched over HTTP beside it, checked by digest, and only then renamed into place.

    By curl, wget or apt's own helper, whichever the node has. A file that has the digest already is left alone.
    """
    now = look(host, [to])[to]
    if now.kind == "file" and now.sha256 == artifact.sha256 and now.mode == mode:
        return
    forget(host, to)
    yield Step(
        SH + _FETCH.format(to=shlex.quote(to), url=shlex.quote(artifact.url), sha256=artifact.sha256, mode=mode),
        shown=f"fetch {artifact.url} to {to} ({artifact.size} bytes, sha256 {artifact.sha256}, mode {mode})",
        timeout=_FETCH_TIMEOUT,
    )


@operation()
def unit(unit_name: str, text: str, enabled: bool = True, restarted_if: bool = False, timeout: int = 0) -> Steps:
    """A unit of ours has this text, starts at boot and runs now; it is restarted when its text changes.

    `restarted_if` restarts it too: pass what `Run.add` returned for its configuration. Without `enabled` it is only
    written. `timeout` is in seconds, for the start.
    """
    path = f"/etc/systemd/system/{unit_name}"
    mark = pending(path)
    now = look(host, [path, mark])
    state = host.get_fact(UnitNow, unit_name=unit_name)
    name = shlex.quote(unit_name)
    changed = not _fits(now[path], text, "644", "root:root")
    if changed:
        script = (_marked(mark) if enabled else "") + _WRITE
        diff = difference(path, now[path], text)
        yield _write(script, path, content=text, mode="644", owner="root:root", shown="", diff=diff)
    if changed or state.get("NeedDaemonReload") == "yes":
        yield Step("systemctl daemon-reload")
    if not enabled:
        return
    if state.get("UnitFileState") != "enabled":
        script = f"{SH}note 'unit {unit_name}'\nsystemctl enable --quiet -- {name}\n"
        yield Step(script, shown=f"systemctl enable {unit_name}")
    late = now[mark].kind == "file"
    if changed or late or restarted_if or state.get("ActiveState") not in {"active", "reloading"}:
        script = f"set -e\nsystemctl restart -- {name}\n{_unmarked(mark)}"
        yield Step(script, shown=f"systemctl restart {unit_name}", timeout=timeout)


@operation()
def run(command: str, unless: str = "", stdin: str = "", shown: str = "", timeout: int = 0) -> Steps:
    """A command for sh, run when the command `unless` (which changes nothing) fails, or always without one.

    `stdin` is for what must not stand in a command line. What it does is not undone by itself.
    """
    if unless and host.get_fact(Holds, condition=unless):
        return
    forget(host)
    yield Step(command, stdin=stdin.encode(), shown=shown, timeout=timeout)


def _fits(now: FileNow, content: str, mode: str, owner: str) -> bool:
    digest = hashlib.sha256(content.encode()).hexdigest()
    return now.kind == "file" and (now.mode, now.owner, now.sha256) == (mode.lstrip("0"), owner, digest)


def _write(script: str, path: str, *, content: str, mode: str, owner: str, shown: str, diff: str) -> Step:
    """The step that runs `script`, which holds `_WRITE`, with the words and the input that this needs."""
    forget(host, path, pending(path))
    words = f"path={shlex.quote(path)} mode={shlex.quote(mode)} owner={shlex.quote(owner)}\n"
    return Step(
        SH + words + script,
        stdin=content.encode(),
        shown=f"write {path} (mode {mode}, {owner}){shown}",
        diff=diff,
    )


def _marked(mark: str) -> str:
    return f"mkdir -p -m 700 {shlex.quote(str(PurePosixPath(mark).parent))}\n: >{shlex.quote(mark)}\n"


def _unmarked(mark: str) -> str:
    return f"rm -f -- {shlex.quote(mark)}\n"


_WRITE = """\
save "$path"
mkdir -p -- "$(dirname -- "$path")"
beside=$(dirname -- "$path")/.buzzcrate.$(basename -- "$path")
trap 'rm -f -- "$beside"' EXIT
umask 077
cat >"$beside"
[ "$(stat -c %U:%G -- "$beside")" = "$owner" ] || chown "$owner" -- "$beside"
chmod "$mode" -- "$beside"
sync -- "$beside"
mv -fT -- "$beside" "$path"
"""

_FETCH = """\
to={to} url={url}
if [ "$(sha256sum 2>/dev/null <"$to" | cut -d ' ' -f 1)" = {sha256} ]; then chmod {mode} -- "$to"; exit 0; fi
save "$to"
mkdir -p -- "$(dirname -- "$to")"
part=$to.part
trap 'rm -f -- "$part"' EXIT
if command -v curl >/dev/null; then curl -fsS --noproxy '*' --connect-timeout 20 --retry 3 -o "$part" -- "$url"
elif command -v wget >/dev/null; then wget -q --no-proxy -T 60 -t 3 -O "$part" -- "$url"
elif [ -x /usr/lib/apt/apt-helper ]; then
  /usr/lib/apt/apt-helper -o Acquire::Retries=3 -o Acquire::http::Proxy=false -o APT::Sandbox::User=root \\
    download-file "$url" "$part"
else echo 'no curl, wget or apt here to fetch with' >&2; exit 1
fi
got=$(sha256sum <"$part" | cut -d ' ' -f 1)
if [ "$got" != {sha256} ]; then echo "$url arrived as sha256 $got" >&2; exit 1; fi
chmod {mode} -- "$part"
sync -- "$part"
mv -fT -- "$part" "$to"
"""
