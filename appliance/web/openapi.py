"""The description of the API (OpenAPI 3.1.1), made from the same table and types that the server goes by."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from pydantic import TypeAdapter

from appliance.items import LONGEST
from appliance.web.api import ROOT, ROUTES, Parameter, Route
from console.version import VERSION

_REFERENCE = "#/components/schemas/{model}"
_REFUSAL = {
    "type": "object",
    "description": "Why there is no answer, in the shape of the registry's.",
    "required": ["errors"],
    "properties": {
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["code", "message"],
                "properties": {"code": {"type": "string"}, "message": {"type": "string"}},
            },
        }
    },
}
_STATUSES = {
    "400": "A parameter is missing, unknown, or has a value that it cannot have.",
    "401": "Looking is not open to everybody here, or this takes an operator.",
    "403": "The caller may not do this, or it came from the page of another site.",
    "404": "There is no such thing here.",
    "409": "As things are, that cannot be done.",
    "429": "Too many wrong passwords.",
    "503": "The store is busy, or too many look on; `Retry-After` says when to come again.",
}


@lru_cache(maxsize=1)
def document() -> dict[str, Any]:
    """To be served as JSON."""
    adapters = [(route, "serialization", TypeAdapter(route.answer)) for route in ROUTES if route.answer is not None]
    keyed = [(number, mode, adapter) for number, (_, mode, adapter) in enumerate(adapters)]
    schemas, definitions = TypeAdapter.json_schemas(keyed, ref_template=_REFERENCE)  # type: ignore[arg-type]
    answers = {id(route): schemas[number, mode] for number, (route, mode, _) in enumerate(adapters)}  # type: ignore[index]
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault(f"{ROOT}{route.path}", {})[route.method.lower()] = _operation(route, answers.get(id(route)))
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "BuzzCrate",
            "version": VERSION,
            "description": "What a crate holds and how it is, for programs. Nothing here needs a sign-on where pulls "
            "are open, but what changes something.",
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": {**definitions.get("$defs", {}), "Refusal": _REFUSAL},
            "securitySchemes": {
                "password": {"type": "http", "scheme": "basic", "description": "A user's, or any name and a token."},
                "token": {"type": "http", "scheme": "bearer"},
            },
        },
    }


def _operation(route: Route, schema: Any) -> dict[str, Any]:
    media = {"text/event-stream": {}} if schema is None else {"application/json": {"schema": schema}}
    refused = {"application/json": {"schema": {"$ref": _REFERENCE.format(model="Refusal")}}}
    signed_on: list[dict[str, list[str]]] = [{"password": []}, {"token": []}]
    return {
        "summary": route.about,
        "operationId": f"{route.method.lower()}{''.join(word.title() for word in _words(route.path))}",
        "parameters": [_parameter(parameter) for parameter in route.parameters],
        "security": signed_on if route.operator else [{}, *signed_on],
        "responses": {
            "200": {"description": "As asked.", "content": media},
            **{status: {"description": about, "content": refused} for status, about in _STATUSES.items()},
        },
    }


def _parameter(parameter: Parameter) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": parameter.type}
    if parameter.type == "integer":
        schema |= {"minimum": 1, "maximum": 2**53 - 1}
    elif parameter.among:
        schema["enum"] = [*parameter.among]
    else:
        schema |= {"minLength": 1} if parameter.path else {"maxLength": LONGEST}
    if parameter.default is not None:
        schema["default"] = parameter.default
    return {
        "name": parameter.name,
        "in": "path" if parameter.path else "query",
        "required": parameter.path or parameter.default is None,
        "description": parameter.about,
        "schema": schema,
    }


def _words(path: str) -> list[str]:
    return [word for word in path.replace("{", "").replace("}", "").split("/") if word]
