"""Manifests as documents: read, filled in, and written.

Placeholders (`${range}`) are filled in where a document has been parsed already: a value that is nothing but a
placeholder becomes the value itself, whatever its type; one inside text becomes part of that text. So whatever a site
writes into a setting stays that one value: it cannot open another key or another document, as it could where templates
are filled in before they are parsed. `$${` stands for `${`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any

import yaml

from manifests.errors import ProfileInvalid

Object = dict[str, Any]
_PLACEHOLDER = re.compile(r"\$\$\{|\$\{([A-Za-z0-9_.-]+)\}")
# Anything else is written in quotes: what is a number or a boolean differs between YAML libraries (1e3, on, 0o7, 1_0).
_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./-]*")
_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"}


class _Loader(yaml.SafeLoader):
    """YAML without dates, which Kubernetes does not know, and without a key that stands twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [key.value for key, _ in node.value]
        if twice := next((key for key in keys if keys.count(key) > 1), None):
            raise yaml.constructor.ConstructorError(None, None, f"the key {twice} is there twice", node.start_mark)
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class _Dumper(yaml.SafeDumper):
    """YAML that every library reads alike."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    plain = _PLAIN.fullmatch(text) and text.lower() not in _WORDS
    style = None if plain else "|" if "\n" in text else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def read(data: bytes, where: str) -> list[Any]:
    """The documents of a file, empty ones left out. Raises `ProfileInvalid`, naming the line."""
    try:
        text = data.decode()
        return [document for document in yaml.load_all(text, _Loader) if document is not None]
    except UnicodeDecodeError as error:
        raise ProfileInvalid(f"{where} is not UTF-8 text") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ProfileInvalid(f"{where}:{line}: not YAML: {error.problem}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise ProfileInvalid(f"{where}: not YAML: {' '.join(str(error).split())[:200]}") from error


def write(documents: list[Object]) -> str:
    """One file of YAML; keys keep their order."""
    return "---\n".join(
        yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=2**16) for document in documents
    )


def placeholders(value: Any) -> Iterator[str]:
    """The names of those in any text of `value`."""
    if isinstance(value, str):
        yield from (name for name in _PLACEHOLDER.findall(value) if name)
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from placeholders(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from placeholders(inner)


def fill(value: Any, look_up: Callable[[str], Any]) -> Any:
    """`value` with its placeholders filled in; keys are left as they are. Raises `ValueError` for a table in text."""
    if isinstance(value, Mapping):
        return {key: fill(inner, look_up) for key, inner in value.items()}
    if isinstance(value, list):
        return [fill(inner, look_up) for inner in value]
    if not isinstance(value, str):
        return value
    whole = _PLACEHOLDER.fullmatch(value)
    if whole and whole[1]:
        return look_up(whole[1])
    return _PLACEHOLDER.sub(lambda found: _inserted(look_up(found[1]), found[1]) if found[1] else "${", value)


def _inserted(value: Any, name: str) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int):
        return str(value)
    raise ValueError(f"${{{name}}} stands inside of text and is none")


def images(value: Any) -> Iterator[str]:
    """The image of every container below `value`, whatever kind of object holds it."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key in {"containers", "initContainers", "ephemeralContainers"} and isinstance(inner, list):
                yield from (str(it["image"]) for it in inner if isinstance(it, Mapping) and it.get("image"))
            yield from images(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from images(inner)
