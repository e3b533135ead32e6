"""First contact with real nodes, and every way in which it is refused: nobody gets in who was not confirmed."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.appliance.site.files import HEAD, node, site
from tests.appliance.terminal import Seen, at_terminal
from tests.support.lab import Lab, Spec, lab
from tests.support.lab.machine import Told

_MAIN = "from appliance.cli import main; main()"
PASSWORD = "correct horse"
SUDO = '[ssh]\nuser = "{}"\nsudo = true\n'


@pytest.fixture(scope="module")
def room() -> Iterator[Lab]:
    """n1 as delivered: root, and accounts with a password that become root by sudo in different ways. n2 is off."""
    with lab([Spec("n1"), Spec("n2", off=True)]) as site:
        # the lab's own key would let us in before we asked
        site["n1"].run("rm /root/.ssh/authorized_keys")
        for account in ("anna", "berta", "carla"):
            site["n1"].run(
                f"useradd --create-home --shell /bin/sh {account} && chpasswd", given=f"{account}:{PASSWORD}"
            )
        site["n1"].run("usermod --append --groups sudo anna")
        site["n1"].run("echo 'berta ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/berta")
        yield site


class Appliance:
    """`crate-appliance` on the hub of the room, its store and site file below `folder`."""

    def __init__(self, room: Lab, folder: Path) -> None:
        self.room, self.file = room, folder / "site.toml"
        self._root = folder / "root"

    def __call__(self, *words: str, given: str = "") -> Told:
        command: list[str | Path] = [sys.executable, "-c", _MAIN, "--root", self._root, *words]
        done = self.room.here(command, check=False, given=given)
        assert "Traceback" not in done.stderr, done.stderr
        assert PASSWORD not in done.stdout + done.stderr
        return done

    def site(self, *words: str, given: str = "") -> Told:
        return self(*words, "--site", str(self.file), given=given)

    def at_terminal(self, *words: str, answers: list[tuple[str, str]]) -> Seen:
        command: list[str | Path] = [sys.executable, "-c", _MAIN, "--root", self._root, *words, "--site", self.file]
        return at_terminal(self.room.words(*command), answers)

    @property
    def key(self) -> str:
        return (self._root / "site/id_ed25519.pub").read_text().strip()


@pytest.fixture
def appliance(room: Lab, tmp_path: Path) -> Appliance:
    made = Appliance(room, tmp_path)
    made.file.write_text("# ours\n" + HEAD + SUDO.format("anna"))
    return made


@pytest.fixture
def fingerprint(room: Lab) -> str:
    return room["n1"].run("ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub").stdout.split()[1]


def checked(done: Told) -> dict[str, dict[str, object]]:
    return {entry["name"]: entry for entry in json.loads(done.stdout)}


def test_a_node_is_added_with_a_password_that_is_used_once(appliance: Appliance, fingerprint: str) -> None:
    words = ["nodes", "add", "n1", "10.77.0.11", "--role", "server", "--fingerprint", fingerprint, "--password-stdin"]
    added = appliance.site(*words, given=f"{PASSWORD}\n")
    assert added.returncode == 0, added.stderr
    assert fingerprint in added.stdout
    text = appliance.file.read_text()
    assert text.startswith("# ours\n")
    assert 'name = "n1"' in text
    listed = json.loads(appliance.site("nodes", "list", "--json").stdout)
    assert [(one["name"], one["role"], one["host_key"]) for one in listed] == [("n1", "server", fingerprint)]
    # from now on the key is enough; sudo still wants to know who it is
    again = appliance.site("nodes", "pin")
    assert "pinned before; the site's key is accepted already" in again.stdout
    found = appliance.site("nodes", "check", "--json")
    assert (found.returncode, checked(found)["n1"]["key"], checked(found)["n1"]["root"]) == (1, "accepted", "no")
    assert "--sudo-password" in str(checked(found)["n1"]["hint"])
    assert appliance.room["n1"].run("cat ~anna/.ssh/authorized_keys").stdout.count(appliance.key) == 1


def test_a_key_is_installed_beside_the_ones_that_are_there(appliance: Appliance, fingerprint: str) -> None:
    appliance.file.write_text(site(1, SUDO.format("berta")))
    node = appliance.room["n1"]
    node.run("install -d -m700 -o berta ~berta/.ssh && printf 'ssh-ed25519 AAAA hers' >~berta/.ssh/authorized_keys")
    node.run("chown berta ~berta/.ssh/authorized_keys")
    pinned = appliance.site("nodes", "pin", "--fingerprint", fingerprint, "--password-stdin", given=f"{PASSWORD}\n")
    assert pinned.returncode == 0, pinned.stderr
    keys = node.run("cat ~berta/.ssh/authorized_keys").stdout.splitlines()
    assert keys == ["ssh-ed25519 AAAA hers", appliance.key.replace("buzzcrate-site", "buzzcrate-site")]
    found = appliance.site("nodes", "check")
    assert found.returncode == 0, found.stderr
    assert found.stdout.splitlines()[1].split() == ["n1", "10.77.0.11", "yes", "as", "pinned", "accepted", "sudo"]


def test_sudo_with_a_password_is_checked_with_it(appliance: Appliance, fingerprint: str) -> None:
    appliance.file.write_text(site(1, SUDO.format("anna")))
    appliance.site("nodes", "pin", "--fingerprint", fingerprint, "--password-stdin", given=f"{PASSWORD}\n")
    right = appliance.site("nodes", "check", "--sudo-password", "--json", given=f"{PASSWORD}\n")
    assert (right.returncode, checked(right)["n1"]["root"]) == (0, "sudo with a password")
    wrong = appliance.site("nodes", "check", "--sudo-password", "--json", given="wrong\n")
    assert (wrong.returncode, checked(wrong)["n1"]["root"]) == (1, "no")


# [ssh], the password that is given, words of the message
REFUSED = {
    "a wrong password": (SUDO.format("anna"), "wrong", "n1 (10.77.0.11) refuses this password for anna"),
    "no password at all": (SUDO.format("anna"), "", "refuses the site's key for anna"),
    "root, whom Debian takes no password from": ('[ssh]\nuser = "root"\n', PASSWORD, "no password for root"),
    "an account that is not there": ('[ssh]\nuser = "zoe"\n', PASSWORD, "for zoe"),
    "a key that is not there": ('[ssh]\nkey = "/nowhere/id"\n', PASSWORD, "there is no key /nowhere/id"),
}


@pytest.mark.parametrize(("ssh", "password", "said"), REFUSED.values(), ids=REFUSED)
def test_who_is_not_let_in_is_told_why(
    appliance: Appliance, fingerprint: str, ssh: str, password: str, said: str
) -> None:
    appliance.room["n1"].run("rm -rf ~anna/.ssh")
    appliance.file.write_text(HEAD + ssh)
    before = appliance.file.read_text()
    words = ["nodes", "add", "n1", "10.77.0.11", "--fingerprint", fingerprint, "--password-stdin"]
    done = appliance.site(*words, given=f"{password}\n")
    assert done.returncode in {1, 2}
    assert said in done.stderr
    assert appliance.file.read_text() == before


def test_an_account_that_must_change_its_password_first_is_told_from_a_refusal(
    appliance: Appliance, fingerprint: str
) -> None:
    appliance.room["n1"].run("chage --lastday 0 carla")
    appliance.file.write_text(site(1, SUDO.format("carla")))
    done = appliance.site("nodes", "pin", "--fingerprint", fingerprint, "--password-stdin", given=f"{PASSWORD}\n")
    assert done.returncode == 1
    assert "ssh carla@10.77.0.11" in done.stderr


def test_copies_of_one_card_are_noticed(appliance: Appliance, fingerprint: str) -> None:
    node = appliance.room["n1"]
    node.run("ip address add 10.77.0.12/24 dev eth0")
    try:
        appliance.file.write_text(site(2, SUDO.format("berta")))
        pin = ["nodes", "pin", "--fingerprint", fingerprint, "--password-stdin"]
        assert appliance.site(*pin, given=f"{PASSWORD}\n").returncode == 0
        found = appliance.site("nodes", "check", "--json")
        assert [checked(found)[name]["twins"] for name in ("n1", "n2")] == [["n2"], ["n1"]]
        assert "n2 has the host key of n1" in appliance.site("nodes", "check").stdout
    finally:
        node.run("ip address del 10.77.0.12/24 dev eth0")


def test_nobody_is_believed_unseen(appliance: Appliance, fingerprint: str) -> None:
    done = appliance.site("nodes", "add", "n1", "10.77.0.11")
    assert done.returncode == 3
    assert f"shows the host key {fingerprint}, which nobody has confirmed" in done.stderr
    assert f"nodes pin n1 --fingerprint {fingerprint}" in done.stderr
    other = appliance.site("nodes", "add", "n1", "10.77.0.11", "--fingerprint", "SHA256:" + "A" * 43)
    assert other.returncode == 3
    appliance.file.write_text(site(1))
    found = appliance.site("nodes", "check", "--json")
    assert (found.returncode, checked(found)["n1"]["host_key"], checked(found)["n1"]["key"]) == (3, "not confirmed", "")


def test_a_changed_host_key_is_refused_and_may_be_confirmed(appliance: Appliance, fingerprint: str) -> None:
    appliance.file.write_text(site(1, SUDO.format("berta")))
    pin = ["nodes", "pin", "--password-stdin"]
    assert appliance.site(*pin, "--fingerprint", fingerprint, given=f"{PASSWORD}\n").returncode == 0
    node = appliance.room["n1"]
    node.run("cp -a /etc/ssh /etc/ssh-before && rm /etc/ssh/ssh_host_ed25519_key*")
    node.run("ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key && systemctl restart ssh")
    try:
        new = node.run("ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub").stdout.split()[1]
        found = appliance.site("nodes", "check", "--json")
        assert (found.returncode, checked(found)["n1"]["host_key"]) == (3, "changed")
        refused = appliance.site(*pin, given=f"{PASSWORD}\n")
        assert refused.returncode == 3
        for words in (f"{new}, and {fingerprint} is pinned", "n1 (10.77.0.11)", f"--fingerprint {new}"):
            assert words in refused.stderr
        assert appliance.site(*pin, "--fingerprint", new, given=f"{PASSWORD}\n").returncode == 0
        assert appliance.site("nodes", "check").returncode == 0
    finally:
        node.run("rm -r /etc/ssh && mv /etc/ssh-before /etc/ssh && systemctl restart ssh")


def test_a_host_key_of_another_kind_is_a_changed_one(appliance: Appliance, fingerprint: str) -> None:
    appliance.file.write_text(site(1, SUDO.format("berta")))
    appliance.site("nodes", "pin", "--fingerprint", fingerprint, "--password-stdin", given=f"{PASSWORD}\n")
    node = appliance.room["n1"]
    node.run("echo 'HostKey /etc/ssh/ssh_host_ecdsa_key' >/etc/ssh/sshd_config.d/a.conf && systemctl restart ssh")
    try:
        found = appliance.site("nodes", "check", "--json")
        assert (found.returncode, checked(found)["n1"]["host_key"]) == (3, "changed")
    finally:
        node.run("rm /etc/ssh/sshd_config.d/a.conf && systemctl restart ssh")


def test_a_node_that_is_off_is_named_and_the_others_are_checked(appliance: Appliance, fingerprint: str) -> None:
    appliance.file.write_text(site(1, SUDO.format("berta")) + node(2))
    pin = ["nodes", "pin", "n1", "--fingerprint", fingerprint, "--password-stdin"]
    assert appliance.site(*pin, given=f"{PASSWORD}\n").returncode == 0
    found = appliance.site("nodes", "check", "--json")
    assert found.returncode == 1
    one, two = checked(found)["n1"], checked(found)["n2"]
    assert (one["reachable"], one["problem"]) == (True, "")
    assert (two["reachable"], two["host_key"]) == (False, "")
    assert "n2 (10.77.0.12 port 22) cannot be reached" in str(two["problem"])
    added = appliance.site("nodes", "add", "n3", "10.77.0.13", "--unseen", "--label", "disk=ssd")
    assert "n3 is in" in added.stdout


def test_what_answers_without_being_ssh_is_no_node(appliance: Appliance) -> None:
    appliance.room["n1"].run(
        "systemd-run --unit=mute --property=Type=exec perl -MIO::Socket -e "
        "'$s=IO::Socket::INET->new(LocalPort=>99,Listen=>5,ReuseAddr=>1);"
        "while($c=$s->accept){print $c qq(220 mail\\r\\n)}'"
    )
    try:
        done = appliance.site("nodes", "add", "n1", "10.77.0.11", "--port", "99")
        assert done.returncode == 1
        assert "n1 (10.77.0.11 port 99) cannot be reached" in done.stderr
    finally:
        appliance.room["n1"].run("systemctl stop mute")


def test_neighbours_are_found_and_become_a_site_file(appliance: Appliance) -> None:
    words = ["site", "init", str(appliance.file.parent / "found.toml"), "--yes", "--scan", "--profile", "metallb"]
    done = appliance(*words)
    assert done.returncode == 0, done.stderr
    found = json.loads(appliance("site", "check", str(appliance.file.parent / "found.toml"), "--json").stdout)
    assert found["nodes"] == [{"name": "n1", "address": "10.77.0.11", "role": "server", "local": False}]
    assert (found["address"], found["network"], found["apps"]) == ("10.77.0.1", "10.77.0.0/24", "10.77.0.203")
    assert appliance(*words).returncode == 2


def test_a_person_compares_the_fingerprint_and_types_the_password(appliance: Appliance, fingerprint: str) -> None:
    appliance.room["n1"].run("rm -rf ~anna/.ssh")
    seen = appliance.at_terminal("nodes", "add", "n1", "10.77.0.11", answers=[("what it says? [y/N]:", "n")])
    assert seen.code == 3
    assert fingerprint in seen.screen
    answers = [("what it says? [y/N]:", "y"), ("Password of anna on n1 (10.77.0.11), used once", PASSWORD)]
    seen = appliance.at_terminal("nodes", "add", "n1", "10.77.0.11", answers=answers)
    assert seen.code == 0, seen.screen
    assert "n1 is in" in seen.screen
    assert PASSWORD not in seen.screen
