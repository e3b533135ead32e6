"""How a client is told to use this crate, filled in with the address by which whoever reads it reached the crate."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from aiohttp import web

from appliance.client_setup import CLIENTS, Crate, client_script
from appliance.published import apt_sources
from appliance.registry.contents import Contents
from appliance.web.overview import Web


@dataclass(frozen=True, slots=True)
class Guide:
    """`trust` fetches the authority, whose `fingerprint` is to be compared; `apply` then runs the script at `url`."""

    client: str
    trust: str
    fingerprint: str
    apply: str
    script: str
    notes: tuple[str, ...]


def guide(here: Web, request: web.Request, client: str) -> Guide:
    """Reads the database: not for the event loop's thread."""
    crate = _crate(here, request)
    return Guide(
        client=client,
        trust=f"curl -fsS {_open(here, request)}/ca.pem -o crate-ca.pem && sha256sum crate-ca.pem",
        fingerprint=hashlib.sha256(crate.authority.encode()).hexdigest(),
        apply=f"curl -fsS --cacert crate-ca.pem {crate.url}/setup/{client}.sh | sudo sh",
        script=client_script(client, crate),
        notes=tuple(CLIENTS[client](crate).notes),
    )


def script(here: Web, request: web.Request, client: str) -> str:
    """As `crate-appliance client-setup` prints it. Reads the database: not for the event loop's thread."""
    return client_script(client, _crate(here, request))


def _crate(here: Web, request: web.Request) -> Crate:
    address = here.registry.callers.origin(request).partition("//")[2]
    if ":" not in address.rpartition("]")[2]:
        address = f"{address}:443"
    database = here.registry.store.database
    return Crate(
        address=address,
        authority=here.authority().decode(),
        hosts=Contents(database).hosts(),
        sources=apt_sources(database, _open(here, request)),
    )


def _open(here: Web, request: web.Request) -> str:
    """The plain port, for what needs no secrecy; this one where there is none."""
    plain = here.plain.as_reached_by(request) if here.plain else ""
    return f"http://{plain}" if plain else here.registry.callers.origin(request)
