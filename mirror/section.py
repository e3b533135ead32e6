"""What every ecosystem's part of the recipe has in common: strict keys, and values parsed as they are read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, field_validator
from pydantic_core import PydanticCustomError

from archive.errors import Problem
from archive.platforms import Platform


def refusal(what: str, hint: str = "") -> PydanticCustomError:
    """A validator's error that keeps its hint; the recipe's reader takes both out of the context."""
    return PydanticCustomError("refused", "{what}", {"what": what, "hint": hint})


def parsed(parse: Callable[[str], Any]) -> BeforeValidator:
    """Reads text through one of the archive's parsers, whose `Problem` becomes an error at that key."""

    def read(value: object) -> Any:
        if not isinstance(value, str):
            raise refusal(f"this must be text, not {type(value).__name__}")
        try:
            return parse(value)
        except Problem as problem:
            raise refusal(problem.what, problem.hint) from problem

    return BeforeValidator(read)


def check_url(url: str) -> str:
    """An http(s) URL that may travel in a crate: without user or password. Returns it."""
    try:
        words = urlsplit(url)
        known = words.scheme in {"http", "https"} and bool(words.hostname)
    except ValueError:
        known = False
    if not known:
        raise refusal(f"{url[:200]!r} is not a URL", "write it like https://example.org/tool.tar.gz")
    if "@" in words.netloc:
        raise refusal(
            "a URL in a recipe may not hold a user or password, because the recipe travels in the crate",
            "put credentials into ~/.config/buzzcrate/upstreams.toml or, for images, into ~/.docker/config.json",
        )
    return url


PlatformText = Annotated[Platform, parsed(Platform.parse)]
UrlText = Annotated[str, parsed(check_url)]


class Section(BaseModel):
    """A table of the recipe. Unknown keys are refused; `platforms` empty means the crate's own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    platforms: tuple[PlatformText, ...] = ()

    @field_validator("platforms")
    @classmethod
    def _each_once(cls, value: tuple[Platform, ...]) -> tuple[Platform, ...]:
        return tuple(dict.fromkeys(value))
