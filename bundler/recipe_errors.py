"""What is wrong with a recipe, in its author's terms: file, line, key path, and the key that was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from bundler import toml_lines
from bundler.errors import RecipeInvalid

_MANUAL = "docs/recipe.md lists every key"


def explained(
    path: Path, text: str, raw: Mapping[str, Any], model: type[BaseModel], error: ValidationError
) -> RecipeInvalid:
    """All that pydantic found wrong with `raw`, read from `text`, in the order of the lines."""
    places = toml_lines.lines(text)
    found: list[tuple[int, str, str]] = []
    for details in error.errors():
        if details["type"] == "too_short" and details["input"]:
            continue  # only because of members that are wrong, which are told
        where = _within(raw, details)
        what, hint = _message(details, where, model)
        line = toml_lines.line_of(places, where)
        found.append((line, f"{path}:{line}: {_dotted(where) or 'the recipe'}: {what}", hint))
    found.sort()
    if len(found) == 1:
        _, what, hint = found[0]
        return RecipeInvalid(what, hint=hint or _MANUAL)
    return RecipeInvalid("\n".join(f"{what} ({hint})" if hint else what for _, what, hint in found), hint=_MANUAL)


def _within(raw: Any, found: ErrorDetails) -> toml_lines.Path:
    """Where pydantic found it, without the steps that are its own and not the document's."""
    where: list[str | int] = []
    for step in found["loc"]:
        try:
            raw = raw[step]
        except (KeyError, IndexError, TypeError):
            if found["type"] != "missing":
                break
        where.append(step)
    return tuple(where)


def _message(found: ErrorDetails, where: toml_lines.Path, model: type[BaseModel]) -> tuple[str, str]:
    if found["type"] == "extra_forbidden":
        key = str(where[-1])
        known = sorted(_known_keys(model, where[:-1]))
        nearest = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
        hint = f"did you mean {nearest[0]}?" if nearest else f"known here: {', '.join(known)}"
        return "nothing is called that here", hint
    if found["type"] == "missing":
        return "this is missing", f"add {where[-1]} = …" if len(where) > 1 else f"add a [{where[-1]}] table"
    if found["type"] == "too_short":
        return "this is empty", f"leave {where[-1]} out, or name something"
    if found["type"] == "refused":
        context = found["ctx"]
        return str(context["what"]), str(context["hint"])
    return found["msg"][:1].lower() + found["msg"][1:], ""


def _known_keys(model: type[BaseModel], where: toml_lines.Path) -> set[str]:
    """The keys of the section at `where`."""
    for step in where:
        if isinstance(step, str):
            model = next(_models(model.model_fields[step].annotation))
    return {field.alias or name for name, field in model.model_fields.items()}


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)


def _dotted(where: toml_lines.Path) -> str:
    """`images[2].ref`, the way people write key paths; elements count from 1, as they do."""
    text = ""
    for step in where:
        text += f"[{step + 1}]" if isinstance(step, int) else f".{step}" if text else step
    return text
