"""One ssh connection to one node. Nothing is sent, no password and no key, before the host key is the pinned one.

The protocol is paramiko's, which the waves use too: what works here works there.
"""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import paramiko
from paramiko import Channel, PKey, SSHClient, Transport

from appliance.site.errors import HostKeyChanged, HostKeyUnknown, KeyRefused, KeyUnusable, SudoRefused, Unreachable
from appliance.site.known_hosts import line
from appliance.site.model import Node
from appliance.site.tables import SshTable

_TIMEOUT = 10.0  # seconds for a node to answer, at each step of becoming connected
_PIECE = 1 << 18  # bytes of output at once
_MOST = 1 << 20  # bytes that a command may say; a node must not fill the memory here
_COMMAND = 60.0  # seconds for one of the few commands of ours
logging.getLogger("paramiko").addHandler(logging.NullHandler())  # it would print tracebacks of its own otherwise
_FAILURES = (OSError, EOFError, paramiko.SSHException)


@dataclass(frozen=True)
class Done:
    """How a command on a node ended."""

    code: int
    output: str
    errors: str


def host_key(node: Node) -> PKey:
    """The key with which `node` answers, whoever that may be. Raises `Unreachable`."""
    with _reaching(node):
        transport = Transport(socket.create_connection((node.address, node.port), _TIMEOUT))
        try:
            transport.start_client(timeout=_TIMEOUT)
            return transport.get_remote_server_key()
        finally:
            transport.close()


class Contact:
    """A session with `node`, as its user. Close it."""

    def __init__(self, node: Node, client: SSHClient) -> None:
        self._node = node
        self._client = client

    def run(self, command: str, given: str = "") -> Done:
        """Runs a command to its end; `given` goes to its standard input. Raises `Unreachable`."""
        with _reaching(self._node):
            written, output, errors = self._client.exec_command(command, timeout=_COMMAND)
            with contextlib.suppress(OSError):  # it may have ended without reading
                written.write(given)
                written.channel.shutdown_write()
            text = output.read(_MOST).decode(errors="replace")
            said = errors.read(_MOST).decode(errors="replace")
            return Done(_status(output.channel), text, said)

    def fetch(self, command: str, into: BinaryIO) -> Done:
        """Runs a command whose output may be large; it goes to `into` as it comes. Raises `Unreachable`."""
        with _reaching(self._node):
            written, output, errors = self._client.exec_command(command, timeout=_COMMAND)
            written.channel.shutdown_write()
            while piece := output.read(_PIECE):
                into.write(piece)
            said = errors.read(_MOST).decode(errors="replace")
            return Done(_status(output.channel), "", said)


@contextmanager
def contact(
    node: Node, pinned: PKey | None, ssh: SshTable, *, key: Path | None = None, password: str = ""
) -> Iterator[Contact]:
    """A session with the private `key`, or with `password`.

    Raises `HostKeyUnknown`, `HostKeyChanged`, `KeyRefused`, `KeyUnusable`, `Unreachable`.
    """
    if pinned is None:
        raise unknown(node, host_key(node))
    with SSHClient() as client:
        client.get_host_keys().add(line(node, pinned).split(" ", 1)[0], pinned.get_name(), pinned)
        client.set_missing_host_key_policy(_OnlyPinned(node, pinned))
        with _reaching(node):
            try:
                client.connect(
                    node.address,
                    node.port,
                    ssh.user,
                    pkey=_loaded(key) if key else None,
                    password=password or None,
                    allow_agent=False,
                    look_for_keys=False,
                    timeout=_TIMEOUT,
                    banner_timeout=_TIMEOUT,
                    auth_timeout=_TIMEOUT,
                )
            except paramiko.BadHostKeyException as error:
                raise changed(node, pinned, error.key) from error
            except paramiko.AuthenticationException as error:
                raise _refused(node, ssh, password=bool(password)) from error
        yield Contact(node, client)


def unknown(node: Node, key: PKey) -> HostKeyUnknown:
    """What to say of a first contact that nobody confirmed."""
    return HostKeyUnknown(
        f"{node.name} ({node.address}) shows the host key {key.fingerprint}, which nobody has confirmed",
        hint="on the node, ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub prints it; if they are equal: "
        f"crate-appliance nodes pin {node.name} --fingerprint {key.fingerprint}",
    )


