"""One ssh connection a node for the whole run, as a pyinfra connector.

pyinfra makes a new connector for every State, and there is one State a wave; a `Link` outlives them. The connector also
differs from pyinfra's own in what a crate needs: sudo's password and the content of files travel on standard input and
so stand in no process list; a command ends on the node itself when its time is over; and a peer that is gone is noticed
after `_SILENCE` seconds instead of at the timeout.
"""

from __future__ import annotations

import shlex
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gevent
from gevent.lock import RLock
from paramiko import Channel, SSHException, Transport
from pyinfra.api.command import StringCommand
from pyinfra.api.exceptions import ConnectError, PyinfraError
from pyinfra.api.state import State
from pyinfra.connectors.ssh import SSHConnector
from pyinfra.connectors.util import CommandOutput, OutputLine

from deploys.errors import NodeProblem, NotAdmitted, NotTrusted, Unreachable
from deploys.order import Node, Ssh

if TYPE_CHECKING:
    from pyinfra.api.host import Host

CONNECT_TIMEOUT = 15  # seconds
_SILENCE = 20  # seconds without an acknowledgement until the kernel gives a connection up
_KEEPALIVE = 5  # seconds between signs of life, so that there is something to acknowledge
_GRACE = 15  # seconds more than the node itself allows a command
_MOST = 64 << 20  # bytes of what a command says; all pods of a large cluster are a few MiB
_TIMED_OUT = 124  # timeout(1)
_GONE = -1  # paramiko's exit status of a command whose connection broke
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Link:
    """How one node is reached, and the connection while there is one."""

    def __init__(self, node: Node, ssh: Ssh, timeout: int) -> None:
        self.node, self.ssh, self.timeout = node, ssh, timeout
        self.transport: Transport | None = None
        self.broken: NodeProblem | None = None
        self.failure = ""  # of the last command: its standard error, or why there is none
        self.needs_password = False
        self.turn = RLock()  # several nodes' work may have something to do on this one

    @property
    def alive(self) -> bool:
        return self.transport is not None and self.transport.is_active()

    def data(self) -> dict[str, object]:
        """What pyinfra's inventory holds about the node: nothing of the user's own ssh configuration counts."""
        return {
            "ssh_hostname": self.node.address,
            "ssh_port": self.node.port,
            "ssh_user": self.ssh.user,
            "ssh_key": self.ssh.key,
            "ssh_config_file": "/dev/null",
            "ssh_known_hosts_file": self.ssh.known_hosts,
            "ssh_strict_host_key_checking": "yes",
            "ssh_paramiko_connect_kwargs": {"banner_timeout": 20, "auth_timeout": 20, "channel_timeout": 30},
            "_timeout": self.timeout,
        }

    def line(self, script: str, limit: int) -> str:
        """The command line that runs `script` as root for at most `limit` seconds, messages untranslated."""
        words = ["timeout", "-k", "5", str(limit), "env", "LC_ALL=C", f"PATH={_PATH}", "sh", "-c", script]
        if self.ssh.sudo:
            # -k with a command: sudo asks whatever it remembers, so the first line of input is always for it
            words = ["sudo", "-H", *(("-S", "-k", "-p", "") if self.needs_password else ("-n",)), *words]
        return shlex.join(words)

    def close(self) -> None:
        if self.transport is not None:
            self.transport.close()
        self.transport = None


class Connection(SSHConnector):
    """What pyinfra runs commands through. `connect` uses the link's connection while it lives."""

    def __init__(self, link: Link, state: State, host: Host) -> None:
        super().__init__(state, host)
        self.link = link

    def connect(self) -> None:
        if self.link.alive:
            return
        try:
            super().connect()
        except ConnectError as error:
            self.link.broken = _why(self.link, str(error.args[0]))
            raise
        except (PyinfraError, SSHException, OSError) as error:
            self.link.broken = _why(self.link, str(error))
            raise ConnectError(str(error)) from error
        transport = self.client.get_transport() if self.client else None
        if transport is None:
            raise ConnectError("the connection ended at once")
        transport.set_keepalive(_KEEPALIVE)
        if isinstance(transport.sock, socket.socket):
            # many small requests: without it each waits for the acknowledgement of the one before
            transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _SILENCE * 1000)
        self.link.transport, self.link.broken = transport, None

    def disconnect(self) -> None:
        """Nothing: the connection is the run's, and closed with it."""

    def run_shell_command(
        self,
        command: StringCommand | str,
        print_output: bool = False,
        print_input: bool = False,
        **arguments: Any,
    ) -> tuple[bool, CommandOutput]:
        """Runs a script as root. `_stdin` is bytes, sent exactly; `_timeout` is in seconds.

        Raises `OSError` or `SSHException` when the connection breaks and `TimeoutError` when time is over, which
        pyinfra turns into a failed operation or fact; `link.broken` and `link.failure` then say why.
        """
        limit = int(arguments.get("_timeout") or self.link.timeout)
        typed = arguments.get("_stdin") or b""
        self.link.failure = ""
        try:
            with gevent.Timeout(limit + _GRACE, TimeoutError):
                status, output = self._execute(_script(command), limit, typed)
        except TimeoutError:
            self.link.failure = f"no end within {limit} seconds"
            raise
        except (OSError, EOFError, SSHException) as error:
            self.link.close()
            self.link.failure = str(error) or type(error).__name__
            self.link.broken = _gone(self.link)
            raise
        if status == _TIMED_OUT:
            self.link.failure = f"no end within {limit} seconds"
            raise TimeoutError
        good = status in (arguments.get("_success_exit_codes") or (0,))
        if not good:
            self.link.failure = output.stderr or output.stdout or f"exit status {status}"
        return good, output

    def _execute(self, script: str, limit: int, typed: bytes) -> tuple[int, CommandOutput]:
        if not self.link.alive or self.link.transport is None:
            raise ConnectionResetError("the connection is gone")
        channel = self.link.transport.open_session(timeout=30)
        try:
            channel.exec_command(self.link.line(script, limit))
            readers = [gevent.spawn(_drain, read) for read in (channel.recv, channel.recv_stderr)]
            _type(channel, self.link, typed)
            gevent.joinall(readers, raise_error=True)
            status = channel.recv_exit_status()
        finally:
            channel.close()
        if status == _GONE:
            raise ConnectionResetError("the connection broke while a command ran")
        names = ("stdout", "stderr")
        lines = [
            OutputLine(name, line)
            for name, reader in zip(names, readers, strict=True)
            for line in (reader.value or b"").decode(errors="replace").splitlines()
        ]
        return status, CommandOutput(lines)


