"""What the verbs about users and tokens share: how a role and rights are given and shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from appliance.access import Rights, Role


def role_option(*, required: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option(
        "--role",
        type=click.Choice([role.value for role in Role]),
        required=required,
        help="reader reads where reading is not open to all; publisher also pushes and uploads; operator does "
        "everything.",
    )


def rights_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--publish` and `--read`, each as often as one likes."""
    read = click.option(
        "--read", multiple=True, metavar="NAME", help="What is private and he may read all the same: team-a/*."
    )
    publish = click.option(
        "--publish", multiple=True, metavar="NAME", help="Publish there and nowhere else: team-a/*, files/team-a/*."
    )
    return publish(read(function))


def rights_as_json(rights: Rights) -> dict[str, list[str]]:
    return {"publish": list(rights.publish), "read": list(rights.read)}


def rights_text(rights: Rights) -> str:
    """Empty when nothing is said, which means what the role says."""
    parts = [
        f"{what} {', '.join(names)}" for what, names in (("publish", rights.publish), ("read", rights.read)) if names
    ]
    return "; ".join(parts)
