"""`python -m demo.application DIR`: the images `demo-web` and `demo-postgres` as OCI layouts, for amd64 and arm64.

Docker is not needed, nor root: layers are written from Debian packages. A recipe takes them from there:

    [[images]]
    layout = "DIR/web"
    name = "ghcr.io/buzzcrate/demo-web:1.0"
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from demo.application.images import WEB, build


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m demo.application", description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, metavar="DIR", help="where the layouts web/ and postgres/ are written")
    parser.add_argument("--architecture", action="append", metavar="ARCH", help="only these (amd64, arm64); repeatable")
    words = parser.parse_args()
    for made in asyncio.run(build(words.folder, words.architecture or ["amd64", "arm64"])):
        print(f"{made.reference}  {made.folder}  {made.size / 2**20:.0f} MiB")
    print(f'A recipe takes them as [[images]] layout = "{words.folder}/web", name = "{WEB}", and so on.')
    return 0


if __name__ == "__main__":
    sys.exit(main())
