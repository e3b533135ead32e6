"""`crate-appliance site init`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import click

from appliance.site import editing, neighbours, starter
from appliance.site.errors import SiteExists, SiteInvalid
from appliance.site.model import Site
from appliance.site.networks import network_of, own_addresses
from appliance.site.starter import Answers, Machine

_HELP = """Write a site file to begin with: FILE, or site.toml in this folder.

On a terminal it asks, with what is usual as the answer to plain Enter; options answer beforehand. Without a terminal,
or with --yes, it takes what is usual.

\b
  crate-appliance site init
  crate-appliance site init --scan
  crate-appliance site init --yes --node n1=10.77.0.11 --node n2=10.77.0.12 --profile metallb
"""


@click.command(help=_HELP)
@click.argument("file", type=click.Path(path_type=Path), default="site.toml")
@click.option("--name", default="", help="What the site is called.  [default: site]")
@click.option("--address", default="", help="This machine's address on the nodes' network.")
@click.option("--domain", default="crate.internal", show_default=True, help="What the nodes' names end with.")
@click.option("--user", default="root", show_default=True, help="The account that nodes are reached with.")
@click.option("--sudo", is_flag=True, help="That account becomes root with sudo.")
@click.option("--node", "nodes", multiple=True, metavar="NAME=ADDRESS", help="A machine; may be given several times.")
@click.option("--servers", type=click.Choice(["1", "3"]), default="1", show_default=True, help="How many are servers.")
@click.option("--profile", "profiles", multiple=True, help="What runs on the cluster; may be given several times.")
@click.option("--range", "spare", default="", metavar="FIRST-LAST", help="Addresses for MetalLB that nobody has.")
@click.option("--scan", is_flag=True, help="Look who speaks ssh on this machine's network, and offer them as nodes.")
@click.option("--yes", is_flag=True, help="Ask nothing.")
def init(
    file: Path,
    *,
    name: str,
    address: str,
    domain: str,
    user: str,
    servers: str,
    profiles: tuple[str, ...],
    spare: str,
    nodes: tuple[str, ...],
    sudo: bool,
    scan: bool,
    yes: bool,
) -> None:
    if file.exists():
        raise SiteExists(f"{file} is there already", hint="edit it, or name another file")
    asking = not yes and sys.stdin.isatty()
    name = name or (click.prompt("What is the site called", default="site", err=True) if asking else "site")
    here = _address(address, asking=asking)
    network = network_of(here) or IPv4Network((here, 24), strict=False)
    wanted = [_pair(text) for text in nodes]
    if scan:
        wanted += _found(network, here, {given for _, given in wanted}, asking=asking)
    elif asking and not wanted:
        wanted = _typed()
    machines = [Machine(called, at, starter.role(number, int(servers))) for number, (called, at) in enumerate(wanted)]
    chosen = profiles or (_profiles() if asking else ())
    taken = [here, *(IPv4Address(one.address) for one in machines)]
    answers = Answers(
        name=name,
        address=str(here),
        network=str(network),
        domain=domain,
        user=user,
        sudo=sudo,
        profiles=chosen,
        range=spare or starter.spare_range(network, taken),
        nodes=machines,
    )
    text = starter.text(answers)
    Site.parse(file, text, draft=True)
    editing.replace(file, text)
    click.echo(f"{file} is written: {len(machines)} nodes on {network}")
    todo = "nodes pin meets them" if machines else "nodes add NAME ADDRESS adds the first node"
    click.echo(f"look it over in an editor; then crate-appliance {todo}, crate-appliance site check checks the file")


def _address(given: str, *, asking: bool) -> IPv4Address:
    if given:
        return _parsed(given)
    own = own_addresses()
    if len(own) == 1 and not asking:
        return own[0]
    if not asking or not own:
        found = ", ".join(map(str, own)) or "no address at all"
        raise SiteInvalid(f"this machine has {found}", hint="say which one the nodes reach: --address")
    usual = str(own[0])
    return _parsed(
        click.prompt(f"Its address on the nodes' network ({', '.join(map(str, own))})", default=usual, err=True)
    )


def _found(network: IPv4Network, here: IPv4Address, known: set[str], *, asking: bool) -> list[tuple[str, str]]:
    if network.num_addresses > neighbours.LARGEST:
        click.echo(f"{network} is large: only its first {neighbours.LARGEST} addresses are tried", err=True)
    click.echo(f"looking for ssh on {network} …", err=True)
    found = [one for one in asyncio.run(neighbours.scan(network)) if one.address != here]
    fresh = [one for one in found if str(one.address) not in known]
    click.echo(f"{len(fresh)} found", err=True)
    chosen: list[tuple[str, str]] = []
    for one in fresh:
        usual = f"n{len(known) + len(chosen) + 1}"
        if not asking:
            chosen.append((usual, str(one.address)))
            continue
        called = click.prompt(f"{one.address} ({one.banner}), to be called (- leaves it out)", default=usual, err=True)
        if called != "-":
            chosen.append((called, str(one.address)))
    return chosen


def _typed() -> list[tuple[str, str]]:
    click.echo("Its nodes, one NAME=ADDRESS at a time; plain Enter ends the list (nodes add can do it later)", err=True)
    found: list[tuple[str, str]] = []
    while text := click.prompt(f"Node {len(found) + 1}", default="", show_default=False, err=True):
        found.append(_pair(text))
    return found


def _profiles() -> Sequence[str]:
    text = click.prompt("Profiles, with spaces between (- for none)", default="metallb", err=True)
    return () if text == "-" else text.split()


def _pair(text: str) -> tuple[str, str]:
    name, equals, address = text.partition("=")
    if not equals:
        raise SiteInvalid(f"{text!r} is not a node", hint="write it like n1=10.77.0.11")
    return name, str(_parsed(address))


def _parsed(text: str) -> IPv4Address:
    try:
        return IPv4Address(text.strip())
    except ValueError as error:
        raise SiteInvalid(f"{text!r} is not an IPv4 address", hint="write it like 10.77.0.11") from error
