"""`allowed_signers` files: who may sign, as ssh-keygen(1) defines them in "ALLOWED SIGNERS".

One key a line, `PRINCIPALS [OPTIONS] TYPE KEY [COMMENT]`. Where ssh-keygen only reads a faulty line when it happens to
reach it, a file with one is refused here as a whole: half a trust file is not one.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from archive.errors import MalformedKey, MalformedSigners
from archive.keys import PublicKey
from archive.limits import LIMITS

_OPTION = re.compile(r'(?P<name>[A-Za-z-]+)(?:="(?P<value>(?:\\"|[^"])*)")?')
_KEY_TYPE = re.compile(r"(?:ssh|ecdsa|sk)-[a-z0-9@.-]+")
_TIME = re.compile(r"(?P<digits>\d{8}|\d{12}|\d{14})(?P<utc>Z|UTC)?")
_PLAIN_PRINCIPAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}")


def matches(text: str, patterns: str) -> bool:
    """ssh_config(5)'s pattern list: commas, `*`, `?`, and `!`, which wins wherever it stands."""
    found = False
    for pattern in patterns.split(","):
        negated = pattern.startswith("!")
        if _like(text, pattern.removeprefix("!")):
            if negated:
                return False
            found = True
    return found


def _like(text: str, pattern: str) -> bool:
    wild = {"*": ".*", "?": "."}
    return re.fullmatch("".join(wild.get(sign, re.escape(sign)) for sign in pattern), text, re.DOTALL) is not None


@dataclass(frozen=True, slots=True)
class Line:
    """One signer. Times are seconds since 1970; `authority` marks a key that signs certificates, not crates."""

    number: int
    principals: str
    key: PublicKey
    authority: bool = False
    namespaces: str | None = None
    valid_after: int | None = None
    valid_before: int | None = None

    def names(self) -> list[str]:
        """The principals as written, those that are excluded left out."""
        return [pattern for pattern in self.principals.split(",") if pattern and not pattern.startswith("!")]

    def allows(self, namespace: str) -> bool:
        return self.namespaces is None or matches(namespace, self.namespaces)

    def valid(self, when: datetime) -> bool:
        seconds = int(when.timestamp())
        return (self.valid_after is None or seconds >= self.valid_after) and (
            self.valid_before is None or seconds <= self.valid_before
        )


@dataclass(frozen=True, slots=True)
class AllowedSigners:
    """A parsed file, in its order."""

    lines: tuple[Line, ...]

    @classmethod
    def parse(cls, text: str) -> AllowedSigners:
        """Raises `MalformedSigners`, naming the line."""
        if len(text) > LIMITS.allowed_signers:
            raise MalformedSigners(f"an allowed_signers file of more than {LIMITS.allowed_signers} characters")
        return cls(tuple(_parse(text)))

    def of(self, key: PublicKey) -> list[Line]:
        """The lines that let this key sign by itself."""
        return [line for line in self.lines if line.key == key and not line.authority]


def line_for(principal: str, key: PublicKey) -> str:
    """The line that trusts `key` as `principal`. Raises `MalformedSigners` for a name that is more than a name."""
    if not _PLAIN_PRINCIPAL.fullmatch(principal):
        raise MalformedSigners(
            f"{principal[:140]!r} cannot be a signer's name", hint="use letters, digits and . _ @ + - only"
        )
    return f"{principal} {key.line}"


def _parse(text: str) -> Iterator[Line]:
    for number, raw in enumerate(text.split("\n"), start=1):
        line = raw.rstrip("\r").lstrip(" \t")
        if not line or line.startswith("#"):
            continue
        try:
            yield _line(line, number)
        except (ValueError, MalformedKey) as error:
            raise MalformedSigners(
                f"line {number} of the allowed signers: {error}",
                hint="write it like: release ssh-ed25519 AAAA… comment",
            ) from error


def _line(line: str, number: int) -> Line:
    """Raises `ValueError` or `MalformedKey`."""
    principals, rest = _principals(line)
    options, rest = _options(rest)
    words = rest.split()
    if len(words) < 2:
        raise ValueError("no key stands behind the principals")
    key = PublicKey.from_words(words[0], words[1])
    after = _seconds(options["valid-after"]) if "valid-after" in options else None
    before = _seconds(options["valid-before"]) if "valid-before" in options else None
    if after is not None and before is not None and before <= after:
        raise ValueError("valid-before is not later than valid-after")
    return Line(number, principals, key, "cert-authority" in options, options.get("namespaces"), after, before)


def _principals(line: str) -> tuple[str, str]:
    if line.startswith('"'):
        principals, closed, rest = line[1:].partition('"')
        if not closed:
            raise ValueError("a quote is not closed")
    else:
        principals, _, rest = line.replace("\t", " ").partition(" ")
    if not principals:
        raise ValueError("no principal")
    return principals, rest.lstrip(" \t")


def _options(rest: str) -> tuple[dict[str, str], str]:
    """The options in front of the key, when it is not the key that comes next."""
    found: dict[str, str] = {}
    if _KEY_TYPE.match(rest):
        return found, rest
    at = 0
    while option := _OPTION.match(rest, at):
        name, value = option["name"].lower(), option["value"]
        if name not in {"cert-authority", "namespaces", "valid-after", "valid-before"}:
            raise ValueError(f"the option {name!r} is unknown")
        if (value is None) != (name == "cert-authority"):
            raise ValueError(f"the option {name!r} does not take that form")
        if name in found and value is not None:
            raise ValueError(f"the option {name!r} stands there twice")
        found[name] = (value or "").replace('\\"', '"')
        at = option.end()
        if rest[at : at + 1] != ",":
            break
        at += 1
    if at == 0 or rest[at : at + 1] not in (" ", "\t"):
        raise ValueError("the options cannot be read")
    return found, rest[at:].lstrip(" \t")


def _seconds(text: str) -> int:
    """YYYYMMDD[HHMM[SS]], local time unless Z follows."""
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:40]!r} is not a time like 20261123 or 202611230900Z")
    moment = datetime.strptime(found["digits"].ljust(14, "0"), "%Y%m%d%H%M%S")  # noqa: DTZ007 - the zone comes next
    if found["utc"]:
        return int(moment.replace(tzinfo=UTC).timestamp())
    return int(time.mktime(moment.timetuple()))
