"""Where a node's packages come from: the crate's repositories in, those of the internet out. Pure texts.

What is commented out is marked, so that a person sees why; `reset` puts the original files back.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from deploys.order import AptSource, Order

FOLDER = "/etc/apt/sources.list.d"
_OFF = "# buzzcrate: "
_LINE = re.compile(r"^\s*deb(?:-src)?\s+(?:\[[^\]]*\]\s*)?(\S+)")
# Suites that only fit the release of that name; any other suite (stable, ./) is for whoever wants it.
_DEBIAN = {"buster", "bullseye", "bookworm", "trixie", "forky", "duke", "sid"}
_UBUNTU = {"focal", "jammy", "noble", "plucky", "questing", "resolute"}
RELEASES = frozenset(_DEBIAN | _UBUNTU)


def path(source: AptSource) -> str:
    """Where a repository of the crate stands on a node."""
    return f"{FOLDER}/buzzcrate-{source.name}.sources"


def fitting(order: Order, codename: str) -> Iterator[AptSource]:
    """The crate's repositories for a node of this release, each with those of its stanzas that are."""
    for source in order.crate.apt:
        if text := for_release(source.text, codename):
            yield source.model_copy(update={"text": text})


def for_release(text: str, codename: str) -> str:
    """Those stanzas of a .sources file that a system of the release `codename` may install from."""
    stanzas = [stanza.strip("\n") for stanza in re.split(r"\n(?:[ \t]*\n)+", text) if stanza.strip()]
    return "\n".join(f"{stanza}\n" for stanza in stanzas if _for(stanza, codename))


def _for(stanza: str, codename: str) -> bool:
    suites = re.search(r"^Suites:(.*)$", stanza, re.MULTILINE | re.IGNORECASE)
    releases = {suite.partition("/")[0].partition("-")[0] for suite in (suites[1].split() if suites else ())} & RELEASES
    return not releases or codename in releases


def without_internet(name: str, text: str) -> str:
    """The file of repositories `name` with those out of use that the internet would have to serve."""
    if name.endswith(".sources"):
        return _stanzas(text)
    if name.endswith("pacman.conf"):
        return _pacman(text)
    return "".join(_off(line) if _names_internet(line) else line for line in text.splitlines(keepends=True))


def foreign(uri: str) -> bool:
    """Whether an address needs the internet. Media, files and private addresses do not."""
    scheme = urlsplit(uri).scheme.rpartition("+")[2]
    if scheme not in {"http", "https", "ftp", "mirror", "tor"}:
        return False
    try:
        return ipaddress.ip_address(urlsplit(uri).hostname or "").is_global
    except ValueError:
        return True  # a name: who would resolve it here?


def _names_internet(line: str) -> bool:
    found = _LINE.match(line)
    return found is not None and foreign(found[1])


def _off(line: str) -> str:
    return f"{_OFF}{line}"


def _stanzas(text: str) -> str:
    """deb822: `Enabled: no` at the head of every stanza that names the internet."""
    parts = re.split(r"(\n(?:[ \t]*\n)+)", text)
    return "".join(_disabled(part) if index % 2 == 0 else part for index, part in enumerate(parts))


def _disabled(stanza: str) -> str:
    uris = re.search(r"^URIs:((?:.*)(?:\n[ \t]+.*)*)", stanza, re.MULTILINE | re.IGNORECASE)
    if uris is None or not any(foreign(uri) for uri in uris[1].split()):
        return stanza
    if re.search(r"^Enabled:", stanza, re.MULTILINE | re.IGNORECASE):
        return re.sub(r"^Enabled:.*$", "Enabled: no", stanza, flags=re.MULTILINE | re.IGNORECASE)
    return re.sub(r"^(Types:)", r"Enabled: no\n\1", stanza, count=1, flags=re.MULTILINE | re.IGNORECASE)


def _pacman(text: str) -> str:
    """pacman.conf: every section but [options], unless it is served from files."""
    parts = re.split(r"(?m)^(?=\[)", text)
    return "".join(_section(part) if part.startswith("[") else part for part in parts)


def _section(text: str) -> str:
    if text.startswith("[options]") or "file://" in text:
        return text
    lines = text.splitlines(keepends=True)
    return "".join(_off(line) if line.strip() and not line.startswith("#") else line for line in lines)
