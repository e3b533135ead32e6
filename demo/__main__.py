"""`make demo`: a recipe becomes a signed archive, the archive a registry, and a real client pulls from it."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
import sys
from pathlib import Path

from demo import images, packages
from demo.stage import DemoFailed, Stage, workshop

TEAM = "registry.example.org/team"
RECIPE = """\
[crate]
name = "demo"
platforms = ["linux/amd64", "linux/arm64"]
"""
IMAGE = """
[[images]]
layout = "images/{name}"
name = "{reference}"
"""
FILE = """
[[files]]
name = "hello-{arch}"
path = "files/hello-{arch}"
"""
BY_HAND = (
    "tar --occurrence=1 -xOf stick/demo-*.crate.000 crate.json > signed",
    "tar --occurrence=1 -xOf stick/demo-*.crate.000 crate.json.sig > signature",
    'echo "workshop $(cat release.key.pub)" > allowed_signers',
    "ssh-keygen -Y verify -f allowed_signers -I workshop -n buzzcrate-crate@v1 -s signature < signed",
    "mkdir opened && cat stick/demo-*.crate.* | tar -x -C opened",
    '(cd opened/blobs/sha256 && for blob in *; do echo "$blob  $blob"; done | sha256sum --check --quiet) && echo sound',
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def make_contents(stage: Stage) -> dict[str, str]:
    """Images and files as a team would bring them; returns layout name -> reference."""
    stage.step("Something to ship: images and files for arm64 and amd64")
    names = {"hello": f"{TEAM}/hello:1.0"}
    stage.say("hello is a static program of 200 bytes, in an image for each platform; no Docker is at work here.")
    images.make_hello(stage.folder / "images/hello", names["hello"])
    try:
        busybox = {"busybox": "docker.io/library/busybox:1.35", "web": f"{TEAM}/web:2.1"}
        folder = stage.folder / "images"
        images.make_busybox_and_web(folder / "busybox", busybox["busybox"], folder / "web", busybox["web"])
    except (RuntimeError, StopIteration) as error:
        if os.environ.get("CI"):
            raise
        stage.say(f"(Debian's busybox is not to be had here, so hello travels alone: {str(error).splitlines()[-1]})")
    else:
        names |= busybox
        stage.say("busybox comes out of Debian's packages; web is the same busybox with a page on top.")
    (stage.folder / "files").mkdir()
    for architecture in ("amd64", "arm64"):
        (stage.folder / f"files/hello-{architecture}").write_bytes(images.hello_program(architecture))
    stage.run("du -sh images/* files/*")
    return names


def build(stage: Stage, names: dict[str, str]) -> None:
    stage.step("The recipe: what shall be in the crate")
    listed = "".join(IMAGE.format(name=name, reference=reference) for name, reference in names.items())
    stage.write("bundle.toml", RECIPE + listed + FILE)

    stage.step("Build: one archive, signed, cut into parts that fit the stick")
    stage.say(
        "An SSH key signs it; a team would use the one it has. FAT32 takes parts of 4 GiB, the demo cuts at 1 MiB."
    )
    stage.run("ssh-keygen -q -t ed25519 -N '' -C workshop -f release.key")
    stage.run("crate-bundle build --out stick --key release.key --split 1M")
    stage.run("ls -l stick")
    stage.run("crate-bundle inspect stick")


def check_by_hand(stage: Stage) -> None:
    stage.step("Check it by hand: tar, ssh-keygen and sha256sum are enough")
    for command in BY_HAND:
        stage.run(command)
    stage.say("Somebody who does not trust BuzzCrate can open every crate like this.")


def install(stage: Stage) -> None:
    stage.step("On the crate: without trust nothing is taken")
    stage.say("Nobody has told this crate whose signature counts, so it refuses (exit code 3).")
    stage.run("crate-appliance --root crate install stick", expect=3)
    stage.say("The key arrives another way than the stick, and is trusted by name.")
    stage.run("crate-appliance --root crate trust add release.key.pub --as workshop")
    stage.run("crate-appliance --root crate install stick")
    stage.run("crate-appliance --root crate status")


def pull(stage: Stage, names: dict[str, str]) -> tuple[str, str]:
    """Returns both addresses of the daemon, which goes on serving, the plain one last."""
    stage.step("Serve, and pull every image for both platforms with an ordinary client")
    crate, plain = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    stage.let("CRATE", crate)
    stage.serve(
        f"crate-appliance --root crate serve --listen $CRATE --plain {plain}", healthy=f"http://{plain}/healthz"
    )
    stage.say("The crate made itself an authority for HTTPS; a client is told once to trust it.")
    stage.run(f"mkdir certs pulled && curl -fsS http://{plain}/ca.pem -o certs/ca.crt")
    skopeo = stage.has("skopeo")
    if not skopeo:
        stage.say("skopeo is not installed here, so demo/client.py pulls: the protocol takes one page of Python.")
        stage.let("PYTHONPATH", str(Path(__file__).resolve().parents[1]))
    for name, reference in names.items():
        for architecture in ("amd64", "arm64"):
            source, target = f"$CRATE/{reference}", f"pulled/{name}-{architecture}"
            if skopeo:
                options = f"--quiet --src-cert-dir certs --override-arch {architecture}"
                stage.run(f"skopeo copy {options} docker://{source} dir:{target}")
            else:
                stage.run(f"python -m demo.client certs/ca.crt {source} linux/{architecture} {target}")
    stage.run("du -sh pulled/*")
    own = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), "amd64")
    stage.run(f"curl -fsS --cacert certs/ca.crt https://$CRATE/files/hello-{own} -o hello && chmod +x hello")
    if platform.system() == "Linux" and platform.machine() in {"x86_64", "aarch64"}:
        stage.say("And the file that came out of the crate runs on this machine:")
        stage.run("./hello")
    return crate, plain


def damage(stage: Stage) -> None:
    stage.step("A stick gone bad: one byte in the second part is not what it was")
    stage.run("cp -r stick worn")
    part = sorted((stage.folder / "worn").iterdir())[1]
    with part.open("r+b") as file:
        file.seek(part.stat().st_size // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))
    stage.run("crate-appliance --root other trust add release.key.pub --as workshop", quiet=True)
    stage.run("crate-appliance --root other install worn", expect=1)
    stage.say("The part and the image are named, and all that was sound is kept. Any good copy of it completes it:")
    stage.run("crate-appliance --root other install stick")


def summarise(stage: Stage, names: dict[str, str], carried: bool) -> None:
    parts = sorted((stage.folder / "stick").iterdir())
    size = sum(part.stat().st_size for part in parts)
    stage.step("What you have seen")
    for line in (
        f"{len(names)} images and a file, each for two platforms, are one signed archive of {size / 2**20:.1f} MiB.",
        f"It is cut into {len(parts)} parts, as a stick with FAT32 would need it.",
        "Standard tools checked it. A crate without trust refused it, one with trust took it.",
        "From there an ordinary client pulled every image under its usual name, with nothing else in reach.",
        *(
            ["Packages for two platforms followed in a second crate; pip and apt took them from there."]
            if carried
            else []
        ),
        "A flipped byte was found, named, and repaired from another copy.",
        f"All of it took {stage.seconds():.0f} seconds and leaves nothing behind.",
    ):
        stage.say(f"• {line}")


def look_around(stage: Stage, crate: str, plain: str) -> None:
    """The page, for as long as somebody is there to look at it."""
    stage.step("See for yourself")
    stage.say(f"What this crate holds, how it is, and how each client uses it: https://{crate}/")
    stage.say(f"A browser asks about the certificate once; http://{plain}/ca.pem is the authority to trust instead.")
    stage.wait("Press Enter to stop the crate and clean up.")


def main() -> int:
    try:
        with workshop() as stage:
            stage.say("BuzzCrate carries software to places without internet. This is the whole way, on one machine.")
            names = make_contents(stage)
            build(stage, names)
            check_by_hand(stage)
            install(stage)
            crate, plain = pull(stage, names)
            carried = packages.carry(stage, plain)
            damage(stage)
            summarise(stage, names, carried)
            look_around(stage, crate, plain)
    except DemoFailed as error:
        print(f"make demo: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, subprocess.CalledProcessError):
        print("\nmake demo: interrupted, and cleaned up", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
