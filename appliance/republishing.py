"""Publishing a part of the active generation anew, beside the rest of it, which stays."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from appliance import contributions, generations
from appliance.parts import Part, parts_of
from appliance.publication import Publication
from appliance.publishing import PUBLISHERS, Carried, Mirror, Publisher, publish_part
from appliance.store import Store
from archive.catalogue import Item

_IN_PART = (
    " generation = :generation AND kind = :kind AND (:name = '' OR name = :name)"
    " AND substr(path, 1, length(:below)) = :below"
)


def republish(store: Store, connection: sqlite3.Connection, touched: Iterable[Item]) -> None:
    """Publishes what the items `touched`, which came or went, have a part in; in the caller's transaction.

    What comes out is what publishing everything would give, but for its dates. Raises `CrateConflict`,
    `BadPublication`.
    """
    generation = generations.ensure(connection)
    for part in parts_of(touched):
        _Republishing(store, connection, generation, part).run()


class _Republishing:
    def __init__(self, store: Store, connection: sqlite3.Connection, generation: int, part: Part) -> None:
        self._store = store
        self._connection = connection
        self._generation = generation
        self._part = part
        self._values = {
            "generation": generation,
            "kind": part.kind,
            "name": part.name,
            "below": part.served_below,
        }

    def run(self) -> None:
        dated = generations.date_again(self._connection, self._generation)
        brought, known = self._holds("contributed = 0"), self._holds("1")
        self._connection.execute("DROP TABLE IF EXISTS temp.before")
        self._connection.execute("CREATE TEMP TABLE before (path, accepts, digest, modified)")
        if known or self._part.kind != "file":  # at a new file's path there may be a crate's, of another name
            for path in self._part.paths:
                self._take_down(path)
        for repository in self._part.images:
            self._take_down_image(repository)
        self._connection.execute(f"DELETE FROM items WHERE {_IN_PART}", self._values)  # noqa: S608 - a fixed condition
        into = Publication(self._connection, self._store, self._generation, dated=dated, before=None)
        releases = generations.releases(self._connection, self._generation) if brought else []
        publish_part(self._part, releases, self._store.blobs, into, self._publisher(), contributed=self._contributed())
        self._connection.execute(
            "UPDATE published_files SET modified = before.modified FROM temp.before WHERE generation = ?"
            " AND published_files.path = before.path AND published_files.accepts = before.accepts"
            " AND published_files.digest = before.digest",
            (self._generation,),
        )
        self._connection.execute("DROP TABLE temp.before")
        self._count()

    def _take_down(self, path: str) -> None:
        """Remembers what is there, because what comes back as it was is as old as it was."""
        below = path.removesuffix("*")
        condition = "generation = ? AND path = ?" if below == path else "generation = ? AND path > ? AND path < ?"
        values = (self._generation, path) if below == path else (self._generation, below, f"{below[:-1]}0")
        self._connection.execute(
            f"INSERT INTO temp.before SELECT path, accepts, digest, modified FROM published_files WHERE {condition}",  # noqa: S608 - fixed conditions
            values,
        )
        self._connection.execute(f"DELETE FROM published_files WHERE {condition}", values)  # noqa: S608

    def _take_down_image(self, repository: str) -> None:
        """Unless a crate brings one of that name as an image, which is no part of this."""
        for table in ("published_tags", "published_manifests", "published_blobs"):
            self._connection.execute(
                f"DELETE FROM {table} WHERE generation = ? AND repository = ? AND NOT EXISTS"  # noqa: S608 - our own tables
                " (SELECT 1 FROM items WHERE generation = ? AND kind = 'image' AND path = ?)",
                (self._generation, repository, self._generation, repository),
            )

    def _holds(self, condition: str) -> bool:
        """Whether something of the part is published; where no crate brings any, no catalogue has to be read."""
        query = f"SELECT 1 FROM items WHERE {_IN_PART} AND {condition} LIMIT 1"  # noqa: S608 - fixed conditions
        return self._connection.execute(query, self._values).fetchone() is not None

    def _contributed(self) -> Iterable[Carried]:
        return (carried for carried in contributions.carried(self._connection) if self._part.holds(carried[1]))

    def _publisher(self) -> Publisher:
        if self._part.kind != "pypi":
            return PUBLISHERS[self._part.kind]
        rows = self._connection.execute(
            "SELECT DISTINCT name FROM items WHERE generation = ? AND kind = 'pypi' ORDER BY name", (self._generation,)
        )
        return Mirror("pypi", others=tuple(row[0] for row in rows))

    def _count(self) -> None:
        values = (self._generation, self._part.kind)
        self._connection.execute("DELETE FROM published_items WHERE generation = ? AND kind = ?", values)
        self._connection.execute(
            "INSERT INTO published_items SELECT generation, kind, count(*) FROM items"
            " WHERE generation = ? AND kind = ? GROUP BY generation, kind",
            values,
        )
