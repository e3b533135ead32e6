"""`[[files]]` of the recipe: one file, or one for each platform where `{arch}` stands in its name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from pydantic import Field, field_validator, model_validator

from archive.errors import Problem
from archive.names import check_file_name
from archive.platforms import Platform
from mirror.section import Section, UrlText, refusal

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_VERSION = re.compile(r"[A-Za-z0-9._+~-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class FileRequest:
    """One file to bring, its templates filled in. `platform` is None where one file serves all of them.

    Exactly one of `url` and `path` (relative to the recipe) is set; `sha256` or `checksums` may be empty.
    """

    name: str
    version: str
    platform: Platform | None
    url: str
    path: str
    sha256: str
    checksums: str


class FileSection(Section):
    """A file from a URL or from beside the recipe, and how its content is pinned.

    `{version}` and `{arch}` are filled in everywhere. `arch` says how upstream spells an architecture
    (`arch = { amd64 = "x86_64" }`); `sha256` is one digest, or a table of them by architecture.
    """

    name: str
    version: str = ""
    url: UrlText = ""
    path: str = ""
    sha256: str | dict[str, str] = ""
    checksums: UrlText = ""
    arch: dict[str, str] = Field(default_factory=dict)

    @field_validator("version")
    @classmethod
    def _check_version(cls, version: str) -> str:
        if not _VERSION.fullmatch(version):
            raise refusal(f"{version[:80]!r} is not a version", "use letters, digits and . _ + ~ -")
        return version

    @field_validator("sha256", mode="before")
    @classmethod
    def _check_sha256(cls, value: object) -> object:
        digests = value.values() if isinstance(value, dict) else [value]
        if not all(isinstance(digest, str) and _SHA256.fullmatch(digest) for digest in digests):
            raise refusal("a sha256 is 64 lower-case hex digits", "sha256sum FILE prints it")
        return value

    @model_validator(mode="after")
    def _check(self) -> Self:
        if bool(self.url) == bool(self.path):
            raise refusal("a file comes from a url or from a path", "write one of the two")
        self._check_pin()
        self._check_templates()
        # also with an example filled in: the templates must not hide a name that a crate cannot carry
        try:
            check_file_name(self._fill(self.name, "arm64"))
        except Problem as problem:
            raise refusal(problem.what, problem.hint) from problem
        return self

    @property
    def per_platform(self) -> bool:
        return "{arch}" in self.name

    def requests(self, platforms: Sequence[Platform]) -> Iterator[FileRequest]:
        """The files this section means, for `platforms` unless it names its own."""
        chosen: Sequence[Platform | None] = self.platforms or platforms
        for platform in chosen if self.per_platform else [None]:
            architecture = platform.architecture if platform else ""
            spelled = self.arch.get(architecture, architecture)
            yield FileRequest(
                name=self._fill(self.name, spelled),
                version=self.version,
                platform=platform,
                url=self._fill(self.url, spelled),
                path=self._fill(self.path, spelled),
                sha256=self.sha256 if isinstance(self.sha256, str) else self.sha256.get(architecture, ""),
                checksums=self._fill(self.checksums, spelled),
            )

    def _check_pin(self) -> None:
        if self.sha256 and self.checksums:
            raise refusal("sha256 and checksums both pin this file", "keep one of them")
        if self.url and not self.sha256 and not self.checksums:
            raise refusal(
                "a file from a URL needs its digest", 'add sha256 = "…", or checksums = the URL of a SHA256SUMS file'
            )
        if self.path and self.checksums:
            raise refusal("checksums belongs to a url; a path is pinned by its content", "remove it, or write sha256")

    def _check_templates(self) -> None:
        fields: Mapping[str, str] = {"name": self.name, "url": self.url, "path": self.path, "checksums": self.checksums}
        used = {word for text in fields.values() for word in _PLACEHOLDER.findall(text)}
        for word in sorted(used - {"version", "arch"}):
            raise refusal(f"{{{word}}} is not filled in", "{version} and {arch} are")
        if "version" in used and not self.version:
            raise refusal("{version} is used, but there is no version", 'add version = "…"')
        if "arch" in used and not self.per_platform:
            raise refusal(
                "{arch} must stand in the name too, or the files of two platforms would have one name",
                'write it like name = "tool-{arch}"',
            )
        if self.per_platform and isinstance(self.sha256, str) and self.sha256:
            raise refusal(
                "one sha256 cannot pin the files of several platforms",
                'write a table: sha256 = { amd64 = "…", arm64 = "…" }',
            )
        if not self.per_platform and isinstance(self.sha256, dict):
            raise refusal("a table of sha256 needs {arch} in the name", 'write sha256 = "…"')

    def _fill(self, text: str, arch: str) -> str:
        return text.replace("{version}", self.version).replace("{arch}", arch)
