"""Profiles: folders that say what a cluster is given, and what the crate must hold for it.

A profile is `profile.toml`, any number of manifests (`*.yaml`, applied in the order of their names) and the values of
its charts. It is read the same from a folder beside a recipe, from a crate, and from this package, which brings
`metallb`, `traefik` and `demo`. docs/profiles.md tells how to write one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from console.toml_document import Document, Kind, nearest
from manifests import coherence, documents, rendering, settings
from manifests.definition import Chart, Definition, Image
from manifests.documents import Object
from manifests.errors import ProfileInvalid, UnknownProfile
from manifests.rendering import Facts, Rendered

Files = Mapping[str, bytes]
"""A profile's files by name; it has no folders inside."""

DEFINITION = "profile.toml"
OWN = Path(__file__).parent
_KIND = Kind("the profile", "docs/profiles.md lists every key", ProfileInvalid)
_FILE = re.compile(r"[a-z0-9]([a-z0-9.-]{0,98}[a-z0-9])?\.(yaml|toml)")
_LIMIT = 1 << 20  # bytes of one file, which is what Kubernetes' own limit for an object comes to


@dataclass(frozen=True)
class Profile:
    """One profile, proven to hold together: every placeholder is known, every image of its manifests is named."""

    definition: Definition
    files: Files = field(repr=False)
    parsed: Mapping[str, list[Object]] = field(repr=False)

    @property
    def name(self) -> str:
        return self.definition.profile.name

    @property
    def images(self) -> tuple[Image, ...]:
        return self.definition.images

    @property
    def charts(self) -> tuple[Chart, ...]:
        return self.definition.charts

    @property
    def packages(self) -> tuple[str, ...]:
        return self.definition.profile.packages

    @property
    def memory(self) -> int:
        """MiB."""
        return self.definition.profile.memory

    @property
    def disable(self) -> tuple[str, ...]:
        """The components of k3s that must not run beside it."""
        return self.definition.profile.disable

    @classmethod
    def parse(cls, name: str, files: Files, where: str) -> Profile:
        """The profile whose files are `files`; `where` is the folder that messages name. Raises `ProfileInvalid`."""
        if DEFINITION not in files:
            raise ProfileInvalid(f"{where} is no profile: it has no {DEFINITION}", hint="docs/profiles.md shows one")
        try:
            text = files[DEFINITION].decode()
        except UnicodeDecodeError as error:
            raise ProfileInvalid(f"{where}/{DEFINITION} is not UTF-8 text") from error
        document = Document.parse(Path(where, DEFINITION), _KIND, text)
        definition = document.validated(Definition)
        if definition.profile.name != name:
            what = f"a profile is called as its folder is, and this is {name}"
            raise document.mistakes([(("profile", "name"), what, f'write name = "{name}"')])
        parsed = {
            file: documents.read(data, f"{where}/{file}")
            for file, data in sorted(files.items())
            if file.endswith(".yaml")
        }
        coherence.check(document, definition, parsed, where)
        return cls(definition, dict(files), parsed)

    def settings(self, values: Mapping[str, object]) -> dict[str, Any]:
        """Every setting with the site's value, or its default. Raises `SettingInvalid`."""
        return settings.chosen(self.definition.settings, values, self.name)

    def render(self, values: Mapping[str, object], facts: Facts) -> Rendered:
        """What a site that chose `values` gets. Raises `SettingInvalid`, `ProfileInvalid`."""
        return rendering.render(self.definition, self.parsed, self.settings(values), frozenset(values), facts)


def own() -> list[str]:
    """The names of the profiles that come with this program."""
    return sorted(path.parent.name for path in OWN.glob(f"*/{DEFINITION}"))


def find(name: str, carried: Mapping[str, Files] | None = None) -> Profile:
    """The profile called `name`: one that a crate carries, else one of ours.

    Raises `UnknownProfile`, `ProfileInvalid`.
    """
    if carried and name in carried:
        return Profile.parse(name, carried[name], name)
    if name not in own():
        known = sorted({*own(), *(carried or ())})
        raise UnknownProfile(f"no profile is called {name}", hint=nearest(name, known))
    return load(OWN / name)


def load(folder: Path) -> Profile:
    """The profile in `folder`. Raises `ProfileInvalid`."""
    if not folder.is_dir():
        raise ProfileInvalid(f"{folder} is not a folder", hint="a profile is a folder with a profile.toml in it")
    files: dict[str, bytes] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix not in {".yaml", ".toml"}:
            continue  # images beside it, notes
        if not _FILE.fullmatch(path.name):
            raise ProfileInvalid(f"{path}: a cluster takes no file of this name", hint="use a-z, 0-9, '.' and '-'")
        if path.stat().st_size > _LIMIT:
            raise ProfileInvalid(f"{path} is larger than {_LIMIT >> 20} MiB")
        files[path.name] = path.read_bytes()
    return Profile.parse(folder.resolve().name, files, str(folder))
