"""Where upstream is: a URL of the recipe, or what this machine's own apt is configured with (sources.list(5))."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from mirror.apt import stanza
from mirror.errors import BadSection

_ONE_LINE = re.compile(
    r"(?P<type>deb|deb-src)\s+(?:\[(?P<options>[^\]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)(?P<rest>.*)"
)
_FINGERPRINT = re.compile(r"[0-9A-Fa-f]{16,40}!?")
_ARMOR = "-----BEGIN PGP PUBLIC KEY BLOCK-----"


@dataclass(frozen=True, slots=True)
class Source:
    """One suite of one archive. A flat one has a suite that ends in "/" and no components.

    `keyrings` are files, `keys` armored blocks, `fingerprints` narrow both; without any of them, whatever this
    machine's apt trusts everywhere. `architectures` are those it may be asked for, if not any; an `optional` one may
    lack some of them.
    """

    url: str
    suite: str
    components: tuple[str, ...]
    keyrings: tuple[Path, ...] = ()
    keys: tuple[str, ...] = ()
    fingerprints: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    by_hash: bool = True
    optional: bool = False
    check_valid_until: bool = True

    @property
    def flat(self) -> bool:
        return self.suite.endswith("/")

    @property
    def base(self) -> str:
        """The URL of the suite's folder, with its slash."""
        if self.flat:
            return f"{self.url}/{self.suite.removeprefix('./').strip('/')}".rstrip("/") + "/"
        return f"{self.url}/dists/{self.suite}/"

    def __str__(self) -> str:
        return f"{self.url} {self.suite}"


def apt_settings() -> Mapping[str, str]:
    """What this machine's apt says of itself. Raises `BadSection` where there is no apt."""
    if not shutil.which("apt-config"):
        raise BadSection("this machine has no apt to take sources from", hint="give the section a `url`")
    wanted = {
        "list": "Dir::Etc::sourcelist/f",
        "parts": "Dir::Etc::sourceparts/d",
        "trusted": "Dir::Etc::trusted/f",
        "trusted_parts": "Dir::Etc::trustedparts/d",
        "check_valid_until": "Acquire::Check-Valid-Until/b",
    }
    words = [word for name, key in wanted.items() for word in (name, key)]
    told = subprocess.run(["apt-config", "shell", *words], check=True, capture_output=True, text=True, timeout=60)
    return dict(word.split("=", 1) for word in shlex.split(told.stdout))


def machine_sources(settings: Mapping[str, str]) -> list[Source]:
    """Every enabled binary source of this machine, in apt's order. Raises `BadSection`."""
    main, parts = Path(settings["list"]), Path(settings["parts"])
    files = [main] if main.is_file() else []
    if parts.is_dir():
        files += sorted(path for path in parts.iterdir() if path.suffix in {".list", ".sources"} and path.is_file())
    found: list[Source] = []
    for path in files:
        text = path.read_text(encoding="utf-8", errors="replace")
        found += _deb822(text, path) if path.suffix == ".sources" else _one_line(text)
    # What lies on a disc or a disk of this machine is not upstream.
    found = [source for source in found if source.url.startswith(("http://", "https://"))]
    if settings.get("check_valid_until", "true") == "false":
        found = [replace(source, check_valid_until=False) for source in found]
    return found


def trusted_keyrings(settings: Mapping[str, str]) -> tuple[Path, ...]:
    """The files that apt trusts for every source that names none. As apt does, GnuPG's keyboxes are passed over."""
    parts = Path(settings["trusted_parts"])
    files = [Path(settings["trusted"])]
    if parts.is_dir():
        files += sorted(path for path in parts.iterdir() if path.suffix in {".gpg", ".asc"})
    return tuple(path for path in files if path.is_file() and _is_keyring(path))


def _is_keyring(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(12)
    return bool(head) and head[8:] != b"KBXf"


def _one_line(text: str) -> Iterator[Source]:
    for line in text.splitlines():
        match = _ONE_LINE.fullmatch(line.split("#", 1)[0].strip())
        if match and match["type"] == "deb":
            options = dict(word.split("=", 1) for word in (match["options"] or "").split() if "=" in word)
            yield _source(match["uri"], match["suite"], match["rest"].split(), options)


def _deb822(text: str, path: Path) -> Iterator[Source]:
    clean = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for block in re.split(r"\n[ \t]*\n", clean):
        if not block.strip():
            continue
        fields = stanza.parse(block.strip("\n"), str(path))
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").strip() == "no":
            continue
        for uri in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                yield _source(uri, suite, fields.get("components", "").split(), fields)


def _source(uri: str, suite: str, components: Iterable[str], options: Mapping[str, str]) -> Source:
    signed_by = options.get("signed-by", "")
    words = [] if _ARMOR in signed_by else signed_by.replace(",", " ").split()
    return Source(
        url=uri.rstrip("/"),
        suite=suite,
        components=tuple(components),
        keyrings=tuple(Path(word) for word in words if word.startswith("/")),
        keys=(_embedded(signed_by),) if _ARMOR in signed_by else (),
        fingerprints=tuple(word for word in words if _FINGERPRINT.fullmatch(word)),
        architectures=tuple(options.get("architectures", options.get("arch", "")).replace(",", " ").split()),
        optional=True,
        by_hash=options.get("by-hash", "yes") != "no",
        check_valid_until=options.get("check-valid-until", "yes") != "no",
    )


def _embedded(text: str) -> str:
    lines = (line.strip() for line in text.splitlines())
    return "\n".join("" if line == "." else line for line in lines).strip() + "\n"
