"""Users, what the store keeps of their passwords, and the patience with those who guess."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Sequence
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from appliance import passwords, sessions
from appliance.access import Access, Caller, Rights, Role
from appliance.errors import BadPattern, BadUser, UnknownUser
from appliance.registry.callers import Callers
from appliance.registry.errors import TooManyRequests, Unauthorized
from appliance.sessions import Sessions
from appliance.store import Store
from appliance.throttle import ADDRESS, NAMED, Throttle
from appliance.tokens import Tokens
from appliance.users import Users
from tests.appliance.daemon.test_callers import Wire

PASSWORD = "four words in a row"
ANN = Caller(Role.PUBLISHER, "ann", Rights(("team-a/*",), ("files/plans/*",)))


def with_ann(store: Store) -> Users:
    users = Users(store.database)
    users.add("ann", PASSWORD, Role.PUBLISHER, ANN.rights, "of team A")
    return users


def callers_of(store: Store) -> Callers:
    users = Users(store.database)
    return Callers(Tokens(store.database), users, Sessions(store.root / "session.key", users), Access, "crate:5000")


def basic(name: str, password: str, peer: str = "192.0.2.1") -> web.Request:
    value = base64.b64encode(f"{name}:{password}".encode()).decode()
    return make_mocked_request(
        "GET",
        "/token",
        headers={"Authorization": f"Basic {value}"},
        transport=Wire(peer, secure=True),
        sslcontext=ssl.create_default_context(),
    )


def test_the_store_keeps_no_password(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        users = with_ann(store)
        assert users.sign_on("ann", PASSWORD)
        for name, password in (("ann", PASSWORD + " "), ("ann", ""), ("bob", PASSWORD), ("", "")):
            assert users.sign_on(name, password) is None, (name, password)
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or PASSWORD.encode() not in path.read_bytes(), path


def test_two_users_of_one_password_share_no_hash() -> None:
    lines = {passwords.hashed(PASSWORD) for _ in range(2)}
    assert len(lines) == 2
    assert all(passwords.matches(PASSWORD, line) for line in lines)


@pytest.mark.parametrize("line", ["", "scrypt", "scrypt$16384$8$5$AA==$AA==", "md5$1$1$1$AA==$AA==", "a$b$c$d$e$f"])
def test_a_broken_line_matches_nothing(line: str) -> None:
    assert not passwords.matches("", line)
    assert not passwords.matches(PASSWORD, line)


@pytest.mark.parametrize(
    ("name", "password", "publish"),
    [
        ("ann", PASSWORD, ()),
        ("Ann", PASSWORD, ()),
        ("", PASSWORD, ()),
        ("a" * 65, PASSWORD, ()),
        ("bob", "short", ()),
        ("bob", "x" * 2000, ()),
        ("bob", PASSWORD, ("team a",)),
    ],
    ids=["taken", "capitals", "no name", "a long name", "a short password", "a huge password", "a strange pattern"],
)
def test_users_that_are_refused(tmp_path: Path, name: str, password: str, publish: Sequence[str]) -> None:
    with Store.open(tmp_path) as store:
        users = with_ann(store)
        with pytest.raises((BadUser, BadPattern)):
            users.add(name, password, Role.READER, Rights(tuple(publish)))
        assert [user.name for user in users.all()] == ["ann"]


def test_a_user_can_be_changed_bit_by_bit(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        users = with_ann(store)
        users.change("ann", role=Role.READER)
        users.change("ann", publish=())
        users.change("ann", password="another four words")
        (ann,) = users.all()
        assert (ann.role, ann.rights, ann.note) == (Role.READER, Rights((), ("files/plans/*",)), "of team A")
        assert users.sign_on("ann", PASSWORD) is None
        assert users.sign_on("ann", "another four words")
        users.remove("ann")
        assert users.sign_on("ann", "another four words") is None
        for act in (users.remove, users.change):
            with pytest.raises(UnknownUser):
                act("ann")
        users.add("ann", PASSWORD, Role.READER)
        assert users.all()[0].rights == Rights(), "rights of a removed user come back to nobody"


def test_a_session_is_the_users_until_he_is_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store.open(tmp_path) as store:
        users = with_ann(store)
        ann = users.find("ann")
        assert ann is not None
        session = Sessions(tmp_path / "session.key", users).begin(ann)
        again = Sessions(tmp_path / "session.key", users)  # the daemon was started anew
        assert again.caller(session) == ANN
        assert Sessions(tmp_path / "other.key", users).caller(session) is None
        assert again.caller(session[:-2]) is None
        assert again.caller("") is None
        monkeypatch.setattr(sessions, "LASTING", 0)
        assert again.caller(session, -1) is None, "it is over after a while"
        users.change("ann", role=Role.READER)
        assert again.caller(session) is None
    assert (tmp_path / "session.key").stat().st_mode & 0o077 == 0


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_guessing_gets_slower_and_slower() -> None:
    clock = Clock()
    throttle = Throttle(clock)
    waits = []
    for _ in range(NAMED.free + 10):
        wait = throttle.wait("192.0.2.1", "ann")
        waits.append(wait)
        clock.now += wait
        throttle.failed("192.0.2.1", "ann")
    assert waits == [0] * (NAMED.free + 1) + [1, 2, 4, 8, 16, 32, 64, 128, 256]
    assert throttle.wait("192.0.2.1", "ann") == NAMED.longest
    assert throttle.wait("192.0.2.1", "bob") == 0, "others at the address are not kept out"
    assert throttle.wait("192.0.2.2", "ann") == 0, "nor is she, elsewhere"
    throttle.succeeded("192.0.2.1", "ann")
    assert throttle.wait("192.0.2.1", "ann") == 0


def test_an_address_that_tries_name_after_name_is_slowed_down() -> None:
    throttle = Throttle(Clock())
    for number in range(ADDRESS.free + 3):
        assert number > ADDRESS.free or throttle.wait("192.0.2.1", f"user{number}") == 0
        throttle.failed("192.0.2.1", f"user{number}")
    assert throttle.wait("192.0.2.1", "somebody else") == 4
    assert throttle.wait("192.0.2.2", "somebody else") == 0


def test_what_is_remembered_of_guessers_is_bounded() -> None:
    throttle = Throttle(Clock())
    for number in range(20_000):
        throttle.failed(f"2001:db8::{number:x}", "ann")
    assert len(throttle._failures) <= 10_000


def test_right_and_wrong_passwords(tmp_path: Path) -> None:
    async def attempts(callers: Callers) -> None:
        assert await callers.identify(basic("ann", PASSWORD)) == ANN
        for _ in range(NAMED.free + 1):
            with pytest.raises(Unauthorized):
                await callers.identify(basic("ann", "a guess of eve's"))
        with pytest.raises(TooManyRequests) as caught:
            await callers.identify(basic("ann", "the next guess"))
        assert caught.value.headers == {"Retry-After": "1"}
        assert await callers.identify(basic("ann", PASSWORD)) == ANN, "who proved it lately is not kept out"

    with Store.open(tmp_path) as store:
        with_ann(store)
        asyncio.run(attempts(callers_of(store)))


def test_many_guesses_at_once_are_not_looked_at_together(tmp_path: Path) -> None:
    async def attempts(callers: Callers) -> list[object]:
        guesses = (callers.identify(basic("ann", f"guess number {number}")) for number in range(40))
        return list(await asyncio.gather(*guesses, return_exceptions=True))

    with Store.open(tmp_path) as store:
        with_ann(store)
        outcomes = asyncio.run(attempts(callers_of(store)))
    kinds = [type(outcome) for outcome in outcomes]
    assert set(kinds) == {Unauthorized, TooManyRequests}
    assert kinds.count(Unauthorized) == NAMED.free + 1


def test_a_change_ends_what_was_proven(tmp_path: Path) -> None:
    async def attempts(store: Store, users: Users) -> None:
        callers = callers_of(store)
        await callers.identify(basic("ann", PASSWORD))
        users.change("ann", password="another four words")
        with pytest.raises(Unauthorized):
            await callers.identify(basic("ann", PASSWORD))

    with Store.open(tmp_path) as store:
        asyncio.run(attempts(store, with_ann(store)))


@pytest.mark.parametrize(
    "secret", ["crate_00000000_" + "A" * 43, "gAAAAA", ""], ids=["a token", "a session", "nothing"]
)
def test_what_only_looks_like_a_token_is_no_sign_on(tmp_path: Path, secret: str) -> None:
    with Store.open(tmp_path) as store, pytest.raises(Unauthorized):
        asyncio.run(callers_of(store).identify(basic("", secret)))
