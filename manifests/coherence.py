"""What a schema cannot say of a profile: that its files and its definition mean the same things."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from archive.errors import Problem
from archive.references import Reference
from console.toml_document import Document, nearest
from manifests import documents, rendering, settings
from manifests.definition import Definition
from manifests.errors import ProfileInvalid

Parsed = Mapping[str, list[Any]]


def check(document: Document, definition: Definition, parsed: Parsed, where: str) -> None:
    """`document` is profile.toml, `parsed` the YAML beside it, `where` their folder. Raises `ProfileInvalid`."""
    _check_values(document, definition, parsed)
    _check_conditions(document, definition, parsed)
    _check_defaults(document, definition)
    names = {setting.name for setting in definition.settings}
    toml = str(document.path)
    _known(documents.placeholders([setting.default for setting in definition.settings]), set(), toml)
    _known(documents.placeholders([[check.url, check.host] for check in definition.checks]), names, toml)
    values = {chart.values for chart in definition.charts}
    for file, objects in parsed.items():
        _known(documents.placeholders(objects), names, f"{where}/{file}")
        if file not in values:
            _check_objects(objects, definition, f"{where}/{file}")


def _check_values(document: Document, definition: Definition, parsed: Parsed) -> None:
    for place, chart in enumerate(definition.charts):
        found = parsed.get(chart.values, [])
        if chart.values and (len(found) != 1 or not isinstance(found[0], dict)):
            what = f"{chart.values} is not a file of values beside it"
            raise document.mistakes([(("charts", place, "values"), what, "")])


def _check_conditions(document: Document, definition: Definition, parsed: Parsed) -> None:
    names = sorted(setting.name for setting in definition.settings)
    places: list[tuple[tuple[str | int, ...], str]] = [(("when", file), it) for file, it in definition.when.items()]
    places += [(("checks", place, "when"), it.when) for place, it in enumerate(definition.checks) if it.when]
    for file in definition.when:
        if file not in parsed:
            hint = nearest(file, sorted(parsed))
            raise document.mistakes([(("when", file), f"there is no {file} beside it", hint)])
    for where, condition in places:
        name = condition.partition("=")[0]
        if name not in names:
            raise document.mistakes([(where, f"{name} is no setting", nearest(name, names))])


def _check_defaults(document: Document, definition: Definition) -> None:
    for place, setting in enumerate(definition.settings):
        if setting.default is None:
            continue
        try:
            settings.checked(setting, setting.default, definition.profile.name)
        except Problem as problem:
            where = ("settings", place, "default")
            raise document.mistakes([(where, problem.what, problem.hint)]) from problem


def _check_objects(objects: list[Any], definition: Definition, where: str) -> None:
    held = {str(Reference.parse(image.ref)) for image in definition.images}
    for object_ in objects:
        if not isinstance(object_, dict) or not {"apiVersion", "kind", "metadata"} <= object_.keys():
            raise ProfileInvalid(f"{where}: a document that is no Kubernetes object", hint="it has apiVersion and kind")
    for image in documents.images(objects):
        if str(Reference.parse(image)) not in held:
            raise ProfileInvalid(
                f"{where}: the image {image} is not among [[images]], so no crate would bring it",
                hint=f'add [[images]] with ref = "{image}" to profile.toml',
            )


def _known(found: Iterable[str], names: set[str], where: str) -> None:
    for name in found:
        if name not in names and not rendering.is_fact(name):
            hint = nearest(name, sorted({*names, *rendering.FACTS}))
            raise ProfileInvalid(f"{where}: nothing is called ${{{name}}}", hint=hint)
