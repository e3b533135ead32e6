"""The frame around both command lines: one place where problems become lines and exit codes."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

import click

from archive.errors import Problem
from console.visible import visible

JSON_OPTION = click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON document.")
INTERRUPTED = 130


def run(group: click.Group, program: str) -> None:
    """Runs `group` as `program` and ends the process.

    0 done, 1 failed, 2 wrong use or wrong input, 3 refused for trust, 130 interrupted (running it again goes on).
    """
    try:
        code = group.main(prog_name=program, standalone_mode=False) or 0
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo(f"{program}: interrupted; the same command goes on from here", err=True)
        code = INTERRUPTED
    except Problem as error:
        click.echo(visible(f"{program}: {error.what}"), err=True)
        if error.hint:
            click.echo(visible(f"  hint: {error.hint}"), err=True)
        code = error.exit_code
    except BrokenPipeError:
        # the reader of our output went away (`| head`); keep the interpreter from complaining at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except OSError as error:
        where = f" {error.filename}:" if error.filename else ""
        click.echo(f"{program}:{where} {error.strerror or error}", err=True)
        code = 1
    sys.exit(code if isinstance(code, int) else 0)


def emit(result: Any, as_json: bool, text: Callable[[], str]) -> None:
    """Prints `result` for a script or `text()` for a person."""
    click.echo(json.dumps(result, indent=2, sort_keys=True) if as_json else visible(text()))
