"""A small upstream of every ecosystem at once, and a recipe that asks all of them for something."""

from __future__ import annotations

import hashlib
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bundler.workshop import Workshop
from tests.mirror.apt.archives import KEY, Upstream, suite, upstream
from tests.mirror.helm.charts import chart, folder, repository
from tests.mirror.loopback import Answer, serving
from tests.mirror.npm.registry import flat, package
from tests.mirror.npm.registry import registry as npm_registry
from tests.mirror.pypi.index import index, wheel

_LINUX = {"x86_64": "amd64", "aarch64": "arm64"}


def deb(name: str, version: str, *fields: str) -> tuple[str, dict[str, bytes]]:
    """A line for `suite`, and the file of the pool that it means; its content is none that dpkg would take."""
    path, body = f"pool/{name}_{version}.deb", f"{name} {version}\n".encode() * 50
    words = [f"Size: {len(body)}", f"SHA256: {hashlib.sha256(body).hexdigest()}", f"Filename: {path}", *fields]
    return f"{name} {version}; {'; '.join(words)}", {path: body}


def archive(version: str = "1.0") -> dict[str, bytes]:
    """A suite in which `clock` needs `libtime`, and `lonely` nothing; `version` is clock's."""
    made = [
        deb("clock", version, "Depends: libtime (>= 2)"),
        deb("libtime", "2.0"),
        deb("lonely", "3.0"),
        deb("broken", "1.0", "Depends: nowhere"),
    ]
    lines = "\n".join(line for line, _ in made)
    files = suite(lines, architectures=("amd64", "arm64"), packings=("", ".gz"))
    return files | {path: body for _, pool in made for path, body in pool.items()}


@dataclass
class World:
    """The URLs of the upstreams; `apt` may be changed while it runs."""

    apt: Upstream
    urls: Mapping[str, str]

    def recipe(self, *, head: str = "", pypi: str = "indexes", npm: str = "registry") -> str:
        """All four sections. An empty `pypi` or `npm` leaves the address to this machine's own client."""
        urls = self.urls
        index_line = f'{pypi} = ["{urls["pypi"]}"]\n' if pypi else ""
        registry_line = f'{npm} = "{urls["npm"]}"\n' if npm else ""
        return f"""[crate]
name = "lab"
serial = 7
{head}
[[apt]]
name = "debian"
url = "{urls["apt"]}"
suites = ["stable"]
packages = ["clock"]
keyrings = ["key.asc"]

[[pypi]]
requirements = ["alpha>=1"]
python = ["3.11"]
{index_line}
[[npm]]
locks = ["package-lock.json"]
{registry_line}
[[charts]]
name = "web"
repository = "{urls["charts"]}"
version = "^1"

[[charts]]
path = "app"
"""

    def workshop(self, place: Path, recipe: str | None = None) -> Workshop:
        """A folder with everything on this machine that the recipe names."""
        workshop = Workshop.make(place, self.recipe() if recipe is None else recipe)
        (place / "key.asc").write_bytes(KEY.public_key())
        (place / "package-lock.json").write_bytes(NPM_LOCK)
        folder(place, "app", "0.1.0", [{"name": "web", "version": "^1", "repository": self.urls["charts"]}])
        return workshop


_LEAF = package("leaf", "1.0.0")
_TOP = package("@team/top", "2.0.0", dependencies={"leaf": "^1.0.0"})
NPM_LOCK = flat({"dependencies": {"@team/top": "^2.0.0"}}, [_TOP, _LEAF])


@contextmanager
def world(guards: Mapping[str, str] | None = None) -> Iterator[World]:
    """All upstreams. `guards` says which Authorization one of them asks for."""
    wheels = [wheel("beta", "1.0", tags=f"cp311-cp311-manylinux_2_17_{machine}") for machine in _LINUX]
    with ExitStack() as stack:
        apt = stack.enter_context(upstream(archive()))
        pypi = stack.enter_context(index(wheel("alpha", "1.0", ["beta"]), *wheels))
        npm = stack.enter_context(npm_registry(_TOP, _LEAF))
        charts = stack.enter_context(repository(chart("web", "1.2.0"), chart("web", "2.0.0")))
        urls = {"apt": apt.url, "pypi": pypi.url, "npm": npm.url, "charts": charts}
        for name, wanted in (guards or {}).items():
            head, slash, tail = urls[name].removeprefix("http://").partition("/")
            urls[name] = stack.enter_context(guarded(f"http://{head}", wanted)) + slash + tail
        yield World(apt, urls)


@contextmanager
def guarded(behind: str, wanted: str) -> Iterator[str]:
    """`behind` for those alone who send the Authorization header `wanted`."""

    def handle(target: str, headers: Mapping[str, str]) -> Answer:
        if headers.get("authorization") != wanted:
            return Answer(b"who are you?", "text/plain", 401, {"WWW-Authenticate": 'Basic realm="test"'})
        passed = {"Host": headers["host"], "Accept": headers.get("accept", "*/*")}
        request = urllib.request.Request(behind + target, headers=passed)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return Answer(answer.read(), answer.headers["Content-Type"])
        except urllib.error.HTTPError as error:
            with error:
                return Answer(b"", "text/plain", error.code)

    with serving(handle) as url:
        yield url
