"""The option of verbs that become root on nodes with a password."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click


def sudo_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--sudo-password` asks for it; it is given as `sudo_password`, empty without the option."""
    return click.option(
        "--sudo-password",
        is_flag=True,
        callback=lambda _context, _parameter, asked: (
            click.prompt("Password for sudo", hide_input=True, err=True) if asked else ""
        ),
        help="Ask for the password that sudo wants on the nodes.",
    )(function)
