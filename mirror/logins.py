"""Credentials that this machine's package clients have, in one form: who may be told what.

They are for fetching only. Nothing here ever reaches a lock, a recipe, a catalogue or a message.
"""

from __future__ import annotations

import base64
import netrc
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Login:
    """The Authorization header for what lies below `path` on `host`; no `scheme` and no `port` mean any."""

    host: str
    authorization: str = field(repr=False)
    scheme: str = ""
    port: int | None = None
    path: str = ""

    def fits(self, url: str) -> bool:
        words = urlsplit(url)
        port = words.port or _PORTS.get(words.scheme)
        return (
            words.hostname == self.host
            and self.scheme in {"", words.scheme}
            and self.port in {None, port}
            and f"{words.path}/".startswith(f"{self.path.rstrip('/')}/")
        )


class Logins:
    """Of several that fit a URL, the one for the longest path is meant, and of those the first."""

    def __init__(self, logins: Iterable[Login] = ()) -> None:
        self._logins: Sequence[Login] = sorted(logins, key=lambda login: -len(login.path.rstrip("/")))

    def headers(self, url: str) -> dict[str, str]:
        """What a request of `url` is to carry; nothing where it brings user and password itself."""
        if "@" in urlsplit(url).netloc:
            return {}
        return next(({"Authorization": login.authorization} for login in self._logins if login.fits(url)), {})


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def of_url(url: str) -> list[Login]:
    """The user and password that a URL holds, for all of its host: indexes send clients to other paths of it."""
    try:
        words = urlsplit(url)
        port = words.port or _PORTS.get(words.scheme)
    except ValueError:
        return []
    if words.hostname is None or words.username is None:
        return []
    authorization = basic(unquote(words.username), unquote(words.password or ""))
    return [Login(words.hostname, authorization, words.scheme, port)]


def of_netrc() -> list[Login]:
    """`~/.netrc`, or the file that $NETRC names, as curl, pip and uv read it; its `default` is for nobody.

    One that cannot be read is as good as none, which is how those clients see it.
    """
    path = Path(os.environ.get("NETRC", "") or Path.home() / ".netrc")
    try:
        hosts = netrc.netrc(path).hosts
    except (OSError, netrc.NetrcParseError, UnicodeDecodeError):
        return []
    return [
        Login(host.lower(), basic(user, password)) for host, (user, _, password) in hosts.items() if host != "default"
    ]
