"""The options that say how to serve, as one value: `serve` goes by it, `service install` writes it into the unit."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from appliance import daemon
from appliance.addresses import Address
from appliance.daemon import Settings
from appliance.scrubbing.background import RATE
from appliance.web.access_log import SIZE

_OPTIONS = (
    click.option("--listen", default=daemon.LISTEN, show_default=True, help="HOST:PORT of the HTTPS port."),
    click.option("--plain", default=daemon.PLAIN, show_default=True, help="HOST:PORT of the plain port."),
    click.option("--no-plain", is_flag=True, help="No plain port at all."),
    click.option("--name", "names", multiple=True, help="A further host name or address of this crate."),
    click.option("--no-redirect", is_flag=True, help="Send blobs over TLS too (behind NAT or in a tunnel, say)."),
    click.option("--private", is_flag=True, help="Pulls need a token as well."),
    click.option(
        "--access-log",
        type=click.IntRange(min=0),
        default=SIZE,
        show_default=True,
        help="MiB that the log of all requests may take, in logs/ of the store; 0 for none.",
    ),
    click.option(
        "--idle",
        type=click.FloatRange(min=0, min_open=True),
        default=daemon.IDLE,
        show_default=True,
        help="Seconds that a client may be silent in the middle of a transfer.",
    ),
    click.option(
        "--scrub",
        type=click.FloatRange(min=0),
        default=RATE,
        show_default=True,
        help="MiB a second that are read again in the background and compared, once a week; 0 for never.",
    ),
)


def serving_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options to a verb, which is given them as `settings`."""

    @functools.wraps(function)
    def with_settings(
        *arguments: Any,
        listen: str,
        plain: str,
        no_plain: bool,
        names: tuple[str, ...],
        no_redirect: bool,
        private: bool,
        access_log: int,
        idle: float,
        scrub: float,
        **others: Any,
    ) -> Any:
        settings = Settings(
            listen=Address.parse(listen),
            plain=None if no_plain else Address.parse(plain),
            names=names,
            redirect=not no_redirect,
            open_pulls=not private,
            access_log=access_log,
            idle=idle,
            scrub=scrub,
        )
        return function(*arguments, settings=settings, **others)

    return functools.reduce(lambda verb, option: option(verb), reversed(_OPTIONS), with_settings)


def words(settings: Settings) -> list[str]:
    """The options again, as they are typed; `tls` has none in a service."""
    plain = ["--no-plain"] if settings.plain is None else ["--plain", str(settings.plain)]
    names = [word for name in settings.names for word in ("--name", name)]
    flags = ["--no-redirect"] * (not settings.redirect) + ["--private"] * (not settings.open_pulls)
    idle = [] if settings.idle == daemon.IDLE else ["--idle", f"{settings.idle:g}"]
    log = [] if settings.access_log == SIZE else ["--access-log", str(settings.access_log)]
    scrub = [] if settings.scrub == RATE else ["--scrub", f"{settings.scrub:g}"]
    return ["--listen", str(settings.listen), *plain, *names, *flags, *log, *idle, *scrub]
