"""Changes to a site file by program, which leave everything else in it, comments included, as its author wrote it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import tomlkit
from tomlkit.items import AoT, InlineTable

from appliance import disk
from appliance.site.errors import UnknownNode

_FRESH = 0o644  # it holds no secret


def with_node(
    text: str,
    *,
    name: str,
    address: str,
    role: str = "agent",
    port: int = 0,
    labels: Mapping[str, str] | None = None,
    taints: Sequence[str] = (),
) -> str:
    """`text` with one node more, at the end. Whether it may be there is for `Site.parse` to say."""
    entry: dict[str, object] = {"name": name, "address": address, "role": role}
    entry |= {"port": port} if port else {}
    entry |= {"labels": _inline(labels)} if labels else {}
    entry |= {"taints": list(taints)} if taints else {}
    document = tomlkit.parse(text)
    nodes = document.get("nodes")
    if nodes is not None and not isinstance(nodes, AoT):  # written as one list of inline tables
        nodes.append(_inline(entry))
        return tomlkit.dumps(document)
    # a table of an array may stand anywhere: at the end it moves nothing
    lines = [f"{key} = {tomlkit.item(value).as_string()}" for key, value in entry.items()]
    return "\n".join([text.rstrip("\n"), "", "[[nodes]]", *lines, ""])


def _inline(values: Mapping[str, object]) -> InlineTable:
    table = tomlkit.inline_table()
    table.update(values)
    return table


def without_node(text: str, name: str) -> str:
    """`text` without the node of that name. Raises `UnknownNode`."""
    document = tomlkit.parse(text)
    nodes = document.get("nodes") or []
    for number, node in enumerate(nodes):
        if node.get("name") == name:
            del nodes[number]
            return tomlkit.dumps(document)
    raise UnknownNode(f"the site has no node {name}", hint="crate-appliance nodes list shows them")


def replace(path: Path, text: str) -> None:
    """Writes a site file whole or not at all, with the mode and the owner that it has."""
    with disk.problems(f"writing {path}"):
        try:
            before = path.stat()
        except FileNotFoundError:
            disk.write_whole(path, text.encode(), mode=_FRESH)
        else:
            owner = before.st_uid, before.st_gid
            disk.write_whole(path, text.encode(), mode=before.st_mode & 0o777, owner=owner)
