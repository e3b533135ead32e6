"""Chart.yaml, in the types that helm reads it with, and the names that end in paths.

Helm reads an index.yaml as a whole: one number where it wants a list, in one chart, and it has none of them. So what a
chart says of itself is brought into helm's types here, or refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from archive.errors import InvalidValue
from archive.names import check_file_name
from mirror import yaml_documents
from mirror.errors import BadIndex
from mirror.helm.constraints import parse_version

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,248}[A-Za-z0-9])?")


def check_name(name: str) -> str:
    """Raises `BadIndex` for what is not the name of a chart."""
    if not _NAME.fullmatch(name) or ".." in name:
        raise BadIndex(f"{name[:260]!r} is not the name of a chart")
    return name


def file_name(name: str, version: str) -> str:
    """What `helm package` would call it. Raises `BadIndex`."""
    try:
        parse_version(version)
        return check_file_name(f"{check_name(name)}-{version}.tgz")
    except InvalidValue as error:
        raise BadIndex(f"the chart {name} {version[:100]!r}: {error.what}") from error


@dataclass(frozen=True, slots=True)
class Dependency:
    """`repository` is empty for what is meant to lie in `charts/` already."""

    name: str
    constraint: str
    repository: str


@dataclass(frozen=True, slots=True)
class Metadata:
    """A chart's own word on itself; `document` is all of it that helm knows."""

    name: str
    version: str
    dependencies: tuple[Dependency, ...]
    document: Mapping[str, Any]


def _spelled(value: object) -> object:
    """An annotation of `true` is meant as the word."""
    return str(value).lower() if isinstance(value, bool) else value


_Text = Annotated[str, BeforeValidator(_spelled)]


class _Document(BaseModel):
    """Numbers become text, as helm makes them; fields that helm does not know are left out, as it does."""

    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True, populate_by_name=True)


class _Maintainer(_Document):
    name: str | None = None
    email: str | None = None
    url: str | None = None


class _Dependency(_Document):
    name: str
    version: str | None = None
    repository: str | None = None
    condition: str | None = None
    tags: list[str] | None = None
    enabled: bool | None = None
    import_values: list[Any] | None = Field(None, alias="import-values")
    alias: str | None = None


class _Chart(_Document):
    """Chart.yaml (Helm's documentation, "The Chart.yaml File")."""

    api_version: str | None = Field(None, alias="apiVersion")
    name: str
    version: str
    kube_version: str | None = Field(None, alias="kubeVersion")
    description: str | None = None
    type: str | None = None
    keywords: list[str] | None = None
    home: str | None = None
    sources: list[str] | None = None
    dependencies: list[_Dependency] | None = None
    maintainers: list[_Maintainer] | None = None
    icon: str | None = None
    app_version: str | None = Field(None, alias="appVersion")
    deprecated: bool | None = None
    annotations: dict[str, _Text] | None = None
    condition: str | None = None
    tags: str | None = None


def parse(chart: bytes, what: str, requirements: bytes | None = None) -> Metadata:
    """Chart.yaml, and the requirements.yaml where charts of API version v1 have their dependencies.

    Raises `BadIndex`.
    """
    document = yaml_documents.parse(chart, what)
    if requirements is not None and isinstance(document, dict) and "dependencies" not in document:
        listed = yaml_documents.parse(requirements, f"requirements.yaml beside {what}")
        document["dependencies"] = listed.get("dependencies") if isinstance(listed, dict) else None
    try:
        read = _Chart.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "it"
        raise BadIndex(f"{what} is not a Chart.yaml: {where}: {first['msg']}") from error
    file_name(read.name, read.version)
    dependencies = tuple(
        Dependency(check_name(each.name), each.version or "", each.repository or "") for each in read.dependencies or ()
    )
    return Metadata(read.name, read.version, dependencies, read.model_dump(by_alias=True, exclude_none=True))
