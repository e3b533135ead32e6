"""`[appliance]`: this program and all it needs as wheels, which become the crate's boot files.

In lock and catalogue they are items of the kind `boot`; crate.json names the same files once more, so that a board can
find them with nothing but the signed document (`archive.release.BootFile`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from archive.catalogue import BOOT, Item
from archive.release import BootFile
from bundler import own_wheel as wheels
from bundler.cache import Cache
from bundler.recipe import Contents
from bundler.stick.section import OLDEST_PYTHON, ApplianceSection
from mirror import origins
from mirror.apt.section import AptSection
from mirror.ecosystem import Resolution, ResolveContext
from mirror.pypi.section import PypiSection
from mirror.pypi.targets import Target, targets
from mirror.pypi.wheels import parse_file_name

NAME = "appliance"
MADE = f"{origins.MADE}wheel"
INSTALLER = "pip"
"""Boards lack it; as a wheel it runs without being installed."""
_STABLE = frozenset(f"cp3{minor}" for minor in range(2, OLDEST_PYTHON[1] + 1))
"""Where a stable ABI (PEP 384) may begin, for a wheel to run on every Python that an appliance runs on."""


async def resolve(contents: Contents, context: ResolveContext) -> Resolution:
    """The wheels for every platform of `context`, each Python and libc. Raises what `mirror.pypi` raises."""
    from mirror.pypi import resolve as pypi  # noqa: PLC0415 - a recipe without [appliance] should not wait for it

    section = contents.appliance
    assert section is not None, "asked only where there is one"  # noqa: S101 - narrows the type
    with TemporaryDirectory(prefix="buzzcrate-appliance-") as folder:
        wheel = wheels.write(Path(folder))
        wanted = PypiSection(
            requirements=(INSTALLER,),
            wheels=(wheel.name,),
            python=section.python,
            libc=section.libc,
            indexes=section.indexes,
        )
        found = await pypi.resolve(wanted, replace(context, base=Path(folder)))
    served = targets(context.platforms, section.python, section.libc)
    return replace(
        found,
        items=tuple(_boot(item, served) for item in found.items),
        notes=(*found.notes, *_without_repository(contents, section)),
    )


def packages(contents: Contents) -> Iterator[AptSection]:
    """What the appliance wants of Debian, asked of the recipe's own repositories as a section of its own."""
    section = contents.appliance
    if section is None or not section.packages:
        return
    for name in section.apt or [one.name for one in contents.apt[:1]]:
        repository = next(one for one in contents.apt if one.name == name)
        yield repository.model_copy(
            update={
                "packages": section.packages,
                "debs": (),
                "architectures": (),
                "platforms": section.platforms_of(contents.crate.platforms),
            }
        )


def boot_files(items: Iterable[Item]) -> tuple[BootFile, ...]:
    """What crate.json says of the items of the kind `boot`, in their order."""
    found = []
    for item in items:
        for file in item.files if item.kind == BOOT else ():
            fits = item.publish["fits"][file.path]
            found.append(BootFile(file.path, file.size, file.sha256, fits["platform"], fits["python"]))
    return tuple(found)


def is_own(item: Item) -> bool:
    """Whether it is this program's own wheel, which nobody else has."""
    return item.kind == BOOT and item.origin == MADE


def own_wheel(cache: Cache) -> str:
    """Makes this program's wheel, puts it into the cache and returns its sha256 (hex). Raises `OwnWheelFailed`."""
    with TemporaryDirectory(prefix="buzzcrate-appliance-") as folder:
        return cache.adopt(wheels.write(Path(folder))).sha256


def _boot(item: Item, served: Sequence[Target]) -> Item:
    own = item.name == wheels.NAME
    return replace(
        item,
        kind=BOOT,
        origin=MADE if own else item.origin,
        publish={"fits": {file.path: _fits(file.path, served) for file in item.files}},
    )


def _fits(file: str, served: Sequence[Target]) -> dict[str, Any]:
    """Where a wheel can be installed, as `BootFile` says it: by its tags, which are what pip goes by too.

    Empty only for what runs on any platform, and on any Python of ours: not for what happens to suit all of `served`.
    """
    tags = parse_file_name(file).tags
    fitting = [target for target in served if not tags.isdisjoint(target.tags)]
    anywhere = any(tag.platform == "any" for tag in tags)
    always = any(tag.abi == "none" or (tag.abi == "abi3" and tag.interpreter in _STABLE) for tag in tags)
    return {
        "platform": "" if anywhere else ",".join(dict.fromkeys(str(one.platform) for one in fitting)),
        "python": "" if always else ",".join(dict.fromkeys(one.python for one in fitting)),
    }


def _without_repository(contents: Contents, section: ApplianceSection) -> list[str]:
    if contents.apt or not section.packages:
        return []
    wanted = " and ".join(section.packages)
    return [f"there is no [[apt]] to take {wanted} from, with which the appliance answers names and time"]