def changed(node: Node, pinned: PKey, key: PKey) -> HostKeyChanged:
    """What to say of a node that is not who it was."""
    return HostKeyChanged(
        f"{node.name} ({node.address}) shows another host key than before: "
        f"{key.fingerprint}, and {pinned.fingerprint} is pinned",
        hint="it was set up again, or something else has its address; if the new fingerprint is what ssh-keygen -lf "
        f"/etc/ssh/ssh_host_ed25519_key.pub prints on the node: crate-appliance nodes pin {node.name} "
        f"--fingerprint {key.fingerprint}",
    )


def sudo(session: Contact, node: Node, ssh: SshTable, password: str = "") -> str:
    """How the user becomes root: `root`, `sudo`, or `sudo with a password`. Raises `SudoRefused`."""
    if ssh.user == "root":
        return "root"
    where = f"{ssh.user} on {node.name} ({node.address})"
    if not ssh.sudo:
        raise SudoRefused(f"{where} is not root", hint="write sudo = true into [ssh] of the site file, or user = root")
    silent = session.run("sudo -n true")
    if silent.code == 0:
        return "sudo"
    if silent.code == 127:
        raise SudoRefused(f"there is no sudo for {where}", hint="install it there, or use root")
    if not password:
        raise SudoRefused(f"sudo wants a password from {where}", hint="give it with --sudo-password")
    # -k: a password that sudo remembers from before would hide that this one is wrong
    if session.run("sudo -k -S -p '' true", given=f"{password}\n").code:
        raise SudoRefused(f"sudo refuses {where}, with this password too", hint="is the account in the group sudo?")
    return "sudo with a password"


def _status(channel: Channel) -> int:
    """How a command ended that has nothing more to say. A node that does not tell that either is not waited for."""
    if not channel.status_event.wait(_COMMAND):
        raise TimeoutError
    return channel.recv_exit_status()


class _OnlyPinned(paramiko.MissingHostKeyPolicy):
    """For a node that shows a key of another type than the pinned one."""

    def __init__(self, node: Node, pinned: PKey) -> None:
        self._node, self._pinned = node, pinned

    def missing_host_key(self, client: SSHClient, hostname: str, key: PKey) -> None:
        raise changed(self._node, self._pinned, key)


def _loaded(path: Path) -> PKey:
    try:
        return PKey.from_path(path)
    except FileNotFoundError as error:
        raise KeyUnusable(f"there is no key {path}", hint="correct [ssh] key, or leave it out") from error
    except (paramiko.PasswordRequiredException, TypeError) as error:
        raise KeyUnusable(f"the key {path} has a passphrase, and nobody is there to type it", hint=_OWN) from error
    except (paramiko.SSHException, ValueError, OSError) as error:
        raise KeyUnusable(f"the key {path} cannot be used: {error}", hint=_OWN) from error


_OWN = "leave out [ssh] key: the site has a key of its own"


def _refused(node: Node, ssh: SshTable, *, password: bool) -> KeyRefused:
    where = f"{node.name} ({node.address})"
    if password:
        return KeyRefused(
            f"{where} refuses this password for {ssh.user}",
            hint="type it again; Debian takes no password for root: use another account, with sudo = true in [ssh]",
        )
    return KeyRefused(
        f"{where} refuses the site's key for {ssh.user}",
        hint=f"crate-appliance nodes pin {node.name} --password installs it, with the account's password",
    )


@contextmanager
def _reaching(node: Node) -> Iterator[None]:
    """Turns what networks and daemons do into a line for the user."""
    try:
        yield
    except _FAILURES as error:
        raise Unreachable(
            f"{node.name} ({node.address} port {node.port}) cannot be reached: {_why(error)}",
            hint="is it on, on this network, and does sshd run there? (on the node: systemctl status ssh)",
        ) from error


def _why(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "nothing answers"
    if isinstance(error, OSError) and not isinstance(error, paramiko.ssh_exception.NoValidConnectionsError):
        return error.strerror or str(error)
    if isinstance(error, paramiko.ssh_exception.NoValidConnectionsError):
        inner = next(iter(error.errors.values()))
        return getattr(inner, "strerror", None) or str(inner)
    return str(error) or "the connection ended"
