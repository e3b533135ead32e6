"""Pulls a byte of each kind from the running daemon, over TLS and from the plain port, as a client would."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from appliance import listening
from appliance.addresses import Address
from appliance.certificates import WELL_KNOWN
from appliance.doctor.findings import Seen, fatal, fine
from appliance.listening import Listening
from appliance.mirrors import ROOTS, SIGNED
from appliance.service import UNIT
from appliance.store import Store

_SECONDS = 20.0
_GOOD = {200, 206, 307}  # 307: a blob, from the plain port
_CLOSED = {401, 403}
_LOG = f"journalctl -u {UNIT}"

_ACTIVE = "generation = (SELECT id FROM generations WHERE active = 1)"
_FIRST = "LIMIT 1"


@dataclass(frozen=True, slots=True)
class Probe:
    """`path` is asked for; `plain` where the plain port answers it, too."""

    kind: str
    path: str
    plain: bool


def look(store: Store) -> Iterator[Seen]:
    served = listening.find(store)
    if served is None:
        return
    wanted = [*probes(store)]
    for port, plain in ((served.main, False), (served.plain, True)):
        where = "the plain port" if plain else "TLS" if served.tls else "the port"
        asked = [probe for probe in wanted if probe.plain or not plain]
        if not port:
            continue
        wrong = [seen for probe in asked if (seen := _ask(store.root, served, probe, plain=plain))]
        yield from wrong
        if not wrong:
            kinds = ", ".join(sorted({probe.kind for probe in asked}))
            yield fine(f"over {where} comes what is asked for: {kinds}")


def probes(store: Store) -> Iterator[Probe]:
    """One of each kind that the active generation, or people, brought; the smallest, for it shall be quick."""
    reader = store.database.reader
    yield Probe("authority", "/ca.pem", plain=True)
    for pushed, kind in ((0, "image"), (1, "pushed image")):
        row = reader.execute(
            f"SELECT repository, digest FROM held_manifests WHERE pushed = ? ORDER BY repository {_FIRST}",  # noqa: S608 - fixed
            (pushed,),
        ).fetchone()
        if row:
            yield Probe(kind, f"/v2/{row[0]}/manifests/{row[1]}", plain=False)
    row = reader.execute(
        f"SELECT repository, hex(digest) FROM published_blobs JOIN blobs USING (digest) WHERE {_ACTIVE}"  # noqa: S608 - fixed
        f" ORDER BY size {_FIRST}"
    ).fetchone()
    if row:
        yield Probe("layer", f"/v2/{row[0]}/blobs/sha256:{row[1].lower()}", plain=True)
    for root in ROOTS:
        row = reader.execute(
            f"SELECT path FROM published_files WHERE {_ACTIVE} AND path > ? || '/' AND path < ? || '0'"  # noqa: S608 - fixed
            f" AND accepts = '' ORDER BY size {_FIRST}",
            (root, root),
        ).fetchone()
        if row:
            yield Probe(root, f"/{row[0]}", plain=root in SIGNED)


def _ask(root: Path, served: Listening, probe: Probe, *, plain: bool) -> Seen | None:
    address = Address.parse(served.plain if plain else served.main)
    where = f"{'http' if plain or not served.tls else 'https'}://{address}{probe.path}"
    try:
        status, size = _get(root, address, probe.path, secure=served.tls and not plain)
    except ssl.SSLError as error:
        return fatal(f"{where}: the crate's certificate does not convince: {error}", "crate-appliance certificate")
    except (OSError, http.client.HTTPException) as error:
        return fatal(f"{where} does not answer: {error}", _LOG)
    if status in _CLOSED or (status in _GOOD and (size or status == 307)):
        return None  # what wants a sign-on was not pulled, and is answered as it should be
    return fatal(
        f"{where} is answered with {status}{'' if size else ' and nothing'}",
        f"crate-appliance doctor --scrub finds damaged content; {_LOG}",
    )


def _get(root: Path, address: Address, path: str, *, secure: bool) -> tuple[int, int]:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host, address.host)  # noqa: S104
    connection: http.client.HTTPConnection
    if secure:
        context = ssl.create_default_context(cafile=str(root / "tls/ca.pem"))
        connection = _Named(host, address.port, timeout=_SECONDS, context=context)
    else:
        connection = http.client.HTTPConnection(host, address.port, timeout=_SECONDS)
    try:
        connection.request("GET", path, headers={"Range": "bytes=0-0", "User-Agent": "crate-appliance doctor"})
        answer = connection.getresponse()
        return answer.status, len(answer.read(1))
    finally:
        connection.close()


class _Named(http.client.HTTPSConnection):
    """Asks an address for the crate's own name, as nodes do."""

    def connect(self) -> None:
        http.client.HTTPConnection.connect(self)
        self.sock = self._context.wrap_socket(self.sock, server_hostname=WELL_KNOWN)  # type: ignore[attr-defined]
