"""How each boot loader's file is changed so that the kernel counts memory: nothing else in it moves."""

from __future__ import annotations

import pytest

from deploys.boot import boot_file, remedy

_WORDS = "cgroup_memory=1 cgroup_enable=memory"
FILES = {
    "the one line of cmdline.txt": (
        "/boot/firmware/cmdline.txt",
        "console=tty1 root=PARTUUID=1-02 rootwait\n",
        f"console=tty1 root=PARTUUID=1-02 rootwait {_WORDS}\n",
    ),
    "cmdline.txt without a newline at its end, and with one word there": (
        "/boot/cmdline.txt",
        "root=/dev/mmcblk0p2 cgroup_memory=1",
        "root=/dev/mmcblk0p2 cgroup_memory=1 cgroup_enable=memory\n",
    ),
    "cmdline.txt that switches it off": (
        "/boot/firmware/cmdline.txt",
        "a=1 cgroup_disable=memory b\n",
        f"a=1 b {_WORDS}\n",
    ),
    "armbianEnv.txt with arguments": (
        "/boot/armbianEnv.txt",
        "verbosity=1\nextraargs=usbcore.quirks=1\nrootdev=UUID=1\n",
        f"verbosity=1\nextraargs=usbcore.quirks=1 {_WORDS}\nrootdev=UUID=1\n",
    ),
    "armbianEnv.txt without": ("/boot/armbianEnv.txt", "verbosity=1\n", f"verbosity=1\nextraargs={_WORDS}\n"),
    "extlinux.conf with two labels": (
        "/boot/extlinux/extlinux.conf",
        "label a\n  append root=/dev/a\nlabel b\n\tAPPEND root=/dev/b\n",
        f"label a\n  append root=/dev/a {_WORDS}\nlabel b\n\tAPPEND root=/dev/b {_WORDS}\n",
    ),
    "grub's default": (
        "/etc/default/grub",
        'GRUB_TIMEOUT=0\nGRUB_CMDLINE_LINUX_DEFAULT="quiet"\nGRUB_CMDLINE_LINUX=""\n',
        f'GRUB_TIMEOUT=0\nGRUB_CMDLINE_LINUX_DEFAULT="quiet"\nGRUB_CMDLINE_LINUX="{_WORDS}"\n',
    ),
    "grub's default with words of its own": (
        "/etc/default/grub",
        "GRUB_CMDLINE_LINUX='console=ttyS0'\n",
        f'GRUB_CMDLINE_LINUX="console=ttyS0 {_WORDS}"\n',
    ),
}


@pytest.mark.parametrize(("path", "text", "wanted"), FILES.values(), ids=FILES)
def test_the_words_are_added_once(path: str, text: str, wanted: str) -> None:
    known = boot_file([path])
    assert known is not None
    assert known.edit is not None
    assert known.edit(text) == wanted
    assert known.edit(wanted) == wanted
    assert path in known.remedy


def test_the_file_that_the_loader_reads_first_is_taken() -> None:
    found = boot_file(["/etc/default/grub", "/boot/cmdline.txt", "/boot/firmware/cmdline.txt"])
    assert found is not None
    assert found.path == "/boot/firmware/cmdline.txt"


def test_a_script_that_has_to_be_compiled_is_left_to_a_person() -> None:
    found = boot_file(["/boot/boot.txt"])
    assert found is not None
    assert found.edit is None
    assert "./mkscr" in remedy(["/boot/boot.txt"])
    assert boot_file([]) is None
    assert _WORDS in remedy([])
