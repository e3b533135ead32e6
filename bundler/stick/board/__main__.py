"""The set-up of a board, from install.sh's arguments to `crate-appliance install`, which takes over."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from bundler.stick.board.ground import FAILED, Stop, say
from bundler.stick.board.head import find_crate, read_head
from bundler.stick.board.judging import judge
from bundler.stick.board.machine import choose
from bundler.stick.board.setting_up import COMMAND, newer_than, set_up, settle, working


def main() -> None:
    """Ends with the exit code of `crate-appliance install`, which takes over."""
    for name in [name for name in os.environ if name.startswith("PYTHON")]:
        del os.environ[name]  # -I keeps them from this program, and nobody would from crate-appliance
    try:
        run(_arguments())
    except Stop as stop:
        say(stop.what)
        sys.stderr.write(f"  hint: {stop.hint}\n")
        sys.exit(stop.code)
    except KeyboardInterrupt:
        say("interrupted; the same command goes on from here")
        sys.exit(130)
    except OSError as error:
        say(f"{error.filename or 'the system'}: {error.strerror or error}")
        sys.exit(FAILED)


def run(wanted: argparse.Namespace) -> None:
    volume = find_crate(wanted.here, wanted.crate)
    with working() as work:
        head = read_head(volume)
        trust = judge(head, wanted, work)
        release = head.release
        say(f"{release['name']} {release['serial']} is signed by {trust or 'somebody who is trusted here'}")
        if release["v"] != 1:
            raise Stop(FAILED, f"this crate has format version {release['v']}", "take the install.sh beside it")
        if newer := newer_than(release):
            say(f"crate-appliance came with {newer}, which is newer, and stays")
        else:
            set_up(head, choose(release), work)
        settle()
    root = ["--root", wanted.root]
    if trust:
        _appliance(*root, "trust", "add", wanted.key or trust, "--as", wanted.name)
    if wanted.setup_only:
        say(f"crate-appliance is set up; next: crate-appliance install {volume}")
        return
    sys.stdout.flush()
    os.execv(COMMAND, [str(COMMAND), *root, "install", str(volume), *wanted.rest])  # noqa: S606 - no shell is wanted


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("install.sh")
    for name in ("--fingerprint", "--key", "--crate", "--root", "--setup-only"):
        parser.add_argument(name, default="")
    parser.add_argument("--here", type=Path, required=True)
    parser.add_argument("--as", dest="name", required=True)
    parser.add_argument("rest", nargs="*")
    return parser.parse_args()


def _appliance(*words: str) -> None:
    done = subprocess.run([COMMAND, *words], check=False)
    if done.returncode:
        sys.exit(done.returncode)


if __name__ == "__main__":
    main()
