"""What a user who signed on carries instead of the password: a sealed note of who it was, good for a while.

Fernet seals it (github.com/fernet/spec) with a key that the store keeps, so sessions outlive a restart of the daemon.
A session ends when its user is changed or removed.
"""

from __future__ import annotations

import json
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken

from appliance import disk
from appliance.access import Caller
from appliance.users import User, Users, caller_of

LASTING = 3600  # seconds of a client's session; it fetches the next by itself
PAGE_LASTING = 12 * 3600  # seconds of a person's, before the browser


class Sessions:
    """May be used from any thread."""

    def __init__(self, key_file: Path, users: Users) -> None:
        if not key_file.exists():
            disk.write_private(key_file, Fernet.generate_key())
        self._fernet = Fernet(key_file.read_bytes())
        self._users = users

    def begin(self, user: User) -> str:
        return self._fernet.encrypt(json.dumps([user.name, user.stamp]).encode()).decode()

    def caller(self, text: str, lasting: int = LASTING) -> Caller | None:
        """Who this session is of; None when it is none, is over, or began before the user was changed."""
        try:
            name, stamp = json.loads(self._fernet.decrypt(text.encode(), ttl=lasting))
        except (InvalidToken, ValueError, TypeError):
            return None
        user = self._users.find(name)
        return caller_of(user) if user and user.stamp == stamp else None
