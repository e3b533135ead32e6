"""Catalogue items of packages: one for each package and the architecture whose index will list it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from archive.catalogue import File, Item
from archive.names import check_file_name
from mirror.apt.architectures import platform_of
from mirror.apt.packages import Origin, Package
from mirror.apt.section import AptSection
from mirror.apt.upstream import Suite
from mirror.origins import public_url

LOCAL = Origin("local files", "debs", "main", order=-1)
"""The origin of packages that the recipe brings as files."""

MEDIA_TYPE = "application/vnd.debian.binary-package"


class Items:
    """Makes the items of one section. `files` says where a local package lies, by its sha256."""

    def __init__(self, section: AptSection, suites: Sequence[Suite], files: Mapping[str, str]) -> None:
        self._section = section
        self._suites = {suite.url: suite for suite in suites}
        self._codename = section.publish_suite or _codename(suites[0])
        self._files = files

    def make(self, package: Package, architecture: str) -> Item:
        """Raises `BadIndex` or `InvalidValue` when upstream's names may not be published."""
        section, source = self._section, package.source[0]
        origin, evidence = self._where(package)
        return Item(
            kind="apt",
            name=package.name,
            version=package.version,
            platform=platform_of(architecture),
            origin=origin,
            files=(File(package.sha256, package.size, self._path(package, source), MEDIA_TYPE),),
            evidence=evidence,
            publish={
                "repository": section.name,
                "suite": self._codename,
                "component": package.origin.component or "main",
                "architecture": architecture,
                "source": source,
                "automatic": section.automatic,
                "stanza": package.text,
            },
        )

    def _path(self, package: Package, source: str) -> str:
        # The digest keeps apart what upstream files under one name: an epoch is no part of a file name.
        version = package.version.partition(":")[2] or package.version
        file = f"{package.name}_{version}_{package.architecture}.deb"
        component = package.origin.component or "main"
        return check_file_name(f"{self._section.name}/pool/{component}/{source}/{package.sha256[:8]}/{file}")

    def _where(self, package: Package) -> tuple[str, dict[str, str]]:
        if package.origin is LOCAL:
            return self._files[package.sha256], {"local": package.sha256}
        suite = self._suites[package.origin.evidence]
        return public_url(f"{suite.source.url}/{package.filename}"), suite.evidence


def _codename(suite: Suite) -> str:
    return (suite.release.codename or suite.source.suite).strip("./").replace("/", "-") or "stable"
