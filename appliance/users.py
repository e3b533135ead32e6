"""The people who sign on at this crate."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass

from appliance import passwords, rules
from appliance.access import NO_RIGHTS, Caller, Rights, Role
from appliance.database import Database
from appliance.errors import BadUser, UnknownUser

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class User:
    """`created` in seconds since 1970. `stamp` rises with every change, and ends sessions that began before."""

    name: str
    role: Role
    rights: Rights
    created: int
    note: str
    stamp: int


class Users:
    """May be used from any thread."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, name: str, password: str, role: Role, rights: Rights = NO_RIGHTS, note: str = "") -> None:
        """Raises `BadUser` for a name that is taken or none, or a weak password; `BadPattern`."""
        if not _NAME.fullmatch(name):
            raise BadUser(f"{name[:80]!r} is no user name", hint="use a-z, 0-9, '.', '_' and '-', at most 64 of them")
        line = passwords.hashed(password)
        with self._database.write() as connection:
            if connection.execute("SELECT 1 FROM users WHERE name = ?", (name,)).fetchone():
                raise BadUser(f"there is a user {name} already", hint="crate-appliance users change NAME changes one")
            connection.execute(
                "INSERT INTO users (name, password, role, created, note, stamp) VALUES (?, ?, ?, ?, ?, 1)",
                (name, line, role.value, int(time.time()), note),
            )
            rules.set_rights(connection, f"user:{name}", rights)

    def change(
        self,
        name: str,
        *,
        password: str | None = None,
        role: Role | None = None,
        publish: Sequence[str] | None = None,
        read: Sequence[str] | None = None,
    ) -> None:
        """Changes what is not None, and ends the user's sessions. Raises `UnknownUser`, `BadUser`, `BadPattern`."""
        line = None if password is None else passwords.hashed(password)
        with self._database.write() as connection:
            updated = connection.execute(
                "UPDATE users SET password = coalesce(?, password), role = coalesce(?, role), stamp = stamp + 1"
                " WHERE name = ?",
                (line, role and role.value, name),
            )
            if not updated.rowcount:
                raise _unknown(name)
            had = rules.rights_of(connection, f"user:{name}")
            chosen = Rights(
                had.publish if publish is None else tuple(publish), had.read if read is None else tuple(read)
            )
            rules.set_rights(connection, f"user:{name}", chosen)

    def remove(self, name: str) -> None:
        """Takes effect with the next request. Raises `UnknownUser`."""
        with self._database.write() as connection:
            if not connection.execute("DELETE FROM users WHERE name = ?", (name,)).rowcount:
                raise _unknown(name)
            rules.drop_rights(connection, f"user:{name}")

    def all(self) -> list[User]:
        names = self._database.reader.execute("SELECT name FROM users ORDER BY name").fetchall()
        return [user for (name,) in names if (user := self.find(name))]

    def find(self, name: str) -> User | None:
        reader = self._database.reader
        row = reader.execute("SELECT role, created, note, stamp FROM users WHERE name = ?", (name,)).fetchone()
        if row is None:
            return None
        role, created, note, stamp = row
        return User(name, Role(role), rules.rights_of(reader, f"user:{name}"), created, note, stamp)

    def sign_on(self, name: str, password: str) -> User | None:
        """The user whose password this is. Takes a tenth of a second and 16 MiB, also where there is no such user."""
        row = self._database.reader.execute("SELECT password FROM users WHERE name = ?", (name,)).fetchone()
        right = passwords.matches(password, row[0] if row else passwords.nobodys())
        return self.find(name) if row and right else None


def caller_of(user: User) -> Caller:
    return Caller(user.role, user.name, user.rights)


def _unknown(name: str) -> UnknownUser:
    return UnknownUser(f"there is no user {name[:80]!r}", hint="crate-appliance users list shows them")
