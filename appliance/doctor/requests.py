"""What was asked for and is not here: nothing is wrong with that, and the next stick can bring it."""

from __future__ import annotations

from collections.abc import Iterator

from appliance.doctor.findings import Seen, fine
from appliance.store import Store


def look(store: Store) -> Iterator[Seen]:
    (count,) = store.database.reader.execute("SELECT count(*) FROM requests").fetchone()
    if count:
        yield fine(f"{count} things were asked for and are not here; crate-appliance requests lists them")
