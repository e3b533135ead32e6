"""What the verbs that work on the nodes have in common: options, a display, an exit code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from appliance.cli.sudo import sudo_option
from appliance.cluster.deploying import deploy
from appliance.cluster.display import watching
from appliance.cluster.preparing import Wish
from appliance.cluster.receipts import Receipt
from appliance.site.folder import SiteFolder
from appliance.store import Store
from console.command import emit
from deploys.order import WAVES


def node_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--limit` and `--sudo-password`."""
    limit = click.option("--limit", multiple=True, metavar="NODE", help="This node only; may be given several times.")
    return limit(sudo_option(function))


only_option = click.option(
    "--only", multiple=True, metavar="WAVE", type=click.Choice(WAVES), help="This wave only: " + ", ".join(WAVES) + "."
)


def carry_out(root: Path, wish: Wish, *, as_json: bool, more: Mapping[str, object] | None = None) -> Receipt:
    """Does it while somebody watches, prints the receipt, and ends with 1 where a node was left behind.

    `more` is what the JSON says besides.
    """
    with Store.open(root, create=False) as store, watching() as see:
        receipt = deploy(store, wish, see)
    kept = SiteFolder(root).receipts / f"{receipt.stamp}.txt"
    emit(
        {**(more or {}), "receipt": receipt.to_json()},
        as_json,
        lambda: f"{receipt.summary()}\n\nThe receipt is kept: {kept}",
    )
    if receipt.outcome != "done":
        click.get_current_context().exit(1)
    return receipt
