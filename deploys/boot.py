"""How a system's boot loader is told to switch the memory cgroup on: which file, which words, and what applies them.

Raspberry Pi's firmware passes `cgroup_disable=memory`; words of the file come after it and win.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

WORDS = ("cgroup_memory=1", "cgroup_enable=memory")
_OFF = "cgroup_disable=memory"


@dataclass(frozen=True)
class BootFile:
    """`edit` gives the file's new text; None where a person has to do it. `after` is a command that applies it."""

    path: str
    remedy: str
    edit: Callable[[str], str] | None = None
    after: str = ""


def boot_file(present: Sequence[str]) -> BootFile | None:
    """The file to change among those that are `present`, the one that the loader reads first."""
    return next((known for known in _KNOWN if known.path in present), None)


def remedy(present: Sequence[str]) -> str:
    """What a person does about it."""
    known = boot_file(present)
    words = " ".join(WORDS)
    return known.remedy if known else f"pass {words} to the kernel in this board's boot loader, and restart it"


def _line(text: str) -> str:
    """cmdline.txt: everything is on the first line, whatever follows is ignored."""
    first, _, rest = text.lstrip("\n").partition("\n")
    return f"{_add(first)}\n{rest}"


def _armbian(text: str) -> str:
    """armbianEnv.txt: NAME=VALUE lines; `extraargs` goes to the kernel."""
    if re.search(r"^extraargs=", text, re.MULTILINE):
        return re.sub(r"^(extraargs=)(.*)$", lambda found: found[1] + _add(found[2]), text, flags=re.MULTILINE)
    return f"{text.rstrip()}\nextraargs={_add('')}\n".lstrip("\n")


def _extlinux(text: str) -> str:
    """extlinux.conf: an APPEND line for each label."""
    return re.sub(
        r"^(\s*append\s+)(.*)$", lambda found: found[1] + _add(found[2]), text, flags=re.MULTILINE | re.IGNORECASE
    )


def _grub(text: str) -> str:
    """/etc/default/grub: a shell variable, for every entry."""
    setting = re.compile(r"""^(GRUB_CMDLINE_LINUX=)(["']?)(.*?)\2[ \t]*$""", re.MULTILINE)
    if setting.search(text):
        return setting.sub(lambda found: f'{found[1]}"{_add(found[3])}"', text)
    return f'{text.rstrip()}\nGRUB_CMDLINE_LINUX="{_add("")}"\n'.lstrip("\n")


def _add(words: str) -> str:
    have = [word for word in words.split() if word != _OFF]
    return " ".join([*have, *(word for word in WORDS if word not in have)])


def _told(path: str, where: str) -> str:
    return f"in {path}, {where}; then restart the board"


_BOTH = " ".join(WORDS)
_KNOWN = (
    *(
        BootFile(path, _told(path, f"add to the end of its one line: {_BOTH}"), _line)
        for path in ("/boot/firmware/cmdline.txt", "/boot/cmdline.txt")
    ),
    BootFile("/boot/armbianEnv.txt", _told("/boot/armbianEnv.txt", f"set extraargs={_BOTH}"), _armbian),
    BootFile(
        "/boot/extlinux/extlinux.conf",
        _told("/boot/extlinux/extlinux.conf", f"add to the APPEND line: {_BOTH}"),
        _extlinux,
    ),
    # compiled by a script of the distribution: a mistake in it leaves a board that does not boot
    BootFile("/boot/boot.txt", _told("/boot/boot.txt", f"add to bootargs: {_BOTH}, and run ./mkscr beside it")),
    BootFile(
        "/etc/default/grub",
        _told("/etc/default/grub", f'set GRUB_CMDLINE_LINUX="{_BOTH}" and run update-grub'),
        _grub,
        "update-grub",
    ),
)
