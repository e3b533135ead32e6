"""The appliance may be a node of its own cluster: it knows itself, so nobody has to read out fingerprints."""

from __future__ import annotations

import json

from tests.appliance.board import Board
from tests.appliance.site.files import HEAD, node


def test_the_appliance_lets_itself_in(board: Board) -> None:
    text = HEAD + '\n[[nodes]]\nname = "crate1"\naddress = "10.77.0.1"\nrole = "server"\n' + node(1)
    board.machine.run("cat >/root/own.toml", given=text)
    board.machine.run("rm -f /root/.ssh/authorized_keys")
    pinned = board.machine.run("crate-appliance nodes pin crate1 --site /root/own.toml </dev/null")
    assert "pinned; the site's key is installed" in pinned.stdout
    found = board.machine.run("crate-appliance nodes check --json --site /root/own.toml </dev/null", check=False)
    itself, other = json.loads(found.stdout)
    assert (itself["key"], itself["root"], itself["problem"]) == ("accepted", "root", "")
    # no such shortcut for anybody else
    assert (found.returncode, other["host_key"]) == (3, "not confirmed")
