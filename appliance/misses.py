"""What a request that found nothing was for: its kind and one spelling of its name, or nothing at all when it is noise.

Clients ask for more than their users do: icons, translations, fallbacks, whether they themselves are up to date. One
table decides; the first line that fits is the answer. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from appliance.registry import names
from archive.errors import InvalidValue
from archive.references import Reference
from archive.requests import LONGEST_NAME

_OWN_CHARTS = "charts/"
"""Below this the registry serves every chart (see `mirror.helm.publish`)."""
_PORT = re.compile(r"^([^/]+)_(\d{1,5})/")
_ATTACHED = re.compile(r"sha256-[0-9a-f]{64}(\.\w+)?")
"""Tags that tools probe for what may be attached to an image: cosign's, and the fallback of the referrers API."""


@dataclass(frozen=True, slots=True)
class Miss:
    """`kind` is one of `archive.requests.KINDS`."""

    kind: str
    name: str


# A pattern of the whole path from the server's root, and what it is about; no kind means noise.
_PATHS: tuple[tuple[re.Pattern[str], str, str], ...] = tuple(
    (re.compile(pattern), kind, name)
    for pattern, kind, name in (
        # apt asks for InRelease first, then for its older forms, and for indexes that a Release does not list
        (r"apt/[^/]+/dists/.+/by-hash/.+", "", ""),
        (r"apt/[^/]+/dists/.+/(i18n|dep11|cnf|source|icons)/.+", "", ""),
        (r"apt/[^/]+/dists/.+/Contents-.+", "", ""),
        (r"apt/[^/]+/dists/.+/Release(\.gpg)?", "", ""),
        (r"apt/(?P<repository>[^/]+)/dists/(?P<suite>.+)/InRelease", "suite", "{repository}/{suite}"),
        (
            r"apt/(?P<repository>[^/]+)/dists/(?P<suite>.+?)/[^/]+/binary-(?P<arch>[a-z0-9-]+)/(Packages|Release).*",
            "suite",
            "{repository}/{suite}:{arch}",
        ),
        (
            r"apt/(?P<repository>[^/]+)/pool/.+/(?P<package>[a-z0-9][a-z0-9+.-]+)_[^/_]+_[a-z0-9-]+\.deb",
            "apt",
            "{repository}/{package}",
        ),
        # pip looks for a newer pip after every installation
        (r"pypi/simple/(pip/?)?", "", ""),
        (r"pypi/simple/(?P<project>[^/]+)/?", "pypi", "{project}"),
        (r"pypi/files/.+\.metadata", "", ""),
        (
            r"pypi/files/(?P<project>[^/]+)/[^/-]+-(?P<version>[^/-]+)(-[^/-]+){3,4}\.whl",
            "pypi",
            "{project}=={version}",
        ),
        (r"pypi/files/(?P<project>[^/]+)/.+-(?P<version>[^/-]+)\.(tar\.gz|zip)", "pypi", "{project}=={version}"),
        # npm asks for advisories, for who it is, and for a newer npm
        (r"npm/(-/.*|npm)?", "", ""),
        (
            r"npm/(?P<package>(@[^/]+/)?[^/@-][^/]*)/-/[^/]+?-(?P<version>\d+\.\d[^/]*)\.tgz",
            "npm",
            "{package}@{version}",
        ),
        (r"npm/(?P<package>(@[^/]+/)?[^/@-][^/]*)/(?P<version>\d[^/]*)", "npm", "{package}@{version}"),
        (r"npm/(?P<package>(@[^/]+/)?[^/@-][^/]*)(/latest)?", "npm", "{package}"),
        (r"helm/charts/.+\.prov", "", ""),
        (r"helm/charts/(?P<chart>[^/]+?)-(?P<version>v?\d+\.\d+[^/]*)\.tgz", "chart", "{chart} {version}"),
        (r"files/(?P<file>.+)", "file", "{file}"),
        # browsers, crawlers and scanners
        (r"(.*/)?(favicon\.ico|robots\.txt|sitemap\.xml|apple-touch-icon[^/]*|browserconfig\.xml)", "", ""),
        (r"(\.well-known|\.git|\.env|\.vscode|cgi-bin|wp-[a-z]+|v1|_ping|actuator)(/.*)?", "", ""),
        (r".+\.(php|aspx?|cgi|jsp|map)", "", ""),
        (r"(?P<path>.+)", "path", "{path}"),
    )
)

# Names that no stick brings: what machines ask their own network, and whether there is an internet.
_NAMES = re.compile(
    r"[^.]*"
    r"|(.+\.)?(arpa|local|localdomain|localhost|lan|home|internal|invalid|test|onion|svc|corp)"
    r"|(.+\.)?(wpad|isatap)(\..+)?"
    r"|(.+\.)?_[^.]+\..+"
    r"|(connectivity-?check|connectivity|detectportal|captive|nmcheck|network-test|ipv4only|www\.msft\w+|dns\.msft\w+)\..+"
    r"|(.+\.)?(ntp|time)\d?\..+|(.+\.)?pool\.ntp\.org"
)
_HOST_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})+")


def of_path(path: str) -> Miss | None:
    """`path` from the server's root (`pypi/simple/flask/`), decoded."""
    if len(path) > LONGEST_NAME or not path.isprintable():
        return None
    for pattern, kind, name in _PATHS:
        if found := pattern.fullmatch(path):
            words = {key: value for key, value in found.groupdict().items() if value}
            if "project" in words:
                words["project"] = re.sub(r"[-_.]+", "-", words["project"]).lower()
            return Miss(kind, name.format(**words)) if kind else None
    return None


def of_image(repository: str, reference: str, namespace: str, own_hosts: Collection[str]) -> Miss | None:
    """A manifest by tag or digest, or (`reference` empty) the tags of a repository, which helm asks for."""
    if _ATTACHED.fullmatch(reference):
        return None
    if repository.startswith(_OWN_CHARTS) and not namespace:
        version = "" if ":" in reference else reference.replace("_", "+")
        return Miss("chart", f"{repository.removeprefix(_OWN_CHARTS)} {version}".rstrip())
    if not reference:
        return None
    meant = names.candidates(repository, namespace, own_hosts)
    if not meant or meant[-1].startswith("localhost/"):
        return None
    separator = "@" if ":" in reference else ":"
    path = _PORT.sub(r"\1:\2/", meant[-1])
    try:
        return Miss("image", str(Reference.parse(f"{path}{separator}{reference}")))
    except InvalidValue:
        return None


def of_name(name: str) -> Miss | None:
    """A host name that nobody here could resolve."""
    plain = name.rstrip(".").lower()
    if len(plain) > 253 or not _HOST_NAME.fullmatch(plain) or _NAMES.fullmatch(plain):
        return None
    return Miss("dns", plain)
