"""A TOML file that a person wrote, its mistakes named in that person's terms: file, line, key path, and the key that
was probably meant.

The recipe, the site file and a profile are read this way. What they may hold is a pydantic model; where its validators
have something better to say than pydantic, they raise `refusal`.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from archive.errors import Problem
from console import toml_lines

_Model = TypeVar("_Model", bound=BaseModel)
_TOML_LINE = re.compile(r"\(at line (\d+), column \d+\)")


@dataclass(frozen=True)
class Kind:
    """A kind of file: what people call it, where its keys are explained, and the problem that its mistakes are."""

    name: str
    manual: str
    problem: type[Problem]


def refusal(what: str, hint: str = "") -> PydanticCustomError:
    """A validator's error that keeps its hint, for `Document.validated`."""
    return PydanticCustomError("refused", "{what}", {"what": what, "hint": hint})


@dataclass(frozen=True)
class Document:
    """A file as it was read: its text, for the lines, and its values."""

    path: Path
    kind: Kind
    text: str
    values: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path, kind: Kind, *, absent: str = "") -> Document:
        """The file at `path`; `absent` is the hint when there is none. Raises the kind's problem."""
        try:
            text = path.read_text("utf-8")
        except FileNotFoundError as error:
            raise kind.problem(f"{path} is not there", hint=absent) from error
        except IsADirectoryError as error:
            raise kind.problem(f"{path} is a folder", hint=f"name the file that holds {kind.name}") from error
        except UnicodeDecodeError as error:
            raise kind.problem(f"{path} is not UTF-8 text: {error.reason} at byte {error.start}") from error
        return cls.parse(path, kind, text)

    @classmethod
    def parse(cls, path: Path, kind: Kind, text: str) -> Document:
        """`text` as what `path` holds, or is to hold. Raises the kind's problem."""
        try:
            return cls(path, kind, text, tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            found = _TOML_LINE.search(str(error))
            line = found[1] if found else str(text.count("\n") + 1)
            reason = _TOML_LINE.sub("", str(error)).strip()
            raise kind.problem(f"{path}:{line}: not TOML: {reason}", hint=f"see {kind.manual.split()[0]}") from error

    def validated(self, model: type[_Model]) -> _Model:
        """The values as a `model`. Raises the kind's problem with all that is wrong, in the order of the lines."""
        try:
            return model.model_validate(self.values)
        except ValidationError as error:
            raise self.mistakes(self._found(model, error)) from error

    def mistakes(self, found: Iterable[tuple[toml_lines.Path, str, str]]) -> Problem:
        """Where, what and a hint, each: what shows only when keys are seen together. All in one, by their lines."""
        told = sorted((self.line(where), f"{self._place(where)}: {what}", hint) for where, what, hint in found)
        if len(told) == 1:
            _, what, hint = told[0]
            return self.kind.problem(what, hint=hint or self.kind.manual)
        lines = [f"{what} ({hint})" if hint else what for _, what, hint in told]
        return self.kind.problem("\n".join(lines), hint=self.kind.manual)

    def line(self, where: toml_lines.Path) -> int:
        """The line of a key, or of the nearest thing around it."""
        return toml_lines.line_of(toml_lines.lines(self.text), where)

    def _place(self, where: toml_lines.Path) -> str:
        return f"{self.path}:{self.line(where)}: {_dotted(where) or self.kind.name}"

    def _found(self, model: type[BaseModel], error: ValidationError) -> Iterator[tuple[toml_lines.Path, str, str]]:
        for details in error.errors():
            if details["type"] == "too_short" and details["input"]:
                continue  # only because of members that are wrong, which are told
            where = _within(self.values, details)
            yield where, *_message(details, where, model)


def nearest(word: str, known: list[str]) -> str:
    """The hint for a `word` that is none of the `known`."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else f"known here: {', '.join(known)}"


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
        return "nothing is called that here", nearest(str(where[-1]), sorted(_known_keys(model, where[:-1])))
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
            fields = {field.alias or name: field for name, field in model.model_fields.items()}
            model = next(_models(fields[step].annotation))
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
