"""The `[[apt]]` section of a recipe: what of a Debian archive the crate is to carry."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import ConfigDict, StringConstraints, model_validator

from mirror.apt.wishes import Line
from mirror.section import Section, UrlText, parsed, refusal

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
Word = Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]


def _line(text: str) -> str:
    Line.parse(text)
    return text


LineText = Annotated[str, parsed(_line)]


def _kebab(name: str) -> str:
    return name.replace("_", "-")


class AptSection(Section):
    """One repository, as the crate will publish it: `apt/<name>/`.

    Several sections may share a name; each is resolved for itself, so packages that conflict go into two sections.
    """

    model_config = ConfigDict(alias_generator=_kebab, populate_by_name=True)

    name: Name
    """The published repository."""

    url: UrlText | None = None
    """The archive. Without it, this machine's own apt sources are used."""

    suites: tuple[Word, ...] = ()
    """`bookworm`, `bookworm-updates` …; with `url` at least one, else those of this machine to keep (all)."""

    components: tuple[Word, ...] = ()
    """With `url` `main` unless said otherwise, else those of this machine to keep (all)."""

    architectures: tuple[Word, ...] = ()
    """Debian's names. Those of the recipe's platforms unless said otherwise."""

    packages: tuple[LineText, ...] = ()
    """As apt takes them: `chrony`, `chrony=4.3-2`, `chrony/bookworm-backports`, `chrony:arm64`, `a | b (>= 2)`."""

    recommends: bool = False
    """Whether Recommends are taken along. What they would cost is reported either way."""

    exclude: tuple[Word, ...] = ()
    """Names that may not be chosen."""

    base: str | tuple[Word, ...] | None = None
    """What the nodes have already: a dpkg status file (`{architecture}` in its name is filled in), a list of names, or
    `essential`. Without it the closure reaches down to the C library."""

    debs: tuple[Word, ...] = ()
    """Local .deb files, wildcards allowed. Each is wanted in exactly its version."""

    keyrings: tuple[Word, ...] = ()
    """Files of the keys that upstream is believed by. This machine's apt's unless said otherwise."""

    by_hash: bool | None = None
    """False for an archive whose by-hash folders are broken."""

    check_valid_until: bool | None = None
    """False for a snapshot, whose indexes are meant to be old."""

    publish_suite: Name | None = None
    """The suite that nodes will name. The codename of the first suite unless said otherwise."""

    @model_validator(mode="after")
    def _asks_for_something(self) -> Self:
        if not self.packages and not self.debs:
            raise refusal(f"apt {self.name!r} asks for nothing", "name `packages`, or local files in `debs`")
        if self.url is not None and not self.suites:
            raise refusal(f"apt {self.name!r}: a `url` needs `suites`", 'for example suites = ["bookworm"]')
        return self

    @property
    def automatic(self) -> bool:
        """Whether nodes may upgrade from the repository: only what they have tells what an upgrade takes along."""
        return self.base is not None and self.base != "essential"
