"""`crate-appliance users add|list|change|remove`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from appliance.access import Rights, Role
from appliance.cli.holders import rights_as_json, rights_options, rights_text, role_option
from appliance.store import Store
from appliance.users import User, Users
from console.columns import columns
from console.command import JSON_OPTION, emit

_PASSWORD = click.option(
    "--password-stdin", is_flag=True, help="Read the password from standard input instead of asking for it."
)


@click.group()
def users() -> None:
    """The people who sign on here: with docker login, twine, npm login, or on the crate's page.

    Machines have tokens: crate-appliance tokens. What is private: crate-appliance access.
    """


@users.command()
@click.argument("name")
@role_option(required=True)
@rights_options
@click.option("--note", default="", help="Who it is.")
@_PASSWORD
@click.pass_obj
def add(
    root: Path,
    name: str,
    *,
    role: str,
    publish: tuple[str, ...],
    read: tuple[str, ...],
    note: str,
    password_stdin: bool,
) -> None:
    """Add a user; asks for the password, twice."""
    password = _password(from_stdin=password_stdin)
    with Store.open(root) as store:
        Users(store.database).add(name, password, Role(role), Rights(publish, read), note)


@users.command("list")
@JSON_OPTION
@click.pass_obj
def list_users(root: Path, *, as_json: bool) -> None:
    """List who may sign on, and what each may do."""
    with Store.open(root) as store:
        found = Users(store.database).all()
    emit([_as_json(user) for user in found], as_json, lambda: _text(found))


@users.command()
@click.argument("name")
@role_option(required=False)
@rights_options
@click.option("--everywhere", is_flag=True, help="Take back what --publish said: he may publish anywhere again.")
@click.option("--password", "new_password", is_flag=True, help="Ask for a new password.")
@_PASSWORD
@click.pass_obj
def change(
    root: Path,
    name: str,
    *,
    role: str | None,
    publish: tuple[str, ...],
    read: tuple[str, ...],
    everywhere: bool,
    new_password: bool,
    password_stdin: bool,
) -> None:
    """Change a user's role, rights or password; rights given replace those of before. Ends his sessions."""
    password = _password(from_stdin=password_stdin) if new_password or password_stdin else None
    with Store.open(root) as store:
        Users(store.database).change(
            name,
            password=password,
            role=Role(role) if role else None,
            publish=() if everywhere else publish or None,
            read=read or None,
        )


@users.command()
@click.argument("name")
@click.pass_obj
def remove(root: Path, name: str) -> None:
    """Remove a user. Takes effect at once; what he published stays."""
    with Store.open(root) as store:
        Users(store.database).remove(name)


def _password(*, from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\n")
    answer: str = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    return answer


def _as_json(user: User) -> dict[str, object]:
    return {
        "name": user.name,
        "role": user.role.value,
        "created": user.created,
        "note": user.note,
        **rights_as_json(user.rights),
    }


def _text(found: list[User]) -> str:
    if not found:
        return "no users; crate-appliance users add NAME --role ROLE adds one"
    return columns(((user.name, user.role.value, rights_text(user.rights), user.note) for user in found), indent="")
