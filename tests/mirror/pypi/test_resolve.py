"""Made-up worlds through the real uv: what ends in the crate, and what is refused, naming what, where and for whom."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from archive.errors import Problem
from archive.platforms import Platform
from mirror.errors import BadIndex, BadSection, PublicationClash, Unsolvable
from tests.mirror.pypi.index import Made, sdist, wheel
from tests.mirror.pypi.worlds import files, resolved
from tests.mirror.transport import AMD64, ARM64

pytestmark = pytest.mark.usefixtures("_own_cache")

X86, ARM = "cp311-cp311-manylinux_2_17_x86_64", "cp311-cp311-manylinux_2_17_aarch64"


@dataclass(frozen=True)
class Case:
    sentence: str
    made: list[Made]
    expected: set[str]
    section: dict[str, Any] = field(default_factory=lambda: {"requirements": ["app"]})


SOLVABLE = [
    Case(
        "what a requirement needs comes with it, the newest that fits",
        [wheel("app", "1.0", ["lib<2"]), wheel("lib", "1.5"), wheel("lib", "1.4"), wheel("lib", "2.0")],
        {"app-1.0-py3-none-any.whl", "lib-1.5-py3-none-any.whl"},
    ),
    Case(
        "every platform gets its own wheel, and no other platform's",
        [
            wheel("app", "1.0", tags=X86),
            wheel("app", "1.0", tags=ARM),
            wheel("app", "1.0", tags="cp311-cp311-win_amd64"),
        ],
        {f"app-1.0-{X86}.whl", f"app-1.0-{ARM}.whl"},
    ),
    Case(
        "the pure wheel is left out where both platforms have a better one",
        [wheel("app", "1.0", tags=X86), wheel("app", "1.0", tags=ARM), wheel("app", "1.0")],
        {f"app-1.0-{X86}.whl", f"app-1.0-{ARM}.whl"},
    ),
    Case(
        "the pure wheel fills in where a platform has none",
        [wheel("app", "1.0", tags=X86), wheel("app", "1.0")],
        {f"app-1.0-{X86}.whl", "app-1.0-py3-none-any.whl"},
    ),
    Case(
        "a wheel for a newer glibc than the nodes have is not taken",
        [
            wheel("app", "1.0", tags="cp311-cp311-manylinux_2_39_x86_64"),
            wheel("app", "1.0", tags="cp311-cp311-manylinux_2_39_aarch64"),
            wheel("app", "1.0"),
        ],
        {"app-1.0-py3-none-any.whl"},
    ),
    Case(
        "musl is another world than glibc",
        [
            wheel("app", "1.0", tags=X86),
            wheel("app", "1.0", tags="cp311-cp311-musllinux_1_1_x86_64"),
            wheel("app", "1.0", tags="cp311-cp311-musllinux_1_2_aarch64"),
        ],
        {"app-1.0-cp311-cp311-musllinux_1_1_x86_64.whl", "app-1.0-cp311-cp311-musllinux_1_2_aarch64.whl"},
        {"requirements": ["app"], "libc": ["musl-1.2"]},
    ),
    Case(
        "a stable-ABI wheel serves every Python, so it is there once",
        [
            wheel("app", "1.0", tags="cp39-abi3-manylinux_2_17_x86_64"),
            wheel("app", "1.0", tags="cp39-abi3-manylinux_2_17_aarch64"),
        ],
        {"app-1.0-cp39-abi3-manylinux_2_17_x86_64.whl", "app-1.0-cp39-abi3-manylinux_2_17_aarch64.whl"},
        {"requirements": ["app"], "python": ["3.11", "3.13"]},
    ),
    Case(
        "a marker brings a package in for one platform only",
        [
            wheel("app", "1.0", ["lib; platform_machine == 'aarch64'", "never; sys_platform == 'win32'"]),
            wheel("lib", "1"),
        ],
        {"app-1.0-py3-none-any.whl", "lib-1-py3-none-any.whl"},
    ),
    Case(
        "a backport comes for the old Python only",
        [wheel("app", "1.0", ["lib; python_version < '3.12'"]), wheel("lib", "1", tags="cp311-none-any")],
        {"app-1.0-py3-none-any.whl", "lib-1-cp311-none-any.whl"},
        {"requirements": ["app"], "python": ["3.11", "3.13"]},
    ),
    Case(
        "an extra brings its packages, and an extra of an extra too",
        [
            wheel("app", "1.0", ["lib[fast]; extra == 'speed'", "no; extra == 'other'"], extras=["speed", "other"]),
            wheel("lib", "1", ["c; extra == 'fast'"], extras=["fast"]),
            wheel("c", "1"),
            wheel("no", "1"),
        ],
        {"app-1.0-py3-none-any.whl", "lib-1-py3-none-any.whl", "c-1-py3-none-any.whl"},
        {"requirements": ["app[speed]"]},
    ),
    Case(
        "packages may need each other",
        [wheel("app", "1.0", ["lib"]), wheel("lib", "1", ["app"])],
        {"app-1.0-py3-none-any.whl", "lib-1-py3-none-any.whl"},
    ),
    Case(
        "a constraint holds without asking for the package",
        [wheel("app", "1.0", ["lib"]), wheel("lib", "1"), wheel("lib", "2"), wheel("other", "1")],
        {"app-1.0-py3-none-any.whl", "lib-1-py3-none-any.whl"},
        {"requirements": ["app"], "constraints": ["lib<2", "other<5"]},
    ),
    Case(
        "a release that needs another Python is passed over",
        [wheel("app", "2.0", python=">=3.12"), wheel("app", "1.0", python=">=3.8")],
        {"app-1.0-py3-none-any.whl"},
    ),
    Case(
        "a source distribution is taken with what builds it, and what builds that, when allowed",
        [
            sdist("app", "1.0", build=["builder>=1"]),
            wheel("builder", "1.1", ["tools"]),
            sdist("tools", "3", build=["seed"]),
            wheel("seed", "1"),
        ],
        {"app-1.0.tar.gz", "builder-1.1-py3-none-any.whl", "tools-3.tar.gz", "seed-1-py3-none-any.whl"},
        {"requirements": ["app"], "sdists": True},
    ),
    Case(
        "a source distribution stays away where every target has a wheel",
        [sdist("app", "1.0"), wheel("app", "1.0")],
        {"app-1.0-py3-none-any.whl"},
        {"requirements": ["app"], "sdists": True},
    ),
]


@pytest.mark.parametrize("case", SOLVABLE, ids=lambda case: case.sentence)
def test_what_is_taken(case: Case, tmp_path: Path) -> None:
    resolution = resolved(tmp_path, case.made, **case.section)
    assert files(resolution) == case.expected
    assert {file.sha256 for item in resolution.items for file in item.files} == {
        path.name for path in (tmp_path / "blobs").iterdir()
    }


@dataclass(frozen=True)
class Refusal:
    sentence: str
    made: list[Made]
    error: type[Problem]
    words: list[str]
    section: dict[str, Any] = field(default_factory=lambda: {"requirements": ["app"]})


UNSOLVABLE = [
    Refusal(
        "a package that does not exist is named with who wants it",
        [wheel("app", "1.0", ["ghost>=1"])],
        Unsolvable,
        ["ghost", "app", "Python 3.11 on linux/amd64"],
    ),
    Refusal(
        "two requirements that contradict each other are both named",
        [wheel("app", "1.0", ["lib<2"]), wheel("lib", "1"), wheel("lib", "2")],
        Unsolvable,
        ["lib<2", "lib>=2"],
        {"requirements": ["app", "lib>=2"]},
    ),
    Refusal(
        "a platform without a wheel is named",
        [wheel("app", "1.0", ["lib"]), wheel("lib", "1", tags=X86)],
        Unsolvable,
        ["lib", "linux/arm64"],
    ),
    Refusal(
        "a source distribution alone does not do unless allowed",
        [sdist("app", "1.0"), wheel("builder", "1")],
        Unsolvable,
        ["app", "wheels"],
    ),
    Refusal(
        "what builds a source distribution must be there too",
        [sdist("app", "1.0", build=["nowhere"])],
        Unsolvable,
        ["nowhere"],
        {"requirements": ["app"], "sdists": True},
    ),
    Refusal(
        "a file that is not what the index promised is refused",
        [wheel("app", "1.0", promised="0" * 64)],
        Problem,
        ["app-1.0-py3-none-any.whl"],
    ),
    Refusal(
        "a wheel that says it is something else is refused",
        [wheel("app", "1.0", says="impostor")],
        Problem,
        ["app"],
    ),
    Refusal("a wheel glob that nothing answers to", [], BadSection, ["dist/*.whl"], {"wheels": ["dist/*.whl"]}),
    Refusal("a requirement file that is not there", [], BadSection, ["wanted.txt"], {"files": ["wanted.txt"]}),
]


@pytest.mark.parametrize("case", UNSOLVABLE, ids=lambda case: case.sentence)
def test_what_is_refused(case: Refusal, tmp_path: Path) -> None:
    with pytest.raises(case.error) as caught:
        resolved(tmp_path, case.made, **case.section)
    for word in case.words:
        assert word in caught.value.what


def test_a_platform_that_no_wheel_is_made_for_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadSection, match="linux/s390x"):
        resolved(tmp_path, [wheel("app", "1")], requirements=["app"], platforms=[Platform("linux", "s390x")])


def test_chains_and_costs_are_told(tmp_path: Path) -> None:
    made = [wheel("app", "1.0", ["lib"]), wheel("lib", "1", ["base"]), wheel("base", "1"), wheel("tool", "1", ["base"])]
    resolution = resolved(tmp_path, made, requirements=["app", "tool"])
    sizes = {each.project: len(each.content) for each in made}
    assert resolution.why["base"] == ("app", "lib", "base")
    assert {asked.what: (asked.pulled_in, asked.size) for asked in resolution.asked} == {
        "app": (("base", "lib"), sizes["app"] + sizes["lib"] + sizes["base"]),
        "tool": (("base",), sizes["tool"] + sizes["base"]),
    }


def test_a_withdrawn_release_that_is_pinned_is_taken_and_marked(tmp_path: Path) -> None:
    made = [wheel("app", "1.0", yanked="it eats data"), wheel("app", "0.9")]
    marked = resolved(tmp_path, made, requirements=["app==1.0"]).items[0].publish["files"]["app-1.0-py3-none-any.whl"]
    assert marked["yanked"] == "it eats data"
    assert files(resolved(tmp_path, made, requirements=["app"])) == {"app-0.9-py3-none-any.whl"}


def test_versions_that_differ_between_targets_are_noted(tmp_path: Path) -> None:
    made = [wheel("app", "2.0", tags=X86), wheel("app", "1.0")]
    (note,) = resolved(tmp_path, made, requirements=["app"]).notes
    assert "app is 1.0 for Python 3.11 on linux/arm64" in note
    assert "2.0 for Python 3.11 on linux/amd64" in note


def test_requirement_files_may_include_others_and_pin_hashes(tmp_path: Path) -> None:
    lib = wheel("lib", "1")
    (tmp_path / "more.txt").write_text(f"lib==1 --hash=sha256:{lib.sha256}\n")
    (tmp_path / "wanted.txt").write_text("-r more.txt\n")
    resolution = resolved(tmp_path, [lib, wheel("lib", "2")], files=["wanted.txt"])
    assert files(resolution) == {"lib-1-py3-none-any.whl"}
    assert resolution.asked[0].what == "wanted.txt"


def test_local_wheels_come_with_what_they_need_and_stay_local(tmp_path: Path) -> None:
    (tmp_path / "dist").mkdir()
    for made in (
        wheel("mine", "1.0+site", ["lib", "other"]),
        wheel("other", "5", tags=X86),
        wheel("other", "5", tags=ARM),
    ):
        (tmp_path / "dist" / made.file).write_bytes(made.content)
    resolution = resolved(tmp_path, [wheel("lib", "1")], wheels=["dist/*.whl"])
    origins = {file.path: file.origin or item.origin for item in resolution.items for file in item.files}
    assert set(origins) == {
        "lib-1-py3-none-any.whl",
        "mine-1.0+site-py3-none-any.whl",
        f"other-5-{X86}.whl",
        f"other-5-{ARM}.whl",
    }
    assert origins["mine-1.0+site-py3-none-any.whl"] == "file:dist/mine-1.0+site-py3-none-any.whl"
    assert {item.platform for item in resolution.items if item.name == "other"} == {str(AMD64), str(ARM64)}


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(_lock("app", "1.0", "http://127.0.0.1:9/a/app-1.0-py3-none-any.whl", "a" * 64))
    (tmp_path / "b.toml").write_text(_lock("app", "1.0", "http://127.0.0.1:9/b/app-1.0-py3-none-any.whl", "b" * 64))
    with pytest.raises(PublicationClash, match="is one file at"):
        resolved(tmp_path, [], locks=["a.toml", "b.toml"])


HOSTILE = [
    ("a path", "http://127.0.0.1:9/..%2f..%2fapp-1.0-py3-none-any.whl"),
    ("a NUL", "http://127.0.0.1:9/app-1.0%00-py3-none-any.whl"),
    ("four thousand letters", f"http://127.0.0.1:9/{'a' * 4096}-1.0-py3-none-any.whl"),
    ("no wheel", "http://127.0.0.1:9/app.exe"),
]


@pytest.mark.parametrize(("what", "url"), HOSTILE, ids=[what for what, _ in HOSTILE])
def test_hostile_file_names_in_a_lock_are_refused_before_anything_is_fetched(
    what: str, url: str, tmp_path: Path
) -> None:
    (tmp_path / "pylock.toml").write_text(_lock("app", "1.0", url, "a" * 64))
    with pytest.raises(BadIndex):
        resolved(tmp_path, [], locks=["pylock.toml"])
    assert list((tmp_path / "blobs").iterdir()) == []


def _lock(name: str, version: str, url: str, sha256: str) -> str:
    return f"""lock-version = "1.0"
created-by = "tests"
[[packages]]
name = "{name}"
version = "{version}"
wheels = [{{ url = "{url}", hashes = {{ sha256 = "{sha256}" }} }}]
"""
