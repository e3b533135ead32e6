"""The recipe, `bundle.toml`: what a person writes, checked so that a mistake is named where it stands.

The recipe travels in the crate, so no secret may: a user or password in a URL is refused, and queries are taken out
of the copy that travels.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    field_validator,
    model_validator,
)

from archive.errors import Problem
from archive.names import check_distinct
from archive.platforms import Platform
from archive.references import Reference
from archive.release import LARGEST_SERIAL, NAME
from bundler.errors import RecipeInvalid
from bundler.stick.section import ApplianceSection
from console import toml_lines
from console.toml_document import Document, Kind
from mirror import origins
from mirror.apt.section import AptSection
from mirror.files.section import FileSection
from mirror.helm.section import ChartSection
from mirror.npm.section import NpmSection
from mirror.pypi.section import PypiSection
from mirror.section import PlatformText, Section, parsed, refusal

DEFAULT_PLATFORMS = (Platform("linux", "amd64"), Platform("linux", "arm64"))
K3S_ARCHITECTURES = ("amd64", "arm64", "arm")
_K3S_VERSION = re.compile(r"v\d+\.\d+\.\d+(?:-rc\d+)?\+k3s\d+")
_USER_INFO = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)[^\s/\"'<>?#]*@")
_QUERY = re.compile(r"(https?://[^\s\"'<>?#]+)[?#][^\s\"'<>]*")
_FOLDER = re.compile(r"file:/[^\s\"'<>,;)]*")
_KIND = Kind("the recipe", "docs/recipe.md lists every key", RecipeInvalid)

ReferenceText = Annotated[Reference, parsed(Reference.parse)]


class CrateSection(Section):
    """`[crate]`: what the archive is called and for whom it is. `serial` rises with every release of a name.

    `profiles` are names, or folders beside the recipe (`./mine`), of what a cluster may be given out of the crate.
    """

    name: StrictStr
    channel: StrictStr = "stable"
    serial: Annotated[StrictInt, Field(ge=1, le=LARGEST_SERIAL)] | Literal["auto"] = "auto"
    platforms: tuple[PlatformText, ...] = DEFAULT_PLATFORMS
    expires: datetime | None = None
    profiles: tuple[StrictStr, ...] = ()

    @field_validator("name", "channel")
    @classmethod
    def _check_word(cls, word: str) -> str:
        if not NAME.fullmatch(word):
            raise refusal(f"{word[:80]!r} cannot be part of a file name everywhere", "use a-z, 0-9, '.', '_' and '-'")
        return word

    @field_validator("serial", mode="before")
    @classmethod
    def _check_serial(cls, value: object) -> object:
        if value != "auto" and (
            isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= LARGEST_SERIAL
        ):
            raise refusal('a serial is a whole number above 0, or "auto" for the UTC time')
        return value

    @field_validator("expires", mode="before")
    @classmethod
    def _check_expires(cls, value: object) -> object:
        if isinstance(value, datetime):
            return value if value.tzinfo else value.replace(tzinfo=UTC)
        if isinstance(value, date):
            return datetime(value.year, value.month, value.day, tzinfo=UTC)
        raise refusal("expires is a date", "write it like expires = 2027-06-30, without quotes")

    @field_validator("platforms")
    @classmethod
    def _check_platforms(cls, value: tuple[Platform, ...]) -> tuple[Platform, ...]:
        if not value:
            raise refusal("a crate is for one platform at least", 'write platforms = ["linux/arm64", "linux/amd64"]')
        return value


class K3sSection(Section):
    """`[k3s]`: the release to install. `airgap` takes its image tarballs instead of the images one by one."""

    version: StrictStr
    airgap: StrictBool = False

    @field_validator("version")
    @classmethod
    def _check_version(cls, version: str) -> str:
        if not _K3S_VERSION.fullmatch(version):
            raise refusal(f"{version[:40]!r} is not a k3s release", "write it whole, like v1.36.4+k3s1")
        return version


class ImageSection(Section):
    """`[[images]]`: one image, from a registry (`ref`) or from a local layout or archive (`layout` and `name`)."""

    ref: ReferenceText | None = None
    layout: StrictStr = ""
    name: ReferenceText | None = None
    referrers: StrictBool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.ref is None) == (not self.layout):
            raise refusal("an image comes from a registry or from a local layout", "write ref = … or layout = …")
        if self.layout and self.name is None:
            raise refusal("a local image needs the name that the crate serves it under", 'add name = "…/app:1.0"')
        if self.ref is not None and self.name is not None:
            raise refusal("name goes with layout; an image from a registry keeps its own", "remove name")
        if self.name is not None and self.name.digest:
            raise refusal("the name of a local image has a tag, not a digest", "its digest follows from its content")
        return self

    @property
    def reference(self) -> Reference:
        """What the crate serves it under."""
        chosen = self.ref or self.name
        assert chosen is not None, "the validator sees to it"  # noqa: S101 - narrows the type
        return chosen


class Contents(BaseModel):
    """The whole recipe, validated."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    crate: CrateSection
    k3s: K3sSection | None = None
    appliance: ApplianceSection | None = None
    images: tuple[ImageSection, ...] = ()
    files: tuple[FileSection, ...] = ()
    apt: tuple[AptSection, ...] = ()
    pypi: tuple[PypiSection, ...] = ()
    npm: tuple[NpmSection, ...] = ()
    charts: tuple[ChartSection, ...] = ()
    upstreams: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.k3s:
            for platform in self.k3s.platforms or self.crate.platforms:
                if platform.os != "linux" or platform.architecture not in K3S_ARCHITECTURES:
                    raise refusal(f"there is no k3s for {platform}", "give [k3s] platforms of its own")
        if self.appliance:
            self.appliance.check(self.crate.platforms, [section.name for section in self.apt])
        served = [str(served_name(image.reference)) for image in self.images]
        for name in served:
            if served.count(name) > 1:
                raise refusal(f"the image {name} is asked for twice", "remove one of the two")
        try:
            check_distinct(request.name for section in self.files for request in section.requests(self.crate.platforms))
        except Problem as problem:
            raise refusal(problem.what, "give one of them another name") from problem
        return self


