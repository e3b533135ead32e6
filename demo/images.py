"""The demo's images, made without Docker and without root, for arm64 and amd64.

`hello` is a static program of 200 bytes, written here as machine code. `busybox` is Debian's, and `web` is busybox
with a page to serve, so that two images share a layer.
"""

from __future__ import annotations

import struct
from pathlib import Path

from tests.support.busybox import busybox_binary
from tests.support.images import BOTH, Layout, make_layer

GREETING = b"Hello from the crate.\n"
PAGE = b"<!doctype html><title>The crate</title><h1>Served from a shoebox</h1>\n"
_BASE = 0x400000
_HEADERS = 64 + 56  # the ELF header and its one program header
_MACHINE = {"amd64": 62, "arm64": 183}


def _code(architecture: str) -> bytes:
    """write(1, greeting, length); exit(0) — the greeting follows right behind."""
    if architecture == "arm64":
        words = (
            0xD2800020,  # mov  x0, #1
            0x100000E1,  # adr  x1, the greeting, 28 bytes on
            0xD2800002 | len(GREETING) << 5,  # mov  x2, #length
            0xD2800808,  # mov  x8, #64 (write)
            0xD4000001,  # svc  #0
            0xD2800000,  # mov  x0, #0
            0xD2800BA8,  # mov  x8, #93 (exit)
            0xD4000001,  # svc  #0
        )
        return struct.pack("<8I", *words)
    return (
        bytes.fromhex("b801000000 bf01000000")  # mov eax, 1 (write); mov edi, 1
        + bytes.fromhex("488d3510000000")  # lea rsi, the greeting, 16 bytes past this instruction
        + b"\xba"
        + struct.pack("<I", len(GREETING))  # mov edx, length
        + bytes.fromhex("0f05 b83c000000 31ff 0f05")  # syscall; mov eax, 60 (exit); xor edi, edi; syscall
    )


def hello_program(architecture: str) -> bytes:
    """A static ELF executable that prints the greeting (System V ABI, "Object Files")."""
    body = _code(architecture) + GREETING
    size = _HEADERS + len(body)
    ident = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)  # 64 bit, little-endian, version 1
    header = struct.pack(
        "<HHIQQQIHHHHHH", 2, _MACHINE[architecture], 1, _BASE + _HEADERS, 64, 0, 0, 64, 56, 1, 64, 0, 0
    )
    program = struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x1000)  # load it all, read and execute
    return ident + header + program + body


def make_hello(folder: Path, name: str) -> None:
    layout = Layout(folder)
    manifests = [
        layout.image(
            platform,
            [make_layer({"hello": hello_program(platform.split("/")[1])}, level=6)],
            config={"Entrypoint": ["/hello"]},
        )
        for platform in BOTH
    ]
    layout.tag(layout.index(manifests), name)


def make_busybox_and_web(busybox: Path, busybox_name: str, web: Path, web_name: str) -> None:
    """Raises `RuntimeError` where Debian's package cannot be had for both architectures."""
    bases = {
        platform: make_layer(
            {"bin/busybox": busybox_binary(platform.split("/")[1]).read_bytes()}, {"bin/sh": "busybox"}
        )
        for platform in BOTH
    }
    plain, serving = Layout(busybox), Layout(web)
    page = make_layer({"www/index.html": PAGE}, level=6)
    plain.tag(plain.index([plain.image(platform, [base]) for platform, base in bases.items()]), busybox_name)
    command = {"Entrypoint": ["/bin/busybox", "httpd", "-f", "-h", "/www"]}
    serving.tag(
        serving.index([serving.image(platform, [base, page], config=command) for platform, base in bases.items()]),
        web_name,
    )
