"""A command group whose verbs are modules, imported when they are asked for.

`crate-appliance status` should not wait for the web server's import, nor `serve` for the importer's.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click


class Verbs(click.Group):
    """`verbs` are named as users write them; the verb `client-setup` is `client_setup` of `<package>.client_setup`."""

    def __init__(self, *arguments: Any, package: str, verbs: Sequence[str], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._package = package
        self._verbs = verbs

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._verbs:
            return None
        word = cmd_name.replace("-", "_")
        verb: click.Command = getattr(import_module(f"{self._package}.{word}"), word)
        return verb
