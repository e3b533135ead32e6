"""Pushes that meet a disk that fills up under them, and a database that somebody else holds."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

from tests.appliance.daemon import serving
from tests.support.tools import root, tool

# Runs in a mount namespace of its own. The client sends in pieces, so that nobody can know beforehand that it will be
# too much; then the disk grows, and the same upload goes on.
_SCENE = """
import json, random, subprocess, sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
mount = Path(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", mount], check=True)
from appliance.doctor.examination import examine
from appliance.scrubbing.passes import scrub
from appliance.store import Store
from tests.appliance.daemon import serving
data = random.Random(1).randbytes(7 << 20)
with serving.crate(mount / "root") as crate:
    before = crate.push_blob("people/kept", b"kept" * 1000)
    location = crate.request("POST", "/v2/people/big/blobs/uploads/").headers["location"]
    answers, at = [], 0
    for _ in range(40):
        piece = data[at : at + (1 << 18)]
        answers.append(crate.request("PATCH", location, piece).status)
        if answers[-1] != 202:
            break
        at += len(piece)
    kept = crate.request("GET", f"/v2/people/kept/blobs/{before}").status
    reached = int(crate.request("GET", location).headers["range"].partition("-")[2]) + 1
    subprocess.run(["mount", "-o", "remount,size=32m", mount], check=True)
    crate.request("PATCH", location, data[reached:])
    done = crate.request("PUT", f"{location}?digest={serving.sha256(data)}").status
    same = crate.request("GET", f"/v2/people/big/blobs/{serving.sha256(data)}").body == data
    with Store.open(mount / "root") as store:
        damaged = scrub(store).damaged
        checks = {one.check: one.level.word for one in examine(store).findings}
print(json.dumps({"full": answers[-1], "kept": kept, "reached": reached, "at": at, "done": done, "same": same,
    "damaged": damaged, "blobs": checks["packs and blobs"], "pulling": checks["pulling"]}))
"""


def test_a_disk_that_fills_up_in_the_middle_of_a_push_loses_nothing(tmp_path: Path) -> None:
    root("a small file system is mounted in a namespace of its own")
    command = [tool("unshare"), "--mount", sys.executable, "-c", _SCENE, tmp_path, Path(__file__).parents[3]]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["full"] == 507
    assert told["reached"] == told["at"], "what was acknowledged of the upload is there, and no more is said to be"
    assert (told["kept"], told["done"], told["same"]) == (200, 201, True)
    assert (told["damaged"], told["blobs"], told["pulling"]) == (0, "fine", "fine")


def test_while_another_process_writes_pulls_go_on_and_pushes_wait(tmp_path: Path) -> None:
    with serving.crate(tmp_path / "store") as crate:
        first = crate.push_blob("people/held", b"first")
        with closing(sqlite3.connect(tmp_path / "store/crate.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            pushed: list[str] = []
            pushing = threading.Thread(target=lambda: pushed.append(crate.push_blob("people/held", b"second")))
            pushing.start()
            time.sleep(0.5)
            assert crate.request("GET", f"/v2/people/held/blobs/{first}").body == b"first"
            assert crate.request("GET", "/healthz").status == 200
            assert not pushed
            other.execute("ROLLBACK")
            pushing.join(30)
        assert crate.request("GET", f"/v2/people/held/blobs/{pushed[0]}").body == b"second"
