"""Passwords as the store keeps them: scrypt (RFC 7914), salted, with its parameters beside the hash.

The parameters are those of OWASP's password storage cheat sheet that take the least memory, 16 MiB: a board has little.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
from functools import cache

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from appliance.errors import BadUser

SHORTEST = 8  # characters, as NIST SP 800-63B has it
_LONGEST = 1024  # bytes
_N, _R, _P = 2**14, 8, 5
_LENGTH = 32  # bytes


def hashed(password: str) -> str:
    """A line for the store: `scrypt$N$r$p$salt$hash`. Raises `BadUser` for a password that is too short or long."""
    if len(password) < SHORTEST or len(password.encode()) > _LONGEST:
        raise BadUser(f"a password has {SHORTEST} characters at least", hint="a few words in a row are easy to type")
    salt = secrets.token_bytes(16)
    key = Scrypt(salt=salt, length=_LENGTH, n=_N, r=_R, p=_P).derive(password.encode())
    return "$".join(["scrypt", str(_N), str(_R), str(_P), *(base64.b64encode(each).decode() for each in (salt, key))])


def matches(password: str, line: str) -> bool:
    """Whether this is the password; takes its time on purpose, so call it from a thread."""
    try:
        scheme, n, r, p, salt, key = line.split("$")
        scrypt = Scrypt(salt=base64.b64decode(salt), length=_LENGTH, n=int(n), r=int(r), p=int(p))
        scrypt.verify(password.encode()[: _LONGEST + 1], base64.b64decode(key))
    except (ValueError, binascii.Error, InvalidKey):
        return False
    return hmac.compare_digest(scheme, "scrypt")


@cache
def nobodys() -> str:
    """Compared with where there is no such user, so that the answer takes as long."""
    return hashed(secrets.token_urlsafe())
