"""`crate-appliance tokens create|list|revoke`."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import click

from appliance.access import Rights, Role
from appliance.cli.holders import rights_as_json, rights_options, rights_text, role_option
from appliance.store import Store
from appliance.tokens import Token, Tokens
from console.command import JSON_OPTION, emit

_DAY = 86_400  # seconds


@click.group()
def tokens() -> None:
    """Sign-ons for machines: make, list and revoke tokens.

    A token is used as the password of any user name (docker login, podman login, skopeo --creds x:TOKEN, twine, pip)
    or as a Bearer token. People have user names and passwords: crate-appliance users.
    """


@tokens.command()
@role_option(required=True)
@rights_options
@click.option("--expires-in", type=click.IntRange(min=1), metavar="DAYS", help="By the crate's clock; else never.")
@click.option("--note", default="", help="What or whom it is for.")
@JSON_OPTION
@click.pass_obj
def create(
    root: Path,
    *,
    role: str,
    publish: tuple[str, ...],
    read: tuple[str, ...],
    expires_in: int | None,
    note: str,
    as_json: bool,
) -> None:
    """Make a token and print it, once: the crate keeps only a hash of it."""
    lasting = None if expires_in is None else expires_in * _DAY
    with Store.open(root) as store:
        made = Tokens(store.database).create(Role(role), note, rights=Rights(publish, read), lasting=lasting)
    emit({"token": made, "role": role}, as_json, lambda: made)


@tokens.command("list")
@JSON_OPTION
@click.pass_obj
def list_tokens(root: Path, *, as_json: bool) -> None:
    """List ids, roles and notes; the tokens themselves are not kept."""
    with Store.open(root) as store:
        found = Tokens(store.database).all()
    emit(
        [
            {
                "id": entry.id,
                "role": entry.role.value,
                "created": entry.created,
                "expires": entry.expires,
                "note": entry.note,
                **rights_as_json(entry.rights),
            }
            for entry in found
        ],
        as_json,
        lambda: "\n".join(map(_line, found)) or "no tokens; crate-appliance tokens create makes one",
    )


@tokens.command()
@click.argument("identity", metavar="ID")
@click.pass_obj
def revoke(root: Path, identity: str) -> None:
    """Take a token back, by its id. Takes effect at once."""
    with Store.open(root) as store:
        Tokens(store.database).revoke(identity)


def _line(entry: Token) -> str:
    words = [entry.id, f"{entry.role.value:<9}", _day(entry.created)]
    if entry.expires is not None:
        words.append(f"until {_day(entry.expires)}")
    return "  ".join([*words, *filter(None, [rights_text(entry.rights), entry.note])])


def _day(when: int) -> str:
    return dt.datetime.fromtimestamp(when, dt.UTC).strftime("%Y-%m-%d %H:%M")
