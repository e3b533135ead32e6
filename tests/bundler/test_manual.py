"""docs/recipe.md and the default recipe keep up with the code."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest
from pydantic import BaseModel

from bundler.recipe import CrateSection, ImageSection, K3sSection, Recipe
from mirror.apt.section import AptSection
from mirror.files.section import FileSection
from mirror.helm.section import ChartSection
from mirror.npm.section import NpmSection
from mirror.pypi.section import PypiSection

REPOSITORY = Path(__file__).resolve().parents[2]
SECTIONS: dict[str, type[BaseModel]] = {
    "[crate]": CrateSection,
    "[k3s]": K3sSection,
    "[[images]]": ImageSection,
    "[[files]]": FileSection,
    "[[apt]]": AptSection,
    "[[pypi]]": PypiSection,
    "[[npm]]": NpmSection,
    "[[charts]]": ChartSection,
}


@pytest.mark.parametrize("heading", SECTIONS)
def test_every_key_is_in_the_manual_and_no_other(heading: str) -> None:
    manual = (REPOSITORY / "docs" / "recipe.md").read_text()
    section = manual.split(f"## `{heading}`\n")[1].split("\n## ")[0]
    known = {field.alias or name for name, field in SECTIONS[heading].model_fields.items()}
    assert set(re.findall(r"^\| `([\w-]+)` \|", section, re.MULTILINE)) == known


def test_every_example_of_the_manual_is_a_recipe(tmp_path: Path) -> None:
    manual = (REPOSITORY / "docs" / "recipe.md").read_text().split("# The lock")[0]
    examples = [block for block in re.findall(r"(?:^    .*\n|^\n)+", manual, re.MULTILINE) if block.strip()]
    assert len(examples) > 5
    path = tmp_path / "bundle.toml"
    path.write_text('[crate]\nname = "lab"\n' + textwrap.dedent("".join(examples)))
    contents = Recipe.load(path).contents
    assert contents.apt
    assert contents.pypi
    assert contents.npm
    assert contents.charts


def test_the_default_recipe_is_a_k3s_for_boards_and_pcs() -> None:
    contents = Recipe.load(REPOSITORY / "bundle.toml").contents
    assert contents.k3s is not None
    assert {str(platform) for platform in contents.crate.platforms} == {"linux/arm64", "linux/amd64"}
