"""Tokens for pushes and the API: `crate_<id>_<secret>`, of which the store keeps a hash.

A secret is 256 random bits, so one round of sha256 is enough to keep it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from dataclasses import dataclass

from appliance.access import Caller, Role
from appliance.database import Database
from appliance.errors import UnknownToken

_FORM = re.compile(r"crate_([0-9a-f]{8})_([A-Za-z0-9_-]{43})")


@dataclass(frozen=True, slots=True)
class Token:
    """What is known of a token once it was handed out. `created` in seconds since 1970."""

    id: str
    role: Role
    created: int
    note: str


class Tokens:
    """May be used from any thread."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, role: Role, note: str = "") -> str:
        """A new token, in the only copy there will ever be."""
        identity, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
        with self._database.write() as connection:
            connection.execute(
                "INSERT INTO tokens (id, hash, role, created, note) VALUES (?, ?, ?, ?, ?)",
                (identity, _hash(secret), role.value, int(time.time()), note),
            )
        return f"crate_{identity}_{secret}"

    def all(self) -> list[Token]:
        rows = self._database.reader.execute("SELECT id, role, created, note FROM tokens ORDER BY created, id")
        return [Token(identity, Role(role), created, note) for identity, role, created, note in rows]

    def revoke(self, identity: str) -> None:
        """Takes effect with the next request. Raises `UnknownToken`."""
        with self._database.write() as connection:
            if not connection.execute("DELETE FROM tokens WHERE id = ?", (identity,)).rowcount:
                raise UnknownToken(f"there is no token {identity!r}", hint="crate-appliance token list shows them")

    def caller(self, text: str) -> Caller | None:
        """Who holds this token; None when it is none of ours."""
        form = _FORM.fullmatch(text)
        if form is None:
            return None
        row = self._database.reader.execute("SELECT hash, role FROM tokens WHERE id = ?", (form[1],)).fetchone()
        if row is None or not hmac.compare_digest(row[0], _hash(form[2])):
            return None
        return Caller(Role(row[1]), form[1])


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
