"""Locks of every kind, walked for two platforms: what comes along, and what is found to be missing."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from archive.errors import Problem
from archive.platforms import Platform
from mirror.errors import BadIndex, BadSection, Unsolvable, UntrustedUpstream, WrongDigest
from tests.mirror.npm.registry import Made, flat, package, package_lock
from tests.mirror.npm.worlds import resolved, taken
from tests.mirror.transport import AMD64

X64 = package("@tool/linux-x64", "1.0.0", os=["linux"], cpu=["x64"])
ARM64 = package("@tool/linux-arm64", "1.0.0", os=["linux"], cpu=["arm64"])
DARWIN = package("@tool/darwin-arm64", "1.0.0", os=["darwin"], cpu=["arm64"], dependencies={"nan": "^1.0.0"})
NAN = package("nan", "1.0.0")
TOOL = package("tool", "1.0.0", optionalDependencies={each.name: each.version for each in (X64, ARM64, DARWIN)})
HOST = package("host", "1.0.0")
LIB1, LIB2 = package("lib", "1.0.0"), package("lib", "2.0.0")


@dataclass(frozen=True)
class Case:
    sentence: str
    lock: bytes
    made: list[Made]
    expected: set[str]
    section: dict[str, Any] = field(default_factory=dict)


def lib_locked_as(entry: dict[str, Any]) -> bytes:
    return package_lock({"dependencies": {"lib": "1"}}, {"node_modules/lib": entry})


CASES = [
    Case(
        "every platform's optional binary comes, a foreign one and what only it needs do not",
        flat({"dependencies": {"tool": "^1"}}, [TOOL, X64, ARM64, DARWIN, NAN]),
        [TOOL, X64, ARM64, DARWIN, NAN],
        {"tool@1.0.0", "@tool/linux-x64@1.0.0", "@tool/linux-arm64@1.0.0"},
    ),
    Case(
        "one platform alone gets its own binary only",
        flat({"dependencies": {"tool": "^1"}}, [TOOL, X64, ARM64, DARWIN, NAN]),
        [TOOL, X64, ARM64, DARWIN, NAN],
        {"tool@1.0.0", "@tool/linux-x64@1.0.0"},
        {"platforms": [AMD64]},
    ),
    Case(
        "a package of two versions is there in both, each for who needs it",
        package_lock(
            {"dependencies": {"a": "1", "lib": "2"}},
            {"a": (a := package("a", "1.0.0", dependencies={"lib": "1"})), "a/node_modules/lib": LIB1, "lib": LIB2},
        ),
        [a, LIB1, LIB2],
        {"a@1.0.0", "lib@1.0.0", "lib@2.0.0"},
    ),
    Case(
        "development and peer packages come along",
        flat(
            {"devDependencies": {"dev": "1"}, "dependencies": {"plugin": "1"}},
            made := [
                package("dev", "1.0.0"),
                package("plugin", "1.0.0", peerDependencies={"host": "*"}),
                package("host", "1.0.0"),
            ],
        ),
        made,
        {"dev@1.0.0", "plugin@1.0.0", "host@1.0.0"},
    ),
    Case(
        "a peer that the lock leaves to the user is not missed",
        flat({"dependencies": {"plugin": "1"}}, [plugin := package("plugin", "1.0.0", peerDependencies={"host": "*"})]),
        [plugin],
        {"plugin@1.0.0"},
    ),
    Case(
        "workspaces and bundled packages are walked through and not fetched",
        package_lock(
            {"workspaces": ["packages/*"]},
            {
                "packages/mine": {"name": "mine", "version": "0.1.0", "dependencies": {"lib": "1"}},
                "node_modules/mine": {"resolved": "packages/mine", "link": True},
                "lib": LIB1,
                "node_modules/lib/node_modules/inner": {"version": "9.9.9", "inBundle": True},
            },
        ),
        [LIB1],
        {"lib@1.0.0"},
    ),
    Case(
        "an alias brings what it stands for",
        package_lock(
            {"dependencies": {"old": "npm:lib@1"}},
            {"node_modules/old": {"name": "lib", "version": "1.0.0", "integrity": LIB1.integrity}},
        ),
        [LIB1],
        {"lib@1.0.0"},
    ),
    Case(
        "packages may need each other",
        flat(
            {"dependencies": {"a": "1"}},
            circle := [package("a", "1.0.0", dependencies={"b": "1"}), package("b", "1.0.0", dependencies={"a": "1"})],
        ),
        circle,
        {"a@1.0.0", "b@1.0.0"},
    ),
    Case(
        "musl is another world than glibc",
        flat(
            {"optionalDependencies": {"m": "1", "g": "1"}},
            libcs := [package("m", "1.0.0", libc=["musl"]), package("g", "1.0.0", libc=["glibc"])],
        ),
        libcs,
        {"m@1.0.0"},
        {"libc": ["musl"]},
    ),
    Case(
        "a package that shuts one platform out serves the other",
        flat({"optionalDependencies": {"a": "1"}}, [no_arm := package("a", "1.0.0", cpu=["!arm64"])]),
        [no_arm],
        {"a@1.0.0"},
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.sentence)
def test_what_is_taken(case: Case, tmp_path: Path) -> None:
    resolution = resolved(tmp_path, case.made, case.lock, **case.section)
    assert taken(resolution) == case.expected
    assert len(list((tmp_path / "blobs").iterdir())) == len(case.expected)


@dataclass(frozen=True)
class Refusal:
    sentence: str
    lock: bytes
    made: list[Made]
    error: type[Problem]
    words: list[str]


REFUSALS = [
    Refusal(
        "a lock made on one platform, which lacks the other's binary, names it and who wants it",
        flat({"dependencies": {"tool": "^1"}}, [TOOL, X64]),
        [TOOL, X64, ARM64, DARWIN],
        Unsolvable,
        ["for linux/arm64 (glibc): @tool/linux-arm64@1.0.0", "package-lock.json > tool", "made on another platform"],
    ),
    Refusal(
        "a needed package that does not run on a platform is named",
        flat({"dependencies": {"@tool/linux-x64": "1"}}, [X64]),
        [X64],
        Unsolvable,
        ["for linux/arm64 (glibc)", "@tool/linux-x64 1.0.0 does not run there"],
    ),
    Refusal(
        "a dependency that the lock does not have is named with its chain",
        flat({"dependencies": {"a": "1"}}, [deep := package("a", "1.0.0", dependencies={"ghost": "^3"})]),
        [deep],
        Unsolvable,
        ["ghost@^3, wanted by package-lock.json > a: the lock does not have it"],
    ),
    Refusal(
        "a package from a repository cannot be served",
        package_lock(
            {"dependencies": {"a": "1"}},
            {"node_modules/a": {"version": "1.0.0", "resolved": "git+ssh://git@git.example.org/a.git#0123"}},
        ),
        [],
        Unsolvable,
        ["a@1", "git+ssh://git@git.example.org/a.git#0123, which is no registry"],
    ),
    Refusal(
        "a version that was unpublished since is named",
        flat({"dependencies": {"lib": "1"}}, [LIB1]),
        [LIB2],
        Unsolvable,
        ["lib 1.0.0 is not in the registry any more"],
    ),
    Refusal(
        "a tarball that is not the locked one is refused",
        package_lock(
            {"dependencies": {"lib": "1"}}, {"node_modules/lib": {"version": "1.0.0", "integrity": LIB2.integrity}}
        ),
        [LIB1],
        Problem,
        ["lib-1.0.0.tgz", "not what was promised"],
    ),
    Refusal(
        "a tarball that is not what the registry promised is refused, though the lock promises nothing",
        lib_locked_as({"version": "1.0.0"}),
        [package("lib", "1.0.0", dist={"integrity": LIB2.integrity})],
        Problem,
        ["lib-1.0.0.tgz", "not what was promised"],
    ),
    Refusal(
        "a wrong sha1 beside a right sha512 is refused too",
        flat({"dependencies": {"lib": "1"}}, [LIB1]),
        [package("lib", "1.0.0", dist={"shasum": "0" * 40})],
        WrongDigest,
        ["lib 1.0.0"],
    ),
    Refusal(
        "sha1 alone is not believed",
        lib_locked_as({"version": "1.0.0"}),
        [package("lib", "1.0.0", dist={"integrity": ""})],
        UntrustedUpstream,
        ["lib 1.0.0", "sha1 alone"],
    ),
    Refusal(
        "a broken integrity is named",
        package_lock(
            {"dependencies": {"lib": "1"}}, {"node_modules/lib": {"version": "1.0.0", "integrity": "sha512-AA=="}}
        ),
        [LIB1],
        BadIndex,
        ["sha512-AA=="],
    ),
    Refusal("a lock of version 1 is named", flat({}, [], version=1), [], BadIndex, ["version 1, and 2 and 3 are read"]),
    Refusal("what is no JSON is no lock", b"lockfileVersion: 3", [], Problem, ["package-lock.json is not JSON"]),
    Refusal("a list is no lock", b"[]", [], BadIndex, ["package-lock.json is not a package lock"]),
    Refusal("a key given twice is refused", b'{"packages": {}, "packages": {}}', [], Problem, ["stands there twice"]),
    Refusal("deep nesting is refused", b"[" * 100_000, [], Problem, ["package-lock.json is not JSON"]),
]


@pytest.mark.parametrize("case", REFUSALS, ids=lambda case: case.sentence)
def test_what_is_refused(case: Refusal, tmp_path: Path) -> None:
    with pytest.raises(case.error) as caught:
        resolved(tmp_path, case.made, case.lock)
    for word in case.words:
        assert word in caught.value.what


HOSTILE = [
    "../../etc/passwd",
    "/etc/passwd",
    "@scope/../x",
    "a\0b",
    "n" * 4096,
    "a%2fb",
    "a b",
    "-/../x",
    "@/x",
    "..",
    "con",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_in_a_lock_are_refused_before_fetching(name: str, tmp_path: Path) -> None:
    entry = {"version": "1.0.0", "name": name}
    with pytest.raises(Problem):
        resolved(tmp_path, [LIB1], package_lock({"dependencies": {"a": "1"}}, {"node_modules/a": entry}))
    assert list((tmp_path / "blobs").iterdir()) == []


@pytest.mark.parametrize("version", ["1.0", "../1", "1.0.0/../../x", "", "1.0.0\0", "1." + "0" * 4000 + ".0", "latest"])
def test_hostile_versions_in_a_lock_are_refused_before_fetching(version: str, tmp_path: Path) -> None:
    with pytest.raises(BadIndex):
        resolved(tmp_path, [LIB1], package_lock({"dependencies": {"a": "1"}}, {"node_modules/a": {"version": version}}))
    assert list((tmp_path / "blobs").iterdir()) == []


def test_node_js_does_not_run_everywhere(tmp_path: Path) -> None:
    with pytest.raises(BadSection, match="mips"):
        resolved(tmp_path, [LIB1], flat({}, [LIB1]), platforms=[Platform("linux", "mips")])


def test_chains_and_costs_are_told(tmp_path: Path) -> None:
    made = [package("a", "1.0.0", dependencies={"b": "1"}), package("b", "1.0.0")]
    resolution = resolved(tmp_path, made, flat({"dependencies": {"a": "1"}}, made))
    assert resolution.why["b"] == ("package-lock.json", "a", "b")
    (asked,) = resolution.asked
    assert (asked.pulled_in, asked.size) == (("b",), sum(len(each.tarball) for each in made))


def test_items_name_the_platform_of_what_runs_on_one_only(tmp_path: Path) -> None:
    made = [TOOL, X64, ARM64, DARWIN, NAN]
    resolution = resolved(tmp_path, made, flat({"dependencies": {"tool": "^1"}}, made))
    assert {item.name: item.platform for item in resolution.items} == {
        "tool": "",
        "@tool/linux-x64": "linux/amd64",
        "@tool/linux-arm64": "linux/arm64",
    }


PNPM9 = f"""lockfileVersion: '9.0'
importers:
  .:
    dependencies:
      tool: {{specifier: ^1, version: 1.0.0}}
      old: {{specifier: 'npm:lib@1', version: lib@1.0.0}}
      mine: {{specifier: 'workspace:*', version: 'link:packages/mine'}}
  packages/mine:
    devDependencies:
      plugin: {{specifier: ^1, version: 1.0.0(lib@2.0.0)}}