def served_name(reference: Reference) -> Reference:
    """What the crate serves an image under: its tag when it has one, even if a digest pins it."""
    return replace(reference, digest=None) if reference.tag else reference


@dataclass(frozen=True)
class Recipe:
    """A recipe as read from `path`. `travelling` is the text that goes into the crate."""

    path: Path
    contents: Contents
    travelling: bytes

    @classmethod
    def load(cls, path: Path) -> Recipe:
        """Raises `RecipeInvalid`, each line of it beginning with file and line."""
        document = Document.read(path, _KIND, absent="crate-bundle init writes one to begin with")
        _refuse_user_info(path, document.text)
        contents = document.validated(Contents)
        travelling = without_queries(document.text)
        _refuse_hidden_query(path, tomllib.loads(travelling))
        return cls(path, contents, travelling.encode())

    def line(self, *key: str | int) -> int:
        """Where `key` stands in the file, for a mistake that is found later."""
        return toml_lines.line_of(toml_lines.lines(self.travelling.decode()), key)

    @property
    def base(self) -> Path:
        """The folder that local paths are relative to."""
        return self.path.parent

    @property
    def sha256(self) -> str:
        """Names the recipe in its lock."""
        return hashlib.sha256(self.travelling).hexdigest()

    def urls(self) -> dict[str, list[str]]:
        """For every public origin of a file the URLs that it is fetched from, queries included."""
        found: dict[str, list[str]] = {}
        for section in self.contents.files:
            for request in section.requests(self.contents.crate.platforms):
                if request.url:
                    found.setdefault(origins.public_url(request.url), []).append(request.url)
        return found


def without_queries(text: str) -> str:
    """`text` with the queries and fragments of its URLs taken out."""
    return _QUERY.sub(r"\1", text)


def without_secrets(text: str) -> str:
    """`text` with its URLs as they may travel: without user, password, query, fragment, and a machine's own folders."""
    return _FOLDER.sub("file:…", without_queries(_USER_INFO.sub(r"\1", text)))


def _refuse_user_info(path: Path, text: str) -> None:
    """Also in comments: they travel too."""
    for number, line in enumerate(text.splitlines(), start=1):
        if _USER_INFO.search(line):
            raise RecipeInvalid(
                f"{path}:{number}: this URL holds a user or password, and the recipe travels in the crate",
                hint="put credentials where their client has them (~/.docker/config.json, ~/.netrc, .npmrc, apt's "
                "auth.conf), or into ~/.config/buzzcrate/upstreams.toml",
            )


def _refuse_hidden_query(path: Path, raw: object) -> None:
    """A query spelled with TOML escapes would get past the text; nobody needs that."""
    for text in _strings(raw):
        if _USER_INFO.search(text) or _QUERY.search(text):
            raise RecipeInvalid(f"{path}: write the URL {origins.public_url(text)} without escapes")


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)
