"""The daemon: one process, one event loop, an HTTPS port for everything and a plain one for what needs no secrecy.

It holds no state that another process could make stale: what is published is asked of the database with each request,
so an activation by the command line is served at once.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import fcntl
import logging
import os
import resource
import signal
import socket
import ssl
from asyncio import sslproto
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger

from appliance import listening
from appliance.addresses import Address, host_names, local_addresses
from appliance.certificates import WELL_KNOWN, Certificates
from appliance.connections import Runner
from appliance.doctor.watch import WATCH, Watch
from appliance.errors import AlreadyServing, CannotListen
from appliance.files import add_files
from appliance.health import add_health
from appliance.listening import Listening
from appliance.mirrors import add_catch_all, add_mirrors
from appliance.names_log import NamesLog
from appliance.plain import add_authority, plain_application
from appliance.receiving import add_receiving
from appliance.registry.endpoints import ALL, add_registry
from appliance.registry.service import Registry
from appliance.scrubbing.background import RATE, Scrubber
from appliance.store import Store
from appliance.web.access_log import SIZE, AccessLog
from appliance.web.metrics import Metrics
from appliance.web.serving import add_web
from archive.errors import Problem

LISTEN, PLAIN = "0.0.0.0:5000", "0.0.0.0:8080"
IDLE = 60.0  # seconds
_HOUSEKEEPING = 60.0  # seconds
_KEEPALIVE = 75.0  # seconds that an idle connection may stay
_SHUTDOWN = 2.0  # seconds for requests under way once the daemon is told to stop; aiohttp waits that long twice
_BACKLOG = 1024
_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8  # malloc.h
_TLS_RECEIVE = 32 << 10  # bytes; two TLS records

_log = logging.getLogger("crate")


@dataclass(frozen=True, slots=True)
class Settings:
    """How to serve. `plain` None leaves the plain port out; `names` are further host names and addresses.

    `access_log` is how many MiB the access log may take, 0 for none.
    `idle` is how many seconds a client may be silent in the middle of a transfer, `scrub` how many MiB a second are
    read and compared in the background, 0 for none.
    """

    listen: Address
    plain: Address | None
    names: tuple[str, ...] = ()
    redirect: bool = True
    tls: bool = True
    open_pulls: bool = True
    idle: float = IDLE
    access_log: int = SIZE
    scrub: float = RATE

    def own_names(self) -> tuple[str, ...]:
        """All that the crate is called; what its certificate is issued for."""
        listening = [] if self.listen.everywhere else [self.listen.host]
        addresses = local_addresses() if self.listen.everywhere else []
        return tuple(dict.fromkeys([WELL_KNOWN, "localhost", *host_names(), *listening, *addresses, *self.names]))


class Daemon:
    """Serves one store until it is told to stop."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._settings = settings
        self._names = settings.own_names()
        self._certificates = Certificates(store.root / "tls")
        self._context: ssl.SSLContext | None = None
        self._certificates.ensure_authority()
        self._registry = Registry(
            store,
            open_pulls=settings.open_pulls,
            own_hosts=frozenset(self._names),
            address=f"{WELL_KNOWN}:{settings.listen.port}",
            idle=settings.idle,
            plain=settings.plain if settings.redirect else None,
        )
        if settings.tls:
            self._certificates.ensure_server(self._names)
            self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            self._context.set_alpn_protocols(["http/1.1"])
            self._certificates.load_into(self._context)
        self._stamp = self._certificates.stamp()
        self._watch = Watch(store)
        self._metrics = Metrics()
        self._access_log = AccessLog(store.root / "logs", self._metrics, settings.access_log)

    async def serve(self) -> None:
        """Returns after SIGTERM or SIGINT, when requests under way are answered. Raises `CannotListen`."""
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        loop.add_signal_handler(signal.SIGHUP, self.reload)
        async with AsyncExitStack() as stack:
            stack.callback(self._registry.close)
            stack.push_async_callback(_cancel, loop.create_task(self._keep_requests()))
            stack.push_async_callback(_cancel, loop.create_task(self._access_log.keep_writing()))
            runners: list[web.AppRunner] = []
            logger = self._access_log.logger()
            stack.push_async_callback(_end, runners)
            runners.append(await _listen(self._application(), self._settings, logger, self._context))
            if self._settings.plain is not None:
                plain = plain_application(self._registry, self._certificates.ca.read_bytes)
                runners.append(await _listen(plain, replace(self._settings, listen=self._settings.plain), logger))
            housekeeping = loop.create_task(self._keep_house())
            stack.callback(housekeeping.cancel)
            watching = loop.create_task(self._watch.keep_watching())
            stack.callback(watching.cancel)
            if self._settings.scrub:
                scrubber = Scrubber(self._registry.store, self._settings.scrub)
                stack.push_async_callback(_cancel, loop.create_task(scrubber.keep_scrubbing()))
            barking = loop.create_task(_keep_watchdog())
            stack.callback(barking.cancel)
            self._announce()
            _tell_systemd("READY=1")
            await stop.wait()
            _tell_systemd("STOPPING=1")
            _log.info("stopping")

    def reload(self) -> None:
        """SIGHUP: looks at the machine's names and addresses again, and at the certificates.

        What is published needs no reload.
        """
        names = self._settings.own_names()
        if self._context is not None:
            if self._certificates.ensure_server(names):
                _log.info("certificate issued again, for %s", ", ".join(names))
            if self._stamp != (stamp := self._certificates.stamp()):
                self._certificates.load_into(self._context)
                self._stamp = stamp
        self._names = names
        self._registry.own_hosts = frozenset(names)

    def _application(self) -> web.Application:
        application = web.Application()
        application[WATCH] = self._watch
        add_registry(application, self._registry, ALL)
        add_files(application, self._registry)
        add_receiving(application, self._registry)
        add_mirrors(application, self._registry)
        add_authority(application, self._certificates.ca.read_bytes)
        add_health(application, self._registry.store)
        add_web(
            application,
            self._registry,
            self._watch,
            authority=self._certificates.ca.read_bytes,
            plain=self._settings.plain,
            counted=self._metrics,
        )
        add_catch_all(application, self._registry)
        return application

    def _announce(self) -> None:
        scheme = "https" if self._settings.tls else "http"
        plain = f" and http://{self._settings.plain}" if self._settings.plain else ""
        _log.info("serving at %s://%s%s, as %s", scheme, self._settings.listen, plain, ", ".join(self._names))
        listening.leave(
            self._registry.store.root,
            Listening(
                main=str(self._settings.listen),
                plain=str(self._settings.plain or ""),
                tls=self._settings.tls,
                open_pulls=self._settings.open_pulls,
                names=self._names,
            ),
        )

    async def _keep_requests(self) -> None:
        requests, names = self._registry.requests, NamesLog(self._registry.store.root)
        await requests.keep_writing(lambda: names.read_into(requests))

    async def _keep_house(self) -> None:
        while True:
            await asyncio.sleep(_HOUSEKEEPING)
            try:
                self._registry.uploads.expire()
                self.reload()  # DHCP had another idea, a certificate ends, or somebody brought another
            except (OSError, Problem):
                _log.exception("housekeeping failed; it is tried again")


