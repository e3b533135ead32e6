"""`[[charts]]`: one chart of a recipe."""

from __future__ import annotations

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, model_validator

from archive.references import is_repository
from mirror.helm.constraints import Constraint
from mirror.helm.metadata import check_name
from mirror.section import check_url, parsed, refusal

PACKED = "made:chart"
"""The origin of a chart that was packed from a folder."""


def _repository(url: str) -> str:
    """An HTTP repository, or `oci://host/path`, below which the registry has a repository for each chart."""
    if not url.startswith("oci://"):
        return check_url(url).rstrip("/")
    parts = urlsplit(url)
    if "@" in parts.netloc or not parts.hostname or not is_repository(parts.path.strip("/") or "-"):
        raise refusal(f"{url[:200]!r} is not a place in a registry", "write it like oci://ghcr.io/team/charts")
    return url.rstrip("/")


def _constraint(text: str) -> str:
    Constraint.parse(text)
    return text


RepositoryText = Annotated[str, parsed(_repository)]
ConstraintText = Annotated[str, parsed(_constraint)]
NameText = Annotated[str, parsed(check_name)]


class ChartSection(BaseModel):
    """Either a `name` in a `repository`, of the newest `version` that fits, or a local `path`.

    `path` is a folder or a packed chart. With a `keyring` (relative to the recipe) the chart must have a provenance
    file that one of its keys signed. Charts are the same on every platform.

    `images` says what becomes of the images that the chart runs when it is installed with `values` (files, relative to
    the recipe): whether the recipe must name them all, they are added, or nobody looks.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: NameText | None = None
    repository: RepositoryText = ""
    version: ConstraintText = ""
    path: str = ""
    keyring: str = ""
    values: tuple[str, ...] = ()
    images: Literal["check", "add", "ignore"] = "check"

    @model_validator(mode="after")
    def _is_one_or_the_other(self) -> Self:
        if bool(self.path) == bool(self.name) or bool(self.name) != bool(self.repository):
            raise refusal("a chart has either a path, or a name and a repository")
        if self.path and self.version:
            raise refusal("a local chart has the version that its Chart.yaml says", "leave `version` out")
        return self
