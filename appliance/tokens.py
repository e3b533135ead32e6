"""Tokens for machines: `crate_<id>_<secret>`, of which the store keeps a hash.

A secret is 256 random bits, so one round of sha256 is enough to keep it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from dataclasses import dataclass

from appliance import rules
from appliance.access import NO_RIGHTS, Caller, Rights, Role
from appliance.database import Database
from appliance.errors import UnknownToken

_FORM = re.compile(r"crate_([0-9a-f]{8})_([A-Za-z0-9_-]{43})")


@dataclass(frozen=True, slots=True)
class Token:
    """What is known of a token once it was handed out. Times in seconds since 1970; `expires` None means never."""

    id: str
    role: Role
    created: int
    note: str
    expires: int | None = None
    rights: Rights = NO_RIGHTS


class Tokens:
    """May be used from any thread."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, role: Role, note: str = "", *, rights: Rights = NO_RIGHTS, lasting: float | None = None) -> str:
        """A new token, in the only copy there will ever be, good for `lasting` seconds. Raises `BadPattern`."""
        identity, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
        now = int(time.time())
        expires = None if lasting is None else now + int(lasting)
        with self._database.write() as connection:
            connection.execute(
                "INSERT INTO tokens (id, hash, role, created, note, expires) VALUES (?, ?, ?, ?, ?, ?)",
                (identity, _hash(secret), role.value, now, note, expires),
            )
            rules.set_rights(connection, f"token:{identity}", rights)
        return f"crate_{identity}_{secret}"

    def all(self) -> list[Token]:
        reader = self._database.reader
        rows = reader.execute("SELECT id, role, created, note, expires FROM tokens ORDER BY created, id").fetchall()
        return [
            Token(identity, Role(role), created, note, expires, rules.rights_of(reader, f"token:{identity}"))
            for identity, role, created, note, expires in rows
        ]

    def revoke(self, identity: str) -> None:
        """Takes effect with the next request. Raises `UnknownToken`."""
        with self._database.write() as connection:
            if not connection.execute("DELETE FROM tokens WHERE id = ?", (identity,)).rowcount:
                raise UnknownToken(f"there is no token {identity!r}", hint="crate-appliance tokens list shows them")
            rules.drop_rights(connection, f"token:{identity}")

    def caller(self, text: str) -> Caller | None:
        """Who holds this token; None when it is none of ours, or expired."""
        form = _FORM.fullmatch(text)
        if form is None:
            return None
        reader = self._database.reader
        row = reader.execute("SELECT hash, role, expires FROM tokens WHERE id = ?", (form[1],)).fetchone()
        if row is None or not hmac.compare_digest(row[0], _hash(form[2])):
            return None
        if row[2] is not None and row[2] <= time.time():
            return None
        holder = f"token:{form[1]}"
        return Caller(Role(row[1]), holder, rules.rights_of(reader, holder))


def looks_like_token(text: str) -> bool:
    """Whether this is in the form of a token, ours or another crate's."""
    return _FORM.fullmatch(text) is not None


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
