"""`crate-appliance trust`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from appliance.errors import BadTrust
from appliance.keyring import Keyring
from appliance.store import Store
from archive.errors import KeyProblem
from archive.trust import Policy
from console.command import JSON_OPTION, emit


@click.group()
def trust() -> None:
    """Say whose crates may be installed here.

    Keys come to this machine another way than the crates do: on paper, by phone, on a stick of their own.
    """


@trust.command("add")
@click.argument("key", metavar="PUBKEYFILE|SHA256:...")
@click.option("--as", "name", required=True, metavar="NAME", help="Who that is; policies and messages use this name.")
@click.pass_obj
def add(root: Path, key: str, name: str) -> None:
    """Trust a public key (an OpenSSH .pub file), or the fingerprint of one.

    A fingerprint is enough: the key itself is kept once a crate arrives that it has validly signed.
    """
    try:
        text = key if key.startswith("SHA256:") else Path(key).read_text()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise BadTrust(f"{key} cannot be read: {why}", hint="name an OpenSSH .pub file, or a fingerprint") from error
    with Store.open(root) as store:
        try:
            trusted = Keyring(store).add(text, name)
        except KeyProblem as error:
            raise error.at(key) from error
    click.echo(f"{trusted.principal} is trusted: {trusted.fingerprint}")


@trust.command("list")
@JSON_OPTION
@click.pass_obj
def list_(root: Path, as_json: bool) -> None:
    """Show who is trusted, the policies, and the lowest serials that are accepted."""
    with Store.open(root) as store:
        keyring = Keyring(store)
        trusted, policies, floors = keyring.trusted(), keyring.policies(), keyring.floors()

    def text() -> str:
        lines = [f"{one.principal}  {one.fingerprint}  {one.type or 'waiting for the key'}" for one in trusted] or [
            "nobody is trusted; crate-appliance trust add PUBKEYFILE --as NAME"
        ]
        lines += [f"{name}: {_policy_text(policy)}" for name, policy in sorted(policies.items())]
        lines += [f"{name}: nothing below serial {serial}" for name, serial in floors.items()]
        return "\n".join(lines)

    result = {
        "trusted": [asdict(one) for one in trusted],
        "policies": {name: asdict(policy) for name, policy in policies.items()},
        "floors": floors,
    }
    emit(result, as_json, text)


@trust.command("remove")
@click.argument("who", metavar="NAME|SHA256:...")
@click.pass_obj
def remove(root: Path, who: str) -> None:
    """Trust a name, or one key by its fingerprint, no longer. What is installed stays."""
    with Store.open(root) as store:
        count = Keyring(store).remove(who)
    click.echo(f"{who} is not trusted any more ({count} removed)")


@trust.command("policy")
@click.argument("crate", metavar="NAME")
@click.option("--principal", "principals", multiple=True, metavar="WHO", help="Who may sign; may be repeated.")
@click.option("--threshold", type=click.IntRange(min=1), default=1, show_default=True, help="How many of them must.")
@click.option("--default", "default", is_flag=True, help="Drop the policy: any one trusted name may sign.")
@click.pass_obj
def policy(root: Path, crate: str, principals: tuple[str, ...], threshold: int, default: bool) -> None:
    """Say who may sign the crate called NAME, and how many must: different people with different keys."""
    chosen = None if default else Policy(principals or None, threshold)
    with Store.open(root) as store:
        Keyring(store).set_policy(crate, chosen)
    click.echo(f"{crate}: {_policy_text(chosen or Policy())}")


@trust.command("floor")
@click.argument("crate", metavar="NAME")
@click.argument("serial", type=click.IntRange(min=0), metavar="N")
@click.pass_obj
def floor(root: Path, crate: str, serial: int) -> None:
    """Accept releases of the crate NAME from serial N on, whatever was active before; 0 accepts every one."""
    with Store.open(root) as store:
        Keyring(store).set_floor(crate, serial)
    click.echo(f"{crate}: nothing below serial {serial}" if serial else f"{crate}: any serial")


def _policy_text(policy: Policy) -> str:
    who = "anyone trusted" if policy.principals is None else ", ".join(policy.principals)
    return f"{policy.threshold} of {who}"
