"""What a node asks, by the script that it runs, against servers that answer well, badly and not at all."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from deploys.order import Check, Node
from deploys.verify import questions
from deploys.verify.questions import Answer
from tests.support.tools import tool

NODE = Node(name="n1", address="127.0.0.1", role="server")


class Handler(BaseHTTPRequestHandler):
    """An ingress: it knows one host."""

    def do_GET(self) -> None:
        known = self.headers["Host"] == "demo.apps.crate.internal"
        body = f"path {self.path}, by {self.headers['User-Agent']}: Grüße\n".encode()
        self.send_response(200 if known else 404)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing is said."""


@pytest.fixture
def port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def asked(check: Check) -> str:
    """What is wrong with the answer, as the node's sh and bash get it; sh is told nothing of this machine."""
    return trouble_of(check, questions.url(check, NODE, {}))


def trouble_of(check: Check, at: str) -> str:
    script = questions.script(check, at)
    command = [tool("env"), "-i", "PATH=/usr/bin:/bin", "sh", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return questions.trouble(check, Answer.parse(done.stdout))


def check(port: int, **keys: object) -> Check:
    words = {"name": "it", "url": f"http://{{node}}:{port}/a?b=c", "host": "demo.apps.crate.internal", **keys}
    return Check.model_validate(words)


def test_a_good_answer_is_one(port: int) -> None:
    assert asked(check(port, text="path /a?b=c, by buzzcrate-verify: Grüße")) == ""


def test_another_host_is_answered_otherwise_and_may_be_meant(port: int) -> None:
    assert asked(check(port, host="")) == "answers 404, not 200"
    assert asked(check(port, host="", status=404)) == ""


def test_the_text_has_to_be_there(port: int) -> None:
    assert asked(check(port, text="Postgres")) == "answers without 'Postgres' in it"


def test_nobody_there_is_told_in_the_words_of_the_system() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = server.getsockname()[1]
    assert asked(check(free)) == "Connection refused"


@contextmanager
def answering(raw: bytes) -> Iterator[int]:
    """A server that says `raw` to whoever connects, and closes."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection, connection.makefile("rb") as request:
                while request.readline().strip():
                    """What is left unread would reset the connection, and take the answer with it."""
                with suppress(ConnectionError):
                    connection.sendall(raw)

        worker = threading.Thread(target=serve)
        worker.start()
        yield server.getsockname()[1]
        worker.join()


@pytest.mark.parametrize(
    ("raw", "said"),
    [(b"", "closes the connection without a word"), (b"SSH-2.0-OpenSSH\r\n", "SSH-2.0-OpenSSH")],
    ids=["a server that says nothing", "a server that is none of HTTP"],
)
def test_an_answer_that_is_none(raw: bytes, said: str) -> None:
    with answering(raw) as port:
        assert asked(check(port)) == said


def test_more_than_anybody_reads_is_cut_off() -> None:
    with answering(b"HTTP/1.0 200 OK\r\n\r\nhello" + b"x" * (1 << 20)) as port:
        assert asked(check(port, text="hello")) == ""


def test_what_the_cluster_gives_as_an_address_is_never_run(tmp_path: Path) -> None:
    evil = f"$(touch${{IFS}}{tmp_path}/a)'`touch${{IFS}}{tmp_path}/b`;touch${{IFS}}{tmp_path}/c;'".replace("/", "\\057")
    at = questions.url(check(80, url="http://{web.demo}/"), NODE, {("web", "demo"): evil})
    assert trouble_of(check(80), at)
    assert [*tmp_path.iterdir()] == []


def test_the_address_of_a_service_is_filled_in_where_it_is_asked() -> None:
    wanted = check(80, url="http://{web.demo}:8000/from/{node}")
    assert questions.url(wanted, NODE, {("web", "demo"): "10.43.1.2"}) == "http://10.43.1.2:8000/from/127.0.0.1"
    with pytest.raises(KeyError, match="web of demo"):
        questions.url(wanted, NODE, {})