packages:
  tool@1.0.0:
    resolution: {{integrity: {TOOL.integrity}}}
    engines: {{node: '>=18'}}
  '@tool/linux-x64@1.0.0':
    resolution: {{integrity: {X64.integrity}}}
    cpu: [x64]
    os: [linux]
  '@tool/linux-arm64@1.0.0':
    resolution: {{integrity: {ARM64.integrity}}}
    cpu: [arm64]
    os: [linux]
  '@tool/darwin-arm64@1.0.0':
    resolution: {{integrity: {DARWIN.integrity}}}
    cpu: [arm64]
    os: [darwin]
  lib@1.0.0:
    resolution: {{integrity: {LIB1.integrity}}}
  lib@2.0.0:
    resolution: {{integrity: {LIB2.integrity}}}
  plugin@1.0.0:
    resolution: {{integrity: {plugin.integrity}}}
    peerDependencies: {{lib: '*'}}
snapshots:
  tool@1.0.0:
    optionalDependencies:
      '@tool/linux-x64': 1.0.0
      '@tool/linux-arm64': 1.0.0
      '@tool/darwin-arm64': 1.0.0
  '@tool/linux-x64@1.0.0': {{optional: true}}
  '@tool/linux-arm64@1.0.0': {{optional: true}}
  '@tool/darwin-arm64@1.0.0': {{optional: true}}
  lib@1.0.0: {{}}
  lib@2.0.0: {{}}
  plugin@1.0.0(lib@2.0.0):
    dependencies: {{lib: 2.0.0}}
