"""A run on the nodes from beginning to end: prepared, carried out by the child, watched, and kept.

Nothing here touches a node. What a run learns is kept as it comes, so that whatever interrupts it loses nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from appliance import locks
from appliance.cluster import child, receipts, traffic
from appliance.cluster.errors import ClusterBusy
from appliance.cluster.journal import Journal, lock_path
from appliance.cluster.learning import Learning, forget
from appliance.cluster.preparing import Prepared, Wish, prepare
from appliance.cluster.receipts import Receipt
from appliance.cluster.record import Outcome, Record
from appliance.requests import FLUSH, Requests
from appliance.site.folder import SiteFolder
from appliance.status import active_crates
from appliance.store import Store
from archive.requests import Unmet
from deploys.events import Began, Ended, Event
from deploys.order import Order

_LOOK = "looking at what runs"  # no wave: what is found then is told by the waves
See = Callable[[Event], None]
"""Is shown every event as it comes."""


def deploy(store: Store, wish: Wish, see: See, *, command: Sequence[str] = child.COMMAND) -> Receipt:
    """Does what `wish` says, and keeps journal and receipt. A node that fails fails the run, not the others.

    SIGTERM and Ctrl-C end it as `KeyboardInterrupt`, the receipt written. Raises what `prepare` does, `ClusterBusy`,
    `UpgradeRefused` before anything is changed, `RunFailed`.
    """
    folder = SiteFolder(store.root)
    with _turn(folder, wish.task) as lock, child.terminable():
        prepared = _decided(store, wish, folder, see, hold=lock, command=command)
        requests = Requests(store.database)
        asked_before = requests.snapshot()
        run = _Run(folder, prepared, see)
        try:
            run.follow(child.run(prepared.order, log_path(folder), hold=[lock], command=command))
            if "verify" in prepared.order.waves:
                time.sleep(FLUSH)  # until the daemon has written down what was asked for last
        except BaseException as error:
            run.outcome = "interrupted" if isinstance(error, KeyboardInterrupt) else "died"
            raise
        finally:
            receipt = run.end(store, requests.since(asked_before))
            if wish.task in {"reset", "remove"}:
                forget(folder, prepared.site, receipt.record.came_through() & set(receipt.nodes))
    return receipt


def plan(store: Store, wish: Wish, see: See, *, command: Sequence[str] = child.COMMAND) -> Record:
    """What `deploy` would do. Changes nothing anywhere, and keeps nothing. Raises as `deploy` does."""
    folder = SiteFolder(store.root)
    with _turn(folder, "plan") as lock, child.terminable():
        prepared = _decided(store, replace(wish, task="plan"), folder, see, hold=lock, command=command)
        record = Record()
        for event in child.run(prepared.order, log_path(folder), hold=[lock], command=command):
            record.take(event)
            see(event)
    return record


def log_path(folder: SiteFolder) -> Path:
    """What the child of the last run had to say beside its events."""
    return folder.path / "log"


@contextmanager
def _turn(folder: SiteFolder, task: str) -> Iterator[int]:
    """One run at a time, among all processes; the descriptor of the lock."""

    def busy(holder: str) -> ClusterBusy:
        return ClusterBusy(f"somebody works on the nodes already: {holder}", hint="wait until that is done")

    folder.ensure()
    with locks.hold(lock_path(folder), task, busy) as descriptor:
        yield descriptor


def _decided(store: Store, wish: Wish, folder: SiteFolder, see: See, *, hold: int, command: Sequence[str]) -> Prepared:
    """The run, once it is known that there is a way to it from what the nodes run now.

    Where that is not known from the last run, the nodes are asked first, and nothing else is done.
    """
    prepared = prepare(store, wish)
    if not prepared.is_there(folder.known_facts()):
        look = prepared.order.model_copy(update={"waves": ("preflight",)})
        began = time.monotonic()
        see(Began(wave=_LOOK, nodes=tuple(node.name for node in look.touched)))
        learning = Learning(folder)
        for event in child.run(look, log_path(folder), hold=[hold], command=command):
            learning.take(event)
        see(Ended(wave=_LOOK, ok=True, seconds=time.monotonic() - began))
        prepared.check_way(folder.known_facts())
    return prepared


class _Run:
    """What is gathered while the child works."""

    def __init__(self, folder: SiteFolder, prepared: Prepared, see: See) -> None:
        self._folder, self._prepared, self._see = folder, prepared, see
        self._began, self._started = datetime.now(UTC), time.monotonic()
        self._record, self._learning = Record(), Learning(folder)
        self._counter = traffic.counter(prepared.site.network)
        self._sent_before = 0
        self.outcome: Outcome | None = None

    def follow(self, events: Iterator[Event]) -> None:
        with Journal(self._folder.journal, self._head()) as journal:
            try:
                for event in events:
                    journal.add(event)
                    self._take(event)
            except BaseException as error:
                journal.end("interrupted" if isinstance(error, KeyboardInterrupt) else "died")
                raise
            self.outcome = "done" if self._record.ok else "failed"
            journal.end(self.outcome)

    def _head(self) -> dict[str, object]:
        order: Order = self._prepared.order
        return {
            "task": order.task,
            "site": self._prepared.site.name,
            "began": self._began.isoformat(timespec="seconds"),
            "k3s": self._prepared.k3s,
            "nodes": [node.name for node in order.touched],
            "waves": list(order.waves),
        }

    def _take(self, event: Event) -> None:
        self._record.take(event)
        self._learning.take(event)
        if isinstance(event, Began):
            self._sent_before = self._counter() or 0
        elif isinstance(event, Ended):
            now = self._counter()
            self._record.waves[-1].sent = None if now is None else now - self._sent_before
        self._see(event)

    def end(self, store: Store, unmet: Sequence[Unmet]) -> Receipt:
        order = self._prepared.order
        receipt = Receipt(
            site=self._prepared.site.name,
            task=order.task,
            began=self._began,
            seconds=time.monotonic() - self._started,
            outcome=self.outcome or "died",
            crates=active_crates(store),
            k3s=self._prepared.k3s,
            profiles=[profile.name for profile in order.profiles],
            nodes=[node.name for node in order.touched],
            record=self._record,
            unmet=unmet,
        )
        receipts.keep(receipt, self._folder)
        return receipt
