"""The API does what its description says, whatever it is sent; and says what is there."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.core.transport import Response

from appliance.access import Role
from appliance.web.api import ROUTES
from appliance.web.openapi import document
from tests.appliance.cluster.runs import wave
from tests.appliance.daemon.serving import Answer, Crate, make_token, raw_request
from tests.appliance.web import worlds
from tests.appliance.web.worlds import NGINX, SECRET

ROOT = "/api/v1"
SCHEMA = schemathesis.openapi.from_dict(document()).exclude(path_regex="/run/events")


def ask(crate: Crate, path: str, method: str = "GET", *, token: str = "") -> Answer:
    return crate.request(method, f"{ROOT}{path}", token=token)


def told(crate: Crate, path: str, *, token: str = "") -> Any:
    answer = ask(crate, path, token=token)
    assert answer.status == 200, answer
    return json.loads(answer.body)


@SCHEMA.parametrize()
@settings(max_examples=8, deadline=None, suppress_health_check=[*HealthCheck])
def test_the_server_does_as_the_description_says(case: schemathesis.Case[Any], crate: Crate) -> None:
    """Parameters that fit, and that do not: every answer is one that is described, none is a failure of ours."""
    assert crate.ca is not None
    response: Response = case.call(base_url=crate.url, verify=str(crate.ca))
    case.validate_response(
        response, excluded_checks=[schemathesis.checks.not_a_server_error] if response.status_code == 503 else []
    )
    assert b"Traceback" not in response.content


def test_every_route_is_described(crate: Crate) -> None:
    described = told(crate, "/openapi.json")
    assert described == json.loads(json.dumps(document()))
    paths = {(method.upper(), path) for path, methods in described["paths"].items() for method in methods}
    assert paths == {(route.method, f"{ROOT}{route.path}") for route in ROUTES}


def test_what_is_told(crate: Crate) -> None:
    status = told(crate, "/status")
    assert (status["generation"], status["items"]["image"], status["well"]) == (2, 1, False)
    assert "n2" in status["concerns"][0]["what"]
    assert status["crates"][0]["signed_by"] == ["release@workshop"]
    found = told(crate, "/items?q=nginx")
    assert [(item["kind"], item["name"], item["version"]) for item in found["items"]] == [("image", NGINX, "1.27")]
    (version,) = told(crate, f"/items/image/{NGINX}")
    assert version["commands"][0]["text"] == f"docker pull {crate.address}/{NGINX}:1.27"
    changes = told(crate, "/generations/2/changes?since=1")
    assert {"kind": "file", "name": "k9s/2.0/k9s-arm64", "before": [], "after": ["1"]} in changes["changes"]
    assert [node["name"] for node in told(crate, "/nodes")] == ["n1", "n2"]
    run = told(crate, "/run")
    assert (run["task"], run["outcome"], run["waves"][0]["finished"]) == ("deploy", "failed", 2)
    assert told(crate, "/space")["crates"] > 0
    assert "docker.io/library/postgres:17" in [request["name"] for request in told(crate, "/requests")]


def test_private_names_are_told_to_those_who_may_read_them(crate: Crate) -> None:
    operator, reader = make_token(crate.root, Role.OPERATOR), make_token(crate.root, Role.READER)
    for token, count in (("", 0), (reader, 0), (operator, 1)):
        assert told(crate, "/items?q=secret", token=token)["total"] == count
        assert ask(crate, f"/items/file/{SECRET}", token=token).status == (200 if count else 404)


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/toast", 404, "NOT_FOUND"),
        ("DELETE", "/toast", 404, "NOT_FOUND"),
        ("PUT", "/items", 405, "UNSUPPORTED"),
        ("GET", "/items?page=0", 400, "BAD_REQUEST"),
        ("GET", "/items?page=1e3", 400, "BAD_REQUEST"),
        ("GET", "/items?page=%D9%A3", 400, "BAD_REQUEST"),
        ("GET", "/items?page=1&page=2", 400, "BAD_REQUEST"),
        ("GET", "/items?toast=1", 400, "BAD_REQUEST"),
        ("GET", "/items?kind=toast", 400, "BAD_REQUEST"),
        ("GET", "/items?q=" + "x" * 300, 400, "BAD_REQUEST"),
        ("GET", "/items/file/..%2f..%2fcrate.db", 404, "NOT_FOUND"),
        ("GET", "/generations/2/changes", 400, "BAD_REQUEST"),
        ("GET", "/generations/2/changes?since=99", 404, "NOT_FOUND"),
        ("DELETE", "/requests", 401, "UNAUTHORIZED"),
        ("POST", "/space/collect", 401, "UNAUTHORIZED"),
        ("POST", "/generations/1/activate", 401, "UNAUTHORIZED"),
    ],
)
def test_refusals(crate: Crate, method: str, path: str, status: int, code: str) -> None:
    answer = ask(crate, path, method)
    assert (answer.status, answer.code) == (status, code)
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("role", [Role.READER, Role.PUBLISHER])
def test_only_operators_change_anything(crate: Crate, role: Role) -> None:
    token = make_token(crate.root, role)
    for method, path in (("DELETE", "/requests"), ("POST", "/space/collect"), ("POST", "/generations/1/activate")):
        assert ask(crate, path, method, token=token).status == 403


def test_an_operator_changes_things(own_crate: Crate) -> None:
    token = make_token(own_crate.root, Role.OPERATOR)
    assert json.loads(ask(own_crate, "/requests", "DELETE", token=token).body) == {"forgotten": 3}
    assert told(own_crate, "/requests", token=token) == []
    activation = json.loads(ask(own_crate, "/generations/1/activate", "POST", token=token).body)
    assert (activation["generation"], activation["changed"]) == (1, True)
    assert told(own_crate, "/status")["generation"] == 1
    assert ask(own_crate, "/generations/99/activate", "POST", token=token).status == 404
    assert json.loads(ask(own_crate, "/space/collect", "POST", token=token).body)["generations"] == 0


class Stream:
    """Server-sent events, as they come."""

    def __init__(self, crate: Crate, token: str = "") -> None:
        self.socket = crate.connect()
        self.socket.settimeout(20)
        request = raw_request(crate, "GET", f"{ROOT}/run/events").decode()
        lines = [line for line in request.split("\r\n") if not line.startswith("Authorization")]
        if token:
            lines.insert(2, f"Authorization: Bearer {token}")
        self.socket.sendall("\r\n".join(lines).encode())

    def events(self) -> Iterator[tuple[str, Any]]:
        with self.socket.makefile("rb") as file:
            kind = ""
            for line in file:
                word, _, value = line.decode().rstrip("\r\n").partition(": ")
                if word == "event":
                    kind = value
                elif word == "data":
                    yield kind, json.loads(value)


def test_a_run_is_followed_as_it_goes_on(tmp_path: Path, own_crate: Crate) -> None:
    folder = own_crate.root
    operator = Stream(own_crate, make_token(folder, Role.OPERATOR))
    with worlds.begin_run(folder) as journal:
        stream = Stream(own_crate)
        with closing(stream.socket), closing(operator.socket):
            said = stream.events()
            kinds = [next(said) for _ in range(5)]
            assert kinds[0] == ("run", worlds.RUN)
            assert [event["event"] for _, event in kinds[1:]] == ["began", "node", "node", "ended"]
            worlds.more(journal, *wave("base", "n1", changed=1))
            began, operation = next(said)[1], next(said)[1]
            assert (began["wave"], operation["event"], "diff" in operation) == ("base", "operation", False)
            journal.end("done")
            assert [kind for kind, _ in (next(said), next(said), next(said))] == ["event", "event", "ended"]
            operations = (event for _, event in operator.events() if event.get("event") == "operation")
            assert next(operations)["diff"].startswith("-old")


def test_many_may_look_on_and_a_few_too_many_may_not(own_crate: Crate) -> None:
    streams = [Stream(own_crate) for _ in range(50)]
    try:
        for stream in streams:
            assert next(stream.events())[0] == "run"
        assert ask(own_crate, "/run/events").status == 503
        streams[0].socket.shutdown(socket.SHUT_RDWR)
        assert told(own_crate, "/status")["generation"] == 2
    finally:
        for stream in streams:
            stream.socket.close()
