"""The files that a node's k3s starts from, and putting them there."""

from __future__ import annotations

from dataclasses import dataclass

from deploys import operations
from deploys.k3s import layout, units
from deploys.order import Artifact, Role
from deploys.running import Run


@dataclass(frozen=True, slots=True)
class Placement:
    """All of it: the binary and perhaps a tarball of images by digest, the rest as text."""

    role: Role
    binary: Artifact
    images: Artifact | None
    config: str
    token: str
    registration: str
    registries: str

    @property
    def started(self) -> str:
        """What the unit writes down once it has started from just this."""
        return units.started_with(self.role, self.binary.sha256, self.config, self.token, self.registries)


def fetch(run: Run, place: Placement, to: str) -> None:
    """The binary to `to`, and the tarball of images to where k3s imports it from at its next start."""
    run.add(operations.fetch, name="k3s", artifact=place.binary, to=to, mode="755")
    if place.images is not None:
        tarball = f"{layout.IMAGES}/k3s-airgap-images.tar.zst"
        run.add(operations.fetch, name="k3s's images", artifact=place.images, to=tarball, mode="644")


def configure(run: Run, place: Placement) -> None:
    """Settings, token and unit; nothing is started."""
    run.add(operations.keep, name="k3s's settings", path=layout.CONFIG, content=place.config, mode="600")
    run.add(operations.keep, name="Token", path=layout.TOKEN, content=place.token, mode="600", secret=True)
    if place.registration:
        text = place.registration
        run.add(operations.keep, name="Labels and taints", path=layout.REGISTRATION, content=text, mode="600")
    else:
        run.add(operations.drop, name="No labels or taints", path=layout.REGISTRATION)
    run.add(operations.keep, name="Registries", path=layout.REGISTRIES, content=place.registries, mode="600")
    unit = layout.unit(place.role)
    run.add(operations.unit, name="k3s's service", unit_name=unit, text=units.text(place.role), enabled=False)
