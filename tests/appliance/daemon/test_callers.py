"""Who may do what, and where a token may be sent."""

from __future__ import annotations

import asyncio
import base64
import itertools
import ssl
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from appliance.access import ANYBODY, Access, Caller, Rights, Role, check_patterns
from appliance.addresses import Address, local_addresses
from appliance.errors import BadPattern, CannotListen
from appliance.registry.callers import Callers
from appliance.registry.errors import Denied
from appliance.sessions import Sessions
from appliance.store import Store
from appliance.tokens import Tokens
from appliance.users import Users

READER, PUBLISHER, OPERATOR = Caller(Role.READER), Caller(Role.PUBLISHER), Caller(Role.OPERATOR)
TEAM = Caller(Role.PUBLISHER, "ann", Rights(publish=("team-a/*",)))
GUEST = Caller(Role.READER, "gus", Rights(read=("team-a/app",)))


@pytest.mark.parametrize(
    ("caller", "open_pulls", "reads", "writes"),
    [
        (ANYBODY, True, True, False),
        (ANYBODY, False, False, False),
        (READER, True, True, False),
        (READER, False, True, False),
        (PUBLISHER, False, True, True),
        (OPERATOR, False, True, True),
        (TEAM, False, True, False),
    ],
    ids=[
        "anybody",
        "anybody in private",
        "a reader",
        "a reader in private",
        "a publisher in private",
        "an operator in private",
        "a publisher of another team",
    ],
)
def test_access(caller: Caller, *, open_pulls: bool, reads: bool, writes: bool) -> None:
    access = Access(open_pulls)
    assert access.may_read(caller, "people/app") is reads
    assert access.may_publish(caller, "people/app") is writes
    assert access.may_operate(caller) is (caller is OPERATOR)


@pytest.mark.parametrize(
    ("caller", "name", "reads", "writes"),
    [
        (ANYBODY, "team-a/app", False, False),
        (ANYBODY, "team-ab/app", True, False),
        (READER, "team-a/app", False, False),
        (PUBLISHER, "team-a/app", True, True),
        (TEAM, "team-a/app/deep", True, True),
        (TEAM, "team-a", True, False),
        (TEAM, "team-b/app", True, False),
        (GUEST, "team-a/app", True, False),
        (GUEST, "team-a/app/deep", False, False),
        (OPERATOR, "team-a/app", True, True),
    ],
    ids=[
        "anybody where it is private",
        "anybody where a name only begins alike",
        "a reader without a right to it",
        "a publisher of everything",
        "a publisher of the team, deep below",
        "a publisher of what is below, at the folder's own name",
        "a publisher of one team at another, which is open",
        "a reader of one repository",
        "a reader of one repository, below it",
        "an operator",
    ],
)
def test_what_is_private(caller: Caller, name: str, *, reads: bool, writes: bool) -> None:
    access = Access(private=("team-a/*",))
    assert access.may_read(caller, name) is reads
    assert access.may_publish(caller, name) is writes


@pytest.mark.parametrize("text", ["", "/", "a//b", "*/a", "a*", "a/**", "a b", "../a/%2e", "a/*/b", "team/"])
def test_what_is_no_pattern(text: str) -> None:
    with pytest.raises(BadPattern):
        check_patterns([text])


def callers_of(store: Store, fallback: str = "fallback:5000") -> Callers:
    users = Users(store.database)
    return Callers(Tokens(store.database), users, Sessions(store.root / "session.key", users), Access, fallback)


class Wire:
    """A transport as far as a request looks at it: where it comes from, and whether it is encrypted."""

    def __init__(self, peer: str, *, secure: bool) -> None:
        self._known: dict[str, Any] = {"peername": (peer, 1234), "sslcontext": object() if secure else None}

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._known.get(name, default)


def request(peer: str, *, secure: bool, **headers: str) -> web.Request:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    context = ssl.create_default_context() if secure else None
    wire = Wire(peer, secure=secure)
    return make_mocked_request("GET", "/token", headers=named, transport=wire, sslcontext=context)


@pytest.mark.parametrize("scheme", ["Bearer", "Basic"])
@pytest.mark.parametrize(
    ("peer", "secure", "taken"),
    [
        ("127.0.0.1", False, True),
        ("::1", False, True),
        ("192.0.2.1", True, True),
        ("192.0.2.1", False, False),
        ("fe80::1%eth0", False, False),
        ("", False, False),
    ],
    ids=["loopback", "IPv6 loopback", "TLS", "in the clear", "a neighbour in the clear", "nobody knows whom"],
)
def test_tokens_do_not_cross_a_network_in_the_clear(
    tmp_path: Path, scheme: str, peer: str, *, secure: bool, taken: bool
) -> None:
    with Store.open(tmp_path) as store:
        tokens = Tokens(store.database)
        token = tokens.create(Role.PUBLISHER)
        callers = callers_of(store)
        value = base64.b64encode(f"me:{token}".encode()).decode() if scheme == "Basic" else token
        sent = request(peer, secure=secure, Authorization=f"{scheme} {value}")
        if taken:
            assert asyncio.run(callers.identify(sent)).role is Role.PUBLISHER
        else:
            with pytest.raises(Denied):
                asyncio.run(callers.identify(sent))
            if scheme == "Basic":
                with pytest.raises(Denied):
                    asyncio.run(callers.give_token(sent))


