"""A chart repository upstream: its index.yaml, and which of its charts a constraint means."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urljoin

from semver import Version

from archive.errors import InvalidValue
from mirror import yaml_documents
from mirror.errors import BadIndex, Unsolvable
from mirror.helm.constraints import Constraint, parse_version

INDEX_LIMIT = 128 << 20
"""Bytes of an index.yaml; the largest public ones have about twenty MiB."""

_SHA256 = re.compile(r"(?:sha256:)?([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Offer:
    """A chart version in an index. `sha256` and `created` are empty where the index does not say."""

    version: str
    url: str
    sha256: str
    created: str


def offers(index: bytes, name: str, base: str) -> list[Offer]:
    """What the index at `base` has of the chart; versions that are none are passed over, as Helm does.

    Raises `BadIndex`, and `Unsolvable` where the repository does not have the chart.
    """
    document = yaml_documents.parse(index, f"index.yaml of {base}")
    entries = document.get("entries") if isinstance(document, dict) else None
    if not isinstance(entries, dict):
        raise BadIndex(f"{base} is not a chart repository: its index.yaml has no entries")
    if name not in entries:
        raise Unsolvable(f"{base} has no chart {name}", hint=_resembling(name, entries))
    return [offer for entry in entries[name] or () if (offer := _offer(entry, name, base)) is not None]


def choose(name: str, constraint: str, offered: Iterable[Offer], where: str) -> Offer:
    """The newest that the constraint admits; a version that is written out exactly is taken whatever it is.

    Raises `Unsolvable`, saying what there is.
    """
    versions: dict[str, tuple[Version, Offer]] = {}
    for offer in offered:
        try:
            versions.setdefault(offer.version, (parse_version(offer.version), offer))
        except InvalidValue:
            continue
    if constraint in versions:
        return versions[constraint][1]
    wanted = Constraint.parse(constraint)
    fitting = [pair for pair in versions.values() if wanted.admits(pair[0])]
    if not fitting:
        newest = sorted(versions.values(), key=lambda pair: pair[0], reverse=True)[:5]
        there = ", ".join(offer.version for _, offer in newest) or "no version at all"
        raise Unsolvable(
            f"{where} has no {name} {constraint or 'that is released'}: it has {there}",
            hint="pre-releases count only where the constraint names one, like >=1.0.0-0",
        )
    return max(fitting, key=lambda pair: pair[0])[1]


def _offer(entry: object, name: str, base: str) -> Offer | None:
    """None for an entry without a version or an address: Helm could not take it either."""
    if not isinstance(entry, Mapping) or not entry.get("version") or not entry.get("urls"):
        return None
    urls: Any = entry["urls"]
    digest = str(entry.get("digest") or "")
    found = _SHA256.fullmatch(digest)
    if digest and found is None:
        raise BadIndex(f"{base} gives {name} {entry['version']} the digest {digest[:100]!r}, which is no sha256")
    if not isinstance(urls, list) or not isinstance(urls[0], str):
        raise BadIndex(f"{base} gives {name} {entry['version']} no address")
    return Offer(
        version=str(entry["version"]),
        url=urljoin(f"{base}/", urls[0]),
        sha256=found[1] if found else "",
        created=_date(str(entry.get("created") or "")),
    )


def _date(text: str) -> str:
    """In the one form that helm reads (RFC 3339); what is no date is left out, because helm would refuse the index."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError):
        return ""


def _resembling(name: str, entries: Mapping[str, Any]) -> str:
    like = sorted(other for other in entries if name.lower() in other.lower() or other.lower() in name.lower())
    return f"it has {', '.join(like[:5])}" if like else f"it has {len(entries)} others"
