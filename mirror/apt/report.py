"""What a resolution tells the user: what each wish pulled in, what Recommends would cost, and the chains."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mirror.apt.closure import Closure
from mirror.apt.section import AptSection
from mirror.ecosystem import Asked


def asked(closures: Sequence[Closure]) -> tuple[Asked, ...]:
    """Each wish once, over all architectures: what came in because of it, and the bytes of that, shared files once."""
    names: dict[str, dict[str, None]] = {}
    files: dict[str, dict[str, int]] = {}
    for closure in closures:
        for wish in closure.wishes:
            names.setdefault(wish.text, {})
            files.setdefault(wish.text, {})
        for name, package in closure.packages.items():
            root = closure.solution.chain(name)[0]
            if root in names:
                names[root].setdefault(name)
                files[root][package.sha256] = package.size
    return tuple(
        Asked(wish, tuple(name for name in sorted(names[wish]) if name != wish), sum(files[wish].values()))
        for wish in names
    )


def chains(closures: Iterable[Closure]) -> dict[str, tuple[str, ...]]:
    """By name of a package, the chain of the first architecture that has it."""
    found: dict[str, tuple[str, ...]] = {}
    for closure in closures:
        for name in closure.solution.chosen:
            found.setdefault(name, closure.solution.chain(name))
        for name in closure.siblings:
            found.setdefault(name, ("built from the same source as something chosen", name))
    return found


def notes(section: AptSection, closures: Sequence[Closure], *, replayed: bool) -> tuple[str, ...]:
    """What a user may want to know and need not do anything about."""
    lines = []
    if not section.automatic:
        lines.append(
            "what the nodes have is not known: they install from this repository, but upgrade from it only on demand "
            "(`apt-get install -t`); give their dpkg status file as `base` to change that"
        )
    for closure in closures:
        architecture = closure.universe.architecture
        for wish, packages in closure.recommended.items():
            size = sum(package.size for package in packages.values())
            lines.append(
                f"{architecture}: Recommends of {wish} are left out: {len(packages)} packages, {size / 1e6:.1f} MB "
                f"({', '.join(sorted(packages)[:4])}{' …' if len(packages) > 4 else ''})"
            )
        held = [name for name in closure.solution.wished if name not in closure.packages]
        if held:
            lines.append(f"{architecture}: the nodes already have {' '.join(held)}")
    if not replayed:
        lines.append("this machine has no apt: the result was not played through it")
    return tuple(lines)