async def _listen(
    application: web.Application,
    settings: Settings,
    logger: type[AbstractAccessLogger],
    context: ssl.SSLContext | None = None,
) -> web.AppRunner:
    """Answers at `settings.listen`."""
    address = settings.listen
    runner = Runner(
        application,
        settings.idle,
        access_log_class=logger,
        keepalive_timeout=_KEEPALIVE,
        shutdown_timeout=_SHUTDOWN,
        # what is pushed is stored as it was sent, whatever encoding it claims to have
        auto_decompress=False,
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, address.host, address.port, ssl_context=context, backlog=_BACKLOG).start()
    except OSError as error:
        await runner.cleanup()
        hint = {
            errno.EADDRINUSE: "another program has it: stop that, or choose with --listen and --plain",
            errno.EACCES: "ports below 1024 are root's: choose a higher one, or use crate-appliance service install",
        }.get(error.errno or 0, "choose an address of this machine")
        raise CannotListen(f"cannot listen at {address}: {os.strerror(error.errno or 0)}", hint=hint) from error
    return runner


async def _cancel(task: asyncio.Task[None]) -> None:
    """Ends a task and waits for what it still has to do."""
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def _end(runners: Sequence[web.AppRunner]) -> None:
    """Both ports at once, so that slow clients of one do not add to the wait for those of the other."""
    await asyncio.gather(*(runner.cleanup() for runner in runners))


def run(root: Path, settings: Settings) -> None:
    """Serves the store at `root`, making it if there is none. Raises `AlreadyServing`, `CannotListen`, `NoStore`."""
    _raise_file_limit()
    _bound_heaps()
    # asyncio sets aside this much for what each TLS connection sends us: 256 KiB, idle or not, unless told otherwise
    sslproto.SSLProtocol.max_size = _TLS_RECEIVE
    with Store.open(root) as store, _only_daemon(store):
        asyncio.run(Daemon(store, settings).serve())


@contextmanager
def _only_daemon(store: Store) -> Iterator[None]:
    """Two daemons over one store would wipe each other's uploads."""
    descriptor = os.open(store.daemon_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip() or "unknown"
            raise AlreadyServing(
                f"a daemon serves the store at {store.root} already (process {holder})",
                hint="a new generation needs no other one; stop it first to serve in another way",
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _raise_file_limit() -> None:
    """As many open files as this user may have: every connection is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard if hard != resource.RLIM_INFINITY else soft, hard))


def _bound_heaps() -> None:
    """Keeps glibc from holding on to what threads are done with, 16 MiB of a password's in each (mallopt(3)).

    Other C libraries have no such habits, and no such call.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 2)
        mallopt(_M_MMAP_THRESHOLD, 4 << 20)


async def _keep_watchdog() -> None:
    """Tells systemd that the loop turns, twice as often as it wants to know (sd_watchdog_enabled(3))."""
    wanted = os.environ.get("WATCHDOG_USEC", "")
    if not wanted.isdecimal() or os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return
    while True:
        _tell_systemd("WATCHDOG=1")
        await asyncio.sleep(int(wanted) / 2e6)


def _tell_systemd(state: str) -> None:
    """sd_notify(3), which is one datagram."""
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify, suppress(OSError):
        notify.sendto(state.encode(), f"\0{path[1:]}" if path.startswith("@") else path)
