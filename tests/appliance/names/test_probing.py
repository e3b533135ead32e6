"""A probe believes an answer to its own question, and nothing else."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from appliance.names.probing import answers_names, stratum
from tests.appliance.names.test_resolver import served
from tests.support.ports import free_port

Answer = Callable[[bytes], bytes]


@contextmanager
def answering(answer: Answer) -> Iterator[int]:
    """Somebody on a port of the loopback address, who answers one packet."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(5)

        def once() -> None:
            packet, client = server.recvfrom(512)
            server.sendto(answer(packet), client)

        thread = threading.Thread(target=once)
        thread.start()
        yield server.getsockname()[1]
        thread.join()


NAMES: dict[str, tuple[Answer, bool]] = {
    "an answer": (lambda asked: asked[:2] + b"\x81\x80\0\1\0\1" + bytes(4) + asked[12:] + bytes(16), True),
    "that there is no such name": (lambda asked: asked[:2] + b"\x81\x83\0\1\0\0" + bytes(4) + asked[12:], False),
    "that it will not say": (lambda asked: asked[:2] + b"\x81\x85\0\1\0\0" + bytes(4) + asked[12:], False),
    "nothing in the answer": (lambda asked: asked[:2] + b"\x81\x80\0\1\0\0" + bytes(4) + asked[12:], False),
    "an answer to another question": (lambda asked: bytes(2) + b"\x81\x80\0\1\0\1" + bytes(20), False),
    "half an answer": (lambda asked: asked[:5], False),
}


@pytest.mark.parametrize(("answer", "believed"), NAMES.values(), ids=NAMES)
def test_names(answer: Answer, believed: bool) -> None:
    with answering(answer) as port:
        assert answers_names("127.0.0.1", port) is believed


TIMES: dict[str, tuple[Answer, int]] = {
    "a server that has the time": (lambda _: b"\x24\x0a" + bytes(46), 10),
    "a server that has none yet": (lambda _: b"\xe4\x10" + bytes(46), 0),
    "half an answer": (lambda _: b"\x24\x0a", 0),
}


@pytest.mark.parametrize(("answer", "told"), TIMES.values(), ids=TIMES)
def test_time(answer: Answer, told: int) -> None:
    with answering(answer) as port:
        assert stratum("127.0.0.1", port) == told


def test_nobody_there() -> None:
    port = free_port()
    assert not answers_names("127.0.0.1", port)
    assert stratum("127.0.0.1", port) == 0


def test_a_real_resolver_is_believed(tmp_path: Path) -> None:
    with served(tmp_path) as names:
        assert answers_names("127.0.0.1", names.port)
