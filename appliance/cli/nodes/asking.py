"""What the verbs of nodes have in common: which site file they mean, which nodes, and whom to ask."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from appliance.site.errors import NoSite, UnknownNode
from appliance.site.folder import SiteFolder
from appliance.site.model import Node, Site
from console.toml_document import nearest


class Terminal:
    """Asks whoever sits at the terminal. `fingerprints` and `password` answer beforehand; without a terminal they are
    all the answers there are. Implements `appliance.site.meeting.Asks`.
    """

    def __init__(self, fingerprints: Sequence[str] = (), password: str = "") -> None:
        self._fingerprints, self._password = fingerprints, password

    def confirm(self, node: Node, fingerprint: str, before: str) -> bool:
        if self._fingerprints or not sys.stdin.isatty():
            return fingerprint in self._fingerprints
        if before:
            click.echo(f"{node.name} ({node.address}) had the host key {before} before.", err=True)
        click.echo(f"{node.name} ({node.address}) shows the host key {fingerprint}", err=True)
        click.echo("  on its own keyboard: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub", err=True)
        return click.confirm("Is that what it says?", err=True)

    def password(self, node: Node, user: str) -> str:
        if self._password or not sys.stdin.isatty():
            return self._password
        return str(
            click.prompt(
                f"Password of {user} on {node.name} ({node.address}), used once, to install the site's key",
                hide_input=True,
                default="",
                show_default=False,
                err=True,
            )
        )


def site_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--site`, given as `file`: None for the copy in force."""
    return click.option(
        "--site",
        "file",
        type=click.Path(path_type=Path),
        help="The site file.  [default: the copy in force, or site.toml in this folder before there is one]",
    )(function)


def meeting_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--fingerprint`, `--password` and `--password-stdin`: what a `Terminal` may know beforehand, given as `asks`."""
    for option in (
        click.option(
            "--password-stdin",
            is_flag=True,
            expose_value=False,
            callback=lambda context, _, given: (
                given and context.meta.update(password=sys.stdin.readline().rstrip("\n"))
            ),
            help="Read the account's password from standard input, for scripts.",
        ),
        click.option(
            "--password",
            is_flag=True,
            expose_value=False,
            callback=lambda context, _, given: (
                given and context.meta.update(password=click.prompt("Password", hide_input=True, err=True))
            ),
            help="Ask for the account's password now. It is used once, to install the site's key, and not kept.",
        ),
        click.option(
            "--fingerprint",
            "fingerprints",
            multiple=True,
            metavar="SHA256:...",
            help="The node's host key, as ssh-keygen -lf prints it there; then nobody is asked.",
        ),
    ):
        function = option(function)
    return function


def asks(fingerprints: Sequence[str]) -> Terminal:
    """Whom to ask, for a command that has `meeting_options`."""
    return Terminal(fingerprints, click.get_current_context().meta.get("password", ""))


def path_of(folder: SiteFolder, file: Path | None) -> Path:
    """The site file that is meant. Raises `NoSite`."""
    if file is not None:
        return file
    for candidate in (folder.site, Path("site.toml")):
        if candidate.exists():
            return candidate
    raise NoSite(
        "there is no site file, neither in force nor in this folder",
        hint="crate-appliance site init writes one; --site names another",
    )


def chosen(site: Site, names: Sequence[str]) -> list[Node]:
    """The nodes of these names, or all. Raises `UnknownNode`."""
    known = {node.name: node for node in site.nodes}
    for name in names:
        if name not in known:
            raise UnknownNode(f"the site has no node {name}", hint=nearest(name, sorted(known)))
    return [known[name] for name in names] if names else list(site.nodes)
