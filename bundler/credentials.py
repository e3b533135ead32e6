"""Credentials that this machine's clients have already: docker's and podman's auth files, and their helpers.

Where the files are and what wins: containers-auth.json(5) and docker's config.json. Files are read in podman's order;
the first that knows a host is taken. In each, a helper for the host comes before the store for all, and that before
what stands in the file. A helper that fails is no failure, for most images are public: it is told when access is
denied for want of credentials.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from archive.references import canonical_host
from bundler.errors import AuthFileInvalid

HELPER_SECONDS = 30.0
_HUB_KEY = "https://index.docker.io/v1/"  # how docker has always filed Docker Hub
_TOKEN_USER = "<token>"  # noqa: S105 - the user name by which a helper says that its secret is an identity token


@dataclass(frozen=True, slots=True)
class Login:
    """How to present oneself: a password, an identity token to be exchanged, or a bearer token to be used as it is.

    `source` says where it was found; it and nothing else may be shown.
    """

    source: str
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class AuthFile:
    """One auth file: `auths`, `credHelpers`, `credsStore`."""

    path: Path
    auths: Mapping[str, Mapping[str, Any]]
    helpers: Mapping[str, str]
    store: str

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """None when there is no such file, or an empty one. Raises `AuthFileInvalid`."""
        try:
            content = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise AuthFileInvalid(f"{path} cannot be read: {error.strerror}", hint=_FILE_HINT) from error
        if not content.strip():
            return None
        try:
            document = json.loads(content)
            auths = {_key(key): dict(entry or {}) for key, entry in (document.get("auths") or {}).items()}
            helpers = {_key(key): str(name) for key, name in (document.get("credHelpers") or {}).items()}
            return cls(path, auths, helpers, str(document.get("credsStore") or ""))
        except (ValueError, AttributeError, TypeError):
            # without the cause: a JSON error quotes what it met, and this file is made of secrets
            raise AuthFileInvalid(
                f"{path} is not an auth file as docker and podman write it", hint=_FILE_HINT
            ) from None

    def helper(self, host: str) -> str:
        return self.helpers.get(host) or self.store

    def stored(self, host: str, repository: str) -> Login | None:
        """The entry for the longest prefix of `host/repository`, as podman files them. Raises `AuthFileInvalid`."""
        for name in _prefixes(host, repository):
            if entry := self.auths.get(name):
                return self._login(entry, name)
        return None

    def _login(self, entry: Mapping[str, Any], name: str) -> Login | None:
        user, password = str(entry.get("username") or ""), str(entry.get("password") or "")
        if entry.get("auth"):
            try:
                user, colon, password = base64.b64decode(str(entry["auth"]), validate=True).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                colon = ""
            if not colon:
                raise AuthFileInvalid(f"{self.path}: the `auth` of {name} cannot be decoded", hint=_FILE_HINT)
        identity, token = str(entry.get("identitytoken") or ""), str(entry.get("registrytoken") or "")
        if not (user or identity or token):
            return None
        # docker pads what it stores with zero bytes
        return Login(str(self.path), user, password.rstrip("\0"), identity, token)


_FILE_HINT = "mend or remove it; `docker login` or `podman login` writes it anew"


class Credentials:
    """What the auth files and helpers know; each host's helper is asked once."""

    def __init__(self, files: Sequence[AuthFile] = ()) -> None:
        self._files = files
        self._answers: dict[tuple[str, str], asyncio.Future[Login | None]] = {}
        self.notes: dict[str, str] = {}  # host: why a helper had nothing to say

    @classmethod
    def load(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Raises `AuthFileInvalid`."""
        return cls([file for path in _paths(environment) if (file := AuthFile.read(path)) is not None])

    async def find(self, host: str, repository: str) -> Login | None:
        """The login for a repository of `host`, as the host is really asked."""
        host = canonical_host(host)
        for file in self._files:
            if helper := file.helper(host):
                login = await self._ask_once(helper, host)
            else:
                login = None
            login = login or file.stored(host, repository)
            if login is not None:
                return login
        return None

    async def _ask_once(self, helper: str, host: str) -> Login | None:
        key = (helper, host)
        if key not in self._answers:
            self._answers[key] = asyncio.ensure_future(self._ask(helper, host))
        return await asyncio.shield(self._answers[key])

    async def _ask(self, helper: str, host: str) -> Login | None:
        """The protocol of docker-credential-helpers: a server on stdin, JSON on stdout."""
        program = f"docker-credential-{helper}"
        try:
            process = await asyncio.create_subprocess_exec(
                program,
                "get",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
        except OSError as error:
            self.notes[host] = f"{program} cannot be run: {error.strerror}"
            return None
        server = _HUB_KEY if host == "docker.io" else host
        try:
            async with asyncio.timeout(HELPER_SECONDS):
                output, _ = await process.communicate(server.encode())
        except TimeoutError:
            process.kill()
            await process.wait()
            self.notes[host] = f"{program} gave no answer within {HELPER_SECONDS:.0f} s"
            return None
        if process.returncode != 0:
            self.notes[host] = f"{program} has no credentials for {host}"
            return None
        try:
            answer = json.loads(output)
            user, secret = str(answer["Username"]), str(answer["Secret"])
        except (ValueError, KeyError, TypeError):
            self.notes[host] = f"{program} gave an answer that is none"
            return None
        if user == _TOKEN_USER:
            return Login(program, identity_token=secret)
        return Login(program, user, secret) if user or secret else None


def _paths(environment: Mapping[str, str]) -> Iterator[Path]:
    home = Path(environment.get("HOME") or Path.home())
    if named := environment.get("REGISTRY_AUTH_FILE"):
        yield Path(named)
    elif runtime := environment.get("XDG_RUNTIME_DIR"):
        yield Path(runtime) / "containers" / "auth.json"
    yield Path(environment.get("XDG_CONFIG_HOME") or home / ".config") / "containers" / "auth.json"
    yield Path(environment.get("DOCKER_CONFIG") or home / ".docker") / "config.json"


def _key(text: str) -> str:
    """An entry's name without the scheme and the API version that docker used to write; podman's has a path."""
    name = text.split("://", 1)[-1]
    for suffix in ("/", "/v1", "/v2"):
        name = name.removesuffix(suffix)
    host, slash, path = name.partition("/")
    return canonical_host(host) + slash + path


def _prefixes(host: str, repository: str) -> Iterator[str]:
    name = f"{host}/{repository}"
    while "/" in name:
        yield name
        name = name.rpartition("/")[0]
    yield host
