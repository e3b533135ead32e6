"""`[[npm]]`: what a recipe says about packages of Node.js."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from mirror.errors import BadIndex
from mirror.npm.names import check_name
from mirror.section import Section, UrlText, parsed, refusal

# A range or a tag; what holds a colon or a slash is a repository, a folder or an address, which no registry serves.
_RANGE = re.compile(r"[^/:@\s-][^/:@]{0,200}")


def split_spec(spec: str) -> tuple[str, str]:
    """`@scope/name@^1.2` into name and range; without a range it is empty. Raises `BadIndex` for no such thing."""
    name, at, wanted = spec[1:].partition("@")
    name = check_name(spec[0] + name) if spec else check_name(spec)
    if at and not _RANGE.fullmatch(wanted):
        raise BadIndex(f"{spec[:200]!r} names no version, range or tag", hint="write it like esbuild@^0.28")
    return name, wanted


def _spec(text: str) -> str:
    try:
        split_spec(text)
    except BadIndex as error:
        raise refusal(error.what, error.hint or "write it like esbuild or @scope/name@^1.2") from error
    return text


SpecText = Annotated[str, parsed(_spec)]


class NpmSection(Section):
    """Packages by name, which npm resolves together, and locks, which are taken as they stand.

    `locks` are package-lock.json and npm-shrinkwrap.json (versions 2 and 3) and pnpm-lock.yaml (6 and 9). `registry` is
    what this machine's npm is configured with unless given; scopes keep the registry that npm has for them.
    """

    packages: tuple[SpecText, ...] = ()
    locks: tuple[str, ...] = ()
    libc: Annotated[tuple[Literal["glibc", "musl"], ...], Field(min_length=1)] = ("glibc",)
    registry: UrlText = ""

    @model_validator(mode="after")
    def _asks_for_something(self) -> Self:
        if not (self.packages or self.locks):
            raise refusal("[[npm]] asks for nothing", "give it packages or locks")
        return self
