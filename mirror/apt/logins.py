"""What this machine's apt logs in with: apt_auth.conf(5), and the URLs of its sources."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from mirror.apt.sources import apt_settings, machine_sources
from mirror.logins import Login, basic, of_url

_MAIN, _PARTS = Path("/etc/apt/auth.conf"), Path("/etc/apt/auth.conf.d")


def logins() -> list[Login]:
    """Those of auth.conf first: that is where apt wants them."""
    if not shutil.which("apt-config"):
        return []
    found = [login for path in _files() for login in parse(_text(path))]
    return found + [login for source in machine_sources(apt_settings()) for login in of_url(source.url)]


def parse(text: str) -> Iterator[Login]:
    """`machine [scheme://]host[:port][/path] login NAME password WORD`; HTTPS is meant unless a scheme is given."""
    words = iter(word for line in text.splitlines() if not line.lstrip().startswith("#") for word in line.split())
    machine, user = "", ""
    for word in words:
        if word == "machine":
            machine, user = next(words, ""), ""
        elif word == "login":
            user = next(words, "")
        elif word == "password" and machine:
            place = urlsplit(machine if "://" in machine else f"https://{machine}")
            if place.hostname:
                yield Login(place.hostname, basic(user, next(words, "")), place.scheme, place.port, place.path)


def _files() -> list[Path]:
    return [_MAIN, *(sorted(_PARTS.glob("*.conf")) if _PARTS.is_dir() else [])]


def _text(path: Path) -> str:
    """Often readable by root alone; then others have to do without, as with apt itself."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
