"""Files on a node as they are: one round trip for as many paths as a wave will look at, and how two texts differ."""

from __future__ import annotations

import base64
import difflib
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pyinfra.api.facts import FactBase
from pyinfra.api.host import Host

_READ_UP_TO = 256 * 1024  # bytes; of larger files only the digest matters
_CACHE = "buzzcrate files"


@dataclass(frozen=True)
class FileNow:
    """What stands at a path: `owner` as `user:group`, `mode` octal without a leading zero, `content` None if large."""

    kind: Literal["absent", "file", "link", "folder", "other"] = "absent"
    mode: str = ""
    owner: str = ""
    sha256: str = ""
    content: bytes | None = None
    target: str = ""  # of a link

    @property
    def text(self) -> str:
        return (self.content or b"").decode(errors="replace")


_SCRIPT = """\
for p in %s; do
  if [ -L "$p" ]; then echo "link $(stat -c '%%a %%U:%%G' -- "$p") - $(readlink -- "$p" | base64 -w0)"
  elif [ -f "$p" ]; then
    c=-
    [ "$(stat -c %%s -- "$p")" -gt %d ] || c=$(base64 -w0 <"$p")
    echo "file $(stat -c '%%a %%U:%%G' -- "$p") $(sha256sum <"$p" | cut -d ' ' -f 1) $c"
  elif [ -d "$p" ]; then echo "folder $(stat -c '%%a %%U:%%G' -- "$p") - -"
  elif [ -e "$p" ]; then echo "other $(stat -c '%%a %%U:%%G' -- "$p") - -"
  else echo 'absent - - - -'
  fi
done
"""


class Files(FactBase[Sequence[FileNow]]):
    """The state of each of `paths`, in their order."""

    def command(self, paths: Iterable[str]) -> str:
        return _SCRIPT % (" ".join(shlex.quote(path) for path in paths), _READ_UP_TO)

    def process(self, output: list[str]) -> tuple[FileNow, ...]:
        return tuple(_file(line) for line in output)


def _file(line: str) -> FileNow:
    kind, mode, owner, sha256, content, *_ = [*line.split(" "), "", ""]
    match kind:
        case "link":
            target = base64.b64decode(content).decode(errors="replace").removesuffix("\n")
            return FileNow(kind="link", mode=mode, owner=owner, target=target)
        case "file":
            read = None if content == "-" else base64.b64decode(content)
            return FileNow(kind="file", mode=mode, owner=owner, sha256=sha256, content=read)
        case "folder":
            return FileNow(kind="folder", mode=mode, owner=owner)
        case "other":
            return FileNow(kind="other", mode=mode, owner=owner)
    return FileNow()


def look(host: Host, paths: Iterable[str]) -> Mapping[str, FileNow]:
    """The state of `paths` on `host`; what was looked at before in this wave and not written since costs nothing."""
    seen: dict[str, FileNow] = host.connector_data.setdefault(_CACHE, {})
    wanted = list(dict.fromkeys(paths))
    if missing := [path for path in wanted if path not in seen]:
        seen.update(zip(missing, _read(host, missing), strict=False))
    return {path: seen.get(path, FileNow()) for path in wanted}


def _read(host: Host, paths: Sequence[str]) -> Sequence[FileNow]:
    found: Sequence[FileNow] | None = host.get_fact(Files, paths=paths)
    return found or ()


def forget(host: Host, *paths: str) -> None:
    """They have changed, or (without `paths`) anything may have."""
    seen: dict[str, FileNow] = host.connector_data.setdefault(_CACHE, {})
    for path in paths or list(seen):
        seen.pop(path, None)


def difference(path: str, old: FileNow, new: str | None, *, secret: bool = False) -> str:
    """A unified diff of a file that becomes `new` (None: goes away). Of a secret one only that it changes."""
    if secret:
        return f"--- {path}\n+++ {path}\n@@ a secret, not shown @@\n"
    before = f"-> {old.target}\n" if old.kind == "link" else old.text
    return "".join(
        line if line.endswith("\n") else f"{line}\n\\ no newline at the end\n"
        for line in difflib.unified_diff(
            before.splitlines(keepends=True),
            (new or "").splitlines(keepends=True),
            "/dev/null" if old.kind == "absent" else path,
            "/dev/null" if new is None else path,
        )
    )
