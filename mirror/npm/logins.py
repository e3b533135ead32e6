"""What this machine's npm logs in with: npmrc(5), "Auth related configuration", and the URLs of its registries."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from mirror.logins import Login, basic, of_url

_PLACE = re.compile(r"//(?P<place>[^:]+(?::\d+)?[^:]*):(?P<key>_authToken|_auth|username|_password)")
_VARIABLE = re.compile(r"\$\{([^}]+)\}")


def logins(base: Path) -> list[Login]:
    """Of the recipe's folder, this user and the environment, in the order in which npm believes them."""
    environment = {
        key[len("npm_config_") :]: value
        for key, value in os.environ.items()
        if key.lower().startswith("npm_config_") and value
    }
    own = environment.get("userconfig") or environment.get("USERCONFIG")
    files = (base / ".npmrc", Path(own) if own else Path.home() / ".npmrc")
    return [login for settings in (environment, *map(_read, files)) for login in parse(settings)]


def parse(settings: Mapping[str, str]) -> Iterator[Login]:
    """`//host/path/:_authToken` and its kin; they hold for everything below that path."""
    places: dict[str, dict[str, str]] = {}
    for key, value in settings.items():
        if found := _PLACE.fullmatch(key):
            places.setdefault(found["place"], {})[found["key"]] = value
        elif key == "registry" or key.endswith(":registry"):
            yield from of_url(value)
    for place, keys in places.items():
        words = urlsplit(f"https://{place}")
        authorization = _authorization(keys)
        if words.hostname and authorization:
            yield Login(words.hostname, authorization, port=words.port, path=words.path)


def _authorization(keys: Mapping[str, str]) -> str:
    if token := keys.get("_authToken"):
        return f"Bearer {token}"
    if both := keys.get("_auth"):
        return f"Basic {both}"
    if "username" in keys and "_password" in keys:
        try:
            return basic(keys["username"], base64.b64decode(keys["_password"]).decode())
        except ValueError:
            return ""
    return ""


def _read(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    found: dict[str, str] = {}
    for line in lines:
        key, equals, value = line.strip().partition("=")
        if equals and not key.startswith(("#", ";")):
            known = _VARIABLE.sub(lambda name: os.environ.get(name[1], ""), value.strip())
            found[key.strip()] = known.strip("\"'")
    return found
