"""Tiny repositories for tables of tests, and what apt itself makes of them."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from mirror.apt.closure import Closure, close
from mirror.apt.packages import Origin, Package, PackagesIndex
from mirror.apt.replay import lay_out, run
from mirror.apt.solution import Solution
from mirror.apt.universe import Base, Universe
from mirror.apt.wishes import Line

STATUS = "Status: install ok installed"


def stanza(line: str) -> str:
    """`name version; Field: value; …` as a stanza. An architecture `[i386]` may follow the version."""
    head, *fields = (word.strip() for word in line.split(";"))
    name, version, *architecture = head.split()
    given = {field.partition(":")[0] for field in fields}
    digest = hashlib.sha256(line.encode()).hexdigest()
    whole = {
        "Package": name,
        "Version": version,
        "Architecture": architecture[0].strip("[]") if architecture else "amd64",
        "Maintainer": "Tests <tests@mirror.example.org>",
        "Filename": f"pool/{name}_{version.replace(':', '%3a')}.deb",
        "Size": "1000",
        "SHA256": digest,
        "Description": f"{name} for tests",
    }
    return "\n".join([*(f"{key}: {value}" for key, value in whole.items() if key not in given), *fields])


def index(lines: Iterable[str], suite: str = "stable", *, priority: int = 500, order: int = 0) -> PackagesIndex:
    text = "\n\n".join(stanza(line) for line in lines)
    origin = Origin("http://mirror.example.org", suite, "main", suite, priority, order)
    return PackagesIndex(text.encode() + b"\n", origin)


def base(lines: Iterable[str], *, versions_known: bool = True) -> Base:
    origin = Origin("the base", "status", "installed")
    packages = [Package.parse(f"{stanza(line)}\n{STATUS}", origin) for line in lines]
    return Base({package.name: package for package in packages}, versions_known=versions_known)


def universe(*suites: Sequence[str], nodes: Base | None = None, exclude: Sequence[str] = ()) -> Universe:
    indexes = [index(lines, f"suite{order}", order=order) for order, lines in enumerate(suites)]
    return Universe("amd64", indexes, base=nodes, excluded=exclude)


def closed(there: Universe, *wishes: str, recommends: bool = False) -> Closure:
    wanted = [wish for text in wishes if (wish := Line.parse(text).wish(there))]
    return close(there, wanted, recommends=recommends, siblings=False)


def apt_chooses(
    folder: Path, lines: Iterable[str], nodes: Base | None, wishes: Sequence[str], *, recommends: bool
) -> set[str] | None:
    """The `name version` pairs that apt would install from the whole world, or None when apt gives up."""
    whole = {f"{n}": Package.parse(stanza(line), Origin("u", "s", "c")) for n, line in enumerate(lines)}
    there = Universe("amd64", [], base=nodes)
    lay_out(folder, Closure(there, (), Solution(whole, {}, ())), recommends=recommends)
    run(folder, "update")
    try:
        told = run(folder, "-s", "install", *wishes)
    except subprocess.CalledProcessError:
        return None
    found = (line.split() for line in told.splitlines() if line.startswith("Inst "))
    return {f"{words[1]} {next(w for w in words[2:] if w.startswith('('))[1:]}" for words in found}
