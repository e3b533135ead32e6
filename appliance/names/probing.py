"""Whether names are answered and time is told at an address: one question each, as a node would ask it."""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Callable

from appliance.certificates import WELL_KNOWN

_SECONDS = 1.0  # for an answer from this machine, or one beside it
_HEADER = 12  # bytes of a DNS message's header (RFC 1035, 4.1.1)
_CLIENT = 0x23  # no leap warning, version 4, mode 3 (RFC 5905, 7.3)
_PACKET = 48


def answers_names(address: str, port: int = 53) -> bool:
    """Whether the resolver there knows the crate."""
    identity = secrets.token_bytes(2)
    labels = b"".join(bytes([len(label)]) + label for label in WELL_KNOWN.encode().split(b"."))
    flags, questions, kind = b"\x01\x00", b"\x00\x01", b"\x00\x01\x00\x01"  # recursion wanted; one; A of the internet
    told = _ask(address, port, identity + flags + questions + bytes(6) + labels + b"\x00" + kind)
    # the same question, no error, and something in the answer
    return len(told) > _HEADER and told[:2] == identity and told[3] & 0x0F == 0 and told[6:8] != b"\0\0"


def stratum(address: str, port: int = 123) -> int:
    """How far the time server there says to be from a reference clock; 0 when nobody answers, or it has no time."""
    told = _ask(address, port, bytes([_CLIENT]) + bytes(_PACKET - 1))
    synchronised = len(told) >= _PACKET and told[0] >> 6 != 3
    return told[1] if synchronised else 0


def eventually(question: Callable[[], bool], attempts: int = 5) -> bool:
    """Asks again while a server that has just been started may not listen yet."""
    for _ in range(attempts):
        if question():
            return True
        time.sleep(_SECONDS / 2)
    return False


def _ask(address: str, port: int, packet: bytes) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(_SECONDS)
        try:
            asking.connect((address, port))
            asking.send(packet)
            return asking.recv(512)
        except OSError:
            return b""
