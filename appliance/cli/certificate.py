"""`crate-appliance certificate show|use|drop|authority`."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import click

from appliance.certificates import Certificates
from appliance.site_certificate import About, about
from appliance.store import Store
from console.command import JSON_OPTION, emit

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.group()
def certificate() -> None:
    """What the crate shows for itself over TLS: its own certificate, and the site's if it has one.

    The crate's own authority and certificate are made, issued again and renewed by themselves. A running daemon takes
    a change at once, or within a minute where another user runs it.
    """


@certificate.command()
@JSON_OPTION
@click.pass_obj
def show(root: Path, *, as_json: bool) -> None:
    """Show who vouches for the crate, under which names, until when."""
    with Store.open(root) as store:
        certificates = Certificates(store.root / "tls")
        shown = {"authority": about(certificates.ensure_authority())}
        if site := certificates.site.about():
            shown["site"] = site
    emit(
        {what: _as_json(told) for what, told in shown.items()},
        as_json,
        lambda: "\n".join(_line(what, told) for what, told in shown.items()),
    )


@certificate.command()
@click.argument("chain", metavar="CERTIFICATE", type=_FILE)
@click.argument("key", type=_FILE)
@click.pass_obj
def use(root: Path, chain: Path, key: Path) -> None:
    """Answer for the site's own names with the site's own CERTIFICATE (PEM, its chain behind it) and KEY.

    For crate.internal and the crate's addresses the crate's own stays, which nodes and clients trust already.
    """
    with Store.open(root) as store:
        told = Certificates(store.root / "tls").site.keep(chain.read_bytes(), key.read_bytes())
        _tell_daemon(store)
    click.echo(_line("site", told))


@certificate.command()
@click.pass_obj
def drop(root: Path) -> None:
    """Do without the site's certificate again."""
    with Store.open(root) as store:
        Certificates(store.root / "tls").site.drop()
        _tell_daemon(store)


@certificate.command()
@click.argument("chain", metavar="CERTIFICATE", type=_FILE)
@click.argument("key", type=_FILE)
@click.pass_obj
def authority(root: Path, chain: Path, key: Path) -> None:
    """Issue the crate's certificate by another authority: CERTIFICATE and KEY of the site's, or an intermediate of it.

    Clients that trust the one of before must be told: run deploy for the nodes, client-setup elsewhere.
    """
    with Store.open(root) as store:
        Certificates(store.root / "tls").replace_authority(chain.read_bytes(), key.read_bytes())
        _tell_daemon(store)


def _tell_daemon(store: Store) -> None:
    if store.served():
        process = int(store.daemon_lock.read_text() or 0)
        try:
            os.kill(process, signal.SIGHUP)
        except (PermissionError, ProcessLookupError):
            click.echo("the daemon will notice within a minute", err=True)


def _as_json(told: About) -> dict[str, object]:
    return {"names": list(told.names), "issuer": told.issuer, "ends": told.ends.isoformat()}


def _line(what: str, told: About) -> str:
    names = f" for {', '.join(told.names)}" if told.names else ""
    return f"{what}: issued by {told.issuer}{names}, until {told.ends:%Y-%m-%d}"