def connector(link: Link) -> Callable[[State, Host], Connection]:
    """What pyinfra calls to make a host's connector."""
    return partial(Connection, link)


def admit(connection: Connection) -> None:
    """Makes sure that commands run as root, and finds out whether sudo wants its password. Raises `NotAdmitted`."""
    link = connection.link
    if link.ssh.sudo:
        link.needs_password = False
        free, _ = connection.run_shell_command(StringCommand("true"), _timeout=60)
        link.needs_password = not free
    good, output = connection.run_shell_command(StringCommand("id -u"), _timeout=60)
    if good and output.stdout.strip() == "0":
        return
    if not link.ssh.sudo:
        raise NotAdmitted(
            f"{link.node.name}: {link.ssh.user} is not root there", hint="set sudo = true under [ssh] in site.toml"
        )
    if link.ssh.password.get_secret_value():
        raise NotAdmitted(
            f"{link.node.name}: sudo refuses {link.ssh.user}: {link.failure.strip().splitlines()[-1]}",
            hint=f"check the password, and that {link.ssh.user} may use sudo there",
        )
    raise NotAdmitted(
        f"{link.node.name}: sudo wants a password of {link.ssh.user}",
        hint="give the sudo password, or let that user use sudo without one (NOPASSWD)",
    )


def _script(command: StringCommand | str) -> str:
    return command if isinstance(command, str) else command.get_raw_value()


def _type(channel: Channel, link: Link, typed: bytes) -> None:
    if link.needs_password:
        typed = link.ssh.password.get_secret_value().encode() + b"\n" + typed
    try:
        channel.sendall(typed)
        channel.shutdown_write()
    except OSError:
        # it ended without reading all of it; its exit status says more
        if not link.alive:
            raise


def _drain(read: Callable[[int], bytes]) -> bytes:
    """All of it, if it is not more than anybody asked for: a node must not fill the appliance's memory."""
    said = bytearray()
    while data := read(65536):
        said += data
        if len(said) > _MOST:
            raise ConnectionAbortedError(f"it says more than {_MOST >> 20} MiB")
    return bytes(said)


def _gone(link: Link) -> NodeProblem:
    return Unreachable(
        f"{link.node.name} ({link.node.address}) stopped answering: {link.failure}",
        hint="see to its power and cable; the next run picks it up",
    )


def _is_pinned(link: Link) -> bool:
    """Whether any host key stands for the node in known_hosts (sshd(8))."""
    address, port = link.node.address, link.node.port
    spelled = address if port == 22 else f"[{address}]:{port}"
    return any(line.split(" ", 1)[0] == spelled for line in Path(link.ssh.known_hosts).read_text().splitlines())


def _why(link: Link, said: str) -> NodeProblem:
    """What a refused connection means, in pyinfra's words for it, and what to do."""
    who = f"{link.node.name} ({link.node.address})"
    if "host key error" in said or "known_hosts" in said:
        if not _is_pinned(link):
            return NotTrusted(
                f"{who} has a host key that nobody has confirmed",
                hint=f"crate-appliance nodes pin {link.node.name} shows it, to be compared, and pins it",
            )
        return NotTrusted(
            f"{who} has another host key than the one pinned for it",
            hint=f"a board set up anew: crate-appliance nodes pin {link.node.name} shows its new key and pins it; "
            "otherwise something else answers there",
        )
    if "Authentication" in said or "No authentication" in said:
        return NotAdmitted(
            f"{who} does not admit {link.ssh.user} with the site's key",
            hint=f"crate-appliance nodes pin {link.node.name} installs the key there; "
            "or set user under [ssh] in site.toml",
        )
    if "Unable to connect" in said:
        said = f"nothing listens on port {link.node.port}"
    elif "timed out" in said:
        said = f"not a word within {CONNECT_TIMEOUT} seconds"
    return Unreachable(
        f"{who} does not answer: {said}", hint="is it on, and is its address right? The next run picks it up"
    )
