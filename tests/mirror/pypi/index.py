"""Made-up Python packages, and a simple index that serves them as PEP 691 and 503 say."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from packaging.utils import canonicalize_name

from tests.mirror.loopback import NOT_FOUND, Answer, serving

PURE = "py3-none-any"


def metadata(
    name: str, version: str, requires: Iterable[str] = (), python: str = "", extras: Iterable[str] = ()
) -> str:
    lines = ["Metadata-Version: 2.2", f"Name: {name}", f"Version: {version}"]
    lines += [f"Requires-Python: {python}"] if python else []
    lines += [f"Provides-Extra: {extra}" for extra in extras]
    lines += [f"Requires-Dist: {requirement}" for requirement in requires]
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Made:
    """A distribution file. `promised` is the sha256 that the index gives out, its own unless a test makes it lie."""

    project: str
    file: str
    content: bytes
    python: str = ""
    yanked: str | bool = False
    promised: str = ""
    metadata: str = ""

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    def to_json(self) -> dict[str, object]:
        return {
            "filename": self.file,
            "url": f"../../files/{self.file}",
            "hashes": {"sha256": self.promised or self.sha256},
            "size": len(self.content),
            "yanked": self.yanked,
            "core-metadata": bool(self.metadata),
            **({"requires-python": self.python} if self.python else {}),
        }


def wheel(
    name: str,
    version: str,
    requires: Iterable[str] = (),
    *,
    tags: str = PURE,
    python: str = "",
    extras: Iterable[str] = (),
    yanked: str | bool = False,
    promised: str = "",
    says: str = "",
) -> Made:
    """`says` is the name in its METADATA, when that is to be another one."""
    escaped = name.replace("-", "_")
    info = f"{escaped}-{version}.dist-info"
    files = {
        f"{escaped}.py": f"VERSION = {version!r}\n",
        f"{info}/METADATA": metadata(says or name, version, requires, python, extras),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\n"
        + "".join(f"Tag: {tag}\n" for tag in _expanded(tags)),
    }
    record = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(zipfile.ZipInfo(path), text)
    told = files[f"{info}/METADATA"]
    return Made(name, f"{escaped}-{version}-{tags}.whl", buffer.getvalue(), python, yanked, promised, told)


def sdist(name: str, version: str, *, build: Sequence[str] = ("builder",), requires: Iterable[str] = ()) -> Made:
    """A source distribution whose build needs `build`; PKG-INFO is static, so that uv builds nothing."""
    escaped = name.replace("-", "_")
    project = f'[project]\nname = "{name}"\nversion = "{version}"\ndependencies = {json.dumps(list(requires))}\n'
    files = {
        "PKG-INFO": metadata(name, version, requires),
        "pyproject.toml": f'[build-system]\nrequires = {json.dumps(list(build))}\nbuild-backend = "builder"\n{project}',
    }
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for path, text in files.items():
            member = tarfile.TarInfo(f"{escaped}-{version}/{path}")
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return Made(name, f"{escaped}-{version}.tar.gz", buffer.getvalue())


@dataclass
class World:
    """An index; `asked` are the targets that clients asked for."""

    url: str
    made: Sequence[Made]
    asked: list[str] = field(default_factory=list)


@contextmanager
def index(*made: Made, latency: float = 0.0) -> Iterator[World]:
    world = World("", made)

    def handle(target: str, _headers: Mapping[str, str]) -> Answer:
        world.asked.append(target)
        _, section, name = target.split("/", 2)
        if section == "files":
            beside = {f"{each.file}.metadata": each.metadata.encode() for each in made if each.metadata}
            content = {each.file: each.content for each in made} | beside
            return Answer(content[name]) if name in content else NOT_FOUND
        mine = [each for each in made if canonicalize_name(each.project) == name.rstrip("/")]
        document = {
            "meta": {"api-version": "1.1"},
            "name": name.rstrip("/"),
            "files": [each.to_json() for each in mine],
        }
        return Answer(json.dumps(document).encode(), "application/vnd.pypi.simple.v1+json") if mine else NOT_FOUND

    with serving(handle, latency=latency) as url:
        world.url = f"{url}/simple"
        yield world


def _expanded(tags: str) -> list[str]:
    python, abi, platforms = tags.split("-")
    return [f"{one}-{abi}-{platform}" for one in python.split(".") for platform in platforms.split(".")]
