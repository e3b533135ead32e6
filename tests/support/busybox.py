"""Debian's static busybox for any of its architectures, through apt, without touching this machine's apt.

`apt-get download busybox-static:arm64` wants the foreign architecture added to dpkg; a private apt root with
`APT::Architecture` set does not. What was downloaded is kept in `.cache/` of the checkout.
"""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path

from tests.support.images import BOTH, Layout, MadeImage, make_layer
from tests.support.tools import tool

CACHE = Path(__file__).resolve().parents[2] / ".cache" / "debian"
_APPLETS = ["cat", "echo", "hostname", "httpd", "ip", "ls", "nslookup", "sh", "sleep", "uname", "wget"]


def busybox_binary(architecture: str) -> Path:
    """The static busybox of a Debian `architecture` (amd64, arm64). Raises `RuntimeError` without a mirror."""
    binary = CACHE / f"busybox-{architecture}"
    if not binary.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        package = _download("busybox-static", architecture)
        payload = subprocess.run([tool("dpkg-deb"), "--fsys-tarfile", package], check=True, capture_output=True).stdout
        with tarfile.open(fileobj=io.BytesIO(payload)) as tar:
            member = next(member for member in tar if member.name.endswith("bin/busybox") and member.isfile())
            content = tar.extractfile(member)
            assert content is not None
            beside = binary.with_suffix(".part")
            beside.write_bytes(content.read())
            beside.replace(binary)
    return binary


def _download(package: str, architecture: str) -> Path:
    root = CACHE / f"apt-{architecture}"
    for folder in ("state/lists/partial", "cache/archives/partial"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    options = {
        "APT::Architecture": architecture,
        "APT::Architectures": architecture,
        "APT::Sandbox::User": "",
        "Acquire::Languages": "none",
        "Dir::State": str(root / "state"),
        "Dir::State::status": "/dev/null",
        "Dir::Cache": str(root / "cache"),
    }
    command = [tool("apt-get"), "-q", *(word for key, value in options.items() for word in ("-o", f"{key}={value}"))]
    for action in (["update"], ["download", package]):
        done = subprocess.run(
            [*command, *action], cwd=root, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        if done.returncode:
            raise RuntimeError(f"apt-get {action[0]} for {architecture} failed:\n{done.stdout}{done.stderr}")
    return next(root.glob(f"{package}_*.deb"))


def busybox_layout(
    folder: Path, reference: str, platforms: Sequence[str] = BOTH, *, command: Sequence[str] = ("sh",)
) -> MadeImage:
    """A runnable busybox image under `reference` in the layout in `folder`."""
    layout = Layout(folder)
    manifests = {}
    for platform in platforms:
        binary = busybox_binary(platform.split("/")[1]).read_bytes()
        layer = make_layer({"bin/busybox": binary}, {f"bin/{name}": "busybox" for name in _APPLETS}, level=6)
        manifests[platform] = layout.image(platform, [layer], config={"Cmd": list(command), "Env": ["PATH=/bin"]})
    root = layout.index(manifests.values())
    layout.tag(root, reference)
    return MadeImage(layout, reference, root, manifests)
