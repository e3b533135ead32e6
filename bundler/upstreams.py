"""Upstreams: which URL really answers for a host, and whose certificate it may show.

Company proxies, pull-through caches and tests rewrite any host. A table, in the recipe or in
`~/.config/buzzcrate/upstreams.toml` (there without the heading), maps a host, with its port when it has one, to a
base URL, or to a table with `url` and `ca`:

    [upstreams]
    "docker.io" = "https://mirror.example.org/v2/hub"
    "harbor.example.org" = { ca = "harbor.pem" }

A registry whose cache wants a prefix in front of the repository says so with `/v2/` in the base URL, as above; any
other path stands in front of the whole path that was asked for. Plain HTTP is spoken where a URL says `http://`.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from yarl import URL

from archive.references import canonical_host
from bundler.errors import UpstreamsInvalid

FILE_NAME = "buzzcrate/upstreams.toml"
_HUB = "registry-1.docker.io"  # where docker.io keeps its registry
_HINT = 'write it like "docker.io" = "https://mirror.example.org", or { url = "https://…", ca = "company.pem" }'


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    url: str = ""
    ca: str = ""


_TABLE = TypeAdapter(dict[str, str | _Entry])


@dataclass(frozen=True, slots=True)
class Upstream:
    """`url` has no trailing slash; `ca` is a PEM file trusted for it beside the system's authorities."""

    url: str
    ca: Path | None = None

    @property
    def plain(self) -> bool:
        """Whether plain HTTP was asked for, in so many words."""
        return self.url.startswith("http://")


@dataclass(frozen=True, slots=True)
class Upstreams:
    """Host to upstream. Docker Hub's names are one host, `docker.io`."""

    table: Mapping[str, Upstream] = field(default_factory=dict)

    @classmethod
    def load(cls, recipe_table: Mapping[str, Any] | None, config_home: Path, *, folder: Path = Path()) -> Self:
        """The recipe's table over that of the user's own configuration; an entry in the recipe wins.

        `config_home` is $XDG_CONFIG_HOME, `folder` where the recipe lies: CA files are relative to the file that
        names them. Raises `UpstreamsInvalid`.
        """
        own = config_home / FILE_NAME
        table: dict[str, Upstream] = {}
        if own.exists():
            try:
                table |= _read(tomllib.loads(own.read_text(encoding="utf-8")), str(own), own.parent)
            except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
                raise UpstreamsInvalid(f"{own} is not TOML: {error}", hint=_HINT) from error
        if recipe_table is not None:
            table |= _read(recipe_table, "[upstreams]", folder)
        return cls(table)

    def url_for(self, host: str) -> Upstream:
        """Where `host` is really asked; itself, over HTTPS, when the table does not say."""
        return self.table.get(canonical_host(host)) or Upstream(f"https://{registry_host(host)}")

    def rewrite(self, url: URL) -> URL:
        """`url` at its upstream. Path and query are kept, and the scheme of a host that is not in the table."""
        found = self.table.get(canonical_host(host_of(url)))
        if found is None:
            return url
        base, path = found.url, url.raw_path
        if path.startswith("/v2/") and "/v2" in URL(base).raw_path:
            path = path.removeprefix("/v2")
        query = f"?{url.raw_query_string}" if url.raw_query_string else ""
        return URL(f"{base}{path}{query}", encoded=True)

    def ca_for(self, host: str) -> Path | None:
        """The authority for a host that is about to be spoken to, `host` being one after rewriting."""
        return next((u.ca for u in self.table.values() if u.ca and host_of(URL(u.url)) == host), None)


def registry_host(host: str) -> str:
    """The host of a registry's own API, for the host of an image reference."""
    return _HUB if canonical_host(host) == "docker.io" else host


def host_of(url: URL) -> str:
    """Host, and the port unless it is the scheme's own, as image references and auth files write it."""
    return url.host_port_subcomponent or ""


def default_config_home() -> Path:
    """`$XDG_CONFIG_HOME`, which is `~/.config` where nobody says otherwise."""
    home = os.environ.get("XDG_CONFIG_HOME", "")
    return Path(home) if home.startswith("/") else Path.home() / ".config"


def _read(table: Mapping[str, Any], where: str, folder: Path) -> dict[str, Upstream]:
    try:
        entries = _TABLE.validate_python(dict(table))
    except ValidationError as error:
        first = error.errors()[0]
        host = first["loc"][0] if first["loc"] else ""
        raise UpstreamsInvalid(f"{where}: the entry for {host!r} cannot be read: {first['msg']}", hint=_HINT) from error
    return {canonical_host(host): _upstream(host, entry, where, folder) for host, entry in entries.items()}


def _upstream(host: str, entry: str | _Entry, where: str, folder: Path) -> Upstream:
    if isinstance(entry, str):
        entry = _Entry(url=entry)
    if not host or "/" in host:
        raise UpstreamsInvalid(f"{where}: {host!r} is not a host", hint=_HINT)
    url = entry.url or Upstreams().url_for(host).url
    try:
        parsed = URL(url)
        valid = parsed.scheme in {"http", "https"} and parsed.host and not parsed.raw_query_string
    except ValueError:
        valid = False
    if not valid:
        raise UpstreamsInvalid(f"{where}: the URL of {host!r} is not an http:// or https:// address", hint=_HINT)
    ca = folder / Path(entry.ca).expanduser() if entry.ca else None
    if ca is not None and not ca.is_file():
        raise UpstreamsInvalid(f"{where}: the CA file {ca} of {host!r} is not there", hint="name a PEM file")
    return Upstream(url.rstrip("/"), ca)
