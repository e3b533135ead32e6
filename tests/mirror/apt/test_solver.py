"""Tables of tiny worlds. What can be solved is held against apt, over the whole world and over what was chosen."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from mirror.apt import replay
from mirror.apt.wishes import Line
from mirror.errors import BadSection, ReplayDiffers, Unsolvable
from tests.mirror.apt.worlds import apt_chooses, base, closed, index, universe


@dataclass(frozen=True)
class World:
    """`chosen` are `name version`. `apt` is False where apt gives up or chooses worse, and the sentence says so."""

    sentence: str
    packages: tuple[str, ...]
    wishes: str
    chosen: str
    recommends: bool = False
    nodes: tuple[str, ...] = ()
    apt: bool = True


def W(  # noqa: N802 - a row of the table
    sentence: str,
    packages: str,
    wishes: str,
    chosen: str,
    *,
    nodes: str = "",
    recommends: bool = False,
    apt: bool = True,
) -> World:
    lines = tuple(line.strip() for line in packages.splitlines() if line.strip())
    have = tuple(line.strip() for line in nodes.splitlines() if line.strip())
    return World(sentence, lines, wishes, chosen, recommends, have, apt)


SOLVABLE = [
    W("nothing but the wish", "a 1\nb 1", "a", "a 1"),
    W("a chain of dependencies", "a 1; Depends: b\nb 1; Depends: c\nc 1", "a", "a 1, b 1, c 1"),
    W("Pre-Depends count as Depends", "a 1; Pre-Depends: b\nb 1", "a", "a 1, b 1"),
    W("the first alternative", "a 1; Depends: b | c\nb 1\nc 1", "a", "a 1, b 1"),
    W("the second alternative where the first is not there", "a 1; Depends: b | c\nc 1", "a", "a 1, c 1"),
    W("the second alternative where the first cannot be completed",
      "a 1; Depends: b | c\nb 1; Depends: gone\nc 1", "a", "a 1, c 1"),
    W("the second alternative where the first is too old", "a 1; Depends: b (>= 2) | c\nb 1\nc 1", "a", "a 1, c 1"),
    W("an alternative that is wished for anyway", "a 1; Depends: b | c\nb 1\nc 1", "a c", "a 1, c 1"),
    W("a virtual package by its only provider", "a 1; Depends: v\nb 1; Provides: v", "a", "a 1, b 1"),
    W("a real package before those that provide it", "a 1; Depends: v\nb 1; Provides: v\nv 1", "a", "a 1, v 1"),
    W("of two providers the one of better priority",
      "a 1; Depends: v\nb 1; Provides: v; Priority: optional\nc 1; Provides: v; Priority: standard", "a", "a 1, c 1"),
    W("of two equal providers the one that apt meets last",
      "a 1; Depends: v\nb 1; Provides: v; Priority: optional\nc 1; Provides: v; Priority: optional", "a", "a 1, c 1"),
    W("of two equal providers the one that apt meets last, mentions counted",
      "a 1; Depends: v; Suggests: c, b\nb 1; Provides: v; Priority: optional\nc 1; Provides: v; Priority: optional",
      "a", "a 1, b 1"),
    W("an essential provider before others",
      "a 1; Depends: v\nb 1; Provides: v; Essential: yes; Priority: optional\nc 1; Provides: v; Priority: standard",
      "a", "a 1, b 1"),
    W("a versioned provision satisfies a versioned dependency",
      "a 1; Depends: v (>= 2)\nb 1; Provides: v (= 3)", "a", "a 1, b 1"),
    W("an unversioned provision does not satisfy a versioned dependency",
      "a 1; Depends: v (>= 2) | c\nb 1; Provides: v\nc 1", "a", "a 1, c 1"),
    W("a versioned provision that is too old does not either",
      "a 1; Depends: v (>= 2) | c\nb 1; Provides: v (= 1)\nc 1", "a", "a 1, c 1"),
    W("the highest version", "a 1\na 2\na 1.5", "a", "a 2"),
    W("the version that is asked for", "a 1; Depends: b\na 2\nb 1", "a=1", "a 1, b 1"),
    W("a cycle", "a 1; Depends: b\nb 1; Depends: c\nc 1; Depends: a", "a", "a 1, b 1, c 1"),
    W("a package that depends on what it provides itself",
      "a 1; Depends: v; Provides: v\nb 1; Provides: v", "a", "a 1"),
    W("a package that conflicts with what it provides itself",
      "a 1; Conflicts: v; Provides: v\nb 1", "a b", "a 1, b 1"),
    W("an alternative left because of a conflict",
      "a 1; Depends: b | c\nd 1; Conflicts: b\nb 1\nc 1", "a d", "a 1, c 1, d 1"),
    W("an alternative left because of Breaks",
      "a 1; Depends: b | c\nd 1; Breaks: b (<< 2)\nb 1\nc 1", "a d", "a 1, c 1, d 1"),
    W("Breaks of older versions do no harm", "a 1; Depends: b\nd 1; Breaks: b (<< 1)\nb 1", "a d", "a 1, b 1, d 1"),
    W("a conflict with what another package provides",
      "a 1; Depends: b | c\nd 1; Conflicts: v\nb 1; Provides: v\nc 1", "a d", "a 1, c 1, d 1"),
    W("a conflict two steps below an alternative",
      "a 1; Depends: b | c\nb 1; Depends: e\ne 1; Conflicts: d\nc 1\nd 1", "a d", "a 1, c 1, d 1"),
    W("going back over a choice that was made for another package, where apt gives up",
      "a 1; Depends: b | c\nb 1\nc 1\nd 1; Depends: e\ne 1; Conflicts: b", "a d", "a 1, c 1, d 1, e 1", apt=False),
    W("going back over the right one of many choices, where apt gives up",
      "a 1; Depends: b | c, p | q, r | s, t | u\nz 1; Depends: y\ny 1; Conflicts: b\n"
      + "\n".join(f"{name} 1" for name in "bcpqrstu"), "a z", "a 1, c 1, p 1, r 1, t 1, y 1, z 1", apt=False),
    W("two versions of one library, of which only the older fits, where apt gives up",
      "a 1; Depends: b | c\nb 1; Depends: x (= 1)\nc 1; Depends: x (= 2)\nx 2\nx 1", "a", "a 1, c 1, x 2"),
    W("Multi-Arch: allowed satisfies :any", "a 1; Depends: b:any\nb 1; Multi-Arch: allowed", "a", "a 1, b 1"),
    W("Multi-Arch: foreign and same change nothing between packages of one architecture",
      "a 1; Depends: b, c\nb 1; Multi-Arch: foreign\nc 1; Multi-Arch: same", "a", "a 1, b 1, c 1"),
    W("a dependency on this very architecture", "a 1; Depends: b:amd64\nb 1", "a", "a 1, b 1"),
    W("architecture all", "a 1 [all]; Depends: b\nb 1 [all]", "a", "a 1, b 1"),
    W("packages of other architectures are not seen", "a 1; Depends: b | c\nb 1 [arm64]\nc 1", "a", "a 1, c 1"),
    W("Recommends are left out", "a 1; Recommends: b\nb 1", "a", "a 1"),
    W("Recommends are taken along",
      "a 1; Recommends: b\nb 1; Recommends: c\nc 1", "a", "a 1, b 1, c 1", recommends=True),
    W("Recommends that cannot be had are let go",
      "a 1; Recommends: gone, b, c\nb 1; Depends: gone\nc 1", "a", "a 1, c 1", recommends=True),
    W("Recommends that conflict with a wish are let go",
      "a 1; Recommends: b\nb 1; Conflicts: c\nc 1", "a c", "a 1, c 1", recommends=True),
    W("Suggests and Enhances are nothing", "a 1; Suggests: b; Enhances: c\nb 1\nc 1", "a", "a 1"),
    W("what the nodes have is not chosen", "a 1; Depends: b\nb 1", "a", "a 1", nodes="b 1"),
    W("what the nodes have in a newer version stays", "a 1; Depends: b\nb 1", "a", "a 1", nodes="b 2"),
    W("what the nodes have is brought up to what is needed",
      "a 1; Depends: b (>= 2)\nb 2", "a", "a 1, b 2", nodes="b 1"),
    W("what the nodes have stays where it is enough", "a 1; Depends: b\nb 2", "a", "a 1", nodes="b 1"),
    W("what the nodes have is preferred to a first alternative",
      "a 1; Depends: b | c\nb 1\nc 1", "a", "a 1", nodes="c 1"),
    W("Breaks bring what the nodes have up to date",
      "a 1; Breaks: b (<< 2)\nb 2", "a", "a 1, b 2", nodes="b 1"),
    W("a wish that the nodes have in an older version is brought up to date", "a 2", "a", "a 2", nodes="a 1"),
    W("a library that moves takes along what was built with it",
      "a 1; Depends: lib (>= 2)\nlib 2\ntool 2; Depends: lib (= 2)", "a", "a 1, lib 2, tool 2",
      nodes="lib 1\ntool 1; Depends: lib (= 1)"),
]  # fmt: skip


@pytest.mark.parametrize("world", SOLVABLE, ids=lambda world: world.sentence)
def test_solvable(world: World, tmp_path: Path) -> None:
    nodes = base(world.nodes)
    closure = closed(universe(world.packages, nodes=nodes), *world.wishes.split(), recommends=world.recommends)
    chosen = {str(package) for package in closure.solution.chosen.values()}
    assert chosen == set(world.chosen.split(", "))
    if world.apt:
        assert chosen == apt_chooses(tmp_path, world.packages, nodes, world.wishes.split(), recommends=world.recommends)
    replay.check(closure, recommends=world.recommends, upgrades=False)


UNSOLVABLE = [
    ("a wish that nobody has", "b 1", "a", ["amd64, a:", "no package named a"]),
    ("a dependency that nobody has", "a 1; Depends: b\nb 1; Depends: gone (>= 2)", "a",
     ["for amd64", "gone (>= 2): no package named gone", "wanted by b <- a"]),
    ("a version that is too old", "a 1; Depends: b (>= 2)\nb 1", "a", ["b (>= 2) is wanted, there is 1 in suite0"]),
    ("no alternative at all", "a 1; Depends: b | c\nb 1; Depends: x\nc 1; Depends: y", "a", ["x: no", "y: no"]),
    ("every gap of every wish", "a 1; Depends: x\nb 1; Depends: y\nc 1", "a b c", ["a: x:", "b: y:"]),
    ("wishes that conflict", "a 1; Conflicts: b\nb 1", "a b", ["a 1 conflicts with b", "wanted by a", "two sections"]),
    ("a conflict below two wishes", "a 1; Depends: x\nb 1; Depends: y\nx 1; Conflicts: y\ny 1", "a b",
     ["x 1 conflicts with y, wanted by b; x is wanted by a"]),
    ("two versions of one package", "a 1; Depends: x (= 1)\nb 1; Depends: x (= 2)\nx 1\nx 2", "a b",
     ["x (= 1) is wanted, there is 2 in suite0, 1 in suite0"]),
    ("a version that is not there", "a 1", "a=7", ["a (= 7) is wanted, there is 1"]),
    ("another architecture", "a 1; Depends: b:i386\nb 1", "a", ["b:i386 is of another architecture"]),
    ("Multi-Arch that does not allow :any", "a 1; Depends: b:any\nb 1; Multi-Arch: foreign", "a",
     ["b is not Multi-Arch: allowed"]),
    ("an unversioned provision of a versioned dependency", "a 1; Depends: v (>= 1)\nb 1; Provides: v", "a",
     ["v (>= 1): no package named v"]),
    ("impossible circles", "a 1; Depends: b\nb 1; Depends: c\nc 1; Depends: a, d\nd 1; Conflicts: a", "a",
     ["d 1 conflicts with a", "d", "c <- b <- a"]),
    ("a conflict with what an essential package provides", "a 1; Conflicts: v\ne 1; Essential: yes; Provides: v", "a e",
     ["a 1 conflicts with v"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("packages", "wishes", "phrases"), [row[1:] for row in UNSOLVABLE], ids=[r[0] for r in UNSOLVABLE]
)
def test_unsolvable(packages: str, wishes: str, phrases: list[str]) -> None:
    with pytest.raises(Unsolvable) as found:
        closed(universe(packages.splitlines()), *wishes.split())
    for phrase in phrases:
        assert phrase in f"{found.value.what} {found.value.hint}"
    assert found.value.exit_code == 1


def test_what_the_nodes_have_is_never_removed() -> None:
    with pytest.raises(Unsolvable, match="the nodes have it already"):
        closed(universe(["a 1; Conflicts: b"], nodes=base(["b 1"])), "a")


def test_what_is_broken_on_the_nodes_is_named_because_apt_would_not_go_on_either() -> None:
    nodes = base(["b 1", "sick 1; Depends: gone"])
    with pytest.raises(Unsolvable, match="gone: no package named gone, wanted by sick"):
        closed(universe(["a 1; Depends: b (>= 2)", "b 2"], nodes=nodes), "a")


def test_an_excluded_package_is_not_chosen_and_is_named_where_it_is_missed() -> None:
    there = ["a 1; Depends: b | c", "b 1", "c 1"]
    assert set(closed(universe(there, exclude=["b"]), "a").packages) == {"a", "c"}
    with pytest.raises(Unsolvable, match="b is excluded by the recipe"):
        closed(universe(there, exclude=["b", "c"]), "a")


def test_suites_are_taken_together_and_the_first_one_of_equal_versions_counts() -> None:
    there = universe(["a 1; Depends: b", "b 1"], ["b 2; Depends: c", "c 1"], ["b 2; Depends: c", "c 1"])
    chosen = closed(there, "a").packages
    assert {name: (package.version, package.origin.suite) for name, package in chosen.items()} == {
        "a": ("1", "suite0"),
        "b": ("2", "suite1"),
        "c": ("1", "suite1"),
    }


def test_a_suite_that_is_not_automatic_is_used_where_a_wish_names_it() -> None:
    def fresh(*wishes: str) -> dict[str, str]:
        there = universe(["a 1; Depends: b", "b 1"])
        there._indexes = [*there._indexes, index(["a 2; Depends: b (>= 2)", "b 2", "c 1"], "backports", priority=100)]
        return {name: package.version for name, package in closed(there, *wishes).packages.items()}

    assert fresh("a") == {"a": "1", "b": "1"}
    assert fresh("a/backports") == {"a": "2", "b": "2"}
    assert fresh("c") == {"c": "1"}


def test_the_chain_says_who_brought_a_package_in() -> None:
    solution = closed(universe(["a 1; Depends: b", "b 1; Depends: v", "c 1; Provides: v"]), "a").solution
    assert solution.chain("c") == ("a", "b", "c")
    assert solution.chain("a") == ("a",)


def test_recommends_that_were_left_out_are_counted_for_their_wish() -> None:
    there = universe(["a 1; Recommends: b", "b 1; Depends: c", "c 1", "d 1; Recommends: c"])
    recommended = closed(there, "a", "d").recommended
    assert {wish: set(packages) for wish, packages in recommended.items()} == {"a": {"b", "c"}}


def test_a_wish_may_be_alternatives_or_for_one_architecture() -> None:
    there = universe(["a 1", "b 2"])
    assert set(closed(there, "gone | b (>= 2)").packages) == {"b"}
    assert not closed(there, "a:arm64").packages
    assert set(closed(there, "a:amd64").packages) == {"a"}


@pytest.mark.parametrize("text", ["", "A B", "a, b", "a=", "a=1=2", "a (= )", "../a", "a;rm", "-o", "a (>= 1"])
def test_a_wish_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BadSection):
        Line.parse(text)


def test_a_result_that_apt_would_not_choose_fails_and_names_the_difference() -> None:
    there = universe(["a 1; Depends: b", "b 1", "c 1"])
    right = closed(there, "a")
    del right.solution.chosen["b"]  # type: ignore[attr-defined]
    with pytest.raises(ReplayDiffers, match="b"):
        replay.check(right, recommends=False, upgrades=False)
    more = closed(there, "a")
    more.solution.chosen["c"] = closed(there, "c").packages["c"]  # type: ignore[index]
    with pytest.raises(ReplayDiffers, match="apt does not need c 1"):
        replay.check(more, recommends=False, upgrades=False)


def test_ten_thousand_wishes() -> None:
    lines = [f"p{n} 1; Depends: p{n // 2} | p{n // 3}, q{n % 500}; Provides: v{n % 7}" for n in range(1, 10_001)]
    lines += [f"q{n} 1; Depends: v{n % 7}; Conflicts: gone" for n in range(500)] + ["p0 1"]
    chosen = closed(universe(lines), *(f"p{n}" for n in range(1, 10_001))).packages
    assert len(chosen) == 10_501


def test_a_world_without_a_way_through_is_given_up() -> None:
    # Eight pigeons in seven holes: every hole takes one, and only trying can tell.
    holes, pigeons = range(7), range(8)
    lines = [f"pigeon{p} 1; Depends: " + " | ".join(f"p{p}h{h}" for h in holes) for p in pigeons]
    lines += [
        f"p{p}h{h} 1; Conflicts: " + ", ".join(f"p{o}h{h}" for o in pigeons if o != p) for p in pigeons for h in holes
    ]
    with pytest.raises(Unsolvable, match="conflicts with"):
        closed(universe(lines), *(f"pigeon{p}" for p in pigeons))
