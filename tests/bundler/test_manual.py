"""docs/recipe.md and the default recipe keep up with the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from bundler.recipe import CrateSection, ImageSection, K3sSection, Recipe
from mirror.files.section import FileSection

REPOSITORY = Path(__file__).resolve().parents[2]
SECTIONS: dict[str, type[BaseModel]] = {
    "[crate]": CrateSection,
    "[k3s]": K3sSection,
    "[[images]]": ImageSection,
    "[[files]]": FileSection,
}


@pytest.mark.parametrize("heading", SECTIONS)
def test_every_key_is_in_the_manual_and_no_other(heading: str) -> None:
    manual = (REPOSITORY / "docs" / "recipe.md").read_text()
    section = manual.split(f"## `{heading}`\n")[1].split("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == set(SECTIONS[heading].model_fields)


def test_the_default_recipe_is_a_k3s_for_boards_and_pcs() -> None:
    contents = Recipe.load(REPOSITORY / "bundle.toml").contents
    assert contents.k3s is not None
    assert {str(platform) for platform in contents.crate.platforms} == {"linux/arm64", "linux/amd64"}
