"""What the appliance itself must be before nodes can be worked on: served, known to them, answering names and time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from appliance import service
from appliance.names import setting_up
from appliance.site.folder import SiteFolder
from appliance.site.model import Site
from appliance.store import Store
from archive.errors import Problem

if TYPE_CHECKING:
    from appliance.site.meeting import Asks

Say = Callable[[str], None]


def host(store: Store, site: Site, asks: Asks, say: Say) -> None:
    """Puts `site` in force, has the store served, gets to know the nodes and sets up names and time.

    Whatever of it cannot be had is said and stops nothing: the run on the nodes tells what it lacks, node by node.
    Raises `NotHere` where the site belongs to another machine, `ServiceFailed`.
    """
    from appliance.site.meeting import meet  # noqa: PLC0415 - ssh takes its time to load, for a first contact only

    site.require_here()
    folder = SiteFolder(store.root)
    folder.keep(site)
    serve(store, say)
    for node in site.nodes:
        try:
            meet(site, folder, [node], asks)
        except Problem as problem:  # the run says it again, and goes on without this node
            say(problem.what)
    answer(store, site, say)


def serve(store: Store, say: Say) -> None:
    """Has a service serve the store where root runs systemd, unless something serves it. Raises `ServiceFailed`."""
    if store.served() or service.start(store.root) or not service.may_install():
        return
    options = ["--listen", "0.0.0.0:5000", "--plain", "0.0.0.0:8080"]
    service.install(service.unit(store.root, options))
    say(f"{service.UNIT} serves {store.root} now and at every boot")


def answer(store: Store, site: Site, say: Say) -> None:
    """Names and time, as the site file wants them now."""
    report = setting_up.setup(site, store)
    for line in report.changed:
        say(line)
    for warning in report.warnings:
        say(f"warning: {warning}")