"""
PNPM6 = f"""lockfileVersion: '6.0'
dependencies:
  tool: {{specifier: ^1, version: 1.0.0}}
  old: {{specifier: 'npm:lib@1', version: /lib@1.0.0}}
devDependencies:
  plugin: {{specifier: ^1, version: 1.0.0(lib@2.0.0)}}
packages:
  /tool@1.0.0:
    resolution: {{integrity: {TOOL.integrity}}}
    optionalDependencies: {{'@tool/linux-x64': 1.0.0, '@tool/linux-arm64': 1.0.0, '@tool/darwin-arm64': 1.0.0}}
  /@tool/linux-x64@1.0.0: {{resolution: {{integrity: {X64.integrity}}}, cpu: [x64], os: [linux], optional: true}}
  /@tool/linux-arm64@1.0.0: {{resolution: {{integrity: {ARM64.integrity}}}, cpu: [arm64], os: [linux], optional: true}}
  /@tool/darwin-arm64@1.0.0: {{resolution: {{integrity: {DARWIN.integrity}}}, cpu: [arm64], os: [darwin]}}
  /lib@1.0.0: {{resolution: {{integrity: {LIB1.integrity}}}}}
  /lib@2.0.0: {{resolution: {{integrity: {LIB2.integrity}}}}}
  /plugin@1.0.0(lib@2.0.0):
    resolution: {{integrity: {plugin.integrity}}}
    peerDependencies: {{lib: '*'}}
    dependencies: {{lib: 2.0.0}}