@pytest.mark.parametrize(
    ("headers", "realm"),
    [
        ({"Host": "crate.internal:5000"}, "https://crate.internal:5000/token"),
        ({"Host": "[fd00::1]:5000"}, "https://[fd00::1]:5000/token"),
        ({}, "https://fallback:5000/token"),
        ({"Host": 'evil",service="x'}, "https://fallback:5000/token"),
        ({"Host": "a b"}, "https://fallback:5000/token"),
    ],
    ids=["a name", "an IPv6 address", "no Host", "a Host with a quote", "a Host with a space"],
)
def test_the_realm_is_where_the_client_came_to(tmp_path: Path, headers: dict[str, str], realm: str) -> None:
    with Store.open(tmp_path) as store:
        callers = callers_of(store)
        challenge = callers.challenge(request("192.0.2.1", secure=True, **headers), "a/b", "pull")
    scope = 'scope="repository:a/b:pull"'
    assert challenge == {"WWW-Authenticate": f'Bearer realm="{realm}",service="crate",{scope}'}


def test_a_proxy_in_front_may_say_that_it_speaks_tls(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        callers = callers_of(store)
        sent = request("127.0.0.1", secure=False, Host="crate.example.org", X_Forwarded_Proto="https")
        assert 'realm="https://crate.example.org/token"' in callers.challenge(sent)["WWW-Authenticate"]


def test_the_store_keeps_no_token(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        token = Tokens(store.database).create(Role.PUBLISHER, "for the build server")
        (listed,) = Tokens(store.database).all()
        assert (listed.role, listed.note) == (Role.PUBLISHER, "for the build server")
        assert Tokens(store.database).caller(token) == Caller(Role.PUBLISHER, f"token:{listed.id}")
        for other in (
            token[:-1],
            token + "x",
            token.upper(),
            "",
            f"crate_{listed.id}_",
            "crate_00000000_" + token[15:],
        ):
            assert Tokens(store.database).caller(other) is None, other
    secret = token.rpartition("_")[2]
    for file in tmp_path.iterdir():
        assert file.is_dir() or secret.encode() not in file.read_bytes(), file


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("0.0.0.0:5000", "0.0.0.0", 5000),
        ("[::]:5000", "::", 5000),
        (":8080", "0.0.0.0", 8080),
        ("crate.internal:443", "crate.internal", 443),
    ],
)
def test_addresses(text: str, host: str, port: int) -> None:
    assert Address.parse(text) == Address(host, port)


@pytest.mark.parametrize(
    "text", ["", "5000", "host", "host:", "host:0", "host:65536", "::1:5000", "a b:1", "host:5000/x"]
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(CannotListen):
        Address.parse(text)


def test_local_addresses_are_read_from_the_kernels_tables(tmp_path: Path) -> None:
    (tmp_path / "fib_trie").write_text(
        "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.0.0.0\n        /24 link UNICAST\n     |-- 10.0.0.7\n"
        "        /32 host LOCAL\n     |-- 10.0.0.255\n        /32 link BROADCAST\n"
        "     |-- 169.254.3.4\n        /32 host LOCAL\n"
    )
    (tmp_path / "if_inet6").write_text(
        "fd000000000000000000000000000007 02 40 00 80     eth0\nfe800000000000000000000000000001 02 40 20 80     eth0\n"
    )
    assert local_addresses(tmp_path) == ["10.0.0.7", "127.0.0.1", "fd00::7"]
    assert local_addresses(tmp_path / "no proc") == ["127.0.0.1"]


def test_redirects_lead_where_the_client_can_go() -> None:
    everywhere, elsewhere = Address("0.0.0.0", 8080), Address("192.0.2.9", 8080)
    wire = Wire("192.0.2.1", secure=True)
    wire._known["sockname"] = ("192.0.2.5", 5000)
    hosts = {"crate.internal:5000": "crate.internal:8080", "[fd00::1]:5000": "[fd00::1]:8080", "crate": "crate:8080"}
    for (asked, reached), plain in itertools.product(hosts.items(), (everywhere, elsewhere)):
        sent = make_mocked_request("GET", "/", headers={"Host": asked}, transport=wire)
        assert plain.as_reached_by(sent) == (reached if plain is everywhere else "")
