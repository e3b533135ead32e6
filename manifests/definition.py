"""`profile.toml`: what a profile needs of the crate, what a site may choose about it, and how one sees it work."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr, field_validator, model_validator

from archive.errors import Problem
from archive.references import Reference
from console.toml_document import refusal

LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
"""A name that Kubernetes takes for anything (RFC 1123)."""

PACKAGE = re.compile(r"[a-z0-9][a-z0-9@._+-]+")
"""What the package managers of nodes call packages (Debian Policy, 5.6.1; PKGBUILD(5), pkgname)."""

Components = Literal["coredns", "servicelb", "traefik", "local-storage", "metrics-server", "runtimes"]


def _label(word: str) -> str:
    if not LABEL.fullmatch(word):
        raise refusal(f"{word[:80]!r} is no name in a cluster", "use a-z, 0-9 and '-', at most 63 of them")
    return word


def _reference(text: str) -> str:
    try:
        Reference.parse(text)
    except Problem as problem:
        raise refusal(problem.what, problem.hint) from problem
    return text


class Table(BaseModel):
    """A table of profile.toml: unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class About(Table):
    """`[profile]`. `memory` (MiB) is what its pods take together once they run, for the plan.

    `packages` are Debian's, wanted on every node; `disable` are components of k3s that it stands in for.
    """

    name: StrictStr
    about: StrictStr
    namespaces: tuple[StrictStr, ...] = ()
    memory: Annotated[StrictInt, Field(ge=0)] = 0
    packages: tuple[StrictStr, ...] = ()
    disable: tuple[Components, ...] = ()

    _name = field_validator("name")(_label)

    @field_validator("namespaces")
    @classmethod
    def _check_namespaces(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(_label, names))

    @field_validator("packages")
    @classmethod
    def _check_packages(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if not PACKAGE.fullmatch(name):  # an option of apt-get, for instance
                raise refusal(f"{name[:80]!r} is not the name of a package")
        return names


class Image(Table):
    """`[[images]]`: one image that its pods run; from a registry, or with `layout` from beside profile.toml."""

    ref: StrictStr
    layout: StrictStr = ""

    _ref = field_validator("ref")(_reference)


class Chart(Table):
    """`[[charts]]`: one chart, in exactly this version, since its images are named by hand.

    `values` is a file of the profile. The release is called as the chart is. Without a `repository` it is one that k3s
    itself brings along, and only its values are changed.
    """

    name: StrictStr
    repository: StrictStr = ""
    version: StrictStr = ""
    namespace: StrictStr = ""
    values: StrictStr = ""

    _name = field_validator("name")(_label)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.repository:
            if self.version or self.namespace or not self.values:
                raise refusal("a chart without a repository is one of k3s: it only takes values", "write values = …")
            return self
        if not re.fullmatch(r"v?\d+\.\d+\.\d+[0-9A-Za-z.+-]*", self.version):
            raise refusal(f"{self.version!r} is not one version", "write it whole, like 1.2.3: its images go with it")
        _label(self.namespace)
        return self


class Setting(Table):
    """`[[settings]]`: one thing that a site may choose. Without a `default` it has to.

    A `choice` has its words in `choices`, each with what stands for it in the manifests: any value, a table too. A
    `default` that is text may hold placeholders of the site.
    """

    name: StrictStr
    type: Literal["text", "number", "flag", "choice", "quantity", "addresses"]
    about: StrictStr
    default: Any = None
    choices: dict[str, Any] = Field(default_factory=dict)

    _name = field_validator("name")(_label)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.type == "choice") != bool(self.choices):
            raise refusal("a choice has choices, and nothing else has", 'write type = "choice" and [settings.choices]')
        return self


class Check(Table):
    """`[[checks]]`: what is asked from every node when all is deployed.

    `{node}` in `url` is the asking node's address, `{web.demo}` the address of the service `web` in the namespace
    `demo`. With `when` (as in `[when]`) it is asked only then.
    """

    name: StrictStr
    url: StrictStr
    host: StrictStr = ""
    status: StrictInt = 200
    text: StrictStr = ""
    when: StrictStr = ""


class Definition(Table):
    """The whole of profile.toml. `when` says of a manifest which setting must hold: `NAME`, or `NAME=VALUE`."""

    profile: About
    images: tuple[Image, ...] = ()
    charts: tuple[Chart, ...] = ()
    settings: tuple[Setting, ...] = ()
    checks: tuple[Check, ...] = ()
    when: dict[str, StrictStr] = Field(default_factory=dict)

    @field_validator("settings", "charts", "checks")
    @classmethod
    def _each_once(cls, members: tuple[Any, ...]) -> tuple[Any, ...]:
        names = [member.name for member in members]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise refusal(f"{twice} is there twice", "give one of them another name")
        return members
