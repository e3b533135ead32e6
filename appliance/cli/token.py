"""`crate-appliance token create|list|revoke`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from appliance.access import Role
from appliance.store import Store
from appliance.tokens import Token, Tokens
from console.command import JSON_OPTION, emit


@click.group()
def token() -> None:
    """Who may push: make, list and revoke tokens.

    A token is used as the password of any user name (docker login, podman login, skopeo --creds x:TOKEN) or as a
    Bearer token.
    """


@token.command()
@click.option(
    "--role",
    type=click.Choice([role.value for role in Role]),
    required=True,
    help="publisher pushes and pulls; reader pulls where pulls are not open.",
)
@click.option("--note", default="", help="What or whom it is for.")
@JSON_OPTION
@click.pass_obj
def create(root: Path, role: str, note: str, *, as_json: bool) -> None:
    """Make a token and print it, once: the crate keeps only a hash of it."""
    with _tokens(root) as tokens:
        made = tokens.create(Role(role), note)
    emit({"token": made, "role": role}, as_json, lambda: made)


@token.command("list")
@JSON_OPTION
@click.pass_obj
def list_tokens(root: Path, *, as_json: bool) -> None:
    """List ids, roles and notes; the tokens themselves are not kept."""
    with _tokens(root) as tokens:
        found = tokens.all()
    result = [
        {"id": entry.id, "role": entry.role.value, "created": entry.created, "note": entry.note} for entry in found
    ]
    emit(result, as_json, lambda: "\n".join(map(_line, found)) or "no tokens; crate-appliance token create makes one")


@token.command()
@click.argument("identity", metavar="ID")
@click.pass_obj
def revoke(root: Path, identity: str) -> None:
    """Take a token back, by its id. Takes effect at once."""
    with _tokens(root) as tokens:
        tokens.revoke(identity)


@contextmanager
def _tokens(root: Path) -> Iterator[Tokens]:
    with Store.open(root) as store:
        yield Tokens(store.database)


def _line(entry: Token) -> str:
    created = dt.datetime.fromtimestamp(entry.created, dt.UTC).strftime("%Y-%m-%d %H:%M")
    return f"{entry.id}  {entry.role.value:<9}  {created}  {entry.note}".rstrip()