"""


@pytest.mark.parametrize("text", [PNPM6, PNPM9], ids=["version 6", "version 9"])
def test_locks_of_pnpm_are_read(text: str, tmp_path: Path) -> None:
    (tmp_path / "pnpm-lock.yaml").write_text(text)
    made = [TOOL, X64, ARM64, DARWIN, LIB1, LIB2, plugin]
    assert taken(resolved(tmp_path, made, locks=["pnpm-lock.yaml"])) == {
        *("tool@1.0.0", "@tool/linux-x64@1.0.0", "@tool/linux-arm64@1.0.0"),
        *("lib@1.0.0", "lib@2.0.0", "plugin@1.0.0"),
    }


BROKEN = {
    "an old version": ("lockfileVersion: 5.4\n", "of version 5.4"),
    "laughing": ("a: &a [x]\nb: [*a, *a]\n", "refers to itself"),
    "a tag": ("!!python/object/apply:os.system [ls]\n", "or holds objects"),
    "a list": ("- 1\n", "is not a lock of pnpm"),
    "depth": ("[" * 100_000, "nested deeper"),
    "a package without a resolution": (
        "lockfileVersion: '9.0'\npackages: {}\nsnapshots: {a@1.0.0: {}}\n",
        "resolution",
    ),
}


@pytest.mark.parametrize(("text", "word"), BROKEN.values(), ids=BROKEN.keys())
def test_broken_locks_of_pnpm_are_named(text: str, word: str, tmp_path: Path) -> None:
    (tmp_path / "pnpm-lock.yaml").write_text(text)
    with pytest.raises(BadIndex, match=word):
        resolved(tmp_path, [], locks=["pnpm-lock.yaml"])


def test_names_with_ranges_are_resolved_by_npm_for_every_platform(tmp_path: Path) -> None:
    made = [TOOL, X64, ARM64, DARWIN, NAN, LIB1, LIB2]
    resolution = resolved(tmp_path, made, packages=["tool@^1", "lib@1", "lib@>=2"])
    assert taken(resolution) == {
        *("tool@1.0.0", "@tool/linux-x64@1.0.0", "@tool/linux-arm64@1.0.0"),
        *("lib@1.0.0", "lib@2.0.0"),
    }
    assert resolution.why["@tool/linux-x64"] == ("tool@^1", "tool", "@tool/linux-x64")
    assert {asked.what for asked in resolution.asked} == {"tool@^1", "lib@1", "lib@>=2"}


@pytest.mark.parametrize("spec", ["ghost@1", "lib@^7"], ids=["no such package", "no such version"])
def test_names_that_cannot_be_resolved_are_named(spec: str, tmp_path: Path) -> None:
    with pytest.raises(Unsolvable, match=spec.replace("^", r"\^")):
        resolved(tmp_path, [LIB1], packages=[spec])


BAD_SPECS = [
    "",
    "-g",
    "--registry=http://x",
    "file:../x",
    "a@npm:b@1",
    "git+https://x/y",
    "../x",
    "a@http://x/y.tgz",
    "a@",
]


@pytest.mark.parametrize("spec", BAD_SPECS)
def test_a_name_may_be_no_option_address_or_folder(spec: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="name"):
        resolved(tmp_path, [], packages=[spec])


def test_what_the_registry_keeps_for_itself_does_not_travel(tmp_path: Path) -> None:
    (item,) = resolved(tmp_path, [LIB1], flat({"dependencies": {"lib": "1"}}, [LIB1])).items
    assert json.loads(json.dumps(item.publish["packument"])).keys() == {"name", "version", "dist"}
    assert item.publish["tags"] == ["latest"]
