"""HTML out of the templates beside this module. Everything that is filled in is escaped; nothing is marked as safe."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from console import units

if TYPE_CHECKING:
    from jinja2 import Environment

_HERE = Path(__file__).parent
STATIC: Mapping[str, str] = {
    "style.css": "text/css; charset=utf-8",
    "crate.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
KIND_NAMES: Mapping[str, str] = {
    "image": "Images",
    "chart": "Charts",
    "apt": "Debian packages",
    "pypi": "Python packages",
    "npm": "Node.js packages",
    "file": "Files",
}
"""In the order in which they are shown."""


def page(template: str, values: Mapping[str, Any]) -> str:
    return _environment().get_template(f"{template}.html").render(values)


@lru_cache
def static(name: str) -> bytes:
    return (_HERE / "static" / name).read_bytes()


@lru_cache
def address_of(name: str) -> str:
    """Where a static file is served; another content has another address, so browsers may keep it for good."""
    return f"/page/{hashlib.sha256(static(name)).hexdigest()[:12]}/{name}"


@lru_cache(maxsize=1)
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415 - loaded with the first page

    made = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters |= {"size": units.size, "duration": units.duration, "day": day, "moment": moment, "grouped": grouped}
    made.globals |= {"static": address_of, "kind_names": KIND_NAMES}
    return made


def day(seconds: float) -> str:
    """`23 November 2026`; a dash for the times that boards without a clock know."""
    at = datetime.fromtimestamp(seconds, UTC)
    return "—" if at.year < 1971 else f"{at.day} {at:%B %Y}"


def moment(seconds: float) -> str:
    """`23 November 2026, 13:05 UTC`."""
    said = day(seconds)
    return said if said == "—" else f"{said}, {datetime.fromtimestamp(seconds, UTC):%H:%M} UTC"


def grouped(number: int) -> str:
    """`20 000`, by narrow spaces that do not break."""
    return f"{number:,}".replace(",", "\u202f")
