"""What packages are chosen for: a platform, a Python and a C library, in the words of wheels, markers and uv."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product

from packaging.tags import Tag, compatible_tags, cpython_tags

from archive.platforms import Platform
from mirror.errors import BadSection

# The names that the kernel and wheel tags give to what OCI (and Go) call otherwise, and where glibc's ladder ends:
# PEP 513 and 571 go down to 2.5 on x86, every other architecture began with manylinux2014 (PEP 599).
_MACHINES = {"amd64": ("x86_64", 5), "arm64": ("aarch64", 17), "riscv64": ("riscv64", 17)}
_LEGACY = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
# The levels that uv knows by name. A target between two of them is resolved as the lower one.
_UV_GLIBC = (17, 28, *range(31, 41))


@dataclass(frozen=True)
class Target:
    """One kind of machine that the crate promises to serve: `libc` is the oldest that its nodes may have."""

    platform: Platform
    python: str
    libc: str

    def __post_init__(self) -> None:
        if self.platform.os != "linux" or self.platform.architecture not in _MACHINES:
            raise BadSection(
                f"Python packages cannot be resolved for {self.platform}",
                hint=f"platforms may be linux on {', '.join(sorted(_MACHINES))}; set `platforms` in [[pypi]]",
            )

    @property
    def machine(self) -> str:
        return _MACHINES[self.platform.architecture][0]

    @property
    def uv_platform(self) -> str:
        """`--python-platform` of uv, never promising more than this target has."""
        if self._musl or self.machine == "riscv64":
            return f"{self.machine}-unknown-linux" + ("-musl" if self._musl else "")
        known = [level for level in _UV_GLIBC if level <= self._minor]
        return f"{self.machine}-manylinux_2_{max(known, default=17)}"

    @cached_property
    def tags(self) -> tuple[Tag, ...]:
        """Every tag of a wheel that runs here, the best first, as PEP 425 orders them."""
        short = self.python.replace(".", "")
        version = tuple(int(word) for word in self.python.split("."))
        ladder = list(self._ladder())
        native = cpython_tags(version, abis=[f"cp{short}"], platforms=ladder)
        return (*native, *compatible_tags(version, interpreter=f"cp{short}", platforms=ladder))

    @cached_property
    def environment(self) -> dict[str, str]:
        """What environment markers see (the dependency specifiers specification)."""
        return {
            "implementation_name": "cpython",
            "implementation_version": f"{self.python}.0",
            "os_name": "posix",
            "platform_machine": self.machine,
            "platform_release": "",
            "platform_system": "Linux",
            "platform_version": "",
            "python_full_version": f"{self.python}.0",
            "platform_python_implementation": "CPython",
            "python_version": self.python,
            "sys_platform": "linux",
        }

    def __str__(self) -> str:
        return f"Python {self.python} on {self.platform} ({self.libc})"

    @property
    def _musl(self) -> bool:
        return self.libc.startswith("musl")

    @property
    def _minor(self) -> int:
        return int(self.libc.rpartition(".")[2])

    def _ladder(self) -> Iterator[str]:
        """Platform tags from this libc downwards (PEP 600 and 656): a wheel names only the level it was built for."""
        if self._musl:
            yield from (f"musllinux_1_{minor}_{self.machine}" for minor in range(self._minor, -1, -1))
        else:
            for minor in range(self._minor, _MACHINES[self.platform.architecture][1] - 1, -1):
                yield f"manylinux_2_{minor}_{self.machine}"
                if minor in _LEGACY:
                    yield f"{_LEGACY[minor]}_{self.machine}"
        yield f"linux_{self.machine}"


def targets(platforms: tuple[Platform, ...], pythons: tuple[str, ...], libcs: tuple[str, ...]) -> tuple[Target, ...]:
    """Raises `BadSection` for a platform that wheels or uv do not know."""
    return tuple(Target(*words) for words in product(platforms, pythons, libcs))
