"""`twine upload` and `uv publish`: PyPI's upload API, a multipart form with the file in `content`."""

from __future__ import annotations

from aiohttp import BodyPartReader, web

from appliance import contributing
from appliance.contributing import Received
from appliance.receiving.answers import answering, check_right, publisher
from appliance.receiving.bodies import MALFORMED, BrokenUpload, field, part, removed
from appliance.registry.service import Registry

PATHS = ("/pypi/", "/pypi/legacy/")


def add_pypi(application: web.Application, registry: Registry) -> None:
    async def upload(request: web.Request) -> web.StreamResponse:
        caller = await publisher(registry, request)
        fields, name, received = await _form(registry, request)
        async with removed(received):
            told = fields.get("sha256_digest", received.sha256)
            if fields.get(":action", "file_upload") != "file_upload" or told.lower() != received.sha256:
                raise BrokenUpload(f"{name} arrived as sha256:{received.sha256}, and was announced as {told[:80]}")
            added = await registry.write(contributing.items, received, name, "pypi")
            check_right(registry, caller, f"pypi/{added[0].name}")
            await registry.write(contributing.publish, registry.store, [received], added, caller.name)
        return web.Response(text="published\n")

    for path in PATHS:
        application.router.add_post(path, answering(upload))


async def _form(registry: Registry, request: web.Request) -> tuple[dict[str, str], str, Received]:
    """Fields, and the file with its name. Raises `BrokenUpload`."""
    fields: dict[str, str] = {}
    name, received = "", None
    try:
        if request.content_type != "multipart/form-data":
            raise BrokenUpload("an upload is a multipart form", hint="twine upload --repository-url …/pypi/ sends one")
        async for each in await request.multipart():
            if not isinstance(each, BodyPartReader):
                raise BrokenUpload("forms within forms are not taken")
            if each.name == "content" and received is None:
                name, received = each.filename or "", await part(registry, each)
            elif len(fields) < 200:
                fields[each.name or ""] = await field(registry, each)
    except MALFORMED as error:
        _drop(received)
        raise BrokenUpload(f"the form cannot be read: {error}") from error
    except BaseException:
        _drop(received)
        raise
    if received is None:
        raise BrokenUpload("the form holds no file: a field `content` is wanted")
    return fields, name, received


def _drop(received: Received | None) -> None:
    if received is not None:
        received.path.unlink(missing_ok=True)
