"""A recipe's mistakes are named where they stand, and its secrets do not travel."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from archive.platforms import Platform
from bundler.errors import RecipeInvalid
from bundler.recipe import Recipe, without_secrets

CRATE = '[crate]\nname = "lab"\n'
DIGEST = "a" * 64


def load(folder: Path, text: str) -> Recipe:
    path = folder / "bundle.toml"
    path.write_text(text)
    return Recipe.load(path)


WHOLE = f"""
[crate]
name = "lab"
channel = "testing"
serial = 7
platforms = ["linux/arm64/v8", "x86_64"]
expires = 2027-06-30

[k3s]
version = "v1.36.4+k3s1"

[[images]]
ref = "busybox"
platforms = ["linux/arm/v7"]
referrers = true

[[images]]
layout = "app.tar"
name = "ghcr.io/team/app:1.0"

[[files]]
name = "tool-{{version}}-{{arch}}"
version = "2.1"
url = "https://example.org/{{version}}/tool_{{arch}}.tar.gz"
arch = {{ amd64 = "x86_64" }}
sha256 = {{ amd64 = "{DIGEST}", arm64 = "{"b" * 64}" }}

[[files]]
name = "notes.txt"
path = "notes.txt"

[upstreams]
"docker.io" = "https://mirror.example.org"
"""


def test_a_whole_recipe_is_read(tmp_path: Path) -> None:
    contents = load(tmp_path, WHOLE).contents
    assert contents.crate.platforms == (Platform("linux", "arm64"), Platform("linux", "amd64"))
    assert contents.crate.expires == datetime(2027, 6, 30, tzinfo=UTC)
    assert contents.crate.serial == 7
    assert str(contents.images[0].reference) == "docker.io/library/busybox:latest"
    assert contents.images[0].platforms == (Platform("linux", "arm"),)
    requests = list(contents.files[0].requests(contents.crate.platforms))
    assert [(request.name, request.url, request.sha256[0]) for request in requests] == [
        ("tool-2.1-arm64", "https://example.org/2.1/tool_arm64.tar.gz", "b"),
        ("tool-2.1-x86_64", "https://example.org/2.1/tool_x86_64.tar.gz", "a"),
    ]


def test_a_short_recipe_is_for_both_kinds_of_board(tmp_path: Path) -> None:
    contents = load(tmp_path, CRATE).contents
    assert {str(platform) for platform in contents.crate.platforms} == {"linux/arm64", "linux/amd64"}
    assert (contents.crate.serial, contents.crate.channel) == ("auto", "stable")


# text after [crate], the line that is named, words of the message, words of the hint
MISTAKES = {
    "an apt key that is nearly right, by the name it has in a recipe": (
        '[[apt]]\nname = "d"\npackages = ["a"]\npublish-suit = "x"',
        6,
        "apt[1].publish-suit",
        "publish-suite?",
    ),
    "an apt package that apt would not take": (
        '[[apt]]\nname = "d"\npackages = ["a", "b c d"]',
        5,
        "apt[1].packages[2]",
        "",
    ),
    "an apt url without suites": (
        '[[apt]]\nname = "d"\npackages = ["a"]\nurl = "https://mirror.example.org"',
        3,
        "needs `suites`",
        "bookworm",
    ),
    "a requirement that is none": (
        '[[pypi]]\nrequirements = ["a"]\n[[pypi]]\nrequirements = ["a", "b=="]',
        6,
        "pypi[2].requirements[2]: 'b==' is not a requirement",
        "aiohttp>=3.9",
    ),
    "a Python that is none": ('[[pypi]]\nrequirements = ["a"]\npython = ["2"]', 5, "pypi[1].python[1]", "3.13"),
    "no Python at all": (
        '[[pypi]]\nrequirements = ["a"]\npython = []',
        5,
        "pypi[1].python: this is empty",
        "leave python",
    ),
    "an npm section that asks for nothing": ("[[npm]]\nlibc = ['musl']", 3, "npm[1]", "packages or locks"),
    "an npm package from a repository": ('[[npm]]\npackages = ["a@git+ssh://x"]', 4, "npm[1].packages[1]", ""),
    "a chart with a path and a repository": (
        '[[charts]]\npath = "x"\nrepository = "https://mirror.example.org"\nname = "x"',
        3,
        "charts[1]: a chart has either",
        "",
    ),
    "a chart's constraint that is none": (
        '[[charts]]\nname = "x"\nrepository = "https://mirror.example.org"\nversion = "newest"',
        6,
        "charts[1].version",
        "^1.2",
    ),
    "a key of the crate that is nearly right": ('platfroms = ["linux/arm64"]', 3, "crate.platfroms", "platforms?"),
    "a key of an image that is nearly right": (
        '[[images]]\nref = "a"\n[[images]]\nref = "b"\nrefferers = true',
        7,
        "images[2].refferers",
        "referrers?",
    ),
    "a table that is nearly right": ('[[image]]\nref = "a"', 3, "image", "images?"),
    "a key like no other": ("zzz = 1", 3, "crate.zzz", "known here: channel, expires, name, platforms, profiles"),
    "a key inside an inline table's line": (f'[[files]]\nname="a"\npath="a"\nsha = "{DIGEST}"', 6, "sha", "sha256?"),
    "a reference that is none": ('[[images]]\nref = "Busy Box"', 4, "'Busy Box' is not an image", "docker.io/library"),
    "an image from nowhere": ("[[images]]\nreferrers = true", 3, "from a registry or from a local layout", "ref ="),
    "an image from two places": ('[[images]]\nref = "a"\nlayout = "b"\nname = "c"', 3, "from a registry or", "layout"),
    "a layout without a name": ('[[images]]\nlayout = "b"', 3, "needs the name", "name ="),
    "a layout named by digest": (
        f'[[images]]\nlayout = "b"\nname = "c@sha256:{DIGEST}"',
        3,
        "has a tag, not a digest",
        "content",
    ),
    "an image asked for twice": (
        '[[images]]\nref = "a"\n[[images]]\nref = "docker.io/library/a:latest"',
        1,
        "docker.io/library/a:latest is asked for twice",
        "remove one",
    ),
    "a platform that is none": ('platforms = ["linux/"]', 3, "'linux/' is not a platform", "linux/arm64"),
    "no platform at all": ("platforms = []", 3, "one platform at least", "platforms ="),
    "a number for a platform": ("platforms = [\n 7,\n]", 3, "this must be text", "docs/recipe.md"),
    "a serial of zero": ("serial = 0", 3, "whole number above 0", "docs/recipe.md"),
    "a serial that is text": ('serial = "12"', 3, "whole number above 0", "docs/recipe.md"),
    "an expiry in quotes": ('expires = "soon"', 3, "expires is a date", "2027-06-30"),
    "a k3s version without its build": ('[k3s]\nversion = "1.36.4"', 4, "not a k3s release", "v1.36.4+k3s1"),
    "airgap in words": ('[k3s]\nversion = "v1.36.4+k3s1"\nairgap = "yes"', 5, "valid boolean", "docs/recipe.md"),
    "k3s without a version": ("[k3s]", 3, "this is missing", "add version"),
    "k3s for a platform that it is not made for": (
        'platforms = ["linux/riscv64"]\n[k3s]\nversion = "v1.36.4+k3s1"',
        1,
        "no k3s for linux/riscv64",
        "platforms of its own",
    ),
    "a file from a URL that nothing pins": (
        '[[files]]\nname = "a"\nurl = "https://example.org/a"',
        3,
        "needs its digest",
        "sha256 =",
    ),
    "a file pinned twice": (
        f'[[files]]\nname = "a"\nurl = "https://example.org/a"\nsha256 = "{DIGEST}"\nchecksums = "https://example.org/s"',
        3,
        "both pin",
        "keep one",
    ),
    "a file from nowhere": ('[[files]]\nname = "a"', 3, "from a url or from a path", "one of the two"),
    "a digest in capitals": (
        f'[[files]]\nname = "a"\npath = "a"\nsha256 = "{"A" * 64}"',
        6,
        "64 lower-case",
        "sha256sum",
    ),
    "a file name that climbs": ('[[files]]\nname = "../etc/passwd"\npath = "a"', 3, "'..'", "docs/recipe.md"),
    "a file name that is absolute": ('[[files]]\nname = "/etc/passwd"\npath = "a"', 3, "must be relative", "docs"),
    "a file name that Windows keeps for itself": ('[[files]]\nname = "aux.txt"\npath = "a"', 3, "reserved", "docs"),
    "two file names that are one on a case-blind disk": (
        '[[files]]\nname = "a"\npath = "a"\n[[files]]\nname = "A"\npath = "b"',
        1,
        "one on a case-blind disk",
        "another name",
    ),
    "an architecture that is not in the name": (
        f'[[files]]\nname = "a"\nurl = "https://example.org/{{arch}}"\nsha256 = "{DIGEST}"',
        3,
        "stand in the name too",
        "tool-{arch}",
    ),
    "one digest for several platforms": (
        f'[[files]]\nname = "a-{{arch}}"\nurl = "https://example.org/{{arch}}"\nsha256 = "{DIGEST}"',
        3,
        "one sha256 cannot pin",
        "amd64 =",
    ),
    "a template nobody fills in": ('[[files]]\nname = "a-{os}"\npath = "a"', 3, "{os} is not filled in", "{arch}"),
    "a version used and not given": ('[[files]]\nname = "a-{version}"\npath = "a"', 3, "no version", "version ="),
    "a URL that is none": ('[[files]]\nname = "a"\nurl = "ftp://example.org/a"', 5, "is not a URL", "https://"),
    "a password in a URL": (
        '[[files]]\nname = "a"\nurl = "https://me:secret@example.org/a"',
        5,
        "holds a user or password",
        "config.json",
    ),
    "a password in a comment": ("# see https://token@example.org/", 3, "holds a user or password", "config.json"),
    "a name that is no file name": ('channel = "a/b"', 3, "cannot be part of a file name", "a-z"),
    "a table that is a value": ("[images]\nref = 1", 3, "valid tuple", "docs/recipe.md"),
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_named_where_it_stands(mistake: tuple[str, int, str, str], tmp_path: Path) -> None:
    text, line, message, hint = mistake
    with pytest.raises(RecipeInvalid) as caught:
        load(tmp_path, CRATE + text)
    assert caught.value.what.startswith(f"{tmp_path}/bundle.toml:{line}: "), caught.value.what
    assert message in caught.value.what
    assert hint in caught.value.hint
    assert "secret" not in caught.value.what
    assert caught.value.exit_code == 2


def test_all_mistakes_are_named_at_once_in_the_order_of_their_lines(tmp_path: Path) -> None:
    with pytest.raises(RecipeInvalid) as caught:
        load(tmp_path, '[crate]\nname = "Lab"\nsreial = 1\n[[images]]\nref = "B B"\n')
    first, second, third = caught.value.what.splitlines()
    assert (":2: crate.name" in first, ":3: crate.sreial" in second, ":5: images[1].ref" in third) == (True,) * 3
    assert "did you mean serial?" in second


def test_a_missing_recipe_points_to_init(tmp_path: Path) -> None:
    with pytest.raises(RecipeInvalid, match="is not there") as caught:
        Recipe.load(tmp_path / "bundle.toml")
    assert "crate-bundle init" in caught.value.hint


def test_broken_toml_is_named_by_line(tmp_path: Path) -> None:
    with pytest.raises(RecipeInvalid, match=r"bundle\.toml:3: not TOML"):
        load(tmp_path, CRATE + "serial = = 1\n")


def test_bytes_that_are_not_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "bundle.toml").write_bytes(b"\xff\xfe[crate]")
    with pytest.raises(RecipeInvalid, match="not UTF-8"):
        Recipe.load(tmp_path / "bundle.toml")


def test_queries_do_not_travel_and_are_still_used(tmp_path: Path) -> None:
    url = "https://example.org/a?X-Signature=s3cret"
    recipe = load(tmp_path, CRATE + f'[[files]]\nname = "a"\nurl = "{url}" # {url}\nsha256 = "{DIGEST}"\n')
    assert b"s3cret" not in recipe.travelling
    assert b'url = "https://example.org/a" # https://example.org/a\n' in recipe.travelling
    assert recipe.urls() == {"https://example.org/a": [url]}


def test_a_query_hidden_behind_an_escape_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeInvalid, match="without escapes") as caught:
        load(
            tmp_path, CRATE + f'[[files]]\nname = "a"\nurl = "https://example.org/a\\u003fs3cret"\nsha256="{DIGEST}"\n'
        )
    assert "s3cret" not in caught.value.what


def test_a_changed_query_leaves_the_recipe_the_same(tmp_path: Path) -> None:
    text = CRATE + f'[[files]]\nname = "a"\nurl = "https://example.org/a?%s"\nsha256 = "{DIGEST}"\n'
    assert load(tmp_path, text % "monday").sha256 == load(tmp_path, text % "tuesday").sha256


TRAVELLING = {
    "user info": ("tool @ https://ann:word@example.org/t.whl", "tool @ https://example.org/t.whl"),
    "user info of any scheme": ("git+ssh://ann@example.org/x", "git+ssh://example.org/x"),
    "a query and a fragment": (
        "https://example.org/t.whl?token=1#sha256=2 and more",
        "https://example.org/t.whl and more",
    ),
    "a folder of this machine": ("file:///srv/index, of pip", "file:…, of pip"),
    "what is no URL": ("@scope/name@^1.2 (>= 2)", "@scope/name@^1.2 (>= 2)"),
}


@pytest.mark.parametrize("case", TRAVELLING.values(), ids=TRAVELLING.keys())
def test_words_travel_without(case: tuple[str, str]) -> None:
    text, travelling = case
    assert without_secrets(text) == travelling
