"""The crate's authority and certificate, and the site's own where it has brought one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from appliance import listening
from appliance.certificates import Certificates
from appliance.doctor.findings import Seen, fatal, fine, warning
from appliance.site_certificate import about
from appliance.store import Store

_SOON = timedelta(days=30)


def look(store: Store) -> Iterator[Seen]:
    folder = store.root / "tls"
    kept = Certificates(folder)
    if not kept.ca.exists():
        yield fine("no authority yet; the daemon makes one when it starts")
        return
    now = datetime.fromtimestamp(time.time(), UTC)
    authority = x509.load_pem_x509_certificate(kept.ca.read_bytes())
    try:
        key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
        belongs = key.public_key() == authority.public_key()
    except (OSError, ValueError):
        belongs = False
    if not belongs:
        yield fatal(
            "the authority's key is gone, or is another's: no certificate can be issued again",
            "crate-appliance restore BACKUP, or remove the folder tls and hand out the new /ca.pem to all clients",
        )
    ours = "the daemon issues it again by itself; look at its log (journalctl) when it does not"
    yield from judge_dates("the crate's authority", _dates(authority), now, "crate-appliance certificate, and deploy")
    if (folder / "server.pem").exists():
        server = x509.load_pem_x509_certificates((folder / "server.pem").read_bytes())[0]
        yield from judge_dates("the crate's certificate", _dates(server), now, ours)
        served = listening.find(store)
        names = _names(server)
        lacking = [name for name in (served.names if served else ()) if name.lower() not in names]
        if lacking:
            yield warning(f"the crate's certificate does not name {', '.join(lacking)}", ours)
    if kept.site.certificate.exists():
        first = x509.load_pem_x509_certificates(kept.site.certificate.read_bytes())[0]
        told = about(kept.site.certificate.read_bytes())
        what = f"the site's own certificate for {', '.join(told.names)}"
        yield from judge_dates(what, _dates(first), now, "crate-appliance certificate use, with a new one")


def judge_dates(what: str, dates: tuple[datetime, datetime], now: datetime, remedy: str) -> Iterator[Seen]:
    """`dates` are when it begins and when it ends."""
    begins, ends = dates
    if now < begins:
        yield fatal(f"{what} begins at {begins:%Y-%m-%d} only", "compare the clock of this machine")
    elif now >= ends:
        yield fatal(f"{what} ended at {ends:%Y-%m-%d}", remedy)
    elif now + _SOON >= ends:
        yield warning(f"{what} ends at {ends:%Y-%m-%d}", remedy)
    else:
        yield fine(f"{what} is good until {ends:%Y-%m-%d}")


def _dates(certificate: x509.Certificate) -> tuple[datetime, datetime]:
    return certificate.not_valid_before_utc, certificate.not_valid_after_utc


def _names(certificate: x509.Certificate) -> set[str]:
    held = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(name.value).lower() for name in held}
